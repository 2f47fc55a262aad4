//! What a probe reports: sockets, and what happened to them.

use syntrace_model::{
    BootId, BootNanos, ConnKey, ConnectionId, Endpoint, Opening, Outcome, TraceId,
};

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
    /// The owner had the accepted socket; exact if `accepted_exactly`, else an upper bound.
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
    /// The listener defers the accept until data arrive (`TCP_DEFER_ACCEPT`).
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
    /// Open when the probe started: the handshake was not observed.
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

/// Of how many connections that end well the probe reports one, from a moment on: of the others nothing is told, not
/// even that they are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// The moment.
    pub at: BootNanos,
    /// At least 1: all are reported.
    pub one_in: u32,
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
    /// A segment with data or FIN was retransmitted.
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
    /// SYNs retransmitted.
    pub syn_retransmits: u32,
    /// SYN-ACKs retransmitted.
    pub syn_ack_retransmits: u32,
    /// Other segments retransmitted.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag {
    /// The id.
    pub id: TraceId,
    /// What became of it.
    pub state: TagState,
}

/// What became of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

    /// Returns the first moment at which the socket is known to have existed.
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

// === impl Origin ===

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

// === impl IncidentKind ===

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
