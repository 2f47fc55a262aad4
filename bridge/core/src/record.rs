//! What comes out: the record of one connection, the record of one request.
//!
//! Plain values, equal for equal facts. How they look as JSON or as spans is the bridge's
//! business; whether one is sound, [`crate::audit`] says.

mod coverage;
mod incident;
mod join;
mod phase;

use std::sync::Arc;

use syntrace_model::{BootNanos, ClockSample, ConnectionId, SpanId, TraceId, UnixNanos};

pub use self::{
    coverage::{ConnectionCoverage, RequestCoverage},
    incident::{ChargedIncident, ConnectionIncident, Sharing},
    join::{Join, LinkKind, Method, Missing, RequestRef},
    phase::{Phase, PhaseKind, Phases},
};
use crate::{
    answer::Answer,
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
    /// What the kernel says of it; absent if only the proxy saw the connection.
    pub socket: Option<Snapshot>,
    /// Both clocks, to move the kernel's times to the wall clock; absent without a kernel view.
    pub clock: Option<ClockSample>,
    /// Its life in order, without the requests: each begins where the one before it ends, the first
    /// where the record begins. Empty without a kernel view.
    pub phases: Phases,
    /// The requests that it carried or failed, by start.
    pub requests: Vec<RequestRef>,
    /// Requests that the bound left out of `requests`.
    pub requests_evicted: u64,
    /// What happened to it or to its listener while it lived, by time.
    pub incidents: Vec<ConnectionIncident>,
    /// Why it failed, where it failed.
    pub answer: Option<Answer>,
    /// How well it was seen.
    pub coverage: ConnectionCoverage,
    /// Whether nothing more is expected.
    pub settled: bool,
}

/// One HTTP stream, gRPC call or TCP session with its joins.
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
    /// Failed connects of earlier attempts, in order: a retry overwrites what the proxy says of them.
    pub earlier: Vec<Join>,
    /// What the client waited for, in order: each phase begins where the one before it ends, the first
    /// at [`Self::started_at`]. They sum to [`Self::duration_ns`].
    pub phases: Phases,
    /// What happened to its connections while it ran, by time.
    pub incidents: Vec<ChargedIncident>,
    /// Why it took as long as it took, and why it failed.
    pub answer: Answer,
    /// How well it was seen.
    pub coverage: RequestCoverage,
    /// Whether nothing more is expected.
    pub settled: bool,
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

    /// Returns when the record begins: the request itself, or before it the connection that it waited for.
    #[must_use]
    pub fn started_at(&self) -> UnixNanos {
        self.report.started_at.minus_ns(self.before_ns())
    }

    /// Returns how long the client waited: for the connection, where the request waited for it, and for
    /// the request. The phases sum to it, as does the time by party.
    #[must_use]
    pub fn duration_ns(&self) -> u64 {
        self.before_ns().saturating_add(self.report.duration_ns)
    }

    /// Returns how long the request waited for its downstream connection before the proxy saw it; 0 on a
    /// connection that was there.
    #[must_use]
    pub fn before_ns(&self) -> u64 {
        self.phases
            .iter()
            .filter(|phase| phase.kind.is_before_request())
            .fold(0, |sum, phase| sum.saturating_add(phase.duration_ns))
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

// === names ===

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
