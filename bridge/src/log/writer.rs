//! The one thread that writes: takes all that waits, writes it at once, and only then lets it be known.
//!
//! A batch is kept when it was written: the process may die at any point after. The system may not:
//! what was written is brought to the disk at intervals, and the power may cost what came since.

use std::{
    fs::File,
    io,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use syntrace_core::fact::Batch;
use syntrace_model::{BootId, BootNanos};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use super::{
    AppendError, Entry, Position,
    disk::Disk,
    frame::{self, Frame, HEAD_LEN, Head},
    health::Health,
    segments::{Bounds, Segments},
};
use crate::clock;

/// How often the bounds are looked at while no segment ends.
const CUT_INTERVAL: Duration = Duration::from_secs(10);

/// What waits to be written.
#[derive(Debug, Default)]
pub(super) struct Pending {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The batches' frames, one behind the other.
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

/// The files that are written to.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) disk: Disk,
    pub(super) segments: Segments,
    pub(super) bounds: Bounds,
    /// How often what was written is brought to the disk; zero for each time, before it is known.
    pub(super) sync_interval: Duration,
    pub(super) progress: Arc<Progress>,
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
    bytes: u64,
    /// Whether its name is on the disk.
    named: bool,
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
        let frame = Frame { at, batch: encoded };
        frame::put(frame, &mut waiting.bytes);
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
    /// Runs until the log is closed and all that waited is written, or nobody reads any more.
    pub(super) fn run(mut self) {
        let mut group = Waiting::default();
        while self.pending.take(&mut group, self.patience()) {
            let written = self.write(&group.bytes);
            if let Err(error) = &written {
                self.health.failed(error);
            } else if !group.batches.is_empty() {
                self.health.wrote(group.bytes.len());
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
                let opened = files.append(head, bytes)?;
                if files.sync_interval.is_zero() {
                    files.sync(&self.health);
                }
                Ok(opened.then_some(self.next))
            }
            Some(_) | None => Ok(None),
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
        match &self.files {
            Some(files) if files.unsynced => files
                .sync_interval
                .saturating_sub(files.synced_at.elapsed()),
            Some(_) | None => CUT_INTERVAL,
        }
    }

    fn keep_house(&mut self) {
        let Some(files) = &mut self.files else {
            return;
        };
        if files.unsynced && files.synced_at.elapsed() >= files.sync_interval {
            files.sync(&self.health);
        }
        if files.cut_at.elapsed() >= CUT_INTERVAL {
            files.cut(&self.health, true);
        }
    }
}

/// Tells whoever asked, who may have gone; what is appended is appended all the same.
fn tell(
    answer: oneshot::Sender<Result<Position, AppendError>>,
    told: Result<Position, AppendError>,
) {
    if answer.send(told).is_err() {
        tracing::debug!("Sender went before its batch was appended");
    }
}

// === impl Files ===

impl Files {
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

    /// Appends to the segment, or begins the next; returns whether it did.
    fn append(&mut self, head: Head, bytes: &[u8]) -> io::Result<bool> {
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
        let segment = match self.segment.take() {
            Some(segment) => segment,
            None => self.begin(head)?,
        };
        match self.disk.append(&segment.file, bytes) {
            Ok(()) => {
                let bytes = segment.bytes + bytes.len() as u64;
                self.segment = Some(Segment { bytes, ..segment });
                self.unsynced = true;
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
            bytes: bytes.len() as u64,
            named: false,
        })
    }

    /// Brings what was written to the disk. If the disk refuses, the system may have given up what it
    /// held; the segment is left, so that what follows does not depend on it.
    fn sync(&mut self, health: &Health) {
        self.synced_at = Instant::now();
        self.unsynced = false;
        if let Some(segment) = &mut self.segment
            && let Err(error) = segment.sync(&self.disk)
        {
            health.sync_failed(&error);
            self.segment = None;
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
    fn sync(&mut self, disk: &Disk) -> io::Result<()> {
        disk.sync(&self.file)?;
        if !self.named {
            disk.sync_directory(&self.path)?;
            self.named = true;
        }
        Ok(())
    }
}
