//! One file of the database: some tens of thousands of records that settled one after the other.
//!
//! Small files, because the oldest records are given up by removing a file, and a damaged one loses little. They can be
//! read with `sqlite3`; names are found as [`super::names`] says.

use std::{
    ops::ControlFlow,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{CachedStatement, Connection, OpenFlags, Statement, params};
use syntrace_core::record::{ConnectionRecord, RequestRecord};
use syntrace_model::UnixNanos;

use super::{
    FORMAT, Kept, Settled, codec,
    filter::Filter,
    names::{self, Entry, Key},
    row::{self, Row, integer, nanos},
};

/// Bytes of a page: most of what is written follows on what was written before.
const PAGE_BYTES: i64 = 16_384;

/// Pages that wait in the write-ahead log until they are brought to their place.
const WAITING_PAGES: i64 = 2_048;

/// Names that are looked up at once, at first and at most.
const NAMED_MIN: usize = 64;
const NAMED_MAX: usize = 4_096;

/// The writing end of a chunk.
#[derive(Debug)]
pub(super) struct Writer {
    connection: Connection,
    /// All names that are stored, and those of records that were refused.
    filter: Arc<Filter>,
}

/// Records that are being stored.
#[derive(Debug, Default)]
struct Batch {
    /// Their names.
    names: Vec<Entry>,
    /// The one that is stored, as bytes.
    bytes: Vec<u8>,
}

/// The reading end of a chunk.
#[derive(Debug)]
pub(super) struct Chunk {
    connection: Mutex<Connection>,
    /// Names that it may have; none if it was left by a bridge that was killed.
    filter: Option<Arc<Filter>>,
}

// === impl Writer ===

impl Writer {
    /// Opens a chunk for so many records; makes it if there is none. A [`Chunk`] that was opened before does not hear of
    /// what is stored from here on: queries use one that was opened by [`Chunk::open_beside`].
    ///
    /// # Errors
    ///
    /// If it cannot be opened or read, or has another layout.
    pub(super) fn open(path: &Path, records: u64) -> rusqlite::Result<Self> {
        let filter = Filter::for_records(records);
        let mut connection = Connection::open(path)?;
        connection.pragma_update(None, "page_size", PAGE_BYTES)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "cache_size", -8_192)?;
        connection.pragma_update(None, "wal_autocheckpoint", WAITING_PAGES)?;
        match format(&connection)? {
            0 => {
                let transaction = connection.transaction()?;
                transaction.execute_batch(row::SCHEMA)?;
                transaction.execute_batch(names::SCHEMA)?;
                transaction.pragma_update(None, "user_version", FORMAT)?;
                transaction.commit()?;
            }
            FORMAT => names::unseal(&filter, &connection)?,
            _ => return Err(rusqlite::Error::InvalidQuery),
        }
        Ok(Self {
            connection,
            filter: Arc::new(filter),
        })
    }

    /// Stores records: all or none.
    pub(super) fn store(&mut self, settled: &[Settled]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        let mut batch = Batch::default();
        {
            let mut requests = transaction.prepare_cached(RequestRecord::INSERT)?;
            let mut connections = transaction.prepare_cached(ConnectionRecord::INSERT)?;
            for Settled { number, record } in settled {
                match record {
                    Kept::Request(record) => batch.store(&**record, *number, &mut requests)?,
                    Kept::Connection(record) => {
                        batch.store(&**record, *number, &mut connections)?
                    }
                }
            }
        }
        // First: what is stored is never said not to be there.
        let keys = batch.names.iter().map(|entry| entry.key);
        keys.for_each(|key| self.filter.add(key));
        names::add(batch.names, &transaction)?;
        transaction.commit()
    }

    /// Removes the records after a number.
    pub(super) fn forget_after(&mut self, number: u64) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        for table in [RequestRecord::TABLE, ConnectionRecord::TABLE] {
            let delete = format!("DELETE FROM {table} WHERE number > ?");
            transaction.execute(&delete, [integer(number)])?;
        }
        names::keep_until(integer(number), &transaction)?;
        transaction.commit()
    }

    /// Brings all of the chunk into its one file: nothing is written to it any more.
    pub(super) fn seal(mut self) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        names::seal(&self.filter, &transaction)?;
        transaction.commit()?;
        self.connection
            .pragma_update(None, "wal_checkpoint", "TRUNCATE")
    }
}

/// Returns the version of a chunk's layout; 0 before it has any.
fn format(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

// === impl Batch ===

impl Batch {
    fn store<R: Row>(
        &mut self,
        record: &R,
        number: u64,
        insert: &mut Statement<'_>,
    ) -> rusqlite::Result<()> {
        let number = integer(number);
        self.bytes.clear();
        record.put(&mut self.bytes);
        Entry::put_all(record, number, &mut self.names);
        record.insert(number, &self.bytes, insert)
    }
}

// === impl Chunk ===

impl Chunk {
    /// Opens a chunk for reading; `None` if nothing was made of it yet.
    ///
    /// # Errors
    ///
    /// If it cannot be opened, or has another layout.
    pub(super) fn open(path: &Path) -> rusqlite::Result<Option<Self>> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.pragma_update(None, "cache_size", -1_024)?;
        Ok(match format(&connection)? {
            0 => None,
            FORMAT => Some(Self {
                filter: names::filter(&connection)?.map(Arc::new),
                connection: Mutex::new(connection),
            }),
            _ => return Err(rusqlite::Error::InvalidQuery),
        })
    }

    /// Opens a chunk for reading, as above, while `writer` writes to it: it sees what that stores.
    pub(super) fn open_beside(writer: &Writer, path: &Path) -> rusqlite::Result<Option<Self>> {
        let filter = Some(Arc::clone(&writer.filter));
        let chunk = Self::open(path)?;
        Ok(chunk.map(|chunk| Self { filter, ..chunk }))
    }

    /// Returns whether it may have something under a key: it is not read.
    pub(super) fn may_have(&self, key: Key) -> bool {
        let filter = self.filter.as_ref();
        filter.is_none_or(|filter| filter.may_have(key))
    }

    /// Gives the records under a key that began within the interval, the newest first, to `each`; others of the
    /// same key may be among them.
    pub(super) fn newest<R: Row>(
        &self,
        key: Key,
        since: UnixNanos,
        until: UnixNanos,
        mut each: impl FnMut(Arc<R>) -> ControlFlow<()>,
    ) -> rusqlite::Result<()> {
        let connection = self.connection();
        // What is read of several tables is of one moment.
        let transaction = connection.unchecked_transaction()?;
        let select = format!("SELECT record FROM {} WHERE number = ?", R::TABLE);
        let mut record = transaction.prepare_cached(&select)?;
        let mut limit = NAMED_MIN;
        let mut below = Entry {
            began_at: nanos(until),
            ..Entry::above(key)
        };
        loop {
            let found = names::newest(below, nanos(since), limit, &transaction)?;
            for entry in &found {
                if each(record.query_row([entry.number], read)?).is_break() {
                    return Ok(());
                }
            }
            match found.last() {
                Some(last) if found.len() == limit => below = *last,
                Some(_) | None => return Ok(()),
            }
            limit = (2 * limit).min(NAMED_MAX);
        }
    }

    /// Returns the records of one kind that settled after the one with this number, in order.
    pub(super) fn settled_after<R: Row>(
        &self,
        number: u64,
        limit: usize,
    ) -> rusqlite::Result<Vec<(u64, Arc<R>)>> {
        let query = format!(
            "SELECT record, number FROM {} WHERE number > ? ORDER BY number LIMIT ?",
            R::TABLE
        );
        self.with(&query, |statement| {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut rows = statement.query(params![integer(number), limit])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let number: i64 = row.get(1)?;
                found.push((u64::try_from(number).unwrap_or(0), read(row)?));
            }
            Ok(found)
        })
    }

    /// Counts the requests up to a number that began since, of one cluster or of all.
    pub(super) fn count_requests(
        &self,
        since: UnixNanos,
        cluster: Option<&str>,
        until: u64,
    ) -> rusqlite::Result<u64> {
        let key = cluster.map_or(
            Key::of_all::<RequestRecord>(),
            Key::of_cluster::<RequestRecord>,
        );
        let connection = self.connection();
        // As above.
        let transaction = connection.unchecked_transaction()?;
        names::count(key, nanos(since), integer(until), &transaction)
    }

    /// Returns the highest number, if there is any.
    pub(super) fn highest(&self) -> rusqlite::Result<Option<u64>> {
        let query = "SELECT max(number) FROM (SELECT max(number) AS number FROM request_records \
                     UNION ALL SELECT max(number) FROM connection_records)";
        let highest = self.with(query, |statement| {
            statement.query_row([], |row| row.get::<_, Option<i64>>(0))
        })?;
        Ok(highest.and_then(|number| u64::try_from(number).ok()))
    }

    /// Returns the latest begin of any record of one kind.
    pub(super) fn latest<R: Row>(&self) -> rusqlite::Result<UnixNanos> {
        let connection = self.connection();
        // As above.
        let transaction = connection.unchecked_transaction()?;
        let all = Entry::above(Key::of_all::<R>());
        let latest = names::newest(all, 0, 1, &transaction)?;
        let latest = latest
            .first()
            .and_then(|entry| u64::try_from(entry.began_at).ok());
        Ok(UnixNanos(latest.unwrap_or(0)))
    }

    fn with<T>(
        &self,
        query: &str,
        read: impl FnOnce(&mut CachedStatement<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached(query)?;
        read(&mut statement)
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        let connection = self.connection.lock();
        connection.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the record of a row; bytes that are none are damage.
fn read<R: Row>(row: &rusqlite::Row<'_>) -> rusqlite::Result<Arc<R>> {
    let bytes = row.get_ref(0)?.as_blob()?;
    let damaged = || rusqlite::Error::IntegralValueOutOfRange(0, 0);
    codec::decode(bytes).map(Arc::new).ok_or_else(damaged)
}

#[cfg(test)]
mod tests;
