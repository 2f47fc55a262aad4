//! The log's health, for `/readyz` and the metrics.

use std::{
    io::{self, ErrorKind},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Counters and the present trouble; read at any time.
#[derive(Debug, Default)]
pub struct Health {
    trouble: Mutex<Option<&'static str>>,
    written_bytes: AtomicU64,
    refused_groups: AtomicU64,
    syncs_failed: AtomicU64,
    segments_cut: AtomicU64,
    held_bytes: AtomicU64,
    left: Mutex<Left>,
}

/// What was in the log and is lost, as far as this run knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Bytes that were cut off the end at the start, after the last whole entry.
    pub torn_bytes: u64,
    /// Batches that are not there any more, because a file was damaged or removed from outside.
    pub missing: u64,
    /// Batches that were accepted once and that this version of the bridge cannot read; they stay in the log
    /// while its bounds let them.
    pub unreadable: u64,
}

/// What [`Health`] holds at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Why nothing is appended at present: `disk_full`, `read_only` or `io_error`.
    pub trouble: Option<&'static str>,
    /// Bytes appended since the start.
    pub written_bytes: u64,
    /// Groups of batches that were refused because the disk did.
    pub refused_groups: u64,
    /// Times that the disk did not take what was written: a loss of power may cost it.
    pub syncs_failed: u64,
    /// Segments removed.
    pub segments_cut: u64,
    /// Bytes of the files.
    pub held_bytes: u64,
    /// What is lost.
    pub left: Left,
}

impl Health {
    /// Returns the state of things.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            trouble: *self.trouble.lock().unwrap_or_else(PoisonError::into_inner),
            written_bytes: self.written_bytes.load(Relaxed),
            refused_groups: self.refused_groups.load(Relaxed),
            syncs_failed: self.syncs_failed.load(Relaxed),
            segments_cut: self.segments_cut.load(Relaxed),
            held_bytes: self.held_bytes.load(Relaxed),
            left: *self.left.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    pub(super) fn found(&self, left: Left) {
        let mut known = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = known.missing + left.missing;
        *known = Left { missing, ..left };
    }

    pub(super) fn wrote(&self, bytes: usize) {
        self.written_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn is_well(&self) {
        if self.set(None).is_some() {
            tracing::info!("Log took batches again");
        }
    }

    pub(super) fn failed(&self, error: &io::Error) {
        self.refused_groups.fetch_add(1, Relaxed);
        if self.set(Some(trouble(error))).is_none() {
            tracing::error!(%error, "Log refused batches");
        }
    }

    pub(super) fn sync_failed(&self, error: &io::Error) {
        if self.syncs_failed.fetch_add(1, Relaxed) == 0 {
            tracing::error!(%error, "Disk did not take what was written to the log");
        }
    }

    pub(super) fn removed(&self, batches: u64) {
        self.left
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .missing += batches;
        tracing::error!(
            batches,
            "A segment of the log was removed while it was written to"
        );
    }

    pub(super) fn cut(&self, segments: u64) {
        self.segments_cut.fetch_add(segments, Relaxed);
    }

    pub(super) fn holds(&self, bytes: u64) {
        self.held_bytes.store(bytes, Relaxed);
    }

    fn set(&self, trouble: Option<&'static str>) -> Option<&'static str> {
        let mut known = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut known, trouble)
    }
}

/// Returns the stable name of what a disk refuses with.
#[must_use]
pub fn trouble(error: &io::Error) -> &'static str {
    let kind = error.kind();
    if [ErrorKind::StorageFull, ErrorKind::QuotaExceeded].contains(&kind) {
        "disk_full"
    } else if [ErrorKind::ReadOnlyFilesystem, ErrorKind::PermissionDenied].contains(&kind) {
        "read_only"
    } else {
        "io_error"
    }
}
