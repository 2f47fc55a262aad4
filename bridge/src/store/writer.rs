//! The thread that writes the database: moves settled records there from memory, repairs it, and keeps it within its
//! bounds.
//!
//! What the database refuses stays in memory and is retried. What memory could not hold until then, and what a damaged
//! or deleted database held, is rebuilt from the log.

use std::{
    collections::BTreeMap,
    fs, io,
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime},
};

use super::{
    Settled,
    chunk::{self, Chunk},
    database::{Bounds, Database, trouble},
};
use crate::{
    fold::Refold,
    view::{SharedView, WeakView},
};

/// Records that are stored at once.
const BATCH: usize = 4_096;

/// How often the files are looked at.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(1);

/// How long after an error the next attempt is made, at first and at most.
const PATIENCE_MIN: Duration = Duration::from_millis(100);
const PATIENCE_MAX: Duration = Duration::from_secs(10);

/// What the thread works on.
#[derive(Debug)]
pub struct Writer {
    /// Where records come from; the thread ends when nobody else has it.
    view: WeakView,
    /// Where they go.
    database: Arc<Database>,
    bounds: Bounds,
    /// Gives records that are not in memory.
    refold: Refold,
}

/// The chunk that is written to.
#[derive(Debug)]
struct Open {
    writer: chunk::Writer,
    first: u64,
}

/// Why records were not stored.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the database is gone")]
    Gone,
}

// === impl Writer ===

impl Writer {
    /// Returns the writer of a view's database, which answers from now on, if it can be opened.
    #[must_use]
    pub fn new(view: &SharedView, database: Arc<Database>, bounds: Bounds, refold: Refold) -> Self {
        let writer = Self {
            view: view.downgrade(),
            database,
            bounds,
            refold,
        };
        if let Err(error) = writer.open_for_queries() {
            writer.report(&error, &mut None);
        }
        writer
    }

    /// Runs until nobody else has the view, or it is closed and all is stored.
    pub fn run(mut self) {
        let mut open = None;
        let mut patience = PATIENCE_MIN;
        let mut looked_at = Instant::now();
        while let Some(view) = self.view.upgrade() {
            let closing = view.is_closed();
            if looked_at.elapsed() >= MAINTENANCE_INTERVAL {
                looked_at = Instant::now();
                self.maintain(&mut open);
            }
            let step = self.step(&view, &mut open);
            // Also where nothing is left to store: what failed with an error may be stored all the same.
            if step.is_ok() && self.database.status_mut().trouble.take().is_some() {
                tracing::info!("Database takes records again");
            }
            drop(view);
            match step {
                Ok(0) | Err(_) if closing => break,
                Ok(0) => thread::park_timeout(MAINTENANCE_INTERVAL),
                Ok(_) => patience = PATIENCE_MIN,
                Err(error) => {
                    self.report(&error, &mut open);
                    self.back_off(patience);
                    patience = (patience * 2).min(PATIENCE_MAX);
                }
            }
        }
        if let Some(Err(error)) = open.map(|open: Open| open.writer.seal()) {
            tracing::debug!(%error, "Left the database's last pages in its own log");
        }
    }

    /// Waits that long, whatever settles meanwhile, or until the view is closed.
    fn back_off(&self, patience: Duration) {
        let until = Instant::now() + patience;
        while self.view.upgrade().is_some_and(|view| !view.is_closed()) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::park_timeout(left);
        }
    }

    /// Stores what is next; returns how many records that were.
    fn step(&mut self, view: &SharedView, open: &mut Option<Open>) -> Result<usize, WriteError> {
        if open.is_none() {
            // Before all is folded it is not known which numbers are to be stored.
            let Some(settled) = view.settled_for_good() else {
                return Ok(0);
            };
            *open = Some(self.open(settled)?);
        }
        let stored = self.database.stored();
        let mut batch = match view.recent_after(stored, BATCH) {
            Some(batch) => batch,
            None => self.rebuild(view, stored)?,
        };
        let Some(number) = batch.first().map(|settled| settled.number) else {
            return Ok(0);
        };
        let end = |chunk: &Open| chunk.first.saturating_add(self.bounds.chunk_records);
        if let Some(full) = open.take_if(|chunk| number >= end(chunk)) {
            // First: what follows says that all before it is stored.
            full.writer.seal()?;
            self.publish(full.first, Chunk::open(&self.database.path(full.first))?)?;
            *open = Some(self.begin(number)?);
        }
        let Some(chunk) = open else {
            return Ok(0);
        };
        batch.retain(|settled| settled.number < end(chunk));
        let last = batch.last().map_or(stored, |settled| settled.number);
        chunk.writer.store(&batch)?;
        self.database.set_stored(last);
        view.stored();
        Ok(batch.len())
    }

    /// Folds the log again for what is neither stored nor in memory.
    fn rebuild(&mut self, view: &SharedView, stored: u64) -> Result<Vec<Settled>, WriteError> {
        let until = view.recent_first();
        let mut batch = self.refold.settled_after(stored, BATCH)?;
        batch.retain(|settled| settled.number < until);
        let found = batch.first().map_or(until, |settled| settled.number);
        let lost = found.saturating_sub(stored + 1);
        if lost > 0 {
            tracing::warn!(lost, "Records are in the log no more");
            self.database.status_mut().lost += lost;
        }
        if batch.is_empty() {
            // The rest is in memory.
            self.database.set_stored(until.saturating_sub(1));
        }
        Ok(batch)
    }

    /// Opens all chunks for queries, and returns the first number of the last.
    fn open_for_queries(&self) -> Result<Option<u64>, WriteError> {
        fs::create_dir_all(self.database.directory())?;
        let mut chunks = BTreeMap::new();
        for first in self.database.firsts_of_files()? {
            match Chunk::open(&self.database.path(first)) {
                Ok(Some(chunk)) => drop(chunks.insert(first, Arc::new(chunk))),
                // An earlier run ended before it made anything of it.
                Ok(None) => {}
                Err(error) if trouble(&error) == "corrupt" => self.discard(first, &error)?,
                Err(error) => return Err(error.into()),
            }
        }
        let last = chunks.last_key_value();
        let last = last.map(|(first, chunk)| (*first, Arc::clone(chunk)));
        // Until all are open, those that were are asked.
        *self.database.chunks_mut() = chunks;
        let Some((first, chunk)) = last else {
            return Ok(None);
        };
        match chunk.highest() {
            Ok(highest) => {
                let highest = highest.unwrap_or_else(|| first.saturating_sub(1));
                self.database.set_stored(highest);
                Ok(Some(first))
            }
            Err(error) if trouble(&error) == "corrupt" => {
                self.discard(first, &error)?;
                self.open_for_queries()
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Opens all chunks, the last for writing, where the numbers up to `settled` are given.
    fn open(&self, settled: u64) -> Result<Open, WriteError> {
        fs::create_dir_all(self.database.directory())?;
        loop {
            let Some(first) = self.database.firsts_of_files()?.pop() else {
                // First: while they are read no more, it is said that they are not stored.
                self.database.set_stored(self.refold.base());
                self.database.chunks_mut().clear();
                return self.begin(self.database.stored() + 1);
            };
            // Numbers that were given to records whose facts a loss of power took.
            if first > settled + 1 {
                self.database.chunks_mut().remove(&first);
                self.remove(first)?;
                continue;
            }
            // Before it is opened for queries: a reader cannot roll back what a failed write left.
            let path = self.database.path(first);
            let mut writer = match chunk::Writer::open(&path, self.bounds.chunk_records) {
                Ok(writer) => writer,
                Err(error) if trouble(&error) == "corrupt" => {
                    self.discard(first, &error)?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if self.open_for_queries()? != Some(first) {
                continue;
            }
            self.publish(first, Chunk::open_beside(&writer, &path)?)?;
            if self.database.stored() > settled {
                writer.forget_after(settled)?;
                self.database.set_stored(settled);
            }
            return Ok(Open { writer, first });
        }
    }

    /// Begins a chunk.
    fn begin(&self, first: u64) -> Result<Open, WriteError> {
        let path = self.database.path(first);
        let writer = chunk::Writer::open(&path, self.bounds.chunk_records)?;
        self.publish(first, Chunk::open_beside(&writer, &path)?)?;
        Ok(Open { writer, first })
    }

    /// Makes a chunk, as it is now, visible to queries.
    fn publish(&self, first: u64, chunk: Option<Chunk>) -> Result<(), WriteError> {
        let chunk = chunk.ok_or(WriteError::Gone)?;
        self.database.chunks_mut().insert(first, Arc::new(chunk));
        Ok(())
    }

    /// Reports once why nothing is stored, and gives up what cannot be repaired.
    fn report(&self, error: &WriteError, open: &mut Option<Open>) {
        let code = match error {
            WriteError::Sqlite(error) => trouble(error),
            WriteError::Io(error) => crate::log::health::trouble(error),
            WriteError::Gone => "corrupt",
        };
        if self.database.status_mut().trouble.replace(code).is_none() {
            tracing::error!(%error, code, "Database took no records; they stay in memory");
        }
        if let Some(closed) = open.take()
            && code == "corrupt"
        {
            drop(closed.writer);
            self.give_up(closed.first, error);
        }
    }

    fn maintain(&self, open: &mut Option<Open>) {
        for first in self.database.take_damaged() {
            if open.as_ref().is_some_and(|open| open.first == first) {
                *open = None;
            }
            if self.database.chunks().contains_key(&first) {
                self.give_up(first, &WriteError::Gone);
                *open = None;
            }
        }
        if let Some(current) = open
            && !self.database.path(current.first).exists()
        {
            self.report(&WriteError::Gone, open);
        }
        if let Err(error) = self.cut(open.as_ref()) {
            tracing::debug!(%error, "Left old chunks");
        }
    }

    /// Gives up a damaged chunk, and those after it if the log has all of them.
    fn give_up(&self, first: u64, error: &dyn std::fmt::Display) {
        let mut firsts = vec![first];
        if self.refold.base() < first {
            firsts.extend(
                self.database
                    .chunks()
                    .range(first + 1..)
                    .map(|(first, _)| *first),
            );
        }
        for first in firsts {
            if let Err(error) = self.discard(first, error) {
                tracing::debug!(%error, "Left a damaged chunk");
            }
        }
    }

    /// Removes a damaged chunk; if that fails, it is not queried either.
    fn discard(&self, first: u64, error: &dyn std::fmt::Display) -> io::Result<()> {
        tracing::warn!(%error, chunk = first, "Gave up a damaged chunk of the database");
        // First, as above; what is opened next says how far it is stored.
        self.database.forget_beyond(first.saturating_sub(1));
        self.database.chunks_mut().remove(&first);
        self.remove(first)?;
        self.database.status_mut().chunks_damaged += 1;
        Ok(())
    }

    /// Removes chunks beyond the bounds, the oldest first, never the one that is written to.
    fn cut(&self, open: Option<&Open>) -> io::Result<()> {
        let current = open.map(|open| open.first);
        let mut files = Vec::new();
        let chunks: Vec<_> = self.database.chunks().keys().copied().collect();
        for first in chunks {
            let metadata = fs::metadata(self.database.path(first))?;
            files.push((first, metadata.len(), metadata.modified()?));
        }
        let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        for (first, bytes, modified) in files {
            let age = SystemTime::now()
                .duration_since(modified)
                .unwrap_or_default();
            let beyond = total > self.bounds.bytes || age > self.bounds.age;
            if Some(first) == current || !beyond {
                break;
            }
            self.database.chunks_mut().remove(&first);
            self.remove(first)?;
            total = total.saturating_sub(bytes);
            self.database.status_mut().chunks_cut += 1;
        }
        self.database.status_mut().bytes = total;
        Ok(())
    }

    fn remove(&self, first: u64) -> io::Result<()> {
        let path = self.database.path(first);
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let mut name = path.clone().into_os_string();
            name.push(suffix);
            match fs::remove_file(name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}
