//! The columns of a stored record: what people ask for. The bridge itself reads the whole record, as bytes.

use rusqlite::{Transaction, params};
use syntrace_core::record::{ConnectionRecord, RequestRecord, Role};
use syntrace_model::{TraceId, UnixNanos};

use super::{Record, codec::Code};

/// The tables, and what finds records by time.
pub(super) const SCHEMA: &str = "
CREATE TABLE requests (
  number INTEGER PRIMARY KEY, id TEXT NOT NULL, trace_id TEXT NOT NULL, request_id TEXT NOT NULL,
  began_at INTEGER NOT NULL, duration_ns INTEGER NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL,
  status INTEGER NOT NULL, cluster TEXT NOT NULL, connection TEXT NOT NULL, party TEXT NOT NULL,
  code TEXT NOT NULL, record BLOB NOT NULL
) STRICT;
CREATE INDEX requests_by_time ON requests (began_at, cluster);
CREATE INDEX failed_requests ON requests (began_at) WHERE code <> 'completed';
CREATE TABLE connections (
  number INTEGER PRIMARY KEY, id TEXT NOT NULL, trace_id TEXT NOT NULL, aliases TEXT NOT NULL,
  began_at INTEGER NOT NULL, local TEXT, peer TEXT, role TEXT, outcome TEXT, party TEXT, code TEXT,
  record BLOB NOT NULL
) STRICT;
CREATE INDEX connections_by_time ON connections (began_at);
CREATE INDEX failed_connections ON connections (began_at) WHERE code IS NOT NULL;
";

/// A record that can be stored.
pub(crate) trait Row: Record<Id: Code> + Code {
    /// Name of its table.
    const TABLE: &'static str;

    /// Stores it; `record` is the record as bytes.
    fn insert(
        &self,
        number: i64,
        record: &[u8],
        transaction: &Transaction<'_>,
    ) -> rusqlite::Result<()>;
}

impl Row for RequestRecord {
    const TABLE: &'static str = "requests";

    fn insert(
        &self,
        number: i64,
        record: &[u8],
        transaction: &Transaction<'_>,
    ) -> rusqlite::Result<()> {
        let (report, cause) = (&self.report, &self.answer.cause);
        let upstream = report.upstream.as_ref();
        let insert = "INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        transaction.prepare_cached(insert)?.execute(params![
            number,
            report.span_id.to_string(),
            report.trace_id.to_string(),
            report.http.request_id,
            nanos(report.started_at),
            integer(report.duration_ns),
            report.http.method,
            report.http.path,
            report.http.status,
            upstream.map_or("", |upstream| &*upstream.cluster),
            self.connection().to_string(),
            cause.party.name(),
            cause.code.name(),
            record,
        ])?;
        Ok(())
    }
}

impl Row for ConnectionRecord {
    const TABLE: &'static str = "connections";

    fn insert(
        &self,
        number: i64,
        record: &[u8],
        transaction: &Transaction<'_>,
    ) -> rusqlite::Result<()> {
        let socket = self.socket.as_ref();
        let cause = self.answer.as_ref().map(|answer| &answer.cause);
        let aliases: Vec<_> = self.aliases.iter().map(TraceId::to_string).collect();
        let insert = "INSERT INTO connections VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        transaction.prepare_cached(insert)?.execute(params![
            number,
            self.id.to_string(),
            self.trace_id.to_string(),
            aliases.join(" "),
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
}

/// SQLite's integers are signed; times end in the year 2262.
pub(super) fn nanos(at: UnixNanos) -> i64 {
    integer(at.0)
}

pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
