//! All chunks of the database, as queries see them.
//!
//! A query that needs a chunk which cannot be read fails: its answer would leave records out. Repairing what is damaged
//! is the writer's part.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    fs, io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

use rusqlite::ErrorCode;
use syntrace_core::record::RequestRecord;
use syntrace_model::UnixNanos;

use super::{Hole, Kept, Settled, chunk::Chunk, names::Key, row::Row};

/// Rows that one query may look at, over all chunks.
const ROWS_MAX: usize = 50_000;

/// Rows that one query may look at in each chunk, however many chunks there are.
const CHUNK_ROWS_MIN: usize = 2_000;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of all chunks.
    pub bytes: u64,
    /// Age of a chunk's last record.
    pub age: Duration,
    /// Records of one chunk.
    pub chunk_records: u64,
}

/// The database.
#[derive(Debug)]
pub struct Database {
    directory: PathBuf,
    chunks: RwLock<BTreeMap<u64, Arc<Chunk>>>,
    /// Highest number that is stored.
    stored: AtomicU64,
    status: Mutex<DatabaseStatus>,
    /// First numbers of chunks that could not be read.
    damaged: Mutex<Vec<u64>>,
}

/// The state of the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseStatus {
    /// Why nothing is stored at present: `disk_full`, `read_only`, `corrupt`, `io_error` or `failed`.
    pub trouble: Option<&'static str>,
    /// Records that are neither in memory nor in the log any more.
    pub lost: u64,
    /// Chunks given up because they were old or too many.
    pub chunks_cut: u64,
    /// Chunks given up because they were damaged.
    pub chunks_damaged: u64,
    /// Bytes of the files.
    pub bytes: u64,
}

/// The answer is not available at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// A part of the database cannot be read.
    #[error("the database cannot be read: {trouble}")]
    Database {
        /// Why, as in [`DatabaseStatus::trouble`].
        trouble: &'static str,
    },
    /// It is not among the records that can be read, and may be one of those that are being rebuilt.
    #[error("{} settled records are being rebuilt from the log, and it may be one of them", .0.records)]
    Hole(Hole),
}

/// The records of one query to the database, the newest first.
#[derive(Debug)]
pub(crate) struct Scan<R: Row> {
    /// What was found.
    pub(crate) records: Vec<Arc<R>>,
    /// Where the look ended early: nothing below is complete.
    pub(crate) horizon: Option<(UnixNanos, R::Id)>,
}

// === impl Bounds ===

impl Default for Bounds {
    fn default() -> Self {
        Self {
            bytes: 2 << 30,
            age: Duration::from_secs(7 * 24 * 60 * 60),
            chunk_records: 100_000,
        }
    }
}

// === impl Scan ===

impl<R: Row> Default for Scan<R> {
    fn default() -> Self {
        Self {
            records: Vec::new(),
            horizon: None,
        }
    }
}

// === impl Database ===

impl Database {
    /// Returns the database in a directory; the writer opens it.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            chunks: RwLock::default(),
            stored: AtomicU64::new(0),
            status: Mutex::default(),
            damaged: Mutex::default(),
        }
    }

    /// Returns the highest number that is stored: who knows it finds what is stored until then.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.stored.load(Acquire)
    }

    /// Returns the database's state.
    #[must_use]
    pub fn status(&self) -> DatabaseStatus {
        *self.status_mut()
    }

    /// Returns the records under a key that `keep` keeps, from `below` down to `since`, the newest first.
    ///
    /// At least `limit` of them, if there are, and all that began with the last of these.
    pub(crate) fn newest<R: Row>(
        &self,
        key: Key,
        below: Option<(UnixNanos, R::Id)>,
        since: UnixNanos,
        limit: usize,
        keep: impl Fn(&R) -> bool,
    ) -> Result<Scan<R>, ReadError> {
        let chunks = self.by_latest::<R>(key)?;
        let rows_max = (ROWS_MAX / chunks.len().max(1)).max(CHUNK_ROWS_MIN);
        let until = below.map_or(UnixNanos(u64::MAX), |(at, _)| at);
        let mut scan = Scan::<R>::default();
        for (first, chunk, latest) in chunks {
            let enough = scan.records.get(limit.wrapping_sub(1));
            if latest < since || enough.is_some_and(|record| latest < record.began_at()) {
                continue;
            }
            let mut found: Vec<Arc<R>> = Vec::new();
            let mut rows = 0;
            let mut horizon = None;
            let read = chunk.newest(key, since, until, |record: Arc<R>| {
                let full = found.len() >= limit;
                let tie = found
                    .last()
                    .is_some_and(|last| last.began_at() == record.began_at());
                if full && !tie {
                    return ControlFlow::Break(());
                }
                let place = record.place();
                if below.is_none_or(|below| place < below) {
                    rows += 1;
                    if keep(&record) {
                        found.push(record);
                    } else if rows >= rows_max {
                        horizon = Some(place);
                        return ControlFlow::Break(());
                    }
                }
                ControlFlow::Continue(())
            });
            read.map_err(self.reported(first))?;
            scan.horizon = scan.horizon.max(horizon);
            scan.records.append(&mut found);
            scan.records
                .sort_unstable_by_key(|record| Reverse(record.place()));
        }
        Ok(scan)
    }

    /// Returns the newest record with this id.
    pub(crate) fn get<R: Row>(&self, id: R::Id) -> Result<Option<Arc<R>>, ReadError> {
        let key = Key::of_id::<R>(&id);
        for (first, chunk) in self.with(key).into_iter().rev() {
            let mut found = None;
            let (begin, end) = (UnixNanos(0), UnixNanos(u64::MAX));
            let read = chunk.newest(key, begin, end, |record: Arc<R>| {
                if record.id() == id {
                    found = Some(record);
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            });
            read.map_err(self.reported(first))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Returns at most `limit` records that settled after the one with this number, in order.
    pub(crate) fn settled_after(
        &self,
        number: u64,
        limit: usize,
    ) -> Result<Vec<Settled>, ReadError> {
        let requests = self.kind_after(number, limit)?.into_iter();
        let connections = self.kind_after(number, limit)?.into_iter();
        let requests = requests.map(|(number, record)| (number, Kept::Request(record)));
        let connections = connections.map(|(number, record)| (number, Kept::Connection(record)));
        let mut found: Vec<_> = requests.chain(connections).collect();
        found.sort_unstable_by_key(|(number, _)| *number);
        found.truncate(limit);
        let numbered = found.into_iter();
        Ok(numbered
            .map(|(number, record)| Settled { number, record })
            .collect())
    }

    /// Returns at most `limit` records of one kind that settled after the one with this number.
    fn kind_after<R: Row>(
        &self,
        number: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Arc<R>)>, ReadError> {
        let mut found = Vec::new();
        for (first, chunk) in self.behind(number + 1) {
            if found.len() >= limit {
                break;
            }
            let more = chunk.settled_after(number, limit - found.len());
            found.append(&mut more.map_err(self.reported(first))?);
        }
        Ok(found)
    }

    /// Counts the requests up to a number that began since, of one cluster or of all.
    pub(crate) fn count_requests(
        &self,
        since: UnixNanos,
        cluster: Option<&str>,
        until: u64,
    ) -> Result<u64, ReadError> {
        let mut sum = 0;
        for (first, chunk) in self.with(Key::of_all::<RequestRecord>()) {
            let count = chunk.count_requests(since, cluster, until);
            sum += count.map_err(self.reported(first))?;
        }
        Ok(sum)
    }

    /// Returns the chunks that may have something under a key, in order.
    fn with(&self, key: Key) -> Vec<(u64, Arc<Chunk>)> {
        let chunks = self.chunks();
        let chunks = chunks.iter().filter(|(_, chunk)| chunk.may_have(key));
        chunks
            .map(|(first, chunk)| (*first, Arc::clone(chunk)))
            .collect()
    }

    /// Returns the chunks that may have something under a key, those with the latest begins first, each with
    /// the latest.
    fn by_latest<R: Row>(&self, key: Key) -> Result<Vec<(u64, Arc<Chunk>, UnixNanos)>, ReadError> {
        let mut chunks = Vec::new();
        for (first, chunk) in self.with(key) {
            let latest = chunk.latest::<R>().map_err(self.reported(first))?;
            chunks.push((first, chunk, latest));
        }
        chunks.sort_by_key(|(_, _, latest)| Reverse(*latest));
        Ok(chunks)
    }

    /// Returns the chunks from the one with this number on.
    fn behind(&self, number: u64) -> Vec<(u64, Arc<Chunk>)> {
        let chunks = self.chunks();
        let first = chunks.range(..=number).next_back().map(|(first, _)| *first);
        let from = chunks.range(first.unwrap_or(0)..);
        from.map(|(first, chunk)| (*first, Arc::clone(chunk)))
            .collect()
    }

    /// Reports a damaged chunk to the writer.
    fn reported(&self, first: u64) -> impl FnOnce(rusqlite::Error) -> ReadError {
        move |error| {
            tracing::debug!(%error, chunk = first, "Chunk could not be read");
            let trouble = trouble(&error);
            if trouble == "corrupt" {
                let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
                damaged.push(first);
            }
            ReadError::Database { trouble }
        }
    }

    /// Forgets what is stored after this number.
    pub(crate) fn forget_beyond(&self, number: u64) {
        self.stored.fetch_min(number, Relaxed);
    }

    // What the writer changes.

    /// Returns the first numbers of the chunks that there are files of, in order.
    pub(super) fn firsts_of_files(&self) -> io::Result<Vec<u64>> {
        let mut firsts = Vec::new();
        for file in fs::read_dir(&self.directory)? {
            let path = file?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            if path.extension().is_some_and(|extension| extension == "db")
                && let Some(first) = stem.and_then(|stem| stem.parse().ok())
            {
                firsts.push(first);
            }
        }
        firsts.sort_unstable();
        Ok(firsts)
    }

    pub(super) fn path(&self, first: u64) -> PathBuf {
        self.directory.join(format!("{first:020}.db"))
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn chunks(&self) -> RwLockReadGuard<'_, BTreeMap<u64, Arc<Chunk>>> {
        self.chunks.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn chunks_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<u64, Arc<Chunk>>> {
        self.chunks.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_stored(&self, number: u64) {
        self.stored.store(number, Release);
    }

    pub(super) fn status_mut(&self) -> MutexGuard<'_, DatabaseStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take_damaged(&self) -> Vec<u64> {
        std::mem::take(&mut *self.damaged.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Returns the stable name of what went wrong.
pub(super) fn trouble(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "disk_full",
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            "read_only"
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => "corrupt",
        Some(ErrorCode::SystemIoFailure) => "io_error",
        Some(_) => "failed",
        // Not SQLite's: another layout, a table that is not there, a record that cannot be read.
        None => "corrupt",
    }
}
