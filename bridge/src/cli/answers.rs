//! The bridge's answers, as far as the command line prints them in words.
//!
//! Parsed as the HTTP API documents them, and leniently: a newer bridge has more fields.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::text;

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Cause {
    pub(super) party: String,
    pub(super) code: String,
    pub(super) sentence: String,
    #[serde(default)]
    pub(super) evidence: Vec<String>,
    pub(super) confidence: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Request {
    pub(super) id: String,
    pub(super) trace_id: String,
    pub(super) started_at: Timestamp,
    pub(super) duration_ns: u64,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) status: Option<u16>,
    pub(super) grpc_status: Option<u32>,
    pub(super) request_id: String,
    pub(super) received_on: Join,
    pub(super) opened: Option<Join>,
    pub(super) served_by: Option<Join>,
    pub(super) cause: Cause,
    #[serde(default)]
    pub(super) phases: Vec<Phase>,
    pub(super) settled: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Join {
    pub(super) connection: Option<String>,
    #[serde(default)]
    pub(super) method: String,
    #[serde(default)]
    pub(super) confidence: String,
    #[serde(default)]
    pub(super) missing: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Phase {
    pub(super) name: String,
    #[serde(default)]
    pub(super) party: String,
    pub(super) duration_ns: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Connection {
    pub(super) id: String,
    pub(super) trace_id: String,
    pub(super) trace_id_source: String,
    pub(super) aliases: Vec<String>,
    pub(super) opening: Option<String>,
    pub(super) role: Option<String>,
    pub(super) local: Option<String>,
    pub(super) peer: Option<String>,
    pub(super) outcome: Option<String>,
    pub(super) syn_at: Option<Timestamp>,
    pub(super) syn_ack_at: Option<Timestamp>,
    pub(super) established_at: Option<Timestamp>,
    pub(super) accepted_at: Option<Timestamp>,
    pub(super) closed_at: Option<Timestamp>,
    #[serde(default)]
    pub(super) incidents: Vec<Incident>,
    pub(super) requests: Vec<Link>,
    pub(super) requests_evicted: u64,
    pub(super) cause: Option<Cause>,
    /// Flags, or words, by what is covered.
    pub(super) coverage: serde_json::Map<String, Value>,
    pub(super) settled: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Incident {
    pub(super) at: Option<Timestamp>,
    pub(super) kind: String,
    #[serde(default)]
    pub(super) count: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Link {
    pub(super) started_at: Timestamp,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Trace {
    pub(super) connections: Vec<Connection>,
    pub(super) requests: Vec<Request>,
    pub(super) incomplete: Option<Incomplete>,
}

/// What an answer leaves out.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Incomplete {
    pub(super) records: u64,
    pub(super) from: Option<Timestamp>,
    pub(super) to: Option<Timestamp>,
}

/// What the slowest requests were chosen from.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Among {
    pub(super) requests: u64,
    pub(super) slowest: u64,
    pub(super) duration_ns: Option<u64>,
    /// When the oldest that was looked at began, if that is not all.
    pub(super) counted_since: Option<Timestamp>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Causes {
    pub(super) requests: u64,
    /// Those that failed or were slow.
    pub(super) failed: u64,
    pub(super) causes: Vec<Count>,
    /// Connections with trouble that is in no request's time.
    pub(super) unattributed: Option<Unattributed>,
    pub(super) incomplete: Option<Incomplete>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Unattributed {
    pub(super) connections: u64,
    pub(super) retransmitted: u64,
    pub(super) waited: u64,
    pub(super) looked_at: u64,
    pub(super) example: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Count {
    pub(super) party: String,
    pub(super) code: String,
    /// Requests, and connections that failed without failing one.
    pub(super) count: u64,
    #[serde(default)]
    pub(super) requests: u64,
    pub(super) example: Example,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Example {
    pub(super) id: String,
    pub(super) sentence: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Coverage {
    pub(super) rung: Option<Rung>,
    pub(super) connections: Records,
    pub(super) requests: Requests,
    pub(super) senders: Vec<Sender>,
    pub(super) late: u64,
    pub(super) undecodable: u64,
    pub(super) lost: u64,
    #[serde(default)]
    pub(super) export: Export,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Export {
    pub(super) exported: u64,
    pub(super) refused: u64,
    pub(super) queue_full: u64,
    #[serde(default)]
    pub(super) failing: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Rung {
    pub(super) name: String,
    pub(super) missing: Vec<String>,
    #[serde(default)]
    pub(super) counted: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Records {
    pub(super) live: u64,
    pub(super) settled: u64,
    pub(super) evicted: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Requests {
    pub(super) live: u64,
    pub(super) settled: u64,
    pub(super) evicted: u64,
    pub(super) joined: Vec<Joined>,
    pub(super) unjoined: Vec<Unjoined>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Joined {
    pub(super) method: String,
    pub(super) confidence: String,
    pub(super) count: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Unjoined {
    pub(super) missing: String,
    pub(super) count: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Sender {
    pub(super) name: String,
    pub(super) received: u64,
    pub(super) missing: u64,
    pub(super) goodbye: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Health {
    pub(super) status: String,
    pub(super) missing: Vec<String>,
    pub(super) incomplete: Option<Incomplete>,
}

// === impl Incomplete ===

impl fmt::Display for Incomplete {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records = text::counted(self.records, "settled record");
        write!(to, "{records} cannot be read until rebuilt from the log")?;
        match (self.from, self.to) {
            (Some(from), Some(until)) => {
                let (from, until) = (text::clock(from), text::clock(until));
                write!(to, "; what is missing began between {from} and {until}")
            }
            _ => Ok(()),
        }
    }
}

// === impl Count ===

impl Count {
    /// Returns how many connects failed without failing a request.
    pub(super) const fn connects(&self) -> u64 {
        self.count.saturating_sub(self.requests)
    }
}

// === impl Connection ===

impl Connection {
    /// Returns the first moment at which it is known to have been there.
    pub(super) fn began_at(&self) -> Option<Timestamp> {
        let first_request = self.requests.first().map(|link| link.started_at);
        self.syn_at.or(self.established_at).or(first_request)
    }

    /// Returns both ends, the one that opened it first.
    pub(super) fn ends(&self) -> String {
        match (&self.local, &self.peer) {
            (Some(local), Some(peer)) if self.opening.as_deref() == Some("passive") => {
                format!("{peer} → {local}")
            }
            (Some(local), Some(peer)) => format!("{local} → {peer}"),
            _ => "addresses not known".to_owned(),
        }
    }

    /// Returns both ends, the observed one first: what it sent went that way.
    pub(super) fn outwards(&self) -> String {
        match (&self.local, &self.peer) {
            (Some(local), Some(peer)) => format!("{local} → {peer}"),
            _ => "addresses not known".to_owned(),
        }
    }
}

// === impl Request ===

impl Request {
    /// Returns whether it ended in an error.
    pub(super) fn is_failure(&self) -> bool {
        self.cause.code != "completed" && self.status.is_none_or(|status| status >= 400)
            || self.grpc_status.is_some_and(|status| status > 0)
    }
}
