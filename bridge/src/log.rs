//! The log of batches: what is appended is folded, once, in the order of its position.
//!
//! Every accepted batch goes through here, and is acknowledged only after [`Log::append`]: then it is in a file, if
//! there are files. Everything else that the bridge knows is derived from the log. A batch for which there is no room
//! is refused, never dropped.

pub mod disk;
mod files;
mod frame;
pub mod health;
pub mod segments;
mod writer;

use std::{
    io,
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
    time::Duration,
};

use syntrace_core::fact::{Batch, Fact};
use syntrace_model::{BootId, BootNanos};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

pub use self::segments::{Bounds, Mended, Segments, Stored};
use self::{
    disk::Disk,
    files::Files,
    health::Health,
    segments::entry_bytes,
    writer::{Pending, Progress, Writer},
};

/// The position of a batch in the log, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);

/// Where the log is, and how much of it is kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Directory of its files; memory only without one.
    pub directory: Option<PathBuf>,
    /// How much is kept.
    pub bounds: Bounds,
    /// How often what was written is synced to the disk, which bounds what a loss of power may cost;
    /// zero for each group, before it is acknowledged.
    pub sync_interval: Duration,
    /// Bytes of batches that wait to be folded.
    pub room_bytes: usize,
    /// The file system.
    pub disk: Disk,
}

/// The end at which batches are appended.
#[derive(Debug)]
pub struct Log {
    pending: Arc<Pending>,
    entries: mpsc::WeakUnboundedSender<Entry>,
    room: Arc<Semaphore>,
    health: Arc<Health>,
    progress: Arc<Progress>,
}

/// The end at which batches are read.
#[derive(Debug)]
pub struct Reader {
    entries: mpsc::UnboundedReceiver<Entry>,
}

/// One appended batch; it takes up its room until it is dropped.
#[derive(Debug)]
pub struct Entry {
    /// Where it stands.
    pub position: Position,
    /// When it arrived.
    pub at: BootNanos,
    /// Whether it is the first of a segment.
    pub opens_segment: bool,
    /// Bytes of the batch as it was received.
    pub bytes: usize,
    /// What was appended.
    pub batch: Batch,
    _room: OwnedSemaphorePermit,
}

/// Why a batch was not appended. The sender keeps it and may send it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Too much waits to be folded.
    #[error("the log is full")]
    Busy,
    /// The disk refuses it.
    #[error("the log cannot be written")]
    Failed,
    /// The bridge ends.
    #[error("the log is closed")]
    Closed,
}

// === impl Position ===

impl Position {
    /// Returns the next position.
    #[must_use]
    pub const fn after(self) -> Self {
        Self(self.0 + 1)
    }
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            directory: None,
            bounds: Bounds::default(),
            sync_interval: Duration::from_secs(1),
            room_bytes: 32 << 20,
            disk: Disk::default(),
        }
    }
}

// === impl Log ===

impl Log {
    /// Starts a log whose next entry has position `next`, and returns both ends of it.
    ///
    /// # Errors
    ///
    /// If the system gives no thread.
    pub fn start(settings: &Settings, boot: BootId, next: Position) -> io::Result<(Self, Reader)> {
        let (sender, entries) = mpsc::unbounded_channel();
        let progress = Arc::<Progress>::default();
        let files = settings.directory.clone().map(|directory| {
            Files::new(
                settings.disk.clone(),
                Segments::new(directory),
                settings.bounds,
                settings.sync_interval,
                Arc::clone(&progress),
            )
        });
        let log = Self {
            pending: Arc::default(),
            entries: sender.downgrade(),
            room: Arc::new(Semaphore::new(
                settings.room_bytes.min(Semaphore::MAX_PERMITS),
            )),
            health: Arc::default(),
            progress,
        };
        let writer = Writer {
            pending: Arc::clone(&log.pending),
            entries: sender,
            health: Arc::clone(&log.health),
            progress: Arc::clone(&log.progress),
            boot,
            next,
            refused: 0,
            files,
        };
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writer.run())?;
        Ok((log, Reader { entries }))
    }

    /// Appends a batch that was decoded from `encoded`; it will be folded when this returns its position.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; then nothing was appended.
    pub async fn append(&self, encoded: &[u8], batch: Batch) -> Result<Position, AppendError> {
        let bytes = entry_bytes(encoded.len()) + batch.facts.len() * size_of::<Fact>();
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(permits);
        let Ok(room) = room else {
            return Err(AppendError::Busy);
        };
        let answered = self.pending.push(encoded, batch, room)?;
        answered.await.unwrap_or(Err(AppendError::Closed))
    }

    /// Takes no more; the reader ends after what was appended.
    pub fn close(&self) {
        self.pending.close();
    }

    /// Waits until the reader is gone.
    pub async fn abandoned(&self) {
        if let Some(entries) = self.entries.upgrade() {
            entries.closed().await;
        }
    }

    /// Returns whether [`Self::append`] may succeed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let entries = self.entries.upgrade();
        self.pending.is_open() && entries.is_some_and(|entries| !entries.is_closed())
    }

    /// Returns the log's health.
    #[must_use]
    pub fn health(&self) -> health::Status {
        self.health.status()
    }

    /// Reports what an earlier run left that is lost.
    pub(crate) fn found(&self, left: health::Left) {
        self.health.found(left);
    }

    /// Returns the position after everything that was appended, and so acknowledged, by now.
    #[must_use]
    pub fn appended(&self) -> Position {
        Position(self.progress.appended.load(Relaxed))
    }

    /// Returns whether everything before `position` is folded.
    #[must_use]
    pub fn is_folded(&self, position: Position) -> bool {
        *self.progress.folded.borrow() >= position.0
    }

    /// Waits until everything before `position` is folded; returns whether it is.
    pub async fn folded_before(&self, position: Position) -> bool {
        let mut folded = self.progress.folded.subscribe();
        folded.wait_for(|to| *to >= position.0).await.is_ok()
    }

    /// Says that everything before `position` is folded.
    pub(crate) fn is_folded_before(&self, position: Position) {
        self.progress.folded.send_replace(position.0);
    }

    /// Says that a restart would begin to read at `position`.
    pub(crate) fn restarts_at(&self, position: Position) {
        self.progress.restart.fetch_max(position.0, Relaxed);
    }

    /// Says that everything before `position` is settled, stored and exported.
    pub(crate) fn done_before(&self, position: Position) {
        self.progress.done.fetch_max(position.0, Relaxed);
    }
}

// === impl Reader ===

impl Reader {
    /// Waits for the next entry; `None` once the log is closed and all was read.
    pub async fn next(&mut self) -> Option<Entry> {
        self.entries.recv().await
    }

    /// Waits for the next entry, on a thread that may.
    pub fn blocking_next(&mut self) -> Option<Entry> {
        self.entries.blocking_recv()
    }
}

#[cfg(test)]
mod tests;
