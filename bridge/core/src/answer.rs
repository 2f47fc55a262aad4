//! The answer people come for: which party did it, and where the time went.
//!
//! Only the shape and the words. The decision is one pure function, [`crate::explain`].

mod sentence;

use smallvec::SmallVec;

pub use self::sentence::{Ground, Most, Sentence};
use crate::Confidence;

/// Why a request or a connect took as long as it took, and why it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who did it.
    pub cause: Cause,
    /// Nanoseconds by party; they sum to the record's duration.
    pub time: TimeByParty,
}

/// Who did it, by what evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Who.
    pub party: Party,
    /// Stable name of what happened.
    pub code: Code,
    /// One plain sentence.
    pub sentence: Sentence,
    /// The facts that it rests on; of most requests the status alone.
    pub evidence: SmallVec<[Ground; 1]>,
    /// How sure.
    pub confidence: Confidence,
}

/// Those who can be at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// Who sent the request.
    Client,
    /// What lies between the hosts.
    Network,
    /// This host's TCP queues.
    Kernel,
    /// Envoy.
    Proxy,
    /// Who should answer.
    Service,
    /// The evidence does not say.
    Unknown,
}

/// What happened. A code never changes its meaning; new ones are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// Nothing failed.
    Completed,
    /// An RST answered the SYN.
    ConnectRefused,
    /// Nothing answered the SYNs.
    ConnectUnanswered,
    /// ICMP said that the peer cannot be reached.
    ConnectUnreachable,
    /// This end gave up the connect before an answer came.
    ConnectAborted,
    /// The proxy's connect timeout ended a connect that nothing had answered.
    ConnectTimeout,
    /// The proxy reports a failed connect that no kernel record confirms, or one that it could not begin.
    ConnectFailed,
    /// The connection to the service was established, and its TLS handshake failed.
    TlsFailed,
    /// The proxy answered without asking a service, or its last attempt asked none.
    AnsweredByProxy,
    /// The proxy answered because of a rate limit.
    RateLimited,
    /// The proxy answered because a circuit breaker was open.
    CircuitOpen,
    /// The proxy answered, or ended the stream, because it was overloaded.
    Overloaded,
    /// The proxy answered because no host of the cluster was healthy.
    NoHealthyUpstream,
    /// The proxy answered because no route or cluster was configured.
    NoRoute,
    /// The proxy answered with an error that its configuration injects.
    FaultInjected,
    /// The proxy answered because the external authorisation did not permit the request.
    NotAuthorised,
    /// The proxy answered because the service's name could not be resolved.
    NameUnresolved,
    /// The proxy answered with an error of its own, after it had asked a service.
    AnswerReplaced,
    /// The service answered with an error.
    ServiceError,
    /// The client went away before the answer.
    ClientGone,
    /// The client broke the protocol.
    ClientProtocol,
    /// The stream to the service ended early.
    UpstreamReset,
    /// The stream to the service ended before the first byte of an answer.
    ResetBeforeFirstByte,
    /// The service broke the protocol.
    UpstreamProtocol,
    /// The proxy itself ended the stream to the service, or the client's connection.
    LocalReset,
    /// The service did not answer in time.
    UpstreamTimeout,
    /// Nothing moved on the stream for as long as the proxy allows.
    StreamIdleTimeout,
    /// The request, or the session, lasted as long as the proxy allows.
    DurationTimeout,
    /// The client did not send the whole request in time.
    RequestTimeout,
    /// The request waited longest for a worker to accept its connection.
    AcceptWait,
    /// A listener's queue on this host was full while one of the request's connections was being opened.
    AcceptOverflow,
    /// A SYN or SYN-ACK of the downstream handshake had to be retransmitted.
    SynLost,
    /// A SYN of the upstream handshake had to be retransmitted.
    ConnectSynLost,
    /// A segment with the request had to be retransmitted to the service.
    RequestRetransmitted,
    /// A segment with the response had to be retransmitted to the client.
    ResponseRetransmitted,
    /// The request waited longest in the proxy for an upstream connection.
    PoolWait,
    /// The request waited longest for the service.
    SlowService,
    /// The request waited longest for the client.
    SlowClient,
    /// The request failed in a way that the evidence does not explain.
    Unexplained,
}

/// Nanoseconds by party.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeByParty {
    /// Waiting for the client.
    pub client_ns: u64,
    /// On the wire.
    pub network_ns: u64,
    /// In this host's TCP queues.
    pub kernel_ns: u64,
    /// In Envoy.
    pub proxy_ns: u64,
    /// In the service.
    pub service_ns: u64,
    /// Not accounted for.
    pub unknown_ns: u64,
}

// === impl Party ===

impl Party {
    /// All parties, in the order in which [`TimeByParty`] lists them.
    pub const ALL: [Self; 6] = [
        Self::Client,
        Self::Network,
        Self::Kernel,
        Self::Proxy,
        Self::Service,
        Self::Unknown,
    ];

    /// Returns the name that the API, metrics and spans show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Network => "network",
            Self::Kernel => "kernel",
            Self::Proxy => "proxy",
            Self::Service => "service",
            Self::Unknown => "unknown",
        }
    }
}

// === impl Code ===

impl Code {
    /// Returns how sure a cause of this code is that rests on a join which is `join` sure.
    pub(crate) const fn confidence(self, join: Confidence) -> Confidence {
        match (self, join) {
            // A SYN that nothing answers may have met a full accept queue as well as a network that lost it.
            (
                Self::ConnectTimeout | Self::ConnectUnanswered | Self::AcceptOverflow,
                Confidence::Certain,
            ) => Confidence::Likely,
            _ => join,
        }
    }

    /// Returns the name that the API, metrics and spans show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::ConnectRefused => "connect_refused",
            Self::ConnectUnanswered => "connect_unanswered",
            Self::ConnectUnreachable => "connect_unreachable",
            Self::ConnectAborted => "connect_aborted",
            Self::ConnectTimeout => "connect_timeout",
            Self::ConnectFailed => "connect_failed",
            Self::TlsFailed => "tls_failed",
            Self::AnsweredByProxy => "answered_by_proxy",
            Self::RateLimited => "rate_limited",
            Self::CircuitOpen => "circuit_open",
            Self::Overloaded => "overloaded",
            Self::NoHealthyUpstream => "no_healthy_upstream",
            Self::NoRoute => "no_route",
            Self::FaultInjected => "fault_injected",
            Self::NotAuthorised => "not_authorised",
            Self::NameUnresolved => "name_unresolved",
            Self::AnswerReplaced => "answer_replaced",
            Self::ServiceError => "service_error",
            Self::ClientGone => "client_gone",
            Self::ClientProtocol => "client_protocol",
            Self::UpstreamReset => "upstream_reset",
            Self::ResetBeforeFirstByte => "reset_before_first_byte",
            Self::UpstreamProtocol => "upstream_protocol",
            Self::LocalReset => "local_reset",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::StreamIdleTimeout => "stream_idle_timeout",
            Self::DurationTimeout => "duration_timeout",
            Self::RequestTimeout => "request_timeout",
            Self::AcceptWait => "accept_wait",
            Self::AcceptOverflow => "accept_overflow",
            Self::SynLost => "syn_lost",
            Self::ConnectSynLost => "connect_syn_lost",
            Self::RequestRetransmitted => "request_retransmitted",
            Self::ResponseRetransmitted => "response_retransmitted",
            Self::PoolWait => "pool_wait",
            Self::SlowService => "slow_service",
            Self::SlowClient => "slow_client",
            Self::Unexplained => "unexplained",
        }
    }
}

// === impl TimeByParty ===

impl TimeByParty {
    /// Returns what `party` took.
    #[must_use]
    pub const fn of(&self, party: Party) -> u64 {
        match party {
            Party::Client => self.client_ns,
            Party::Network => self.network_ns,
            Party::Kernel => self.kernel_ns,
            Party::Proxy => self.proxy_ns,
            Party::Service => self.service_ns,
            Party::Unknown => self.unknown_ns,
        }
    }

    /// Adds what `party` took more.
    pub const fn add(&mut self, party: Party, ns: u64) {
        let of = match party {
            Party::Client => &mut self.client_ns,
            Party::Network => &mut self.network_ns,
            Party::Kernel => &mut self.kernel_ns,
            Party::Proxy => &mut self.proxy_ns,
            Party::Service => &mut self.service_ns,
            Party::Unknown => &mut self.unknown_ns,
        };
        *of = of.saturating_add(ns);
    }

    /// Returns the sum: the duration.
    #[must_use]
    pub fn total_ns(&self) -> u64 {
        let Self {
            client_ns,
            network_ns,
            kernel_ns,
            proxy_ns,
            service_ns,
            unknown_ns,
        } = *self;
        let others = [network_ns, kernel_ns, proxy_ns, service_ns, unknown_ns];
        others.into_iter().fold(client_ns, u64::saturating_add)
    }
}
