//! Queries for what is not settled: by id, by name, the newest first.
//!
//! A record is made when it is asked for, and only then. Queries change nothing.

use std::sync::Arc;

use syntrace_model::{BootNanos, ConnKey, ConnectionId, SpanId, TraceId, UnixNanos};

use crate::{
    Reconciler,
    assemble::Known,
    fact::Report,
    identity,
    record::{ConnectionRecord, RequestRecord},
    requests::Pending,
    sockets::Connection,
};

/// How far the order by start may differ between the two clocks, nanoseconds.
const DRIFT_NS: u64 = 1_000_000_000;

/// A connection that is not settled, read in place.
#[derive(Clone, Copy, Debug)]
pub struct LiveConnection<'a> {
    known: Known<'a>,
    connection: Connection<'a>,
}

/// A request that is not settled, read in place.
#[derive(Clone, Copy, Debug)]
pub struct LiveRequest<'a> {
    known: Known<'a>,
    pending: &'a Pending,
}

// === impl Reconciler ===

impl Reconciler {
    /// Returns a connection that is not settled, as far as it is known.
    #[must_use]
    pub fn connection(&self, id: ConnectionId) -> Option<ConnectionRecord> {
        self.known().connection(id, self.sockets.get(id)?, false)
    }

    /// Returns a request that is not settled, as far as it is known.
    #[must_use]
    pub fn request(&self, id: SpanId) -> Option<RequestRecord> {
        let pending = self.requests.get(id)?;
        Some(self.known().request(pending, false).record)
    }

    /// Returns all connections that are not settled, the newest first.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionRecord> + '_ {
        self.connections_newest(None)
            .filter_map(LiveConnection::record)
    }

    /// Returns all requests that are not settled, the newest first.
    pub fn requests(&self) -> impl Iterator<Item = RequestRecord> + '_ {
        self.requests_newest(None).map(LiveRequest::record)
    }

    /// Returns the connections that are not settled below a place among all, the newest first.
    ///
    /// A step of the wall clock in the time that they span may disturb their order.
    pub fn connections_newest(
        &self,
        below: Option<(UnixNanos, ConnectionId)>,
    ) -> impl Iterator<Item = LiveConnection<'_>> {
        let latest = BootNanos(u64::MAX);
        let until = below.and_then(|(unix, _)| self.clock.to_boot(unix));
        let until = until.map_or(latest, |until| until.plus_ns(DRIFT_NS));
        let known = self.known();
        let newest = self.sockets.newest(until);
        newest
            .map(move |connection| LiveConnection { known, connection })
            .filter(move |live| below.is_none_or(|below| live.place() < below))
    }

    /// Returns the requests that are not settled below a place among all, the newest first.
    pub fn requests_newest(
        &self,
        below: Option<(UnixNanos, SpanId)>,
    ) -> impl Iterator<Item = LiveRequest<'_>> {
        let known = self.known();
        let newest = self.requests.newest(below);
        newest.map(move |pending| LiveRequest { known, pending })
    }

    /// Returns the connections that are not settled and that have `id` as their trace id or an alias, in
    /// order.
    #[must_use]
    pub fn connections_known_as(&self, id: TraceId) -> Vec<ConnectionId> {
        let perhaps = self.sockets.perhaps_named(id);
        let named = perhaps.filter(|connection| {
            let identity = identity::identify(*connection);
            identity.is_some_and(|known| known.trace_id == id || known.aliases.contains(&id))
        });
        let mut ids: Vec<_> = named.map(Connection::id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Returns the requests of a trace that are not settled, in order.
    #[must_use]
    pub fn requests_of_trace(&self, id: TraceId) -> Vec<SpanId> {
        self.requests.of_trace(id)
    }

    /// Returns the requests with an `x-request-id` that are not settled, in order.
    #[must_use]
    pub fn requests_with_request_id(&self, id: &str) -> Vec<SpanId> {
        self.requests.with_request_id(id)
    }
}

// === impl LiveConnection ===

impl LiveConnection<'_> {
    /// Returns what names it.
    #[must_use]
    pub fn id(self) -> ConnectionId {
        self.connection.id()
    }

    /// Returns its place among all: when it began, on the wall clock, and its id.
    #[must_use]
    pub fn place(self) -> (UnixNanos, ConnectionId) {
        let began_at = match self.connection.socket() {
            Some(socket) => {
                let began_at = socket.began_at();
                let sample = self.known.clock.near_boot(began_at);
                sample.map(|sample| sample.to_unix(began_at))
            }
            None => None,
        };
        let first = self.connection.requests().next();
        let began_at = began_at.or_else(|| first.map(|first| first.started_at));
        (began_at.unwrap_or_default(), self.id())
    }

    /// Returns both ends; `None` if only the proxy saw it.
    #[must_use]
    pub fn key(self) -> Option<ConnKey> {
        Some(self.connection.socket()?.key())
    }

    /// Returns its record, as far as it is known.
    #[must_use]
    pub fn record(self) -> Option<ConnectionRecord> {
        self.known.connection(self.id(), self.connection, false)
    }
}

// === impl LiveRequest ===

impl<'a> LiveRequest<'a> {
    /// Returns what names it.
    #[must_use]
    pub fn id(self) -> SpanId {
        self.pending.report.span_id
    }

    /// Returns its place among all: when it began, and its id.
    #[must_use]
    pub fn place(self) -> (UnixNanos, SpanId) {
        (self.pending.report.started_at, self.id())
    }

    /// Returns what the proxy saw.
    #[must_use]
    pub const fn report(self) -> &'a Arc<Report> {
        &self.pending.report
    }

    /// Returns its record, as far as it is known.
    #[must_use]
    pub fn record(self) -> RequestRecord {
        self.known.request(self.pending, false).record
    }
}
