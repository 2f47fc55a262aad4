//! The settled records, found by every name under which they may be queried.
//!
//! Each has a number, in the order in which they settled. Those that are not stored yet are in memory, those that are
//! stored are in a database, which can be rebuilt from the log at any time. What is not settled is in the reconciler;
//! [`crate::view`] answers queries that concern both.

pub(crate) mod chunk;
pub(crate) mod codec;
pub(crate) mod database;
mod filter;
mod hole;
pub(crate) mod names;
mod present;
mod recent;
pub(crate) mod records;
pub(crate) mod row;
mod writer;

use std::sync::Arc;

use syntrace_core::{
    Output,
    record::{ConnectionRecord, RequestRecord},
};
use syntrace_model::{ConnectionId, Endpoint, SpanId, TraceId, UnixNanos};

pub use self::{
    database::{Bounds, Database, DatabaseStatus, ReadError},
    hole::Hole,
    writer::Writer,
};
pub(crate) use self::{
    hole::Seam,
    present::Present,
    recent::{Recent, Table},
};

/// Version of the layout of what is stored. What has another is rebuilt from the log.
pub const FORMAT: u32 = 9;

/// A settled record and its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// From 1, in the order in which records settled.
    pub number: u64,
    /// The record.
    pub record: Kept,
}

/// A settled record that many may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// A request.
    Request(Arc<RequestRecord>),
    /// A connection.
    Connection(Arc<ConnectionRecord>),
}

/// A kind of record that can be queried.
pub trait Record {
    /// What names the record alone.
    type Id: Copy + Ord + std::hash::Hash + ToString;

    /// Returns its id.
    fn id(&self) -> Self::Id;

    /// Returns when it began; records are listed by that, the newest first.
    fn began_at(&self) -> UnixNanos;

    /// Returns the other names under which it is found.
    fn names(&self) -> Vec<Name>;

    /// Returns its place among the records that are listed.
    fn place(&self) -> (UnixNanos, Self::Id) {
        (self.began_at(), self.id())
    }
}

/// A name that several records may share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// A trace id or an alias.
    Trace(TraceId),
    /// An `x-request-id`.
    RequestId(Box<str>),
    /// One end of a connection.
    End(Endpoint),
}

// === impl Kept ===

impl Kept {
    /// Returns when it began.
    pub(crate) fn began_at(&self) -> UnixNanos {
        match self {
            Self::Request(record) => record.began_at(),
            Self::Connection(record) => record.began_at(),
        }
    }
}

impl From<Output> for Kept {
    fn from(output: Output) -> Self {
        match output {
            Output::Request(record) => Self::Request(Arc::new(record)),
            Output::Connection(record) => Self::Connection(Arc::new(record)),
        }
    }
}

// === impl Record ===

impl Record for ConnectionRecord {
    type Id = ConnectionId;

    fn id(&self) -> ConnectionId {
        self.id
    }

    fn began_at(&self) -> UnixNanos {
        let socket = self.socket.as_ref();
        let kernel = socket.and_then(|socket| self.to_unix(socket.began_at()));
        let proxy = self.requests.first().map(|request| request.started_at);
        kernel.or(proxy).unwrap_or_default()
    }

    fn names(&self) -> Vec<Name> {
        let ids = std::iter::once(self.trace_id).chain(self.aliases.iter().copied());
        let ends = self.socket.iter();
        let ends = ends.flat_map(|socket| [socket.key.local, socket.key.peer]);
        ids.map(Name::Trace).chain(ends.map(Name::End)).collect()
    }
}

impl Record for RequestRecord {
    type Id = SpanId;

    fn id(&self) -> SpanId {
        self.report.span_id
    }

    fn began_at(&self) -> UnixNanos {
        self.report.started_at
    }

    fn names(&self) -> Vec<Name> {
        let mut names = vec![Name::Trace(self.report.trace_id)];
        if !self.report.http.request_id.is_empty() {
            names.push(Name::RequestId(self.report.http.request_id.clone()));
        }
        names
    }
}
