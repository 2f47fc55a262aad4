//! What goes in: facts, each a thing that one sender saw.
//!
//! Only shapes. Turning the wire's messages into these, and refusing what has no meaning, is the
//! bridge's `ingest`; folding them is the reconciler's.

use std::{fmt, sync::Arc};

use syntrace_model::{
    BootId, BootNanos, ClockSample, ConnKey, ConnectionId, Endpoint, Opening, Outcome, SpanId,
    TraceId, UnixNanos,
};

/// Consecutive facts of one sender, and what it says of itself beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Who saw them.
    pub sender: SenderId,
    /// Number of the first fact among all that the sender saw in this epoch, from 0.
    pub first_seq: u64,
    /// What was seen, in order, without a gap.
    pub facts: Vec<Fact>,
    /// All that the sender lost in this epoch so far, by cause.
    pub losses: Vec<(Box<str>, u64)>,
    /// The sender ends in order: nothing of this epoch follows.
    pub goodbye: bool,
}

/// One run of one sender.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SenderId {
    /// Stable over restarts, such as `filter/gateway-1/0`.
    pub name: Arc<str>,
    /// Drawn at random at each start.
    pub epoch: u64,
}

/// One thing that one sender saw.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "most facts are connections and requests, and those that are neither are few"
)]
pub enum Fact {
    /// Both clocks of the probe's host at one moment.
    Clock(ClockSample),
    /// All that the kernel knows of one socket at one moment.
    Connection(Snapshot),
    /// One request, at its end.
    Request(Arc<Report>),
    /// What the probe can see at present.
    Rung(Rung),
    /// Something that happened to a socket or a listener at one moment.
    Incident(Incident),
    /// A fact without meaning, and which of its fields has none: only its number counts.
    Refused(&'static str),
}

/// A rung of the ladder: what the probe is allowed to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rung {
    /// `full`, `observe`, `poll` or `l7-only`.
    pub name: Box<str>,
    /// One sentence for each capability that is missing.
    pub missing: Vec<Box<str>>,
    /// What the probe left undone or did not believe, by name, since its epoch began; none of it is a loss.
    pub counted: Vec<(Box<str>, u64)>,
}

/// All that the kernel knows of one socket at one moment; a later one replaces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The run of the kernel.
    pub boot: BootId,
    /// The socket's cookie.
    pub cookie: u64,
    /// The moment of the snapshot.
    pub seen_at: BootNanos,
    /// Cookie of the socket's network namespace; 0 if unknown.
    pub netns: u64,
    /// Both ends.
    pub key: ConnKey,
    /// Who sent the SYN.
    pub opening: Opening,
    /// How far it came.
    pub outcome: Outcome,
    /// First SYN sent or received.
    pub syn_at: Option<BootNanos>,
    /// First SYN-ACK received or sent.
    pub syn_ack_at: Option<BootNanos>,
    /// End of the handshake.
    pub established_at: Option<BootNanos>,
    /// The owner first touched the accepted socket: an upper bound.
    pub accepted_at: Option<BootNanos>,
    /// The socket closed.
    pub closed_at: Option<BootNanos>,
    /// The id that the kernel view minted.
    pub minted: TraceId,
    /// The id in the SYN's option.
    pub tag: Option<Tag>,
    /// `errno` that ended the connection; 0 for none.
    pub errno: u32,
    /// Process that owns the socket; 0 if unknown.
    pub owner_pid: u32,
    /// Thread that owns the socket; 0 if unknown.
    pub owner_tid: u32,
    /// What was counted.
    pub counters: Counters,
    /// How the kernel view came to know it, and how well.
    pub watch: Watch,
}

/// How the kernel view came to know a socket, and how well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// Where it was found.
    pub origin: Origin,
    /// When it was first seen; absent in a single snapshot.
    pub first_seen_at: Option<BootNanos>,
    /// One of how many such connections is reported; 0 and 1 mean all.
    pub one_in: u32,
    /// [`Snapshot::accepted_at`] is the accept itself, not an upper bound.
    pub accepted_exactly: bool,
    /// The listener defers the accept until data came (`TCP_DEFER_ACCEPT`).
    pub accept_deferred: bool,
    /// Why an RST was sent or received, in the kernel's words; empty if unknown.
    pub reset_reason: Box<str>,
    /// `SO_MARK`; 0 for none.
    pub mark: u32,
    /// The owner's control group; 0 if unknown.
    pub cgroup: u64,
}

/// Where the kernel view found a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Watched from its SYN.
    #[default]
    Watched,
    /// There when the probe started: the handshake was not observed.
    Backfilled,
    /// Seen by `sock_diag` only.
    Polled,
}

/// Something that happened to a socket or a listener at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// The moment, or the end of the interval in which it was counted.
    pub at: BootNanos,
    /// The run of the kernel.
    pub boot: BootId,
    /// The socket's cookie, or the listener's.
    pub cookie: u64,
    /// Cookie of the network namespace; 0 if unknown.
    pub netns: u64,
    /// The socket's or the listener's own end.
    pub local: Endpoint,
    /// The far end; absent for a listener.
    pub peer: Option<Endpoint>,
    /// What happened.
    pub kind: IncidentKind,
    /// How often: 1 or more.
    pub count: u32,
    /// Length of the accept queue and its bound, if known.
    pub queue: Option<Queue>,
}

/// An accept queue at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Queue {
    /// Connections that waited.
    pub length: u32,
    /// How many may wait.
    pub max: u32,
}

/// What happened to a socket or a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IncidentKind {
    /// A segment with data or FIN was sent again.
    Retransmit,
    /// The peer closed its receive window while data waited.
    ZeroWindow,
    /// The accept queue was full.
    AcceptOverflow,
    /// The SYN queue was full.
    SynOverflow,
    /// The kernel answered by SYN cookies.
    SynCookies,
}

/// What the kernel counted on one socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// SYNs sent again.
    pub syn_retransmits: u32,
    /// SYN-ACKs sent again.
    pub syn_ack_retransmits: u32,
    /// Other segments sent again.
    pub retransmits: u32,
    /// Smoothed round-trip time, microseconds; 0 if unknown.
    pub srtt_us: u32,
    /// Minimum round-trip time, microseconds; 0 if unknown.
    pub min_rtt_us: u32,
    /// Application bytes that the peer acknowledged.
    pub bytes_acked: u64,
    /// Application bytes received.
    pub bytes_received: u64,
    /// Segments sent.
    pub segments_out: u32,
    /// Segments received.
    pub segments_in: u32,
}

/// The id that a SYN carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The id.
    pub id: TraceId,
    /// What became of it.
    pub state: TagState,
}

/// What became of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagState {
    /// Sent with our SYN; the peer's SYN-ACK did not answer it (yet).
    Sent,
    /// Sent with our SYN; the peer's SYN-ACK answered it.
    Answered,
    /// Received, and authentic.
    Believed,
    /// Received, and not believed.
    Disbelieved,
}

/// One HTTP stream, gRPC call or whole TCP session, as the proxy saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Envoy's `connection.id` of the downstream connection.
    pub downstream_connection: u64,
    /// The id that the filter minted for that connection.
    pub connection_trace_id: Option<TraceId>,
    /// The request's trace.
    pub trace_id: TraceId,
    /// The request's own span.
    pub span_id: SpanId,
    /// The span that the request's context named.
    pub parent_span_id: Option<SpanId>,
    /// W3C trace flags.
    pub trace_flags: u8,
    /// W3C trace state, as it came.
    pub tracestate: Box<str>,
    /// When the request began.
    pub started_at: UnixNanos,
    /// How long it took.
    pub duration_ns: u64,
    /// The downstream connection's ends as the proxy names them, the gateway's as `local`.
    pub downstream: Option<ConnKey>,
    /// The ends of the TCP connection itself, where the proxy tells them apart (PROXY protocol,
    /// redirection).
    pub direct: Option<ConnKey>,
    /// From the connection's beginning to the end of its TLS handshake.
    pub tls_handshake_ns: Option<u64>,
    /// Contexts that the request follows without being their child.
    pub links: Vec<TraceLink>,
    /// What was asked.
    pub http: Http,
    /// Where it was sent last; absent if the proxy answered by itself.
    pub upstream: Option<Upstream>,
}

/// What was asked and answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Http {
    /// Request method.
    pub method: Box<str>,
    /// Path without query.
    pub path: Box<str>,
    /// `:authority` or `Host`.
    pub authority: Box<str>,
    /// Such as `HTTP/2`.
    pub protocol: Box<str>,
    /// Status code; 0 if there was no response.
    pub status: u16,
    /// Whether it is a gRPC call.
    pub grpc: bool,
    /// Status of a gRPC call.
    pub grpc_status: Option<u32>,
    /// Envoy's response flag bits.
    pub response_flags: u64,
    /// Envoy's response code details.
    pub response_details: Box<str>,
    /// Body bytes of the request.
    pub request_bytes: u64,
    /// Body bytes of the response.
    pub response_bytes: u64,
    /// `x-request-id`.
    pub request_id: Box<str>,
    /// `key=value` label on the traffic.
    pub dye: Box<str>,
    /// W3C baggage, as it was sent on.
    pub baggage: Box<str>,
    /// Envoy's route name.
    pub route: Box<str>,
    /// What stopped the request on purpose.
    pub mark: Option<Mark>,
    /// A whole TCP session: there is no method, path or status.
    pub tcp_session: bool,
    /// The server name that the client asked for (SNI).
    pub server_name: Box<str>,
    /// Headers that the filter's configuration lists.
    pub headers: Vec<Header>,
    /// From the request's first byte until its whole head was there.
    pub head_ns: Option<u64>,
}

/// A circuit breaker or a limit that stopped a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Such as `CIRCUIT_OPEN`.
    pub reason: Box<str>,
    /// When.
    pub at: UnixNanos,
}

/// One header as it was captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// In lower case.
    pub name: Box<str>,
    /// As the configuration lets it be seen.
    pub value: Box<str>,
    /// Of the response, not of the request.
    pub response: bool,
}

/// A span of another trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceLink {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its span.
    pub span_id: SpanId,
    /// Why it is linked.
    pub kind: TraceLinkKind,
}

/// Why a request is linked to a span of another trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceLinkKind {
    /// The request brought this context over an edge that is not trusted.
    Restarted,
    /// The connection's trace had enough requests.
    Rotated,
}

/// The last upstream attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The gateway's end; absent when no connection was ready.
    pub local: Option<Endpoint>,
    /// The service's end.
    pub peer: Endpoint,
    /// Envoy's cluster.
    pub cluster: Box<str>,
    /// How long the request waited for a connection.
    pub pool_wait_ns: Option<u64>,
    /// Attempts made, this one included.
    pub attempts: u32,
    /// Envoy's transport failure reason; empty for none.
    pub failure: Box<str>,
    /// First byte sent until the last byte of the answer was received.
    pub first_byte_ns: Option<u64>,
}

// === impl Fact ===

impl Fact {
    /// Returns whether only a probe tells it.
    pub(crate) const fn is_of_kernel(&self) -> bool {
        matches!(
            self,
            Self::Connection(_) | Self::Incident(_) | Self::Rung(_)
        )
    }
}

// === impl Http ===

impl Http {
    /// Returns whether the client's connection carries several requests at once.
    #[must_use]
    pub fn is_multiplexed(&self) -> bool {
        matches!(&*self.protocol, "HTTP/2" | "HTTP/3" | "h2")
    }
}

// === impl SenderId ===

impl fmt::Debug for SenderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{:016x}", self.name, self.epoch)
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// Returns what names the socket.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        ConnectionId::Socket {
            boot: self.boot,
            cookie: self.cookie,
        }
    }

    /// Returns the first moment at which the socket is known to have been there.
    #[must_use]
    pub fn began_at(&self) -> BootNanos {
        let first_seen_at = self.watch.first_seen_at.unwrap_or(self.seen_at);
        self.syn_at.or(self.established_at).unwrap_or(first_seen_at)
    }
}

// === impl Incident ===

impl Incident {
    /// Returns what names the socket that it happened to.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        ConnectionId::Socket {
            boot: self.boot,
            cookie: self.cookie,
        }
    }
}

// === names ===

impl Origin {
    /// Returns the name that the API shows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Watched => "watched",
            Self::Backfilled => "backfilled",
            Self::Polled => "polled",
        }
    }
}

impl IncidentKind {
    /// Returns the name that the API and metrics show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retransmit => "retransmit",
            Self::ZeroWindow => "zero_window",
            Self::AcceptOverflow => "accept_overflow",
            Self::SynOverflow => "syn_overflow",
            Self::SynCookies => "syn_cookies",
        }
    }
}

impl TraceLinkKind {
    /// Returns the name that the API and spans show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Restarted => "restarted",
            Self::Rotated => "rotated",
        }
    }
}

// === impl Report ===

impl Report {
    /// Returns whether the report tells the request's parts. It does for the first request of a
    /// connection; for another, only if there was something to tell.
    #[must_use]
    pub fn is_detailed(&self) -> bool {
        let upstream = self.upstream.as_ref();
        !self.http.response_details.is_empty()
            || upstream.is_some_and(|upstream| {
                upstream.pool_wait_ns.is_some() || upstream.first_byte_ns.is_some()
            })
    }

    /// Returns whether the request was given to a connection to the service.
    #[must_use]
    pub fn was_sent(&self) -> bool {
        self.upstream
            .as_ref()
            .is_some_and(|upstream| upstream.local.is_some())
    }

    /// Returns when the request ended, on the proxy's clock.
    #[must_use]
    pub fn ended_at(&self) -> UnixNanos {
        self.started_at.plus_ns(self.duration_ns)
    }
}
