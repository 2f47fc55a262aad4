//! One file of the database: some tens of thousands of records that settled one after the other.
//!
//! Small files, because the oldest is given up by removing a file, and because indices over random ids
//! stay small enough to be written in memory. Anyone may read them with `sqlite3`.

use std::{
    ops::ControlFlow,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::{CachedStatement, Connection, OpenFlags, Rows, Transaction, params};
use syntrace_core::record::{ConnectionRecord, RequestRecord};
use syntrace_model::UnixNanos;

use super::{
    FORMAT, Kept, Name, Record, Settled,
    codec::{self, Code},
};

/// `names` finds a record by its id, each trace id, alias, `x-request-id` and end.
const SCHEMA: &str = "
CREATE TABLE requests (
  number INTEGER PRIMARY KEY, id TEXT NOT NULL, trace_id TEXT NOT NULL, began_at INTEGER NOT NULL,
  duration_ns INTEGER NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL, status INTEGER NOT NULL,
  cluster TEXT NOT NULL, connection TEXT NOT NULL, party TEXT NOT NULL, code TEXT NOT NULL,
  record BLOB NOT NULL
) STRICT;
CREATE INDEX requests_by_time ON requests (began_at, cluster);
CREATE INDEX failed_requests ON requests (began_at) WHERE code <> 'completed';
CREATE TABLE connections (
  number INTEGER PRIMARY KEY, id TEXT NOT NULL, trace_id TEXT NOT NULL, began_at INTEGER NOT NULL,
  local TEXT, peer TEXT, role TEXT, outcome TEXT, party TEXT, code TEXT, record BLOB NOT NULL
) STRICT;
CREATE INDEX connections_by_time ON connections (began_at);
CREATE INDEX failed_connections ON connections (began_at) WHERE code IS NOT NULL;
CREATE TABLE names (
  name TEXT NOT NULL, began_at INTEGER NOT NULL, number INTEGER NOT NULL,
  PRIMARY KEY (name, began_at, number)
) STRICT, WITHOUT ROWID;
";

/// The writing end of a chunk.
#[derive(Debug)]
pub(super) struct Writer {
    connection: Connection,
}

/// The reading end of a chunk.
#[derive(Debug)]
pub(super) struct Chunk {
    connection: Mutex<Connection>,
}

/// What of a chunk is looked at.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// All.
    All,
    /// What has this name or id.
    Named(String),
    /// What failed.
    Failed,
}

/// A record that can be stored.
pub(crate) trait Row: Record + Code {
    /// Name of its table.
    const TABLE: &'static str;

    /// Stores it.
    fn insert(&self, number: u64, transaction: &Transaction<'_>) -> rusqlite::Result<()>;
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
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "cache_size", -8_192)?;
        connection.pragma_update(None, "wal_autocheckpoint", 4_096)?;
        connection.set_prepared_statement_cache_capacity(16);
        match format(&connection)? {
            0 => {
                let transaction = connection.transaction()?;
                transaction.execute_batch(SCHEMA)?;
                transaction.pragma_update(None, "user_version", FORMAT)?;
                transaction.commit()?;
            }
            FORMAT => {}
            _ => return Err(rusqlite::Error::InvalidQuery),
        }
        Ok(Self { connection })
    }

    /// Stores records: all or none.
    pub(super) fn store(&mut self, settled: &[Settled]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        for Settled { number, record } in settled {
            match record {
                Kept::Request(record) => store(&**record, *number, &transaction)?,
                Kept::Connection(record) => store(&**record, *number, &transaction)?,
            }
        }
        transaction.commit()
    }

    /// Removes the records beyond a number.
    pub(super) fn forget_after(&mut self, number: u64) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        for table in ["requests", "connections", "names"] {
            let delete = format!("DELETE FROM {table} WHERE number > ?");
            transaction.execute(&delete, [integer(number)])?;
        }
        transaction.commit()
    }

    /// Brings all of the chunk into its one file: nothing is written to it any more.
    pub(super) fn seal(self) -> rusqlite::Result<()> {
        self.connection
            .pragma_update(None, "wal_checkpoint", "TRUNCATE")
    }
}

/// Returns the version of a chunk's layout; 0 before it has any.
fn format(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn store(record: &impl Row, number: u64, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    record.insert(number, transaction)?;
    let mut statement = transaction.prepare_cached("INSERT INTO names VALUES (?, ?, ?)")?;
    let began_at = nanos(record.began_at());
    let id = record.id().to_string();
    statement.execute(params![id, began_at, integer(number)])?;
    let mut names: Vec<_> = record.names().iter().map(Name::text).collect();
    names.sort_unstable();
    names.dedup();
    for name in names.into_iter().filter(|name| *name != id) {
        statement.execute(params![name, began_at, integer(number)])?;
    }
    Ok(())
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
                connection: Mutex::new(connection),
            }),
            _ => return Err(rusqlite::Error::InvalidQuery),
        })
    }

    /// Gives the records of a part that began within the interval, the newest first, to `each`.
    pub(super) fn newest<R: Row>(
        &self,
        part: &Part,
        since: UnixNanos,
        until: UnixNanos,
        mut each: impl FnMut(Arc<R>) -> ControlFlow<()>,
    ) -> rusqlite::Result<()> {
        let table = R::TABLE;
        let from = match part {
            Part::All => format!("FROM {table} WHERE"),
            Part::Named(_) => {
                format!("FROM names CROSS JOIN {table} USING (number) WHERE names.name = ?3 AND")
            }
            Part::Failed if R::TABLE == "requests" => {
                format!("FROM {table} INDEXED BY failed_requests WHERE code <> 'completed' AND")
            }
            Part::Failed => format!("FROM {table} WHERE code IS NOT NULL AND"),
        };
        let by = match part {
            Part::Named(_) => "names",
            Part::All | Part::Failed => table,
        };
        let query = format!(
            "SELECT record {from} {by}.began_at BETWEEN ?1 AND ?2 \
             ORDER BY {by}.began_at DESC, {by}.number DESC"
        );
        self.with(&query, |statement| {
            let (since, until) = (nanos(since), nanos(until));
            let mut rows = match part {
                Part::Named(name) => statement.query(params![since, until, name])?,
                Part::All | Part::Failed => statement.query(params![since, until])?,
            };
            while let Some(record) = next(&mut rows)? {
                if each(record).is_break() {
                    break;
                }
            }
            Ok(())
        })
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
        let connection = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut statement = connection.prepare_cached(query)?;
        read(&mut statement)
    }
}

fn next<R: Row>(rows: &mut Rows<'_>) -> rusqlite::Result<Option<Arc<R>>> {
    rows.next()?.map(read).transpose()
}

/// Reads the record of a row; bytes that are none are damage.
fn read<R: Row>(row: &rusqlite::Row<'_>) -> rusqlite::Result<Arc<R>> {
    let bytes = row.get_ref(0)?.as_blob()?;
    let damaged = || rusqlite::Error::IntegralValueOutOfRange(0, 0);
    codec::decode(bytes).map(Arc::new).ok_or_else(damaged)
}

impl Row for RequestRecord {
    const TABLE: &'static str = "requests";

    fn insert(&self, number: u64, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let (report, cause) = (&self.report, &self.answer.cause);
        let upstream = report.upstream.as_ref();
        let insert = "INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        transaction.prepare_cached(insert)?.execute(params![
            integer(number),
            report.span_id.to_string(),
            report.trace_id.to_string(),
            nanos(report.started_at),
            integer(report.duration_ns),
            report.http.method,
            report.http.path,
            report.http.status,
            upstream.map_or("", |upstream| &*upstream.cluster),
            self.connection().to_string(),
            cause.party.name(),
            cause.code.name(),
            codec::encode(self),
        ])?;
        Ok(())
    }
}

impl Row for ConnectionRecord {
    const TABLE: &'static str = "connections";

    fn insert(&self, number: u64, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let socket = self.socket.as_ref();
        let cause = self.answer.as_ref().map(|answer| &answer.cause);
        let insert = "INSERT INTO connections VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        transaction.prepare_cached(insert)?.execute(params![
            integer(number),
            self.id.to_string(),
            self.trace_id.to_string(),
            nanos(self.began_at()),
            socket.map(|socket| socket.key.local.to_string()),
            socket.map(|socket| socket.key.peer.to_string()),
            self.role.map(syntrace_core::record::Role::name),
            socket.map(|socket| socket.outcome.name()),
            cause.map(|cause| cause.party.name()),
            cause.map(|cause| cause.code.name()),
            codec::encode(self),
        ])?;
        Ok(())
    }
}

/// SQLite's integers are signed; times end in the year 2262.
fn nanos(at: UnixNanos) -> i64 {
    integer(at.0)
}

fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
