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
    /// By a proxy on the gateway's host, whose own connections are observed too.
    ProxyInFront,
    /// As [`Self::Plain`], but the gateway's configuration does not tell that the ends are the socket's own.
    Untold,
    Backfilled,
    Polled,
    TcpSession,
    /// The accept queue was full, and dropped the SYN; the client is on this host too.
    Overflowed,
}

/// How a request came to the connection that carried it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    Own,
    Multiplexed,
    Preconnected,
    Retried,
    HedgedFirst,
    HedgedSecond,
}

/// What happened to a connection while requests ran on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mishap {
    RequestResent,
    StreamResent,
    AnswerResent,
    StreamAnswerResent,
    WindowClosed,
}

/// What became of the id in a SYN on its way to another host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tagging {
    Delivered,
    /// And addresses were rewritten on the way.
    Rewritten,
    /// And the other host's filter minted an id.
    Minted,
    Stripped,
    Disbelieved,
    Untagged,
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
    /// The client's connection ended.
    ClientGone,
    /// The client reset its stream.
    Cancelled,
    /// The service took the request, and did not answer it in time.
    Unserved,
    /// The network carried neither the request nor the answer.
    NetworkDead,
    /// The time was up before a connection was there.
    NoConnectionInTime,
    /// The service let the stream stand idle.
    Idle,
    /// The client never sent the rest of its request.
    RequestIncomplete,
    /// A circuit breaker of the proxy was open.
    CircuitOpen,
    /// The proxy is configured to answer by itself.
    AnsweredItself,
    /// The service took the connection, and reset it before the worker had looked at it.
    ResetAtOnce,
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
    /// How it came to the connection that carried it.
    pub way: Way,
    /// Of a handshake that it may have waited for: how much of it went by while it did not wait.
    pub missed_ns: Option<u64>,
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
    /// By connection and moment: what happened, and to which request.
    pub mishaps: BTreeMap<(u64, u64), (Mishap, SpanId)>,
    /// Connections to another host, by the cookie here.
    pub far: BTreeMap<u64, Far>,
}

/// A connection to another host.
#[derive(Clone, Copy, Debug)]
pub struct Far {
    /// The cookie there.
    pub cookie: u64,
    pub tagging: Tagging,
}

impl Arrival {
    pub const ALL: [Self; 17] = [
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
        Self::ProxyInFront,
        Self::Untold,
        Self::Backfilled,
        Self::Polled,
        Self::TcpSession,
        Self::Overflowed,
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
            Self::ProxyInFront => "PROXY protocol by a proxy on the same host, not reported",
            Self::Untold => "HTTP/1.1, direct addresses not reported",
            Self::Backfilled => "older than the probe",
            Self::Polled => "polled by sock_diag",
            Self::TcpSession => "TCP session",
            Self::Overflowed => "SYN dropped by a full accept queue, client on this host",
        }
    }

    /// Whether both ends of the socket are in the report and said to be its own, and no other socket has them near
    /// that time.
    pub const fn is_ordinary(self) -> bool {
        !matches!(
            self,
            Self::PortReused
                | Self::EqualAddresses
                | Self::Redirect
                | Self::ProxyProtocol
                | Self::ProxyInFront
                | Self::Untold
                | Self::Polled
        )
    }

    /// Whether anything in the report names the socket.
    pub const fn is_joinable(self) -> bool {
        !matches!(
            self,
            Self::ProxyProtocol | Self::ProxyInFront | Self::Polled
        )
    }
}

impl Way {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Own => "of a pool, HTTP/1.1",
            Self::Multiplexed => "of many streams, HTTP/2 with GOAWAY after 40",
            Self::Preconnected => "opened ahead of need",
            Self::Retried => "after a retry",
            Self::HedgedFirst => "hedged, and the first attempt was answered",
            Self::HedgedSecond => "hedged, and the second attempt was answered",
        }
    }
}

impl Mishap {
    pub const fn name(self) -> &'static str {
        match self {
            Self::RequestResent => "request sent again to the service, HTTP/1.1",
            Self::StreamResent => "request sent again to the service, HTTP/2",
            Self::AnswerResent => "answer sent again to the client, HTTP/1.1",
            Self::StreamAnswerResent => "answer sent again to the client, HTTP/2",
            Self::WindowClosed => "window of the client closed, HTTP/1.1",
        }
    }
}

impl Tagging {
    pub const ALL: [Self; 6] = [
        Self::Delivered,
        Self::Rewritten,
        Self::Minted,
        Self::Stripped,
        Self::Disbelieved,
        Self::Untagged,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "tagged",
            Self::Rewritten => "tagged, addresses rewritten on the way",
            Self::Minted => "tagged, and the accepting host's filter minted an id",
            Self::Stripped => "tagged, and the tag was stripped on the way",
            Self::Disbelieved => "tagged, and the tag is not believed",
            Self::Untagged => "not tagged",
        }
    }

    /// Whether both ends know an id in common.
    pub const fn is_common(self) -> bool {
        matches!(self, Self::Delivered | Self::Rewritten | Self::Minted)
    }
}

impl Ending {
    pub const ALL: [Self; 18] = [
        Self::Answered,
        Self::Refused,
        Self::ConnectTimeout,
        Self::Unanswered,
        Self::Unreachable,
        Self::TlsFailed,
        Self::ResetBeforeFirstByte,
        Self::StreamReset,
        Self::ClientGone,
        Self::Cancelled,
        Self::Unserved,
        Self::NetworkDead,
        Self::NoConnectionInTime,
        Self::Idle,
        Self::RequestIncomplete,
        Self::CircuitOpen,
        Self::AnsweredItself,
        Self::ResetAtOnce,
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
            Self::ClientGone => "client gone (DC)",
            Self::Cancelled => "cancelled by the client (DR)",
            Self::Unserved => "timeout of the proxy (UT), the service did not answer",
            Self::NetworkDead => "timeout of the proxy (UT), the network carried nothing",
            Self::NoConnectionInTime => "timeout of the proxy (UT), while it connected",
            Self::Idle => "idle timeout of the proxy (SI), the service did not answer",
            Self::RequestIncomplete => "idle timeout of the proxy (SI), the request was incomplete",
            Self::CircuitOpen => "circuit breaker open (UO)",
            Self::AnsweredItself => "answered by the proxy itself",
            Self::ResetAtOnce => "reset right after the handshake",
        }
    }
}
