//! Every change of a file goes through here, one step at a time, so that a test can make any of them fail.
//!
//! Adds nothing to what the system calls do.

use std::{
    fmt::Debug,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::Path,
    sync::Arc,
};

/// Extension of a file that is not written to its end.
pub(crate) const HALF: &str = "half";

/// A change of a file or a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A file is made.
    Create,
    /// Bytes are appended.
    Write,
    /// What was written is synced.
    Sync,
    /// A file is cut.
    Truncate,
    /// A file takes another's name.
    Rename,
    /// A file is removed.
    Remove,
}

/// Decides which steps fail.
pub trait Faults: Debug + Send + Sync {
    /// Answers before a step of `length` bytes: how many of them are done before it fails, and how it
    /// does; `None` lets it be.
    fn at(&self, step: Step, length: usize) -> Option<(usize, io::Error)>;
}

/// The file system.
#[derive(Clone, Debug, Default)]
pub struct Disk(Option<Arc<dyn Faults>>);

impl Disk {
    /// Returns a file system of which some steps fail.
    #[must_use]
    pub fn with_faults(faults: Arc<dyn Faults>) -> Self {
        Self(Some(faults))
    }

    /// Makes a file that must not be there.
    pub(crate) fn create(&self, path: &Path) -> io::Result<File> {
        self.check(Step::Create)?;
        OpenOptions::new().append(true).create_new(true).open(path)
    }

    /// Appends all of `bytes`; after an error any part of them may be there.
    pub(crate) fn append(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        if let Some((done, error)) = self.fault(Step::Write, bytes.len()) {
            file.write_all(bytes.get(..done).unwrap_or(bytes))?;
            return Err(error);
        }
        file.write_all(bytes)
    }

    /// Brings what was written to the disk.
    pub(crate) fn sync(&self, file: &File) -> io::Result<()> {
        self.check(Step::Sync)?;
        file.sync_data()
    }

    /// Truncates a file to its first `length` bytes.
    pub(crate) fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        self.check(Step::Truncate)?;
        file.set_len(length)
    }

    /// Removes a file; that it is gone already is no error.
    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        self.check(Step::Remove)?;
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Writes a file so that either all of it is there, under its name and on the disk, or nothing.
    pub(crate) fn write_whole(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let half = path.with_extension(HALF);
        let written = self.write_half(&half, bytes).and_then(|()| {
            self.check(Step::Rename)?;
            fs::rename(&half, path)
        });
        if written.is_err()
            && let Err(error) = self.remove(&half)
        {
            tracing::debug!(%error, "Left a file that was not written to its end");
        }
        written?;
        self.sync_directory(path)
    }

    fn write_half(&self, half: &Path, bytes: &[u8]) -> io::Result<()> {
        self.remove(half)?;
        let file = self.create(half)?;
        self.append(&file, bytes)?;
        self.sync(&file)
    }

    /// Brings the name of a new file to the disk.
    pub(crate) fn sync_directory(&self, of: &Path) -> io::Result<()> {
        match of.parent() {
            Some(directory) => self.sync(&File::open(directory)?),
            None => Ok(()),
        }
    }

    fn check(&self, step: Step) -> io::Result<()> {
        self.fault(step, 0).map_or(Ok(()), |(_, error)| Err(error))
    }

    fn fault(&self, step: Step, length: usize) -> Option<(usize, io::Error)> {
        self.0.as_ref().and_then(|faults| faults.at(step, length))
    }
}
