//! One stretch of a record's time, and whose it was.
//!
//! Lengths only: when a phase began follows from the record's start, so a phase can neither overlap
//! another nor be negative. Cutting a record into phases is [`crate::phases`]' business.

use smallvec::SmallVec;

use crate::answer::Party;

/// The phases of a record, in order: as a rule no more than lie in the record itself.
pub type Phases = SmallVec<[Phase; 4]>;

/// One stretch of a record's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// What went on.
    pub kind: PhaseKind,
    /// Whose time it was.
    pub party: Party,
    /// From the record's start until the phase began, nanoseconds.
    pub after_ns: u64,
    /// How long it took, nanoseconds.
    pub duration_ns: u64,
}

/// What went on. A name never changes its meaning; new ones are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PhaseKind {
    /// From the first SYN to the end of the handshake. In a request: that of the downstream
    /// connection, before the request.
    Handshake,
    /// From the end of the handshake until a worker had the socket; an upper bound, unless the kernel
    /// view saw the accept itself.
    AcceptWait,
    /// From there to the end of the TLS handshake, as the proxy reports it.
    Tls,
    /// The connection was ready, and the client had not sent the request.
    RequestWait,
    /// The request's head, from its first byte on, where that took long.
    Head,
    /// Connects of earlier attempts that failed.
    FailedAttempts,
    /// Pauses before further attempts, and whatever else the proxy did between them.
    Backoff,
    /// Waiting in the proxy for an upstream connection, beyond the handshake.
    PoolWait,
    /// The handshake of the upstream connection that the request waited for, or the life of the
    /// connect that failed it.
    UpstreamHandshake,
    /// From the request's first byte to a segment of it that had to be retransmitted.
    RequestLost,
    /// One round trip to the service and back.
    RoundTrip,
    /// From then to the last byte of the response, or until somebody kept the proxy from reading it.
    Service,
    /// The rest of the response, and the proxy's own work before and after.
    Response,
    /// The proxy's own work, where no service was asked.
    Proxy,
    /// A TCP session, once its upstream connection was there.
    Session,
    /// A request of which the proxy reports no parts.
    Unreported,
    /// In a connection: open, from a worker having it to the close.
    Open,
}

// === impl PhaseKind ===

impl PhaseKind {
    /// Returns the name that the API and spans show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::AcceptWait => "accept_wait",
            Self::Tls => "tls",
            Self::RequestWait => "request_wait",
            Self::Head => "head",
            Self::FailedAttempts => "failed_attempts",
            Self::Backoff => "backoff",
            Self::PoolWait => "pool_wait",
            Self::UpstreamHandshake => "upstream_handshake",
            Self::RequestLost => "request_lost",
            Self::RoundTrip => "round_trip",
            Self::Service => "service",
            Self::Response => "response",
            Self::Proxy => "proxy",
            Self::Session => "session",
            Self::Unreported => "unreported",
            Self::Open => "open",
        }
    }

    /// Returns whether a request's phase of this kind lies before the moment at which the proxy saw it.
    #[must_use]
    pub const fn is_before_request(self) -> bool {
        matches!(
            self,
            Self::Handshake | Self::AcceptWait | Self::Tls | Self::RequestWait
        )
    }
}
