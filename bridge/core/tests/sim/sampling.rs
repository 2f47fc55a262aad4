//! A probe whose ring is too small for all: of the connections that end well it tells of some.

use std::collections::BTreeSet;

use syntrace_core::fact::{Fact, Origin, Sampling, Snapshot};
use syntrace_model::{BootNanos, Outcome};

use super::{World, worker::Seen};

/// Leaves out what a probe does that reports one of `one_in` connections from one moment until another; returns how
/// many connections that were.
pub fn sample(world: &mut World, from: u64, until: u64, one_in: u32) -> u64 {
    let probes = world.senders.iter_mut();
    let mut left_out = BTreeSet::new();
    for probe in probes.filter(|sender| sender.name == "probe") {
        let snapshots = || probe.facts.iter().filter_map(snapshot);
        let is_told: BTreeSet<u64> = snapshots()
            .filter(|snapshot| !ends_well(snapshot))
            .map(|snapshot| snapshot.cookie)
            .collect();
        let is_within = |snapshot: &Snapshot| {
            let at = snapshot.established_at.map(|at| at.0);
            at.is_some_and(|at| (from..until).contains(&at))
        };
        left_out.extend(
            snapshots()
                .filter(|snapshot| is_within(snapshot) && !is_told.contains(&snapshot.cookie))
                .map(|snapshot| snapshot.cookie)
                .filter(|cookie| !cookie.is_multiple_of(one_in.into())),
        );
        probe.facts.retain(|seen| {
            snapshot(seen).is_none_or(|snapshot| !left_out.contains(&snapshot.cookie))
        });
        let changes = [(from, one_in), (until, 1)].map(|(at, one_in)| Seen {
            at,
            fact: Fact::Sampling(Sampling {
                at: BootNanos(at),
                one_in,
            }),
        });
        probe.facts.extend(changes);
        probe.facts.sort_by_key(|seen| seen.at);
    }
    left_out.len() as u64
}

fn snapshot(seen: &Seen) -> Option<&Snapshot> {
    match &seen.fact {
        Fact::Connection(snapshot) => Some(snapshot),
        Fact::Clock(_)
        | Fact::Request(_)
        | Fact::Rung(_)
        | Fact::Incident(_)
        | Fact::Sampling(_)
        | Fact::Refused(_) => None,
    }
}

/// Whether a probe that samples may leave out what this tells of.
fn ends_well(snapshot: &Snapshot) -> bool {
    let is_repeated =
        snapshot.counters.syn_retransmits > 0 || snapshot.counters.syn_ack_retransmits > 0;
    snapshot.watch.origin == Origin::Watched
        && matches!(
            snapshot.outcome,
            Outcome::Connecting | Outcome::Established | Outcome::Closed
        )
        && !is_repeated
}
