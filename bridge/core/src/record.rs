//! What comes out: the record of one connection, the record of one request.
//!
//! Plain values, equal for equal facts. How they look as JSON or as spans is the bridge's
//! business.

use std::sync::Arc;

use syntrace_model::{BootNanos, ClockSample, ConnectionId, SpanId, TraceId, UnixNanos};

use crate::{
    answer::Answer,
    confidence::Confidence,
    fact::{Report, SenderId, Snapshot},
};

/// One connection: one socket of this host, from its SYN to its close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionRecord {
    /// What names it.
    pub id: ConnectionId,
    /// Its one trace id.
    pub trace_id: TraceId,
    /// Where that id comes from.
    pub trace_id_source: IdSource,
    /// Other ids under which the same connection is known, in order, without repetition.
    pub aliases: Vec<TraceId>,
    /// What the gateway used it for, where a join says so.
    pub role: Option<Role>,
    /// The kernel's latest word; absent if only the proxy saw the connection.
    pub socket: Option<Snapshot>,
    /// Both clocks, to move the kernel's times to the wall clock; absent without a kernel view.
    pub clock: Option<ClockSample>,
    /// The requests that it carried or failed, by start.
    pub requests: Vec<RequestRef>,
    /// Requests that the bound left out of `requests`.
    pub requests_evicted: u64,
    /// Why it failed, where it failed.
    pub answer: Option<Answer>,
    /// Whether nothing more is expected.
    pub settled: bool,
}

/// One HTTP stream or gRPC call with its joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// Who reported it.
    pub sender: SenderId,
    /// What the proxy saw; its span id names the request.
    pub report: Arc<Report>,
    /// The connection it was received on.
    pub received_on: Join,
    /// The upstream connection that carried it; absent if the proxy needed none.
    pub served_by: Option<Join>,
    /// The upstream connect that it waited for, or that failed it.
    pub opened: Option<Join>,
    /// Why it took as long as it took, and why it failed.
    pub answer: Answer,
    /// Whether nothing more is expected.
    pub settled: bool,
}

/// One assignment of a request to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Join {
    /// Assigned.
    To {
        /// The connection.
        connection: ConnectionId,
        /// Its trace id.
        trace_id: TraceId,
        /// By which evidence.
        method: Method,
        /// How sure.
        confidence: Confidence,
    },
    /// Not assigned, and why.
    Missing(Missing),
}

/// The evidence of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// Both ends and the time.
    Exact,
    /// One end and the time; the other was rewritten.
    Peer,
    /// A failed connect: destination, interval and error.
    Failure,
}

/// Why a request is not joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    /// No probe has reported.
    NoKernelView,
    /// The proxy named no address.
    NoAddress,
    /// No connection that the probe reported fits.
    NoConnection,
}

/// What the gateway uses a connection for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Accepted from a client.
    Downstream,
    /// Dialled to a service.
    Upstream,
}

/// Where a connection's trace id comes from, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IdSource {
    /// Minted by the filter with the connection's first request.
    Filter,
    /// Carried by the SYN, and authentic.
    Tag,
    /// Minted by the kernel view.
    Kernel,
    /// Of its first request: the kernel view is missing.
    Request,
}

/// How a request relates to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkKind {
    /// The request came in on it.
    ReceivedOn,
    /// The request waited for its connect.
    Opened,
    /// It carried the request to the service.
    ServedBy,
}

/// A request as its connection's record names it; ordered by start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestRef {
    /// When it began.
    pub started_at: UnixNanos,
    /// Its span id, which names it.
    pub span_id: SpanId,
    /// Its trace.
    pub trace_id: TraceId,
    /// How it relates.
    pub kind: LinkKind,
}

// === impl ConnectionRecord ===

impl ConnectionRecord {
    /// Moves a kernel time of this connection to the wall clock.
    #[must_use]
    pub fn to_unix(&self, at: BootNanos) -> Option<UnixNanos> {
        self.clock.map(|clock| clock.to_unix(at))
    }

    /// Returns whether `id` is the trace id or an alias.
    #[must_use]
    pub fn is_known_as(&self, id: TraceId) -> bool {
        self.trace_id == id || self.aliases.contains(&id)
    }
}

// === impl RequestRecord ===

impl RequestRecord {
    /// Returns what names the request.
    #[must_use]
    pub fn id(&self) -> SpanId {
        self.report.span_id
    }

    /// Returns the connection that the request came in on: as the proxy names it, where no socket is
    /// known.
    #[must_use]
    pub fn connection(&self) -> ConnectionId {
        self.received_on
            .connection()
            .unwrap_or(ConnectionId::Proxy {
                epoch: self.sender.epoch,
                connection: self.report.downstream_connection,
            })
    }
}

// === impl Join ===

impl Join {
    /// Returns whether the id that the request's report names may be the connection's: of a socket that
    /// is certain, or of a connection that only the proxy saw.
    #[must_use]
    pub fn may_name(&self) -> bool {
        match self {
            Self::To { confidence, .. } => *confidence == Confidence::Certain,
            Self::Missing(_) => true,
        }
    }

    /// Returns the connection, if there is one.
    #[must_use]
    pub fn connection(&self) -> Option<ConnectionId> {
        match self {
            Self::To { connection, .. } => Some(*connection),
            Self::Missing(_) => None,
        }
    }
}

// === names ===

impl Method {
    /// Returns the name that the API and spans show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Peer => "peer",
            Self::Failure => "failure",
        }
    }
}

impl Missing {
    /// Returns the name that the API and metrics show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoKernelView => "no_kernel_view",
            Self::NoAddress => "no_address",
            Self::NoConnection => "no_connection",
        }
    }
}

impl Role {
    /// Returns Envoy's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Downstream => "downstream",
            Self::Upstream => "upstream",
        }
    }
}

impl IdSource {
    /// Returns the name that the API shows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Tag => "tag",
            Self::Kernel => "kernel",
            Self::Request => "request",
        }
    }
}

impl LinkKind {
    /// Returns the name that the API and spans show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReceivedOn => "received_on",
            Self::Opened => "opened",
            Self::ServedBy => "served_by",
        }
    }
}
