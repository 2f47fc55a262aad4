//! Holds what the bridge says against what clients, the wire and Envoy say. Pure: evidence in, complaints out.

mod consistency;
#[cfg(test)]
mod tests;
mod witnesses;

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    traffic::Evidence,
    wire::{self, Tuple},
};
use crate::api::{Connection, Coverage, Request, Trace};

/// What the bridge said.
#[derive(Clone, Debug)]
pub struct Answers {
    /// All connections.
    pub connections: Vec<Connection>,
    /// All requests.
    pub requests: Vec<Request>,
    /// Its own account.
    pub coverage: Coverage,
    /// For each trace id and alias, what is under it.
    pub traces: BTreeMap<String, Trace>,
}

/// The demo's last line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// TCP connections, both ends as one.
    pub connections: usize,
    /// Those of them that the proxy's view was joined to.
    pub l4_and_l7: usize,
    /// Those that carried no request.
    pub l4_only: usize,
    /// Requests.
    pub requests: usize,
    /// Those joined as they should be, on both sides.
    pub requests_joined: usize,
    /// Facts that were lost on the way to the bridge.
    pub lost: u64,
    /// Complaints.
    pub errors: usize,
}

/// Judges; each complaint is one line.
#[must_use]
pub fn judge(evidence: &Evidence, answers: &Answers) -> (Summary, Vec<String>) {
    let (wires, apart) = wire::group(&answers.connections);
    let mut complaints: Vec<String> = Vec::new();
    complaints.extend(
        apart
            .iter()
            .map(|end| format!("connection {} has no addresses or direction", end.id)),
    );
    complaints.extend(witnesses::against_the_wire(evidence, &wires));
    complaints.extend(witnesses::against_the_clients(evidence, answers, &wires));
    complaints.extend(witnesses::against_envoy(evidence, &wires));
    complaints.extend(consistency::joins(answers, &wires));
    complaints.extend(consistency::ids(answers, &wires));
    complaints.extend(losses(&answers.coverage));
    let l4_and_l7 = wires.values().filter(|wire| wire.has_requests()).count();
    let summary = Summary {
        connections: wires.len(),
        l4_and_l7,
        l4_only: wires.len() - l4_and_l7,
        requests: answers.requests.len(),
        requests_joined: answers
            .requests
            .iter()
            .filter(|request| consistency::is_joined(request, answers))
            .count(),
        lost: answers.coverage.lost,
        errors: complaints.len(),
    };
    (summary, complaints)
}

/// Nothing was lost on the way.
fn losses(coverage: &Coverage) -> Vec<String> {
    let counts = [
        ("lost", coverage.lost),
        ("late", coverage.late),
        ("undecodable", coverage.undecodable),
    ];
    let mut complaints: Vec<String> = counts
        .into_iter()
        .filter(|(_, n)| *n > 0)
        .map(|(what, n)| format!("{n} facts {what}"))
        .collect();
    if let Some(rung) = coverage.rung.as_ref().filter(|rung| rung.name != "full") {
        complaints.push(format!(
            "the probe is on the rung {}: {}",
            rung.name,
            rung.missing.join("; ")
        ));
    }
    complaints
}

fn name((from, to): &Tuple) -> String {
    format!("{from} to {to}")
}

fn call(request: &Request) -> String {
    format!("{} {} ({})", request.method, request.path, request.id)
}
