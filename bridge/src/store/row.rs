//! The columns of a stored record, for people with `sqlite3`. The bridge itself reads the whole record, as bytes.
//!
//! The views show ids as text. The tables do not repeat the ids that every record's bytes begin with
//! ([`super::records`]), which saves writing them twice.

use rusqlite::{Statement, params};
use syntrace_core::{
    answer::Code as CauseCode,
    record::{ConnectionRecord, RequestRecord, Role},
};
use syntrace_model::{ConnectionId, UnixNanos};

use super::{Record, codec::Code};

/// The tables, and what people look at instead. A connection's id is in two parts: the kernel's run (16 bytes) or
/// the filter's (8), and the number of the socket or of the proxy's connection, without a sign.
pub(super) const SCHEMA: &str = "
CREATE TABLE request_records (
  number INTEGER PRIMARY KEY, began_at INTEGER NOT NULL, duration_ns INTEGER NOT NULL, method TEXT NOT NULL,
  path TEXT NOT NULL, status INTEGER NOT NULL, request_id TEXT NOT NULL, cluster TEXT NOT NULL,
  connection_run BLOB NOT NULL, connection_number INTEGER NOT NULL, party TEXT NOT NULL, code TEXT NOT NULL,
  record BLOB NOT NULL
) STRICT;
CREATE VIEW requests AS SELECT
  number, lower(hex(substr(record, 17, 8))) AS id, lower(hex(substr(record, 1, 16))) AS trace_id, request_id,
  began_at, duration_ns, method, path, status, cluster,
  lower(hex(connection_run)) || CASE length(connection_run) WHEN 16 THEN '.' ELSE '.p' END
    || printf('%u', connection_number) AS connection,
  party, code, record
FROM request_records;
CREATE TABLE connection_records (
  number INTEGER PRIMARY KEY, run BLOB NOT NULL, run_number INTEGER NOT NULL, aliases BLOB NOT NULL,
  began_at INTEGER NOT NULL, local TEXT, peer TEXT, role TEXT, outcome TEXT, party TEXT, code TEXT,
  record BLOB NOT NULL
) STRICT;
CREATE VIEW connections AS SELECT
  number,
  lower(hex(run)) || CASE length(run) WHEN 16 THEN '.' ELSE '.p' END || printf('%u', run_number) AS id,
  lower(hex(substr(record, 1, 16))) AS trace_id,
  (WITH RECURSIVE alias (at) AS (VALUES (1) UNION ALL SELECT at + 16 FROM alias WHERE at + 16 < length(aliases))
    SELECT group_concat(lower(hex(substr(aliases, at, 16))), ' ') FROM alias) AS aliases,
  began_at, local, peer, role, outcome, party, code, record
FROM connection_records;
";

/// A record that can be stored.
pub(crate) trait Row: Record<Id: Code> + Code {
    /// Name of its table.
    const TABLE: &'static str;

    /// Its kind: no two have the same.
    const KIND: u8;

    /// Stores it.
    const INSERT: &'static str;

    /// Stores it by [`Self::INSERT`]; `record` is the record as bytes.
    fn insert(
        &self,
        number: i64,
        record: &[u8],
        insert: &mut Statement<'_>,
    ) -> rusqlite::Result<()>;

    /// Returns whether it is among what failed.
    fn has_failed(&self) -> bool;

    /// Returns the cluster in which it is counted, if it is counted by cluster.
    fn cluster(&self) -> Option<&str>;
}

impl Row for RequestRecord {
    const TABLE: &'static str = "request_records";
    const KIND: u8 = 0;
    const INSERT: &'static str =
        "INSERT INTO request_records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

    fn insert(
        &self,
        number: i64,
        record: &[u8],
        insert: &mut Statement<'_>,
    ) -> rusqlite::Result<()> {
        let (report, cause) = (&self.report, &self.answer.cause);
        let (run, connection) = parts(self.connection());
        insert.execute(params![
            number,
            nanos(report.started_at),
            integer(report.duration_ns),
            report.http.method,
            report.http.path,
            report.http.status,
            report.http.request_id,
            self.cluster(),
            run.bytes(),
            connection,
            cause.party.name(),
            cause.code.name(),
            record,
        ])?;
        Ok(())
    }

    fn has_failed(&self) -> bool {
        self.answer.cause.code != CauseCode::Completed
    }

    fn cluster(&self) -> Option<&str> {
        let upstream = self.report.upstream.as_ref();
        Some(upstream.map_or("", |upstream| &*upstream.cluster))
    }
}

impl Row for ConnectionRecord {
    const TABLE: &'static str = "connection_records";
    const KIND: u8 = 1;
    const INSERT: &'static str =
        "INSERT INTO connection_records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

    fn insert(
        &self,
        number: i64,
        record: &[u8],
        insert: &mut Statement<'_>,
    ) -> rusqlite::Result<()> {
        let socket = self.socket.as_ref();
        let cause = self.answer.as_ref().map(|answer| &answer.cause);
        let (run, run_number) = parts(self.id);
        let aliases: Vec<_> = self.aliases.iter().map(|id| id.to_bytes()).collect();
        insert.execute(params![
            number,
            run.bytes(),
            run_number,
            aliases.as_flattened(),
            nanos(self.began_at()),
            socket.map(|socket| socket.key.local.to_string()),
            socket.map(|socket| socket.key.peer.to_string()),
            self.role.map(Role::name),
            socket.map(|socket| socket.outcome.name()),
            cause.map(|cause| cause.party.name()),
            cause.map(|cause| cause.code.name()),
            record,
        ])?;
        Ok(())
    }

    fn has_failed(&self) -> bool {
        self.answer.is_some()
    }

    fn cluster(&self) -> Option<&str> {
        None
    }
}

/// A run of the kernel, or of the filter.
enum Run {
    Kernel([u8; 16]),
    Filter([u8; 8]),
}

// === impl Run ===

impl Run {
    const fn bytes(&self) -> &[u8] {
        match self {
            Self::Kernel(id) => id,
            Self::Filter(epoch) => epoch,
        }
    }
}

/// Returns the two parts of a connection's id, as they are stored.
const fn parts(id: ConnectionId) -> (Run, i64) {
    match id {
        ConnectionId::Socket { boot, cookie } => (Run::Kernel(boot.0), cookie.cast_signed()),
        ConnectionId::Proxy { epoch, connection } => {
            (Run::Filter(epoch.to_be_bytes()), connection.cast_signed())
        }
    }
}

/// SQLite's integers are signed; times end in the year 2262.
pub(super) fn nanos(at: UnixNanos) -> i64 {
    integer(at.0)
}

pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;
    use syntrace_model::BootId;

    use super::*;

    #[test]
    fn the_views_show_ids_of_both_kinds_as_text_and_aliases_one_by_one() {
        let file = Connection::open_in_memory().unwrap();
        file.execute_batch(SCHEMA).unwrap();
        let boot = BootId([0xb0; 16]);
        let cookie = u64::MAX;
        let (epoch, connection) = (0xf, 9);
        let ids = [
            ConnectionId::Socket { boot, cookie },
            ConnectionId::Proxy { epoch, connection },
        ];
        for (number, id) in (1_u8..).zip(ids) {
            let aliases = vec![[0xa1_u8; 16]; number.into()];
            let (run, run_number) = parts(id);
            let columns = "(number, run, run_number, aliases, began_at, record)";
            let insert =
                format!("INSERT INTO connection_records {columns} VALUES (?, ?, ?, ?, 0, ?)");
            let aliases = aliases.as_flattened();
            let record = [0xc1_u8; 17].as_slice();
            let row = params![number, run.bytes(), run_number, aliases, record];
            file.execute(&insert, row).unwrap();
            let select = "SELECT id, trace_id, aliases FROM connections WHERE number = ?";
            let read: (String, String, String) = file
                .query_row(select, [number], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })
                .unwrap();
            let aliases = vec!["a1".repeat(16); number.into()].join(" ");
            assert_eq!(read, (id.to_string(), "c1".repeat(16), aliases));
        }
    }
}
