//! One file of the database: some tens of thousands of records that settled one after the other.
//!
//! Small files, because the oldest is given up by removing a file, and a damaged one is little lost. Anyone
//! may read them with `sqlite3`; names are found as [`super::names`] says.

use std::{
    ops::ControlFlow,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{CachedStatement, Connection, OpenFlags, Transaction, params};
use syntrace_model::UnixNanos;

use super::{
    FORMAT, Kept, Settled, codec,
    filter::Filter,
    names::{self, Entry, Key},
    row::{self, Row, integer, nanos},
};

/// Bytes of a page: most of what is written follows on what was written before.
const PAGE_BYTES: i64 = 8_192;

/// Pages that wait in the write-ahead log until they are brought to their place.
const WAITING_PAGES: i64 = 4_096;

/// Names that are looked up at once.
const NAMED: usize = 64;

/// The writing end of a chunk.
#[derive(Debug)]
pub(super) struct Writer {
    connection: Connection,
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
    /// Names that it may have; none while it is written to.
    filter: Option<Filter>,
}

/// What of a chunk is looked at.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// All.
    All,
    /// What has this name or id.
    Named(Key),
    /// What failed.
    Failed,
}

// === impl Writer ===

impl Writer {
    /// Opens a chunk; makes it if there is none.
    ///
    /// # Errors
    ///
    /// If it cannot be opened, or has another layout.
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
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
            FORMAT => names::unseal(&connection)?,
            _ => return Err(rusqlite::Error::InvalidQuery),
        }
        Ok(Self { connection })
    }

    /// Stores records: all or none.
    pub(super) fn store(&mut self, settled: &[Settled]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        let mut batch = Batch::default();
        for Settled { number, record } in settled {
            match record {
                Kept::Request(record) => batch.store(&**record, *number, &transaction)?,
                Kept::Connection(record) => batch.store(&**record, *number, &transaction)?,
            }
        }
        names::add(batch.names, &transaction)?;
        transaction.commit()
    }

    /// Removes the records beyond a number.
    pub(super) fn forget_after(&mut self, number: u64) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        for table in ["requests", "connections"] {
            let delete = format!("DELETE FROM {table} WHERE number > ?");
            transaction.execute(&delete, [integer(number)])?;
        }
        names::keep_until(integer(number), &transaction)?;
        transaction.commit()
    }

    /// Brings all of the chunk into its one file: nothing is written to it any more.
    pub(super) fn seal(mut self) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        names::seal(&transaction)?;
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
        transaction: &Transaction<'_>,
    ) -> rusqlite::Result<()> {
        let number = integer(number);
        self.bytes.clear();
        record.put(&mut self.bytes);
        Entry::put_all(record, number, &mut self.names);
        record.insert(number, &self.bytes, transaction)
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
                filter: names::filter(&connection)?,
                connection: Mutex::new(connection),
            }),
            _ => return Err(rusqlite::Error::InvalidQuery),
        })
    }

    /// Returns whether it may have something of a part: it is not read.
    pub(super) fn may_have(&self, part: &Part) -> bool {
        match (&self.filter, part) {
            (Some(filter), Part::Named(key)) => filter.may_have(*key),
            (_, Part::All | Part::Failed) | (None, Part::Named(_)) => true,
        }
    }

    /// Gives the records of a part that began within the interval, the newest first, to `each`.
    ///
    /// Of a name, others may be among them.
    pub(super) fn newest<R: Row>(
        &self,
        part: &Part,
        since: UnixNanos,
        until: UnixNanos,
        mut each: impl FnMut(Arc<R>) -> ControlFlow<()>,
    ) -> rusqlite::Result<()> {
        let table = R::TABLE;
        let from = match part {
            Part::Named(key) => return self.named(*key, nanos(since), nanos(until), each),
            Part::All => format!("FROM {table} WHERE"),
            Part::Failed if R::TABLE == "requests" => {
                format!("FROM {table} INDEXED BY failed_requests WHERE code <> 'completed' AND")
            }
            Part::Failed => format!("FROM {table} WHERE code IS NOT NULL AND"),
        };
        let query = format!(
            "SELECT record {from} began_at BETWEEN ?1 AND ?2 ORDER BY began_at DESC, number DESC"
        );
        self.with(&query, |statement| {
            let mut rows = statement.query(params![nanos(since), nanos(until)])?;
            while let Some(row) = rows.next()? {
                if each(read(row)?).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Gives the records under a name to `each`, as [`Self::newest`] does.
    fn named<R: Row>(
        &self,
        key: Key,
        since: i64,
        until: i64,
        mut each: impl FnMut(Arc<R>) -> ControlFlow<()>,
    ) -> rusqlite::Result<()> {
        let connection = self.connection();
        // What is read of several tables is of one moment.
        let transaction = connection.unchecked_transaction()?;
        let select = format!("SELECT record FROM {} WHERE number = ?", R::TABLE);
        let mut record = transaction.prepare_cached(&select)?;
        let mut below = Entry {
            key,
            began_at: until,
            number: i64::MAX,
        };
        loop {
            let found = names::newest(below, since, NAMED, &transaction)?;
            for entry in &found {
                if each(record.query_row([entry.number], read)?).is_break() {
                    return Ok(());
                }
            }
            match found.last() {
                Some(last) if found.len() == NAMED => below = *last,
                Some(_) | None => return Ok(()),
            }
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
        // The index holds the numbers too.
        let query = "SELECT count(*) FROM requests INDEXED BY requests_by_time \
                     WHERE began_at >= ? AND (?2 IS NULL OR cluster = ?2) AND number <= ?3";
        self.with(query, |statement| {
            let parameters = params![nanos(since), cluster, integer(until)];
            statement.query_row(parameters, |row| row.get::<_, i64>(0))
        })
        .map(|count| u64::try_from(count).unwrap_or(0))
    }

    /// Returns the highest number, if there is any.
    pub(super) fn highest(&self) -> rusqlite::Result<Option<u64>> {
        let query = "SELECT max(number) FROM (SELECT max(number) AS number FROM requests \
                     UNION ALL SELECT max(number) FROM connections)";
        let highest = self.with(query, |statement| {
            statement.query_row([], |row| row.get::<_, Option<i64>>(0))
        })?;
        Ok(highest.and_then(|number| u64::try_from(number).ok()))
    }

    /// Returns the latest begin of any record of one kind.
    pub(super) fn latest<R: Row>(&self) -> rusqlite::Result<UnixNanos> {
        let query = format!("SELECT max(began_at) FROM {}", R::TABLE);
        let latest = self.with(&query, |statement| {
            statement.query_row([], |row| row.get::<_, Option<i64>>(0))
        })?;
        let latest = latest.and_then(|at| u64::try_from(at).ok());
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
