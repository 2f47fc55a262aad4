//! The bridge's answers, as its HTTP API documents them, and a small client.
//!
//! Written against the documentation and not against the bridge's code: a field that goes missing or
//! changes its type fails here.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};

/// The bridge answers from memory.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// Records on a page, as many as the bridge allows.
const LIMIT: u32 = 1000;

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

/// Asks the bridge.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    agent: ureq::Agent,
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
        matches!(self, Self::Made { method, confidence, .. } if method == by && confidence == "certain")
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

// === impl Client ===

impl Client {
    /// Talks to the bridge at `address`.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(ANSWER_DEADLINE))
            .proxy(None)
            .build();
        Self {
            base: format!("http://{address}"),
            agent: config.into(),
        }
    }

    /// Returns the address to which the paths are appended.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Lists all connections, newest first.
    ///
    /// # Errors
    ///
    /// Fails if the bridge does not answer as documented.
    pub fn connections(&self) -> anyhow::Result<Vec<Connection>> {
        #[derive(Deserialize)]
        struct Page {
            connections: Vec<Connection>,
            next: Option<String>,
        }
        self.pages("/v1/connections", |page: Page| {
            (page.connections, page.next)
        })
    }

    /// Lists all requests, newest first.
    ///
    /// # Errors
    ///
    /// Fails if the bridge does not answer as documented.
    pub fn requests(&self) -> anyhow::Result<Vec<Request>> {
        #[derive(Deserialize)]
        struct Page {
            requests: Vec<Request>,
            next: Option<String>,
        }
        self.pages("/v1/requests", |page: Page| (page.requests, page.next))
    }

    /// Returns everything under a trace id or an alias.
    ///
    /// # Errors
    ///
    /// Fails if the id is unknown, or if the bridge does not answer as documented.
    pub fn trace(&self, id: &str) -> anyhow::Result<Trace> {
        self.get(&format!("/v1/traces/{id}"))
    }

    /// Returns what is joined and what was lost.
    ///
    /// # Errors
    ///
    /// Fails if the bridge does not answer as documented.
    pub fn coverage(&self) -> anyhow::Result<Coverage> {
        self.get("/v1/coverage")
    }

    /// Follows a list to its end; `open` parts a page into its records and the cursor of the next one.
    fn pages<Page: DeserializeOwned, T>(
        &self,
        path: &str,
        open: impl Fn(Page) -> (Vec<T>, Option<String>),
    ) -> anyhow::Result<Vec<T>> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let (records, next) = open(self.get(&format!("{path}?limit={LIMIT}{cursor}"))?);
            all.extend(records);
            match next {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(all),
            }
        }
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let url = format!("{}{path}", self.base);
        let asking = || format!("GET {url}");
        let mut response = self.agent.get(&url).call().with_context(asking)?;
        let body = response.body_mut().read_to_string().with_context(asking)?;
        serde_json::from_str(&body).with_context(asking)
    }
}
