//! The Unix socket for facts, which one bridge holds at a time.
//!
//! The lock is `flock` on a file next to the socket: the kernel releases it when its holder dies, which tells a
//! stale socket from one that is in use.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};
use tokio::net::UnixListener;

/// The bound socket.
#[derive(Debug)]
pub(super) struct FactsSocket {
    listener: UnixListener,
    held: Held,
}

/// The right to the socket's path; it is removed and free again when this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    path: PathBuf,
    _lock: File,
}

/// Why the socket cannot be bound.
#[derive(Debug, thiserror::Error)]
pub enum FactsSocketError {
    /// Another bridge has it.
    #[error("{} is in use by another bridge, process {pid}", .path.display())]
    Held {
        /// The socket.
        path: PathBuf,
        /// The holder's process id, or that it is unknown.
        pid: String,
    },
    /// Something else is there.
    #[error("{} exists and is not a socket", .path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
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

// === impl FactsSocket ===

impl FactsSocket {
    /// Takes the path and binds the socket with these permission bits; makes its directory if there is
    /// none.
    ///
    /// # Errors
    ///
    /// [`FactsSocketError`], above all if another bridge holds the path.
    pub(super) fn bind(path: &Path, mode: u32) -> Result<Self, FactsSocketError> {
        let lock = take_lock(path)?;
        let failed = |step| failed(step, path);
        match fs::symlink_metadata(path) {
            // The lock is ours, so its owner is dead.
            Ok(left) if left.file_type().is_socket() => {
                fs::remove_file(path).map_err(failed("removing"))?;
            }
            Ok(_) => {
                let path = path.to_owned();
                return Err(FactsSocketError::NotASocket { path });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("looking at")(error)),
        }
        let listener = UnixListener::bind(path).map_err(failed("listening on"))?;
        let held = Held {
            path: path.to_owned(),
            _lock: lock,
        };
        let permissions = Permissions::from_mode(mode);
        fs::set_permissions(path, permissions).map_err(failed("setting the mode of"))?;
        Ok(Self { listener, held })
    }

    /// Returns the listener, and what must live as long as it.
    pub(super) fn into_parts(self) -> (UnixListener, Held) {
        (self.listener, self.held)
    }
}

// === impl Held ===

impl Drop for Held {
    fn drop(&mut self) {
        // The lock file stays: whoever waits for it must find the same one.
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "Left socket behind");
        }
    }
}

/// Takes the lock next to the socket; makes its directory if there is none.
fn take_lock(path: &Path) -> Result<File, FactsSocketError> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(failed("making", directory))?;
    }
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock_path = Path::new(&lock_path);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut lock = options
        .open(lock_path)
        .map_err(failed("opening", lock_path))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            return Err(FactsSocketError::Held {
                path: path.to_owned(),
                pid: read_pid(&mut lock).unwrap_or_else(|| "unknown".to_owned()),
            });
        }
        Err(error) => return Err(failed("locking", lock_path)(error.into())),
    }
    write_pid(&mut lock).map_err(failed("writing", lock_path))?;
    Ok(lock)
}

fn read_pid(lock: &mut File) -> Option<String> {
    let mut text = String::new();
    lock.take(16).read_to_string(&mut text).ok()?;
    let pid: u32 = text.trim().parse().ok()?;
    Some(pid.to_string())
}

fn write_pid(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FactsSocketError {
    move |source| FactsSocketError::Io {
        step,
        path: path.to_owned(),
        source,
    }
}
