//! The loss ledger: what each sender sent, what arrived, what is missing.
//!
//! Numbers only; it decides nothing about records.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    checkpoint::SenderState,
    fact::{Batch, IncidentKind, Rung, SenderId},
    record::{Method, Missing},
};

/// Senders remembered; a restart of a sender is a new one.
const SENDERS_MAX: usize = 1024;

/// Runs of received facts remembered for each sender, until the gaps between them are given up.
const RUNS_MAX: usize = 1024;

/// What was seen, joined and lost so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Incidents told, by kind.
    pub incidents: BTreeMap<IncidentKind, u64>,
    /// Incidents that were given up: of too many listeners, or of connections that were never told of.
    pub incidents_evicted: u64,
    /// Each run of each sender, by name and epoch.
    pub senders: Vec<SenderCoverage>,
    /// What the probe can see; absent if none has reported, or if it has said goodbye.
    pub rung: Option<Rung>,
    /// Connections of which more is expected.
    pub connections_live: usize,
    /// Connections of which nothing more is expected.
    pub connections_settled: u64,
    /// Connections whose record was cut short by the bound on live ones.
    pub connections_evicted: u64,
    /// Connections whose end nobody saw: their probe ended, and no other run of it told of them.
    pub connections_unseen: u64,
    /// Requests of which more is expected.
    pub requests_live: usize,
    /// Requests of which nothing more is expected.
    pub requests_settled: u64,
    /// Requests whose record was cut short by the bound on live ones.
    pub requests_evicted: u64,
    /// Settled requests by how they were joined to the connection they came in on.
    pub requests_joined: BTreeMap<(Method, &'static str), u64>,
    /// Settled requests that were not joined to the connection they came in on.
    pub requests_unjoined: BTreeMap<Missing, u64>,
    /// Facts that came after their record was settled.
    pub late: u64,
    /// Facts that came again, without effect.
    pub duplicates: u64,
    /// Connections and requests of which facts contradict each other, by kind.
    pub contradictions: BTreeMap<&'static str, u64>,
    /// Facts without meaning, by the field that has none.
    pub refused: BTreeMap<&'static str, u64>,
}

/// What arrived of one run of one sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderCoverage {
    /// Who.
    pub sender: SenderId,
    /// Different facts that arrived.
    pub received: u64,
    /// Facts below the highest number seen that did not arrive.
    pub missing: u64,
    /// What the sender says that it lost, by cause.
    pub lost: Vec<(Box<str>, u64)>,
    /// Whether it ended in order.
    pub goodbye: bool,
}

// === impl Coverage ===

impl Coverage {
    /// Returns how many facts were lost, by any sender and on any way.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let lost = self.senders.iter().map(SenderCoverage::lost_facts);
        lost.fold(0, u64::saturating_add)
    }
}

// === impl SenderCoverage ===

impl SenderCoverage {
    /// Returns how many facts were lost.
    ///
    /// A fact that its sender lost leaves its number unused, so what the sender counted and what is
    /// missing are the same facts, seen from two sides; either side may know of more.
    #[must_use]
    pub fn lost_facts(&self) -> u64 {
        let told = self.lost.iter().map(|(_, count)| *count);
        self.missing.max(told.fold(0, u64::saturating_add))
    }
}

/// Which facts of a batch are new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum New {
    /// All of them.
    All,
    /// Those that it says.
    Some(Vec<bool>),
}

/// What arrived of every sender.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    senders: BTreeMap<SenderId, Arrivals>,
    /// Batches noted so far.
    heard: u64,
}

/// What arrived of one sender.
#[derive(Debug, Default)]
struct Arrivals {
    /// Received runs, as first number and the number after the last; neither overlapping nor touching.
    runs: BTreeSet<(u64, u64)>,
    received: u64,
    /// Highest number seen, plus one.
    end: u64,
    lost: BTreeMap<Box<str>, u64>,
    goodbye: bool,
    /// [`Ledger::heard`] at its last batch.
    heard: u64,
}

// === impl Ledger ===

impl Ledger {
    /// Notes a batch; returns which of its facts are new.
    pub(crate) fn note(&mut self, batch: &Batch) -> New {
        self.heard += 1;
        if !self.senders.contains_key(&batch.sender) && self.senders.len() >= SENDERS_MAX {
            self.forget_longest_silent();
        }
        let arrivals = self.senders.entry(batch.sender.clone()).or_default();
        arrivals.heard = self.heard;
        for (cause, count) in &batch.losses {
            let lost = arrivals.lost.entry(cause.clone()).or_default();
            *lost = (*lost).max(*count);
        }
        arrivals.goodbye |= batch.goodbye;
        let end = batch.first_seq.saturating_add(batch.facts.len() as u64);
        let new = if arrivals.end <= batch.first_seq {
            New::All
        } else {
            let facts = batch.first_seq..end;
            New::Some(facts.map(|seq| !arrivals.contains(seq)).collect())
        };
        arrivals.add(batch.first_seq, end);
        new
    }

    /// Returns what arrived of each sender, to go on from, and how many batches did.
    pub(crate) fn checkpoint(&self) -> (Vec<SenderState>, u64) {
        let senders = self.senders.iter();
        let senders = senders.map(|(sender, arrivals)| SenderState {
            sender: sender.clone(),
            runs: arrivals.runs.iter().copied().collect(),
            received: arrivals.received,
            end: arrivals.end,
            lost: arrivals.losses(),
            goodbye: arrivals.goodbye,
            heard: arrivals.heard,
        });
        (senders.collect(), self.heard)
    }

    /// Takes back what arrived before.
    pub(crate) fn restore(&mut self, senders: &[SenderState], heard: u64) {
        self.heard = heard;
        for state in senders {
            let arrivals = Arrivals {
                runs: state.runs.iter().copied().collect(),
                received: state.received,
                end: state.end,
                lost: state.lost.iter().cloned().collect(),
                goodbye: state.goodbye,
                heard: state.heard,
            };
            self.senders.insert(state.sender.clone(), arrivals);
        }
    }

    fn forget_longest_silent(&mut self) {
        let silent = self
            .senders
            .iter()
            .min_by_key(|(_, arrivals)| arrivals.heard);
        if let Some(sender) = silent.map(|(sender, _)| sender.clone()) {
            self.senders.remove(&sender);
        }
    }

    /// Returns whether all facts of a sender arrived, from the first that did to the last.
    pub(crate) fn is_whole(&self, sender: &SenderId) -> bool {
        let arrivals = self.senders.get(sender);
        arrivals.is_some_and(|arrivals| arrivals.runs.len() == 1)
    }

    /// Returns whether a sender's facts with these numbers, and all between them, arrived.
    pub(crate) fn is_complete(&self, sender: &SenderId, first: u64, last: u64) -> bool {
        self.senders
            .get(sender)
            .and_then(|arrivals| arrivals.runs.range(..=(first, u64::MAX)).next_back())
            .is_some_and(|&(_, end)| last < end)
    }

    /// Returns what arrived of each sender.
    pub(crate) fn senders(&self) -> Vec<SenderCoverage> {
        self.senders
            .iter()
            .map(|(sender, arrivals)| SenderCoverage {
                sender: sender.clone(),
                received: arrivals.received,
                missing: arrivals.end.saturating_sub(arrivals.received),
                lost: arrivals.losses(),
                goodbye: arrivals.goodbye,
            })
            .collect()
    }
}

// === impl New ===

impl New {
    /// Returns whether the fact at this place of its batch is new.
    pub(crate) fn contains(&self, place: usize) -> bool {
        match self {
            Self::All => true,
            Self::Some(new) => new.get(place) == Some(&true),
        }
    }
}

// === impl Arrivals ===

impl Arrivals {
    fn losses(&self) -> Vec<(Box<str>, u64)> {
        let lost = self.lost.iter();
        lost.map(|(cause, count)| (cause.clone(), *count)).collect()
    }

    fn contains(&self, seq: u64) -> bool {
        self.runs
            .range(..=(seq, u64::MAX))
            .next_back()
            .is_some_and(|&(_, end)| seq < end)
    }

    /// Adds the run `first..end`, merged with those that it overlaps or touches.
    fn add(&mut self, first: u64, end: u64) {
        if first >= end {
            return;
        }
        let (mut from, mut to, mut known) = (first, end, 0);
        while let Some(&run) = self.runs.range(..=(to, u64::MAX)).next_back() {
            if run.1 < from {
                break;
            }
            self.runs.remove(&run);
            known += run.1 - run.0;
            from = from.min(run.0);
            to = to.max(run.1);
        }
        self.runs.insert((from, to));
        self.received += to - from - known;
        self.end = self.end.max(end);
        if self.runs.len() > RUNS_MAX {
            self.forget_oldest_gap();
        }
    }

    /// Joins the two oldest runs: what lies between stays counted as missing, and is a duplicate if it comes.
    fn forget_oldest_gap(&mut self) {
        if let (Some(first), Some(second)) = (self.runs.pop_first(), self.runs.pop_first()) {
            self.runs.insert((first.0, second.1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(runs: &[(u64, u64)]) -> (u64, u64) {
        let mut arrivals = Arrivals::default();
        for &(first, end) in runs {
            arrivals.add(first, end);
        }
        (arrivals.received, arrivals.end - arrivals.received)
    }

    #[test]
    fn gaps_are_missing_until_they_are_filled() {
        assert_eq!(arrivals(&[(0, 5)]), (5, 0));
        assert_eq!(arrivals(&[(0, 5), (8, 10)]), (7, 3));
        assert_eq!(arrivals(&[(0, 5), (8, 10), (5, 8)]), (10, 0));
    }

    #[test]
    fn redelivery_and_overlap_count_once() {
        assert_eq!(arrivals(&[(0, 5), (0, 5)]), (5, 0));
        assert_eq!(arrivals(&[(3, 6), (0, 10), (2, 4)]), (10, 0));
    }

    #[test]
    fn whoever_was_silent_longest_is_forgotten_first() {
        let mut ledger = Ledger::default();
        let say = |ledger: &mut Ledger, epoch| {
            let sender = SenderId {
                name: "filter".into(),
                epoch,
            };
            let (losses, goodbye) = (Vec::new(), false);
            ledger.note(&Batch {
                sender,
                first_seq: 0,
                facts: Vec::new(),
                losses,
                goodbye,
            });
        };
        for epoch in 0..3 * SENDERS_MAX as u64 {
            say(&mut ledger, u64::MAX);
            say(&mut ledger, epoch);
        }
        let senders = ledger.senders();
        assert_eq!(senders.len(), SENDERS_MAX);
        assert!(senders.iter().any(|known| known.sender.epoch == u64::MAX));
    }

    #[test]
    fn a_sender_that_leaves_gaps_for_ever_costs_bounded_memory() {
        let mut arrivals = Arrivals::default();
        for n in 0..10 * RUNS_MAX as u64 {
            arrivals.add(2 * n, 2 * n + 1);
        }
        assert_eq!(arrivals.runs.len(), RUNS_MAX);
        assert_eq!(arrivals.received, 10 * RUNS_MAX as u64);
        assert_eq!(arrivals.end - arrivals.received, arrivals.received - 1);
    }
}
