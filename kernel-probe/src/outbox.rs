//! Facts on their way to the bridge: numbered, cut into batches, kept within a bound.
//!
//! A pure queue: no IO, no clock. Each fact gets its number when its batch is sealed; a batch that
//! is dropped leaves a gap in the numbers as wide as what it adds to the loss `bridge_away`.

use std::collections::VecDeque;

use bytes::Bytes;
use prost::Message as _;
use syntrace_proto::{Batch, Clock, Fact, Loss, SCHEMA, Sender, fact::Body};

/// Facts in one batch, its clock included.
const BATCH_FACTS: usize = 4_096;

/// Loss of facts that were the oldest when the bound was reached.
const BRIDGE_AWAY: &str = "bridge_away";

/// Loss of facts that the bridge refused.
const BRIDGE_REFUSED: &str = "bridge_refused";

/// How much waits for a bridge that is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    /// Facts.
    pub(crate) facts: usize,
    /// Bytes on the wire.
    pub(crate) bytes: usize,
}

/// The queue.
#[derive(Debug)]
pub(crate) struct Outbox {
    sender: Sender,
    bound: Bound,
    next_seq: u64,
    pending: Vec<Body>,
    sealed: VecDeque<Sealed>,
    /// The first sealed batch is with the bridge: it may be kept there already.
    in_flight: bool,
    /// The goodbye is sealed: nothing follows.
    closed: bool,
    away: u64,
    refused: u64,
    told: Vec<Loss>,
}

#[derive(Debug)]
struct Sealed {
    facts: usize,
    body: Bytes,
}

// === impl Outbox ===

impl Outbox {
    /// Begins the epoch of `sender`, keeping at most `bound`.
    pub(crate) const fn new(sender: Sender, bound: Bound) -> Self {
        Self {
            sender,
            bound,
            next_seq: 0,
            pending: Vec::new(),
            sealed: VecDeque::new(),
            in_flight: false,
            closed: false,
            away: 0,
            refused: 0,
            told: Vec::new(),
        }
    }

    /// Holds batches that were sealed long ago, each with the number of its facts, and nothing else.
    pub(crate) fn of_recorded(batches: Vec<(Bytes, usize)>) -> Self {
        let unbound = Bound {
            facts: usize::MAX,
            bytes: usize::MAX,
        };
        let sealed = batches
            .into_iter()
            .map(|(body, facts)| Sealed { facts, body });
        Self {
            sealed: sealed.collect(),
            closed: true,
            ..Self::new(Sender::default(), unbound)
        }
    }

    /// Takes one fact; returns whether a batch is full and wants to be sealed.
    pub(crate) fn push(&mut self, body: Body) -> bool {
        self.pending.push(body);
        self.pending.len() >= BATCH_FACTS - 1
    }

    /// Seals what is pending into one batch that tells `clock` and all `losses` so far.
    ///
    /// Returns false, and seals nothing, if there is nothing to tell.
    pub(crate) fn seal(&mut self, clock: Clock, losses: Vec<Loss>, goodbye: bool) -> bool {
        let losses = self.with_own(losses);
        if self.pending.is_empty() && losses == self.told && !goodbye {
            return false;
        }
        let bodies = [Body::Clock(clock)]
            .into_iter()
            .chain(self.pending.drain(..));
        let facts: Vec<Fact> = bodies.map(|body| Fact { body: Some(body) }).collect();
        let first_seq = self.next_seq;
        let n_facts = facts.len();
        self.next_seq += n_facts as u64;
        self.closed |= goodbye;
        self.told.clone_from(&losses);
        let batch = Batch {
            schema: SCHEMA,
            sender: Some(self.sender.clone()),
            first_seq,
            facts,
            losses,
            goodbye,
        };
        self.sealed.push_back(Sealed {
            facts: n_facts,
            body: batch.encode_to_vec().into(),
        });
        self.keep_bound();
        true
    }

    /// Returns the oldest batch, which counts as in flight from now on.
    pub(crate) fn front(&mut self) -> Option<Bytes> {
        let body = self.sealed.front()?.body.clone();
        self.in_flight = true;
        Some(body)
    }

    /// Lets the batch in flight go: the bridge keeps it.
    pub(crate) fn delivered(&mut self) {
        self.in_flight = false;
        self.sealed.pop_front();
    }

    /// Lets the batch in flight go: the bridge will never take it.
    pub(crate) fn refused(&mut self) {
        self.in_flight = false;
        if let Some(batch) = self.sealed.pop_front() {
            self.refused += batch.facts as u64;
        }
    }

    /// Returns whether the goodbye was sealed and everything delivered.
    pub(crate) fn is_done(&self) -> bool {
        self.closed && self.sealed.is_empty()
    }

    /// Returns facts that are sealed and not delivered.
    pub(crate) fn waiting(&self) -> usize {
        self.sealed.iter().map(|batch| batch.facts).sum()
    }

    /// Drops the oldest batches beyond the bound, but never the one in flight nor the newest.
    fn keep_bound(&mut self) {
        let oldest = usize::from(self.in_flight);
        while self.is_beyond_bound() && self.sealed.len() > oldest + 1 {
            if let Some(batch) = self.sealed.remove(oldest) {
                self.away += batch.facts as u64;
            }
        }
    }

    fn is_beyond_bound(&self) -> bool {
        let bytes: usize = self.sealed.iter().map(|batch| batch.body.len()).sum();
        self.waiting() > self.bound.facts || bytes > self.bound.bytes
    }

    fn with_own(&self, mut losses: Vec<Loss>) -> Vec<Loss> {
        for (cause, count) in [(BRIDGE_AWAY, self.away), (BRIDGE_REFUSED, self.refused)] {
            if count > 0 {
                losses.push(Loss {
                    cause: cause.to_owned(),
                    count,
                });
            }
        }
        losses
    }
}

#[cfg(test)]
mod tests {
    use syntrace_proto::Rung;

    use super::*;

    const CLOCK: Clock = Clock {
        boot_ns: 1,
        unix_ns: 2,
    };

    #[test]
    fn numbers_follow_without_a_gap_and_each_batch_begins_with_the_clock() {
        let mut outbox = outbox(100);
        outbox.push(rung());
        outbox.push(rung());
        outbox.seal(CLOCK, Vec::new(), false);
        outbox.push(rung());
        outbox.seal(CLOCK, Vec::new(), true);
        let (first, second) = (take(&mut outbox), take(&mut outbox));
        assert_eq!(
            (first.first_seq, first.facts.len(), first.goodbye),
            (0, 3, false)
        );
        assert_eq!(
            (second.first_seq, second.facts.len(), second.goodbye),
            (3, 2, true)
        );
        assert_eq!(first.facts[0].body, Some(Body::Clock(CLOCK)));
        assert_eq!(outbox.front(), None);
    }

    #[test]
    fn nothing_to_tell_makes_no_batch() {
        let mut outbox = outbox(100);
        assert!(!outbox.seal(CLOCK, Vec::new(), false));
        assert!(outbox.seal(CLOCK, vec![lost(1)], false));
        assert!(!outbox.seal(CLOCK, vec![lost(1)], false));
        assert!(outbox.seal(CLOCK, vec![lost(2)], false));
    }

    #[test]
    fn the_oldest_are_dropped_and_counted_as_wide_as_the_gap() {
        let mut outbox = outbox(4);
        for _ in 0..4 {
            outbox.push(rung());
            outbox.seal(CLOCK, Vec::new(), false);
        }
        let kept = take(&mut outbox);
        assert_eq!(kept.first_seq, 4);
        outbox.push(rung());
        outbox.seal(CLOCK, Vec::new(), false);
        take(&mut outbox);
        let told = take(&mut outbox).losses;
        assert_eq!(
            told,
            [Loss {
                cause: BRIDGE_AWAY.to_owned(),
                count: 4
            }]
        );
    }

    #[test]
    fn a_batch_in_flight_is_not_dropped() {
        let mut outbox = outbox(4);
        outbox.push(rung());
        outbox.seal(CLOCK, Vec::new(), false);
        let in_flight = outbox.front();
        for _ in 0..4 {
            outbox.push(rung());
            outbox.seal(CLOCK, Vec::new(), false);
        }
        assert_eq!(outbox.front(), in_flight);
        assert_eq!(outbox.waiting(), 4);
    }

    #[test]
    fn a_refused_batch_is_counted() {
        let mut outbox = outbox(100);
        outbox.push(rung());
        outbox.seal(CLOCK, Vec::new(), false);
        outbox.front();
        outbox.refused();
        assert!(outbox.seal(CLOCK, Vec::new(), false));
        let told = take(&mut outbox).losses;
        assert_eq!(
            told,
            [Loss {
                cause: BRIDGE_REFUSED.to_owned(),
                count: 2
            }]
        );
    }

    #[test]
    fn a_full_batch_wants_to_be_sealed() {
        let mut outbox = outbox(10_000);
        let wants = (0..BATCH_FACTS - 1).map(|_| outbox.push(rung()));
        assert_eq!(wants.filter(|&wants| wants).count(), 1);
        outbox.seal(CLOCK, Vec::new(), false);
        assert_eq!(take(&mut outbox).facts.len(), BATCH_FACTS);
    }

    fn outbox(facts: usize) -> Outbox {
        let sender = Sender {
            name: "probe".to_owned(),
            epoch: 7,
            host_id: String::new(),
        };
        Outbox::new(
            sender,
            Bound {
                facts,
                bytes: usize::MAX,
            },
        )
    }

    fn rung() -> Body {
        Body::Rung(Rung {
            name: "observe".to_owned(),
            ..Rung::default()
        })
    }

    fn lost(count: u64) -> Loss {
        Loss {
            cause: "ring_full".to_owned(),
            count,
        }
    }

    fn take(outbox: &mut Outbox) -> Batch {
        let body = outbox.front().unwrap();
        outbox.delivered();
        Batch::decode(body).unwrap()
    }
}
