//! Up to which record the collector has taken: one number in a file.
//!
//! Written at intervals: after a crash a few records are sent again, as the same spans.

use std::{
    fs, io,
    path::PathBuf,
    time::{Duration, Instant},
};

use crate::log::disk::Disk;

/// How often the number is written.
const INTERVAL: Duration = Duration::from_secs(1);

/// The number, and where it is kept.
#[derive(Debug)]
pub struct Cursor {
    number: u64,
    /// Absent without files.
    file: Option<(PathBuf, Disk)>,
    written: Option<(u64, Instant)>,
}

impl Cursor {
    /// Returns a cursor that is not kept.
    #[must_use]
    pub const fn in_memory(number: u64) -> Self {
        Self {
            number,
            file: None,
            written: None,
        }
    }

    /// Reads the cursor, which cannot be behind `settled`; begins there if there is none.
    pub fn open(path: PathBuf, disk: Disk, settled: u64) -> Self {
        let number = read(&path).unwrap_or(settled).min(settled);
        let mut cursor = Self {
            number,
            file: Some((path, disk)),
            written: None,
        };
        cursor.write();
        cursor
    }

    /// Returns the number of the last record that was taken.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Moves on.
    pub fn set(&mut self, number: u64) {
        self.number = number;
        let due = self.written.is_none_or(|(_, at)| at.elapsed() >= INTERVAL);
        if due {
            self.write();
        }
    }

    /// Writes the number, if it is another than was written. A disk that refuses is asked again.
    pub fn write(&mut self) {
        let Some((path, disk)) = &self.file else {
            return;
        };
        if self
            .written
            .is_some_and(|(number, _)| number == self.number)
        {
            return;
        }
        match disk.write_whole(path, format!("{}\n", self.number).as_bytes()) {
            Ok(()) => self.written = Some((self.number, Instant::now())),
            Err(error) => tracing::debug!(%error, "Place of the export was not written"),
        }
    }
}

/// Reads the number that was written for the last time, before the log is folded.
pub(crate) fn read(path: &std::path::Path) -> io::Result<u64> {
    let text = fs::read_to_string(path)?;
    let number = text.trim().parse();
    number.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
