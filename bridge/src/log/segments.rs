//! The files of a log: which there are, what can be read of them, which may be removed.
//!
//! A segment is named after the position of its first entry, and ends where the next one begins. What is damaged in it
//! is skipped and counted; only what no whole entry follows is cut off, as a torn write.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, ErrorKind, Read as _},
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use syntrace_model::{BootId, BootNanos};

use super::{
    Position,
    disk::{Disk, HALF},
    frame::{self, ENTRY_LEN, Frames, HEAD_LEN, HeadError, Layout},
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

/// The result of reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// The position after the last entry.
    pub next: Position,
    /// Bytes that belong to no whole entry.
    pub torn_bytes: u64,
    /// Entries that a damaged segment does not give any more.
    pub missing: u64,
}

/// Where a repaired log goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// The position of the next entry.
    pub next: Position,
    /// Bytes that were cut off, because nothing whole follows them.
    pub torn_bytes: u64,
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
    /// Bytes beyond which the oldest is removed, exported or not.
    pub bytes: u64,
    /// Age beyond which a segment is removed, exported or not.
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

// === impl Extent ===

impl Extent {
    /// Resumes at a position; what lies before it and was not read is missing.
    const fn reach(&mut self, position: Position) {
        if self.next.0 < position.0 {
            self.missing += position.0 - self.next.0;
            self.next = position;
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

    /// Returns the bytes of the segments that have entries at or after a position.
    pub(crate) fn bytes_from(&self, from: Position) -> io::Result<u64> {
        let segments = self.list(SEGMENT)?;
        let first = segments.range(..=from).next_back();
        let first = first.map_or(from, |(first, _)| *first);
        let behind = segments.range(first..);
        Ok(behind.map(|(_, entry)| entry.bytes).sum())
    }

    /// Reads the entries from a position on, until `each` breaks.
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
            extent.reach(first);
            let mut rest = bytes.as_slice();
            // Without a head the entries have no times that mean something.
            let (boot, layout) = match frame::take_head(&mut rest) {
                Ok((head, layout)) => (Some(head.boot), layout),
                Err(HeadError::Damaged) => (None, Layout::Numbered),
                Err(other) => return Err(invalid(other)),
            };
            let mut frames = Frames::new(rest, first, layout);
            let is_before_end = |position| end.is_none_or(|end| position < end);
            while is_before_end(frames.end())
                && let Some(found) = frames.next()
                && is_before_end(found.position)
            {
                let (Some(boot), Some(batch)) = (boot, found.batch) else {
                    continue;
                };
                if found.position < from {
                    continue;
                }
                extent.reach(found.position);
                extent.next = found.position.after();
                let stored = Stored {
                    position: found.position,
                    boot,
                    at: found.at,
                    opens_segment: found.position == first,
                    batch,
                };
                if each(stored).is_break() {
                    return Ok(extent);
                }
            }
            if boot.is_none() {
                extent.torn_bytes += bytes.len() as u64;
            } else {
                let behind = if is_before_end(frames.end()) {
                    frames.rest().len()
                } else {
                    0
                };
                extent.torn_bytes += (frames.skipped() + behind) as u64;
            }
            let seen = frames.end();
            extent.reach(end.map_or(seen, |end| end.min(seen)));
        }
        Ok(extent)
    }

    /// Cuts off the end of the last segment what nothing whole follows, removes it if nothing else is in it,
    /// and returns where the next entry stands: behind all that is here, and behind all states. What an
    /// earlier run did not write to its end goes too.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or changed, or a newer bridge wrote it.
    pub fn mend(&self, disk: &Disk) -> io::Result<Mended> {
        for half in self.list(HALF)?.into_keys() {
            if let Err(error) = disk.remove(&self.path(half, HALF)) {
                tracing::debug!(%error, "Left a file that was not written to its end");
            }
        }
        let firsts = self.firsts()?;
        let mut layout = Layout::Numbered;
        for &first in &firsts {
            let mut head = [0; HEAD_LEN];
            let read = fs::File::open(self.segment(first))?.read_exact(&mut head);
            layout = match frame::take_head(&mut head.as_slice()) {
                Ok((_, layout)) => layout,
                Err(newer @ HeadError::Version(_)) if read.is_ok() => return Err(invalid(newer)),
                Err(_) => Layout::Numbered,
            };
        }
        let mut mended = Mended {
            next: self.states()?.pop().unwrap_or_default(),
            torn_bytes: 0,
        };
        let Some(&last) = firsts.last() else {
            return Ok(mended);
        };
        let path = self.segment(last);
        let bytes = fs::read(&path)?;
        let entries = bytes.get(HEAD_LEN..).unwrap_or_default();
        let mut frames = Frames::new(entries, last, layout);
        let found = frames.by_ref().count();
        let kept = if found == 0 {
            0
        } else {
            bytes.len() - frames.rest().len()
        };
        mended.torn_bytes = (bytes.len() - kept) as u64;
        mended.next = mended.next.max(frames.end());
        if layout == Layout::Counted {
            // Whether something whole follows nobody can say: it is left, and not written over.
            mended.next = mended.next.max(last.after());
        } else if found == 0 {
            disk.remove(&path)?;
        } else if kept < bytes.len() {
            let file = fs::OpenOptions::new().write(true).open(&path)?;
            disk.truncate(&file, kept as u64)?;
        }
        Ok(mended)
    }

    /// Removes the oldest files that may go, and returns how many segments those were.
    ///
    /// Nothing goes that a restart reads: what is at or behind `restart`. Before it, segments go that are
    /// done with, which is what ends at or before `done`, beyond the bytes to spare; and any beyond the
    /// other bounds. Without `spare`, everything that is done with is removed.
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

fn invalid(error: HeadError) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

/// Bytes that a batch takes up in a segment.
pub(crate) const fn entry_bytes(batch: usize) -> usize {
    batch + ENTRY_LEN
}
