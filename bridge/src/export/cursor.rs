//! The last record that the collector has accepted: one number in a file.
//!
//! Written at intervals: after a crash a few records are sent again, as the same spans.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::log::disk::Disk;

/// How often the number is written.
const INTERVAL: Duration = Duration::from_secs(1);

/// The number, and where it is kept.
#[derive(Debug)]
pub struct Cursor {
    /// Absent before the first export.
    number: Option<u64>,
    /// Whether it stands for one that could not be read.
    guessed: bool,
    /// Absent without files.
    file: Option<(PathBuf, Disk)>,
    written: Option<(u64, Instant)>,
}

impl Cursor {
    /// Returns a cursor that is not kept.
    #[must_use]
    pub const fn in_memory() -> Self {
        Self {
            number: None,
            guessed: false,
            file: None,
            written: None,
        }
    }

    /// Reads the cursor, if there is one. One that cannot be read stands before everything: what the
    /// collector took already comes again, as the same spans.
    #[must_use]
    pub fn open(path: PathBuf, disk: Disk) -> Self {
        let (number, guessed) = match read(&path) {
            Ok(number) => (number, false),
            Err(error) => {
                let path = path.display();
                tracing::warn!(%error, %path, "Place of the export cannot be read; all that is kept is exported");
                (Some(0), true)
            }
        };
        Self {
            number,
            guessed,
            file: Some((path, disk)),
            written: None,
        }
    }

    /// Begins after `settled` if there is none; one that is ahead counts what a loss of power took.
    pub fn begin(&mut self, settled: u64) {
        if !self.guessed {
            self.set(self.number.map_or(settled, |number| number.min(settled)));
        }
    }

    /// Returns whether it is unknown what was accepted, until it moves on.
    #[must_use]
    pub const fn is_guessed(&self) -> bool {
        self.guessed
    }

    /// Returns the number of the last record that was accepted.
    #[must_use]
    pub const fn number(&self) -> Option<u64> {
        self.number
    }

    /// Moves on.
    pub fn set(&mut self, number: u64) {
        self.number = Some(number);
        self.guessed = false;
        let due = self.written.is_none_or(|(_, at)| at.elapsed() >= INTERVAL);
        if due {
            self.write();
        }
    }

    /// Writes the number, if it has changed. If the disk refuses, the write is retried.
    pub fn write(&mut self) {
        let (Some((path, disk)), Some(number)) = (&self.file, self.number) else {
            return;
        };
        if self.guessed || self.written.is_some_and(|(written, _)| written == number) {
            return;
        }
        match disk.write_whole(path, format!("{number}\n").as_bytes()) {
            Ok(()) => self.written = Some((number, Instant::now())),
            Err(error) => tracing::debug!(%error, "Place of the export was not written"),
        }
    }
}

/// Reads the number that was written for the last time, before the log is folded; `None` if none was.
pub(crate) fn read(path: &Path) -> io::Result<Option<u64>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let number = text.trim().parse().map(Some);
    number.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
