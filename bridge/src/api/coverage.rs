//! `GET /v1/coverage`: what was seen, what was joined, and the loss ledger.

use std::collections::BTreeMap;

use axum::extract::State as Extract;
use serde::Serialize;
use syntrace_core::{SenderCoverage, fact};
use utoipa::ToSchema;

use super::{State, json::Json};
use crate::log::health::Left;

/// Codes of batches that could not be read.
const UNDECODABLE: [&str; 4] = ["undecodable", "invalid_batch", "newer_schema", "too_large"];

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Ledger)]
pub(super) struct Coverage {
    rung: Option<Rung>,
    connections: Connections,
    requests: Requests,
    senders: Vec<Sender>,
    late: u64,
    duplicates: u64,
    contradictions: BTreeMap<&'static str, u64>,
    /// Facts that were refused, by the field that is invalid; the others of their batch are accepted.
    refused: BTreeMap<&'static str, u64>,
    /// Batches that could not be read.
    undecodable: u64,
    log: Log,
    export: Export,
    /// All gaps, and everything that senders report as lost.
    lost: u64,
}

/// What was appended to the log and cannot be read from it any more.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LogDamage)]
struct Log {
    /// Batches that are not there any more, because a file was damaged or removed.
    missing: u64,
    /// Batches that this version of the bridge cannot read.
    unreadable: u64,
    /// Bytes that were cut off its end at the start, after the last whole batch.
    torn_bytes: u64,
}

/// What became of spans.
#[derive(Debug, Serialize, ToSchema)]
struct Export {
    /// Accepted by the collector.
    exported: u64,
    /// Not accepted.
    refused: u64,
    /// Lost before they could be exported.
    queue_full: u64,
    /// The collector accepts nothing at present.
    failing: bool,
}

#[derive(Debug, Serialize, ToSchema)]
struct Rung {
    name: String,
    missing: Vec<String>,
    /// What the probe left undone or did not believe, since it began; none of it is a loss.
    counted: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConnectionCounts)]
struct Connections {
    live: usize,
    settled: u64,
    evicted: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RequestCounts)]
struct Requests {
    live: usize,
    settled: u64,
    evicted: u64,
    joined: Vec<Joined>,
    unjoined: Vec<Unjoined>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Joined {
    method: &'static str,
    confidence: &'static str,
    count: u64,
}

#[derive(Debug, Serialize, ToSchema)]
struct Unjoined {
    missing: &'static str,
    count: u64,
}

#[derive(Debug, Serialize, ToSchema)]
struct Sender {
    name: String,
    epoch: String,
    received: u64,
    missing: u64,
    lost: BTreeMap<String, u64>,
    goodbye: bool,
}

/// Shows what was seen, what was joined, and what was lost.
#[utoipa::path(get, path = "/v1/coverage", responses((status = 200, body = Coverage)))]
pub(super) async fn show(Extract(state): Extract<State>) -> Json<Coverage> {
    let coverage = state.view.coverage();
    let joined = coverage.requests_joined.iter();
    let unjoined = coverage.requests_unjoined.iter();
    Json(Coverage {
        rung: coverage.rung.as_ref().map(Rung::from),
        connections: Connections {
            live: coverage.connections_live,
            settled: coverage.connections_settled,
            evicted: coverage.connections_evicted,
        },
        requests: Requests {
            live: coverage.requests_live,
            settled: coverage.requests_settled,
            evicted: coverage.requests_evicted,
            joined: joined
                .map(|(&(method, confidence), &count)| Joined {
                    method: method.name(),
                    confidence,
                    count,
                })
                .collect(),
            unjoined: unjoined
                .map(|(missing, &count)| Unjoined {
                    missing: missing.name(),
                    count,
                })
                .collect(),
        },
        lost: coverage.lost(),
        senders: coverage.senders.iter().map(Sender::from).collect(),
        late: coverage.late,
        duplicates: coverage.duplicates,
        contradictions: coverage.contradictions,
        refused: coverage.refused,
        undecodable: state.metrics.refused_with(&UNDECODABLE),
        log: state.log.health().left.into(),
        export: Export {
            exported: state.metrics.spans.exported.get(),
            refused: state.metrics.spans.refused.get(),
            queue_full: state.metrics.spans.queue_full.get(),
            failing: state.metrics.spans.failing.get() != 0,
        },
    })
}

impl From<Left> for Log {
    fn from(left: Left) -> Self {
        let Left {
            torn_bytes,
            missing,
            unreadable,
        } = left;
        Self {
            missing,
            unreadable,
            torn_bytes,
        }
    }
}

impl From<&fact::Rung> for Rung {
    fn from(rung: &fact::Rung) -> Self {
        Self {
            name: rung.name.to_string(),
            missing: rung.missing.iter().map(ToString::to_string).collect(),
            counted: by_name(&rung.counted),
        }
    }
}

impl From<&SenderCoverage> for Sender {
    fn from(coverage: &SenderCoverage) -> Self {
        Self {
            name: coverage.sender.name.to_string(),
            epoch: format!("{:016x}", coverage.sender.epoch),
            received: coverage.received,
            missing: coverage.missing,
            lost: by_name(&coverage.lost),
            goodbye: coverage.goodbye,
        }
    }
}

fn by_name(counts: &[(Box<str>, u64)]) -> BTreeMap<String, u64> {
    let counts = counts.iter();
    counts
        .map(|(name, count)| (name.to_string(), *count))
        .collect()
}
