//! The files that the log's thread writes to: the segment at the end, and the removal of those at the
//! beginning.
//!
//! After an error either nothing of the group is left after the segment's last entry, or the segment is not written to
//! again, and the next one begins at the same position.

use std::{
    fs::File,
    io,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use super::{
    Position,
    disk::Disk,
    frame::{self, HEAD_LEN, Head},
    health::Health,
    segments::{Bounds, Segments},
    writer::Progress,
};

/// How often the bounds are looked at while no segment ends.
pub(super) const CUT_INTERVAL: Duration = Duration::from_secs(10);

/// The files that are written to.
#[derive(Debug)]
pub(super) struct Files {
    disk: Disk,
    segments: Segments,
    bounds: Bounds,
    /// How often what was written is synced to the disk; zero for each group, before it is acknowledged.
    sync_interval: Duration,
    progress: Arc<Progress>,
    segment: Option<Segment>,
    unsynced: bool,
    synced_at: Instant,
    cut_at: Instant,
}

/// The segment that is written to.
#[derive(Debug)]
struct Segment {
    file: File,
    path: PathBuf,
    first: Position,
    bytes: u64,
    /// Whether its name is on the disk.
    named: bool,
}

// === impl Files ===

impl Files {
    /// Returns files of which none is written to yet.
    pub(super) fn new(
        disk: Disk,
        segments: Segments,
        bounds: Bounds,
        sync_interval: Duration,
        progress: Arc<Progress>,
    ) -> Self {
        Self {
            disk,
            segments,
            bounds,
            sync_interval,
            progress,
            segment: None,
            unsynced: false,
            synced_at: Instant::now(),
            cut_at: Instant::now(),
        }
    }

    /// Returns how long what was written may still wait.
    pub(super) fn patience(&self) -> Duration {
        if self.unsynced {
            self.sync_interval.saturating_sub(self.synced_at.elapsed())
        } else {
            CUT_INTERVAL
        }
    }

    /// Brings what was written to the disk, and cuts off what is too old, where it is time to.
    pub(super) fn keep_house(&mut self, health: &Health) {
        if self.unsynced && self.synced_at.elapsed() >= self.sync_interval {
            self.sync(health);
        }
        if self.cut_at.elapsed() >= CUT_INTERVAL {
            self.cut(health, true);
        }
    }

    /// Appends to the segment, or begins the next; returns whether it did. Without an interval the disk has
    /// it then.
    ///
    /// # Errors
    ///
    /// If the disk refuses; then nothing of it is there, or it comes again.
    pub(super) fn append(&mut self, head: Head, bytes: &[u8], health: &Health) -> io::Result<bool> {
        if let Some(gone) = self.segment.take_if(|segment| segment.is_removed()) {
            health.removed(head.first.0.saturating_sub(gone.first.0));
        }
        let full = self.segment.as_ref().is_some_and(|segment| {
            segment.bytes + bytes.len() as u64 > self.bounds.segment_bytes
                && segment.bytes > HEAD_LEN as u64
        });
        if full {
            // What is left behind is on the disk before the next begins.
            if let Some(segment) = &mut self.segment {
                segment.sync(&self.disk)?;
            }
            self.segment = None;
            self.cut_at = Instant::now() - CUT_INTERVAL;
        }
        let opens = self.segment.is_none();
        let mut segment = match self.segment.take() {
            Some(segment) => segment,
            None => self.begin(head)?,
        };
        let written = self.disk.append(&segment.file, bytes).and_then(|()| {
            if !self.sync_interval.is_zero() {
                return Ok(());
            }
            let synced = segment.sync(&self.disk);
            synced.inspect_err(|error| health.sync_failed(error))
        });
        match written {
            Ok(()) => {
                let bytes = segment.bytes + bytes.len() as u64;
                self.segment = Some(Segment { bytes, ..segment });
                self.unsynced = !self.sync_interval.is_zero();
                Ok(opens)
            }
            Err(error) => {
                // What was half written is cut off; a segment that cannot be cut is written to no more,
                // and the next one begins at the same position.
                let cut = self.disk.truncate(&segment.file, segment.bytes);
                if cut.is_ok() && !opens {
                    self.segment = Some(segment);
                } else if opens {
                    self.disk.remove(&self.segments.segment(head.first))?;
                }
                Err(error)
            }
        }
    }

    fn begin(&self, head: Head) -> io::Result<Segment> {
        let path = self.segments.segment(head.first);
        // One that was begun and could not be written to.
        self.disk.remove(&path)?;
        let file = self.disk.create(&path)?;
        let bytes = frame::head(head);
        if let Err(error) = self.disk.append(&file, &bytes) {
            self.disk.remove(&path)?;
            return Err(error);
        }
        Ok(Segment {
            file,
            path,
            first: head.first,
            bytes: bytes.len() as u64,
            named: false,
        })
    }

    /// Returns whether the segment has room for so many bytes more.
    pub(super) fn has_room(&mut self, bytes: usize) -> bool {
        let Some(segment) = &self.segment else {
            return true;
        };
        let has_room = self.disk.append(&segment.file, &vec![0; bytes]).is_ok();
        // One that cannot be cut is written to no more, as where writing fails.
        if self.disk.truncate(&segment.file, segment.bytes).is_err() {
            self.segment = None;
        }
        has_room
    }

    /// Brings what was written to the disk. If the disk refuses, the system may have given up what it
    /// held: the next run reads over what is missing.
    pub(super) fn sync(&mut self, health: &Health) {
        self.synced_at = Instant::now();
        self.unsynced = false;
        let Some(segment) = &mut self.segment else {
            return;
        };
        if let Err(error) = segment.sync(&self.disk) {
            self.unsynced = true;
            health.sync_failed(&error);
        }
    }

    fn cut(&mut self, health: &Health, spare: bool) {
        self.cut_at = Instant::now();
        let restart = Position(self.progress.restart.load(Relaxed));
        let done = Position(self.progress.done.load(Relaxed));
        let cut = self
            .segments
            .cut(&self.disk, self.bounds, restart, done, spare);
        match cut {
            Ok(count) => health.cut(count),
            Err(error) => tracing::debug!(%error, "Left old segments"),
        }
        if let Ok(bytes) = self.segments.bytes() {
            health.holds(bytes);
        }
    }
}

// === impl Segment ===

impl Segment {
    /// Returns whether the file has no name any more.
    fn is_removed(&self) -> bool {
        let known = self.file.metadata();
        known.is_ok_and(|known| known.nlink() == 0)
    }

    fn sync(&mut self, disk: &Disk) -> io::Result<()> {
        disk.sync(&self.file)?;
        if !self.named {
            disk.sync_directory(&self.path)?;
            self.named = true;
        }
        Ok(())
    }
}
