//! The lock of a data directory: one bridge at a time.
//!
//! `flock`, which the kernel releases when its holder dies.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

/// The right; given back when this is dropped.
#[derive(Debug)]
pub(super) struct DirectoryLock(#[expect(dead_code, reason = "held, not used")] File);

/// Why a directory cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another bridge has it.
    #[error("{} is in use by another bridge", .directory.display())]
    Held {
        /// The directory.
        directory: PathBuf,
    },
    /// The system refused a step.
    #[error("{step} {}", .path.display())]
    Io {
        /// What was tried.
        step: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl DirectoryLock {
    /// Takes a directory; makes it if there is none.
    pub(super) fn take(directory: &Path) -> Result<Self, LockError> {
        fs::create_dir_all(directory).map_err(failed("making", directory))?;
        let path = directory.join("lock");
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(failed("opening", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(LockError::Held {
                directory: directory.to_owned(),
            }),
            Err(error) => Err(failed("locking", &path)(error.into())),
        }
    }
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LockError {
    move |source| LockError::Io {
        step,
        path: path.to_owned(),
        source,
    }
}
