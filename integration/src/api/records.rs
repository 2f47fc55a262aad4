//! The shapes of the bridge's records, as its HTTP API documents them.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde::Deserialize;

/// One end of a TCP connection, or a downstream connection that only the proxy saw.
#[derive(Clone, Debug, Deserialize)]
#[expect(
    missing_docs,
    reason = "named and described by the API's documentation"
)]
pub struct Connection {
    pub id: String,
    pub trace_id: String,
    pub trace_id_source: String,
    pub aliases: Vec<String>,
    pub opening: Option<Opening>,
    pub role: Option<String>,
    pub local: Option<SocketAddr>,
    pub peer: Option<SocketAddr>,
    pub outcome: Option<String>,
    pub errno: Option<u32>,
    pub tag: Option<Tag>,
    pub owner: Option<Owner>,
    pub syn_at: Option<Timestamp>,
    pub syn_ack_at: Option<Timestamp>,
    pub established_at: Option<Timestamp>,
    pub accepted_at: Option<Timestamp>,
    pub closed_at: Option<Timestamp>,
    pub counters: Option<Counters>,
    pub requests: Vec<Link>,
    pub cause: Option<Cause>,
    pub settled: bool,
}

/// Who sent the SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Opening {
    /// This end did.
    Active,
    /// The peer did.
    Passive,
}

/// The id in the SYN's option.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[expect(
    missing_docs,
    reason = "named and described by the API's documentation"
)]
pub struct Tag {
    pub id: String,
    pub state: String,
}

/// Who owns a socket: who connected, or who accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[expect(
    missing_docs,
    reason = "named and described by the API's documentation"
)]
pub struct Owner {
    pub pid: u32,
    pub tid: u32,
}

/// Counters of one socket; only those that are shown.
#[derive(Clone, Copy, Debug, Deserialize)]
#[expect(
    missing_docs,
    reason = "named and described by the API's documentation"
)]
pub struct Counters {
    pub syn_retransmits: u32,
    pub retransmits: u32,
    pub srtt_us: u32,
    pub bytes_acked: u64,
    pub bytes_received: u64,
}

/// A request, as a connection lists it.
#[derive(Clone, Debug, Deserialize)]
#[expect(
    missing_docs,
    reason = "named and described by the API's documentation"
)]
pub struct Link {
    pub id: String,
    pub trace_id: String,
    pub kind: String,
}

/// One HTTP stream or gRPC call.
#[derive(Clone, Debug, Deserialize)]
#[expect(
    missing_docs,
    reason = "named and described by the API's documentation"
)]
pub struct Request {
    pub id: String,
    pub trace_id: String,
    pub started_at: Timestamp,
    pub duration_ns: u64,
    pub method: String,
    pub path: String,
    pub protocol: String,
    pub status: Option<u16>,
    pub grpc_status: Option<u32>,
    pub dye: Option<String>,
    pub response_flags: Vec<String>,
    pub upstream: Option<Upstream>,
    pub received_on: Join,
    pub served_by: Option<Join>,
    pub opened: Option<Join>,
    pub cause: Cause,
    pub time: Time,
    #[serde(default)]
    pub phases: Vec<Phase>,
    pub settled: bool,
}

/// A part of a request's time.
#[derive(Clone, Debug, Deserialize)]
#[expect(
    missing_docs,
    reason = "named and described by the API's documentation"
)]
pub struct Phase {
    pub name: String,
    pub party: String,
    pub duration_ns: u64,
}

/// Where a request's time went, nanoseconds.
#[derive(Clone, Copy, Debug, Deserialize)]
#[expect(
    missing_docs,
    reason = "named and described by the API's documentation"
)]
pub struct Time {
    pub client_ns: u64,
    pub network_ns: u64,
    pub kernel_ns: u64,
    pub proxy_ns: u64,
    pub service_ns: u64,
    pub unknown_ns: u64,
}

/// The upstream attempt that the proxy reported.
#[derive(Clone, Debug, Deserialize)]
#[expect(
    missing_docs,
    reason = "named and described by the API's documentation"
)]
pub struct Upstream {
    pub local: Option<SocketAddr>,
    pub peer: Option<SocketAddr>,
    pub failure: Option<String>,
    pub attempts: Option<u32>,
    pub pool_wait_ns: Option<u64>,
    pub first_byte_ns: Option<u64>,
}

/// How a request was assigned to a connection, or why it was not.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
#[expect(
    missing_docs,
    reason = "named and described by the API's documentation"
)]
pub enum Join {
    Made {
        connection: String,
        trace_id: String,
        method: String,
        confidence: String,
        candidates: u32,
        /// All that fit, where that is ambiguous.
        #[serde(default)]
        candidate_ids: Vec<String>,
    },
    Missing {
        missing: String,
    },
}

/// Who is answerable for the time and the failure.
#[derive(Clone, Debug, Deserialize)]
#[expect(
    missing_docs,
    reason = "named and described by the API's documentation"
)]
pub struct Cause {
    pub party: String,
    pub code: String,
    pub sentence: String,
    pub confidence: String,
}

/// Everything under one id.
#[derive(Clone, Debug, Deserialize)]
#[expect(
    missing_docs,
    reason = "named and described by the API's documentation"
)]
pub struct Trace {
    pub connections: Vec<Connection>,
    pub requests: Vec<Request>,
}

/// What is joined, and what was lost.
#[derive(Clone, Debug, Deserialize)]
#[expect(
    missing_docs,
    reason = "named and described by the API's documentation"
)]
pub struct Coverage {
    pub rung: Option<Rung>,
    pub lost: u64,
    pub late: u64,
    pub undecodable: u64,
    pub senders: Vec<Sender>,
}

/// What the probe can see.
#[derive(Clone, Debug, Deserialize)]
#[expect(
    missing_docs,
    reason = "named and described by the API's documentation"
)]
pub struct Rung {
    pub name: String,
    pub missing: Vec<String>,
}

/// One run of a probe or of a filter.
#[derive(Clone, Debug, Deserialize)]
#[expect(
    missing_docs,
    reason = "named and described by the API's documentation"
)]
pub struct Sender {
    pub name: String,
    pub epoch: String,
    pub received: u64,
    pub missing: u64,
    pub goodbye: bool,
}

// === impl Join ===

impl Join {
    /// Returns the connection's id, where the join was made.
    #[must_use]
    pub fn connection(&self) -> Option<&str> {
        match self {
            Self::Made { connection, .. } => Some(connection),
            Self::Missing { .. } => None,
        }
    }

    /// Returns whether the join was made by `method` and is certain.
    #[must_use]
    pub fn is_certain(&self, by: &str) -> bool {
        self.is(by, "certain")
    }

    /// Returns whether the join was made by `method` and is likely.
    #[must_use]
    pub fn is_likely(&self, by: &str) -> bool {
        self.is(by, "likely")
    }

    fn is(&self, by: &str, how: &str) -> bool {
        matches!(self, Self::Made { method, confidence, .. } if method == by && confidence == how)
    }
}

impl std::fmt::Display for Join {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Made {
                method,
                confidence,
                candidates: 0 | 1,
                ..
            } => write!(f, "{method}, {confidence}"),
            Self::Made {
                method,
                confidence,
                candidates,
                ..
            } => write!(f, "{method}, {confidence} of {candidates}"),
            Self::Missing { missing } => write!(f, "{missing}"),
        }
    }
}

// === impl Time ===

impl Time {
    /// Returns the sum over all parties.
    #[must_use]
    pub fn total_ns(self) -> u64 {
        self.client_ns
            + self.network_ns
            + self.kernel_ns
            + self.proxy_ns
            + self.service_ns
            + self.unknown_ns
    }
}
