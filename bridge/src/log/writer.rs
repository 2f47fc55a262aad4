//! The one thread that writes: takes everything that waits, writes it as one group, and only then acknowledges it.
//!
//! A written batch survives the death of the process, not a loss of power: written data is synced to the disk at
//! intervals, and what came since may be lost. Without an interval a batch is acknowledged after the sync.

use std::{
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use syntrace_core::fact::Batch;
use syntrace_model::{BootId, BootNanos};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use super::{
    AppendError, Entry, Position,
    files::{CUT_INTERVAL, Files},
    frame::{self, Head},
    health::Health,
};
use crate::clock;

/// What waits to be written.
#[derive(Debug, Default)]
pub(super) struct Pending {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The batches' frames, one after the other.
    bytes: Vec<u8>,
    batches: Vec<Append>,
    closed: bool,
}

/// One batch that waits.
#[derive(Debug)]
struct Append {
    at: BootNanos,
    bytes: usize,
    batch: Batch,
    room: OwnedSemaphorePermit,
    answer: oneshot::Sender<Result<Position, AppendError>>,
}

/// How far the log has come, and is needed no more. Positions that only grow.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// What comes before was appended.
    pub(super) appended: AtomicU64,
    /// What comes before is folded.
    pub(super) folded: watch::Sender<u64>,
    /// Where a restart begins to read.
    pub(super) restart: AtomicU64,
    /// What comes before is settled, stored and exported.
    pub(super) done: AtomicU64,
}

/// The thread's own.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) pending: Arc<Pending>,
    pub(super) entries: mpsc::UnboundedSender<Entry>,
    pub(super) health: Arc<Health>,
    pub(super) progress: Arc<Progress>,
    pub(super) boot: BootId,
    pub(super) next: Position,
    /// Bytes of the largest group that was refused since the log was well.
    pub(super) refused: usize,
    /// Absent if the log is in memory only.
    pub(super) files: Option<Files>,
}

// === impl Pending ===

impl Pending {
    /// Lets a batch wait for the writer.
    ///
    /// # Errors
    ///
    /// [`AppendError::Closed`] if there is no writer any more.
    pub(super) fn push(
        &self,
        encoded: &[u8],
        batch: Batch,
        room: OwnedSemaphorePermit,
    ) -> Result<oneshot::Receiver<Result<Position, AppendError>>, AppendError> {
        let (answer, answered) = oneshot::channel();
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(AppendError::Closed);
        }
        // Read under the lock: times grow with positions.
        let at = clock::boot();
        frame::put(at, encoded, &mut waiting.bytes);
        waiting.batches.push(Append {
            at,
            bytes: encoded.len(),
            batch,
            room,
            answer,
        });
        drop(waiting);
        self.changed.notify_one();
        Ok(answered)
    }

    /// Takes no more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Returns whether [`Self::push`] may succeed.
    pub(super) fn is_open(&self) -> bool {
        !self.lock().closed
    }

    /// Moves all that waits into `group`, after at most `patience`; returns whether more may come.
    fn take(&self, group: &mut Waiting, patience: Duration) -> bool {
        let waiting = self.lock();
        let idle = |waiting: &mut Waiting| waiting.batches.is_empty() && !waiting.closed;
        let waited = self.changed.wait_timeout_while(waiting, patience, idle);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut waiting.bytes, &mut group.bytes);
        std::mem::swap(&mut waiting.batches, &mut group.batches);
        !(waiting.closed && group.batches.is_empty())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Writer ===

impl Writer {
    /// Runs until the log is closed and everything that waited is written, or the reader is gone.
    pub(super) fn run(mut self) {
        let mut group = Waiting::default();
        while self.pending.take(&mut group, self.patience()) {
            frame::number(&mut group.bytes, self.next);
            let written = self.write(&group.bytes);
            match &written {
                Ok(_) if group.batches.is_empty() => {}
                Ok(_) => self.wrote(group.bytes.len()),
                Err(error) => {
                    self.refused = self.refused.max(group.bytes.len());
                    self.health.failed(error);
                }
            }
            group.bytes.clear();
            for append in group.batches.drain(..) {
                match &written {
                    Ok(opened) => self.publish(append, *opened),
                    Err(_) => tell(append.answer, Err(AppendError::Failed)),
                }
            }
            if self.entries.is_closed() {
                self.pending.close();
            }
            self.keep_house();
        }
        if let Some(files) = &mut self.files {
            files.sync(&self.health);
        }
    }

    /// Writes the group; returns the position at which a new segment begins with it.
    fn write(&mut self, bytes: &[u8]) -> io::Result<Option<Position>> {
        match &mut self.files {
            Some(files) if !bytes.is_empty() => {
                let head = Head {
                    boot: self.boot,
                    first: self.next,
                };
                let opened = files.append(head, bytes, &self.health)?;
                Ok(opened.then_some(self.next))
            }
            Some(_) | None => Ok(None),
        }
    }

    /// Says that something was written. What the bridge itself appends is small and may fit where batches do
    /// not: the log has recovered when there is room for what it refused.
    fn wrote(&mut self, bytes: usize) {
        self.health.wrote(bytes);
        let lacks = self.refused.saturating_sub(bytes);
        let has_room = |files: &mut Files| lacks == 0 || files.has_room(lacks);
        if self.files.as_mut().is_none_or(has_room) {
            self.refused = 0;
            self.health.is_well();
        }
    }

    /// Hands a written batch to the reader, and lets it be known.
    fn publish(&mut self, append: Append, opened: Option<Position>) {
        let position = self.next;
        self.next = position.after();
        let Append {
            at,
            bytes,
            batch,
            room,
            answer,
        } = append;
        let entry = Entry {
            position,
            at,
            opens_segment: opened == Some(position),
            bytes,
            batch,
            _room: room,
        };
        let sent = self.entries.send(entry);
        // First: who is told that it was appended may ask for it at once.
        self.progress.appended.store(self.next.0, Relaxed);
        let told = sent.map_or(Err(AppendError::Closed), |()| Ok(position));
        tell(answer, told);
    }

    fn patience(&self) -> Duration {
        self.files.as_ref().map_or(CUT_INTERVAL, Files::patience)
    }

    fn keep_house(&mut self) {
        if let Some(files) = &mut self.files {
            files.keep_house(&self.health);
        }
    }
}

/// Answers the caller, who may be gone; what is appended is appended all the same.
fn tell(
    answer: oneshot::Sender<Result<Position, AppendError>>,
    told: Result<Position, AppendError>,
) {
    if answer.send(told).is_err() {
        tracing::debug!("Sender went before its batch was appended");
    }
}
