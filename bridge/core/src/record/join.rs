//! How a request relates to a connection: a join, its method and how sure it is.

use syntrace_model::{ConnectionId, SpanId, TraceId, UnixNanos};

use crate::confidence::Confidence;

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
        /// All that fit, this one included, where it is ambiguous: the earliest, at most
        /// [`Self::CANDIDATES_MAX`]. Empty otherwise.
        candidates: Vec<ConnectionId>,
    },
    /// Not assigned, and why.
    Missing(Missing),
}

/// The evidence of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// Both ends and the time.
    Exact,
    /// One end, the gateway's process and the time; the other end was rewritten.
    Peer,
    /// A failed connect: the gateway's process and thread, destination, interval and error.
    Failure,
}

/// Why a request is not joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Missing {
    /// No probe has reported.
    NoKernelView,
    /// The two clocks were never compared: times cannot be.
    NoClock,
    /// The proxy named no address.
    NoAddress,
    /// The proxy does not report the direct addresses, and no socket that may be its own has the address that it
    /// names for the client: PROXY protocol named it, or the socket was never reported or is not kept any more.
    AddressHidden,
    /// A socket of the proxy has these ends, or the client's where the proxy does not report the direct addresses,
    /// but it did not live as long as the request ran: it began later, or ended earlier.
    TimeDiffers,
    /// The same, at this time, but it is known to be a connection that the proxy gave another number.
    NumberDiffers,
    /// A socket has the client's end but another local end, and it is not known which process the proxy is, or
    /// whose the socket is: a tuple alone joins nothing.
    ProcessUnknown,
    /// The kernel view lost facts about the time of the request.
    FactsLost,
    /// No connection that the probe reported fits: it was never reported, or is not kept any more.
    NoConnection,
    /// No failed connect is sought: the proxy says that the request ended for another reason, or before a
    /// connect was begun.
    NotSought,
}

/// How a request relates to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// How long it took, nanoseconds.
    pub duration_ns: u64,
}

// === impl Join ===

impl Join {
    /// Candidates that an ambiguous join names; its confidence counts all.
    pub const CANDIDATES_MAX: usize = 16;

    /// Returns whether the id that the request's report names may be the connection's: of a socket that
    /// is certain, or of a connection that only the proxy saw.
    #[must_use]
    pub fn may_name(&self) -> bool {
        match self {
            Self::To { confidence, .. } => *confidence == Confidence::Certain,
            Self::Missing(_) => true,
        }
    }

    /// Returns whether a connection is assigned, and nothing else fits.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        match self {
            Self::To { confidence, .. } => *confidence == Confidence::Certain,
            Self::Missing(_) => false,
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
            Self::NoClock => "no_clock",
            Self::NoAddress => "no_address",
            Self::AddressHidden => "address_hidden",
            Self::TimeDiffers => "time_differs",
            Self::NumberDiffers => "number_differs",
            Self::ProcessUnknown => "process_unknown",
            Self::FactsLost => "facts_lost",
            Self::NoConnection => "no_connection",
            Self::NotSought => "not_sought",
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
