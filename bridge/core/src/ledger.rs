//! The loss ledger: what each sender sent, what arrived, what is missing.
//!
//! Numbers only; it decides nothing about records.

mod runs;

use std::collections::BTreeMap;

pub(crate) use self::runs::Runs;
use crate::{
    checkpoint::SenderState,
    fact::{Batch, IncidentKind, Rung, SenderId},
    record::{Method, Missing},
};

/// Senders remembered; a restart of a sender is a new one.
const SENDERS_MAX: usize = 1024;

/// What was seen, joined and lost so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Incidents reported, by kind.
    pub incidents: BTreeMap<IncidentKind, u64>,
    /// Incidents that were dropped: too many of one connection or listener, or of too many listeners or connections
    /// that were never reported.
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
    /// Connections whose end nobody saw: their probe ended, and no other run of it reported them.
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
    /// What the sender reports as lost, by cause.
    pub lost: Vec<(Box<str>, u64)>,
    /// Whether it ended in order.
    pub goodbye: bool,
}

// === impl Coverage ===

impl Coverage {
    /// Returns how many facts were lost, by any sender and on any path.
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
    /// Those marked `true`, by their place in the batch.
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
    numbers: Runs,
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
        let new = if arrivals.numbers.end() <= batch.first_seq {
            New::All
        } else {
            let facts = batch.first_seq..end;
            New::Some(facts.map(|seq| !arrivals.numbers.contains(seq)).collect())
        };
        arrivals.numbers.add(batch.first_seq, end);
        new
    }

    /// Returns what arrived of each sender, to go on from, and how many batches did.
    pub(crate) fn checkpoint(&self) -> (Vec<SenderState>, u64) {
        let senders = self.senders.iter();
        let senders = senders.map(|(sender, arrivals)| SenderState {
            sender: sender.clone(),
            runs: arrivals.numbers.all(),
            received: arrivals.numbers.received(),
            end: arrivals.numbers.end(),
            lost: arrivals.losses(),
            goodbye: arrivals.goodbye,
            heard: arrivals.heard,
        });
        (senders.collect(), self.heard)
    }

    /// Restores what arrived before.
    pub(crate) fn restore(&mut self, senders: &[SenderState], heard: u64) {
        self.heard = heard;
        for state in senders {
            let arrivals = Arrivals {
                numbers: Runs::restore(&state.runs, state.received, state.end),
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

    /// Returns the numbers of a sender's facts that arrived.
    pub(crate) fn numbers(&self, sender: &SenderId) -> Option<&Runs> {
        Some(&self.senders.get(sender)?.numbers)
    }

    /// Returns whether a sender has said goodbye.
    pub(crate) fn has_left(&self, sender: &SenderId) -> bool {
        let arrivals = self.senders.get(sender);
        arrivals.is_some_and(|arrivals| arrivals.goodbye)
    }

    /// Returns what arrived of each sender.
    pub(crate) fn senders(&self) -> Vec<SenderCoverage> {
        self.senders
            .iter()
            .map(|(sender, arrivals)| SenderCoverage {
                sender: sender.clone(),
                received: arrivals.numbers.received(),
                missing: arrivals.numbers.missing(),
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_silent_longest_is_forgotten_first() {
        let mut ledger = Ledger::default();
        for epoch in 1..3 * SENDERS_MAX as u64 {
            ledger.note(&says(0, 0, false));
            ledger.note(&says(epoch, 0, false));
        }
        // A known sender needs no other's place.
        ledger.note(&says(0, 0, false));
        let senders = ledger.senders();
        assert_eq!(senders.len(), SENDERS_MAX);
        assert!(senders.iter().any(|known| known.sender.epoch == 0));
        // What is forgotten has not left.
        assert!(!ledger.has_left(&says(1, 0, false).sender));
    }

    #[test]
    fn what_is_lost_is_what_is_missing_or_what_was_said_to_be_whichever_is_more() {
        let mut ledger = Ledger::default();
        ledger.note(&says(1, 0, false));
        let lost = |ledger: &Ledger| {
            let senders = ledger.senders();
            let coverage = Coverage {
                senders,
                ..Coverage::default()
            };
            coverage.lost()
        };
        assert_eq!(lost(&ledger), 0);
        // A batch that comes late says less.
        ledger.note(&says(1, 5, true));
        ledger.note(&says(1, 3, false));
        assert_eq!(lost(&ledger), 5);
        let [sender] = &ledger.senders()[..] else {
            panic!("one sender");
        };
        assert_eq!(sender.lost, [("ring_full".into(), 5)]);
        assert!(sender.goodbye);
        let facts = vec![crate::fact::Fact::Refused("port")];
        ledger.note(&Batch {
            first_seq: 7,
            facts,
            ..says(1, 5, false)
        });
        ledger.note(&says(2, 4, false));
        assert_eq!(lost(&ledger), 7 + 4);
    }

    /// A batch without facts.
    fn says(epoch: u64, ring_full: u64, goodbye: bool) -> Batch {
        Batch {
            sender: SenderId {
                name: "filter".into(),
                epoch,
            },
            first_seq: 0,
            facts: Vec::new(),
            losses: vec![("ring_full".into(), ring_full)],
            goodbye,
        }
    }
}
