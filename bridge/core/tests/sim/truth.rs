//! What really happened: what the reconciler has to find out.

use std::collections::BTreeMap;

use syntrace_core::answer::Party;
use syntrace_model::SpanId;

/// How a client reaches the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arrival {
    Plain,
    Multiplexed,
    Nat,
    PortReused,
    EqualAddresses,
    SharedPort,
    Tproxy,
    RedirectDirect,
    Redirect,
    ProxyProtocolDirect,
    ProxyProtocol,
    Backfilled,
    Polled,
    TcpSession,
}

/// What became of a request's way to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    Answered,
    Refused,
    ConnectTimeout,
    Unanswered,
    Unreachable,
    TlsFailed,
    ResetBeforeFirstByte,
    StreamReset,
}

/// What really happened to one request.
#[derive(Clone, Debug)]
pub struct Request {
    pub arrival: Arrival,
    pub ending: Ending,
    /// Cookie of the connection that it came in on.
    pub received_on: u64,
    pub served_by: Option<u64>,
    pub failed_by: Option<u64>,
    /// Connects that ended, in this worker and towards this host, when the request did.
    pub rivals: u32,
    /// Failed connects of its earlier attempts.
    pub earlier: Vec<u64>,
    /// Nanoseconds by party within the request, as [`Party::ALL`] lists them.
    pub time: [u64; 6],
    /// The same before it, if it waited for its connection.
    pub before: [u64; 6],
    /// Who made it fail, if it failed.
    pub party: Option<Party>,
}

/// What really happened.
#[derive(Debug, Default)]
pub struct Truth {
    pub requests: BTreeMap<SpanId, Request>,
    pub sockets: u64,
}

impl Arrival {
    pub const ALL: [Self; 14] = [
        Self::Plain,
        Self::Multiplexed,
        Self::Nat,
        Self::PortReused,
        Self::EqualAddresses,
        Self::SharedPort,
        Self::Tproxy,
        Self::RedirectDirect,
        Self::Redirect,
        Self::ProxyProtocolDirect,
        Self::ProxyProtocol,
        Self::Backfilled,
        Self::Polled,
        Self::TcpSession,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "HTTP/1.1, keep-alive",
            Self::Multiplexed => "HTTP/2 and gRPC",
            Self::Nat => "many clients behind one address",
            Self::PortReused => "port used again within milliseconds",
            Self::EqualAddresses => "equal ends in two namespaces at once",
            Self::SharedPort => "two processes on one port (SO_REUSEPORT)",
            Self::Tproxy => "TPROXY",
            Self::RedirectDirect => "REDIRECT, direct addresses reported",
            Self::Redirect => "REDIRECT, not reported",
            Self::ProxyProtocolDirect => "PROXY protocol, direct addresses reported",
            Self::ProxyProtocol => "PROXY protocol, not reported",
            Self::Backfilled => "older than the probe",
            Self::Polled => "polled by sock_diag",
            Self::TcpSession => "TCP session",
        }
    }

    /// Whether both ends of the socket are in the report, and no other socket has them near that time.
    pub const fn is_ordinary(self) -> bool {
        !matches!(
            self,
            Self::PortReused
                | Self::EqualAddresses
                | Self::Redirect
                | Self::ProxyProtocol
                | Self::Polled
        )
    }

    /// Whether anything in the report names the socket.
    pub const fn is_joinable(self) -> bool {
        !matches!(self, Self::ProxyProtocol | Self::Polled)
    }
}

impl Ending {
    pub const ALL: [Self; 8] = [
        Self::Answered,
        Self::Refused,
        Self::ConnectTimeout,
        Self::Unanswered,
        Self::Unreachable,
        Self::TlsFailed,
        Self::ResetBeforeFirstByte,
        Self::StreamReset,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::ConnectTimeout => "connect timeout of the proxy",
            Self::Unanswered => "unanswered until the kernel gave up",
            Self::Unreachable => "unreachable (ICMP)",
            Self::TlsFailed => "TLS handshake failed",
            Self::ResetBeforeFirstByte => "reset before the first byte",
            Self::StreamReset => "HTTP/2 stream reset",
        }
    }
}
