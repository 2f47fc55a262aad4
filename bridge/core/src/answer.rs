//! The answer people come for: which party did it, and where the time went.
//!
//! Only the shape and the words. The decision is one pure function, [`crate::explain`].

/// Why a request or a connect took as long as it took, and why it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who did it.
    pub cause: Cause,
    /// Nanoseconds by party; they sum to the duration.
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
    pub sentence: Box<str>,
    /// The facts that it rests on, as `name=value`.
    pub evidence: Vec<Box<str>>,
    /// How sure.
    pub confidence: crate::Confidence,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// The proxy reports a failed connect that no kernel record confirms.
    ConnectFailed,
    /// The proxy answered without asking a service.
    AnsweredByProxy,
    /// The service answered with an error.
    ServiceError,
    /// The client went away before the answer.
    ClientGone,
    /// The stream to the service ended early.
    UpstreamReset,
    /// The service did not answer in time.
    UpstreamTimeout,
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
    /// Returns the name that the API, metrics and spans show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::ConnectRefused => "connect_refused",
            Self::ConnectUnanswered => "connect_unanswered",
            Self::ConnectUnreachable => "connect_unreachable",
            Self::ConnectAborted => "connect_aborted",
            Self::ConnectFailed => "connect_failed",
            Self::AnsweredByProxy => "answered_by_proxy",
            Self::ServiceError => "service_error",
            Self::ClientGone => "client_gone",
            Self::UpstreamReset => "upstream_reset",
            Self::UpstreamTimeout => "upstream_timeout",
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

    /// Returns the sum: the duration.
    #[must_use]
    pub fn total_ns(&self) -> u64 {
        Party::ALL
            .iter()
            .map(|&party| self.of(party))
            .fold(0, u64::saturating_add)
    }
}
