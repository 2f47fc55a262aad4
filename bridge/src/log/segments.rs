//! The files of a log: which there are, what can be read of them, which may go.
//!
//! A segment is named by the position of its first entry. It ends where the next one begins, or where it
//! cannot be read any further, whichever comes first.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, ErrorKind},
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use syntrace_model::{BootId, BootNanos};

use super::{
    Position,
    disk::Disk,
    frame::{self, ENTRY_LEN},
};

/// Extension of a segment.
const SEGMENT: &str = "log";

/// Extension of the state of the fold at a position.
const STATE: &str = "state";

/// One entry, as it was read.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// Where it stands.
    pub position: Position,
    /// The run of the kernel that its time belongs to.
    pub boot: BootId,
    /// When it arrived.
    pub at: BootNanos,
    /// Whether it is the first of its segment.
    pub opens_segment: bool,
    /// The batch, as it was received.
    pub batch: &'a [u8],
}

/// What reading came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// The position behind the last entry.
    pub next: Position,
    /// Bytes that could not be read, behind the last whole entry of a segment.
    pub torn_bytes: u64,
    /// Entries that a damaged segment does not give any more.
    pub missing: u64,
}

/// The directory of a log.
#[derive(Clone, Debug)]
pub struct Segments {
    directory: PathBuf,
}

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes after which the next segment is begun.
    pub segment_bytes: u64,
    /// Bytes that are kept for another reading, of what is settled, stored and exported.
    pub spare_bytes: u64,
    /// Bytes beyond which the oldest goes, exported or not.
    pub bytes: u64,
    /// Age beyond which a segment goes, exported or not.
    pub age: Duration,
}

/// One file of the directory.
#[derive(Clone, Copy, Debug)]
struct Entry {
    bytes: u64,
    modified: SystemTime,
}

// === impl Bounds ===

impl Default for Bounds {
    fn default() -> Self {
        Self {
            segment_bytes: 16 << 20,
            spare_bytes: 256 << 20,
            bytes: 1 << 30,
            age: Duration::from_secs(24 * 60 * 60),
        }
    }
}

// === impl Segments ===

impl Segments {
    /// Returns the log in a directory, which need not be there yet.
    #[must_use]
    pub const fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Returns the path of the segment that begins at a position.
    pub(crate) fn segment(&self, first: Position) -> PathBuf {
        self.path(first, SEGMENT)
    }

    /// Returns the path of the state before a position.
    pub(crate) fn state(&self, before: Position) -> PathBuf {
        self.path(before, STATE)
    }

    /// Returns the positions at which segments begin.
    ///
    /// # Errors
    ///
    /// If the directory cannot be read.
    pub fn firsts(&self) -> io::Result<Vec<Position>> {
        Ok(self.list(SEGMENT)?.into_keys().collect())
    }

    /// Returns the positions before which there is a state.
    ///
    /// # Errors
    ///
    /// If the directory cannot be read.
    pub fn states(&self) -> io::Result<Vec<Position>> {
        Ok(self.list(STATE)?.into_keys().collect())
    }

    /// Returns the bytes of all files.
    ///
    /// # Errors
    ///
    /// If the directory cannot be read.
    pub fn bytes(&self) -> io::Result<u64> {
        let (segments, states) = (self.list(SEGMENT)?, self.list(STATE)?);
        Ok(segments
            .values()
            .chain(states.values())
            .map(|entry| entry.bytes)
            .sum())
    }

    /// Returns the bytes of the segments that have entries at or behind a position.
    pub(crate) fn bytes_from(&self, from: Position) -> io::Result<u64> {
        let segments = self.list(SEGMENT)?;
        let first = segments.range(..=from).next_back();
        let first = first.map_or(from, |(first, _)| *first);
        let behind = segments.range(first..);
        Ok(behind.map(|(_, entry)| entry.bytes).sum())
    }

    /// Reads the entries from a position on, as long as `each` goes on.
    ///
    /// # Errors
    ///
    /// If a file cannot be read at all. What is in it and cannot be understood is no error.
    pub fn read(
        &self,
        from: Position,
        mut each: impl FnMut(Stored<'_>) -> ControlFlow<()>,
    ) -> io::Result<Extent> {
        let firsts = self.firsts()?;
        let mut extent = Extent {
            next: from,
            ..Extent::default()
        };
        for (index, &first) in firsts.iter().enumerate() {
            let end = firsts.get(index + 1).copied();
            if end.is_some_and(|end| end <= from) {
                continue;
            }
            let bytes = match fs::read(self.segment(first)) {
                // It was cut since the directory was read.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                read => read?,
            };
            extent.missing += first.0.saturating_sub(extent.next.0);
            extent.next = extent.next.max(first);
            let mut rest = bytes.as_slice();
            let Some(head) = frame::take_head(&mut rest) else {
                extent.torn_bytes += bytes.len() as u64;
                continue;
            };
            let mut position = first;
            while end.is_none_or(|end| position < end)
                && let Some(found) = frame::take_entry(&mut rest)
            {
                let stored = Stored {
                    position,
                    boot: head.boot,
                    at: found.at,
                    opens_segment: position == first,
                    batch: found.batch,
                };
                position = position.after();
                if stored.position < from {
                    continue;
                }
                extent.next = position;
                if each(stored).is_break() {
                    return Ok(extent);
                }
            }
            if end.is_none_or(|end| position < end) {
                extent.torn_bytes += rest.len() as u64;
            }
        }
        Ok(extent)
    }

    /// Cuts what cannot be read off the end of the last segment, removes it if nothing remains, and
    /// returns where the next entry stands: behind all that is here, and behind all states.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or changed.
    pub fn mend(&self, disk: &Disk) -> io::Result<Position> {
        let state = self.states()?.pop().unwrap_or_default();
        let Some(last) = self.firsts()?.pop() else {
            return Ok(state);
        };
        let path = self.segment(last);
        let bytes = fs::read(&path)?;
        let mut rest = bytes.as_slice();
        let mut next = last;
        if frame::take_head(&mut rest).is_some() {
            while frame::take_entry(&mut rest).is_some() {
                next = next.after();
            }
        }
        if next == last {
            disk.remove(&path)?;
        } else if !rest.is_empty() {
            let file = fs::OpenOptions::new().write(true).open(&path)?;
            disk.truncate(&file, (bytes.len() - rest.len()) as u64)?;
        }
        Ok(next.max(state))
    }

    /// Removes the oldest files that may go, and returns how many segments those were.
    ///
    /// Nothing goes that a restart reads: what is at or behind `restart`. Before it, segments go that are
    /// done with, which is what ends at or before `done`, beyond the bytes to spare; and any beyond the
    /// other bounds. Without `spare`, all that is done with goes.
    ///
    /// # Errors
    ///
    /// If the directory cannot be read, or a file cannot be removed.
    pub(crate) fn cut(
        &self,
        disk: &Disk,
        bounds: Bounds,
        restart: Position,
        done: Position,
        spare: bool,
    ) -> io::Result<u64> {
        let segments: Vec<_> = self.list(SEGMENT)?.into_iter().collect();
        let states = self.list(STATE)?;
        let now = SystemTime::now();
        let spare_bytes = if spare { bounds.spare_bytes } else { 0 };
        let all = segments.iter().map(|(_, entry)| entry.bytes);
        let mut total: u64 = all.chain(states.values().map(|entry| entry.bytes)).sum();
        let mut removed = 0;
        for pair in segments.windows(2) {
            let [(first, entry), (end, _)] = pair else {
                break;
            };
            let age = now.duration_since(entry.modified).unwrap_or_default();
            let goes =
                (*end <= done && total > spare_bytes) || total > bounds.bytes || age > bounds.age;
            if *end > restart || !goes {
                break;
            }
            disk.remove(&self.segment(*first))?;
            total = total.saturating_sub(entry.bytes);
            for (state, entry) in states.range(*first..*end) {
                disk.remove(&self.state(*state))?;
                total = total.saturating_sub(entry.bytes);
            }
            removed += 1;
        }
        Ok(removed)
    }

    fn path(&self, position: Position, extension: &str) -> PathBuf {
        self.directory
            .join(format!("{:020}.{extension}", position.0))
    }

    fn list(&self, extension: &str) -> io::Result<BTreeMap<Position, Entry>> {
        let mut found = BTreeMap::new();
        for file in fs::read_dir(&self.directory)? {
            let file = file?;
            let Some(position) = position_of(&file.path(), extension) else {
                continue;
            };
            let entry = match file.metadata() {
                Ok(metadata) => Entry {
                    bytes: metadata.len(),
                    modified: metadata.modified()?,
                },
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            found.insert(position, entry);
        }
        Ok(found)
    }
}

fn position_of(path: &Path, extension: &str) -> Option<Position> {
    if path.extension()? != extension {
        return None;
    }
    path.file_stem()?.to_str()?.parse().ok().map(Position)
}

/// Bytes that a batch takes up in a segment.
pub(crate) const fn entry_bytes(batch: usize) -> usize {
    batch + ENTRY_LEN
}
