//! When facts of the kernel view were lost: a gap in the numbers, placed in time by the facts around it; or a
//! count in a batch, of what was lost before it had a number.
//!
//! An interval is complete if a fact from before it arrived, and one from after it, and all numbers between. A
//! gap shows as soon as a later fact has arrived; without a later fact, nobody can say. A batch arrives as a
//! whole, and all that its sender had read when it read the clock is in it or in an earlier one: so the clock
//! counts as a fact.
//!
//! What had happened by a moment has arrived a grace period later, so the answer then does not depend on the
//! order of arrival: only facts from shortly after the interval are considered.

use std::collections::VecDeque;

use syntrace_model::BootNanos;

use crate::{
    fact::{Batch, Fact, SenderId},
    join::DISORDER_NS,
};

/// A bucket spans 2^22 ns, about 4 ms: less than the sources' disorder.
const BUCKET_SHIFT: u32 = 22;

/// Buckets at each end of an interval whose numbers are considered.
const EDGE: usize = 8;

/// Buckets kept; without a pause, the last minute.
const BUCKETS_MAX: usize = 16_384;

/// Batches whose counts are kept; without a pause, the last ten minutes.
const COUNTS_MAX: usize = 4096;

/// How soon after an interval a fact must come to prove the interval complete, nanoseconds: longer than a probe
/// gathers, and short enough that all of it has arrived when what ended with the interval settles.
const SHOWN_WITHIN_NS: u64 = 250_000_000;

/// Causes of losses of facts that had a number: those show as gaps.
const NUMBERED: [&str; 2] = ["bridge_away", "bridge_refused"];

/// In a checkpoint, marks what follows as a count.
const COUNT: u64 = u64::MAX;

/// The numbers of the facts that one probe saw, by when it saw them.
#[derive(Debug, Default)]
pub(crate) struct Gaps {
    sender: Option<SenderId>,
    /// By time.
    buckets: VecDeque<Bucket>,
    /// How many were lost without a number by when each batch was closed, by time.
    counts: VecDeque<(BootNanos, u64)>,
}

/// The facts of one stretch of time.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// The time, in buckets since boot.
    at: u64,
    first_seq: u64,
    last_seq: u64,
}

/// Numbers of facts between which everything about an interval lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Around {
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// The first is of a fact from before the interval.
    pub(crate) from_before: bool,
    /// The last is of one from after it.
    pub(crate) until_after: bool,
}

// === impl Gaps ===

impl Gaps {
    /// Notes what a batch reports as lost by when it was closed.
    pub(crate) fn note_losses(&mut self, batch: &Batch, at: BootNanos) {
        self.turn_to(&batch.sender);
        let unnumbered = batch.losses.iter();
        let unnumbered = unnumbered.filter(|(cause, _)| !NUMBERED.contains(&&**cause));
        let count = unnumbered.fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
        let place = self.counts.partition_point(|&known| known < (at, count));
        if self.counts.get(place) != Some(&(at, count)) {
            self.counts.insert(place, (at, count));
        }
        if self.counts.len() > COUNTS_MAX {
            self.counts.pop_front();
        }
    }

    /// Notes a fact that is new, with its number.
    pub(crate) fn note(&mut self, sender: &SenderId, seq: u64, fact: &Fact) {
        let at = match fact {
            Fact::Connection(snapshot) => snapshot.seen_at,
            Fact::Incident(incident) => incident.at,
            Fact::Clock(sample) => sample.boot,
            Fact::Request(_) | Fact::Rung(_) | Fact::Refused(_) => return,
        };
        self.turn_to(sender);
        let at = at.0 >> BUCKET_SHIFT;
        // As a rule it belongs to the latest bucket.
        let later = self.buckets.iter().rev().take_while(|known| known.at > at);
        let place = match later.take(EDGE).count() {
            EDGE => self.buckets.partition_point(|known| known.at <= at),
            later => self.buckets.len() - later,
        };
        let known = place.checked_sub(1).and_then(|n| self.buckets.get_mut(n));
        if let Some(bucket) = known.filter(|known| known.at == at) {
            bucket.first_seq = bucket.first_seq.min(seq);
            bucket.last_seq = bucket.last_seq.max(seq);
            return;
        }
        let (first_seq, last_seq) = (seq, seq);
        self.buckets.insert(
            place,
            Bucket {
                at,
                first_seq,
                last_seq,
            },
        );
        if self.buckets.len() > BUCKETS_MAX {
            self.buckets.pop_front();
        }
    }

    /// Starts over where it is another run of the probe, which numbers from 0 again.
    fn turn_to(&mut self, sender: &SenderId) {
        if self.sender.as_ref() != Some(sender) {
            self.sender = Some(sender.clone());
            self.buckets.clear();
            self.counts.clear();
        }
    }

    /// Returns the numbers of the facts between which everything about an interval lies, as far as that is
    /// known; `None` where nothing is known of that time.
    pub(crate) fn around(&self, from: BootNanos, until: BootNanos) -> Option<Around> {
        let bucket = |at: BootNanos| at.0 >> BUCKET_SHIFT;
        let first = bucket(from.min(until).minus_ns(DISORDER_NS));
        let last = bucket(until.plus_ns(DISORDER_NS));
        let shown = bucket(until.plus_ns(SHOWN_WITHIN_NS));
        let begin = self.buckets.partition_point(|bucket| bucket.at < first);
        let end = self.buckets.partition_point(|bucket| bucket.at <= last);
        let before = begin.checked_sub(1).and_then(|n| self.buckets.get(n));
        let after = self.buckets.get(end).filter(|bucket| bucket.at <= shown);
        // Facts are out of order by less than a few buckets: what lies between the ends is between their
        // numbers, however long the interval is.
        let within = || self.buckets.range(begin..end);
        let highest = within().rev().take(EDGE).map(|bucket| bucket.last_seq);
        let highest = highest.chain(after.map(|bucket| bucket.first_seq)).max()?;
        let lowest = within().take(EDGE).map(|bucket| bucket.first_seq);
        let lowest = lowest.chain(before.map(|bucket| bucket.last_seq)).min()?;
        Some(Around {
            first: lowest.min(highest),
            last: highest,
            from_before: before.is_some(),
            until_after: after.is_some(),
        })
    }

    /// Returns whether any facts without a number are counted as lost.
    pub(crate) fn have_counted(&self) -> bool {
        self.counts.back().is_some_and(|&(_, count)| count > 0)
    }

    /// Returns whether facts without a number about an interval are counted as lost.
    pub(crate) fn were_counted(&self, from: BootNanos, until: BootNanos) -> bool {
        let from = from.minus_ns(DISORDER_NS);
        let shown = until.plus_ns(SHOWN_WITHIN_NS);
        let begin = self.counts.partition_point(|&(at, _)| at <= from);
        let end = self.counts.partition_point(|&(at, _)| at < until);
        let known = self.counts.get(end).filter(|&&(at, _)| at <= shown);
        let before = begin.checked_sub(1).and_then(|n| self.counts.get(n));
        let before = before.map_or(0, |&(_, count)| count);
        let within = self.counts.range(begin..end.max(begin));
        known
            .into_iter()
            .chain(within)
            .any(|&(_, count)| count > before)
    }

    /// Returns whose numbers are known, and which, by bucket; then what that probe counts as lost.
    pub(crate) fn checkpoint(&self) -> (Option<SenderId>, Vec<(u64, u64, u64)>) {
        let buckets = self.buckets.iter();
        let buckets = buckets.map(|bucket| (bucket.at, bucket.first_seq, bucket.last_seq));
        let counts = self.counts.iter();
        let counts = counts.map(|&(at, count)| (at.0, COUNT, count));
        (self.sender.clone(), buckets.chain(counts).collect())
    }

    /// Restores what was known before.
    pub(crate) fn restore(&mut self, sender: Option<SenderId>, known: &[(u64, u64, u64)]) {
        self.sender = sender;
        let counts = known.iter().filter(|(_, first, _)| *first == COUNT);
        self.counts = counts
            .map(|&(at, _, count)| (BootNanos(at), count))
            .collect();
        let buckets = known.iter().filter(|(_, first, _)| *first != COUNT);
        let bucket = |&(at, first_seq, last_seq)| Bucket {
            at,
            first_seq,
            last_seq,
        };
        self.buckets = buckets.map(bucket).collect();
    }

    /// Returns whose numbers they are.
    pub(crate) fn sender(&self) -> Option<&SenderId> {
        self.sender.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::{Incident, IncidentKind};

    const BUCKET: u64 = 1 << BUCKET_SHIFT;

    fn sender(epoch: u64) -> SenderId {
        SenderId {
            name: "probe".into(),
            epoch,
        }
    }

    fn seen(at: u64) -> Fact {
        Fact::Incident(Incident {
            at: BootNanos(at),
            boot: syntrace_model::BootId([1; 16]),
            cookie: 1,
            netns: 0,
            local: "192.0.2.1:80".parse().unwrap(),
            peer: None,
            kind: IncidentKind::AcceptOverflow,
            count: 1,
            queue: None,
        })
    }

    fn known(buckets: &[(u64, u64)]) -> Gaps {
        let mut gaps = Gaps::default();
        for &(seq, bucket) in buckets {
            gaps.note(&sender(1), seq, &seen(bucket * BUCKET));
        }
        gaps
    }

    fn around(gaps: &Gaps, from: u64, until: u64) -> Option<(u64, u64, bool)> {
        let around = gaps.around(BootNanos(from * BUCKET), BootNanos(until * BUCKET))?;
        let is_enclosed = around.from_before && around.until_after;
        Some((around.first, around.last, is_enclosed))
    }

    #[test]
    fn a_time_lies_between_the_facts_before_and_after_it() {
        let gaps = known(&[(3, 1), (4, 5), (9, 5), (11, 8), (15, 12)]);
        assert_eq!(around(&gaps, 4, 6), Some((3, 11, true)));
        assert_eq!(around(&gaps, 10, 10), Some((9, 15, true)));
        assert_eq!(around(&gaps, 0, 1), Some((3, 4, false)));
        assert_eq!(around(&gaps, 10, 13), Some((9, 15, false)));
        assert_eq!(around(&gaps, 20, 22), None, "nothing came after it");
    }

    #[test]
    fn a_gap_at_the_very_end_of_an_interval_is_within_it() {
        let gaps = known(&[(1, 1), (10, 10), (12, 13)]);
        assert_eq!(around(&gaps, 9, 10), Some((1, 12, true)));
    }

    #[test]
    fn a_fact_long_after_an_interval_does_not_prove_it_complete() {
        let gaps = known(&[(1, 1), (2, 10), (3, 500)]);
        assert_eq!(around(&gaps, 9, 10), Some((1, 2, false)));
    }

    #[test]
    fn losses_without_a_number_are_between_two_batches_whatever_order_they_come_in() {
        let told = |closed_at: u64, cause: &str, count| {
            let batch = Batch {
                sender: sender(1),
                first_seq: 0,
                facts: Vec::new(),
                losses: vec![(cause.into(), count)],
                goodbye: false,
            };
            (batch, BootNanos(closed_at * BUCKET))
        };
        let mut batches = [
            told(100, "ring_full", 2),
            told(150, "ring_full", 2),
            told(200, "ring_full", 3),
            told(250, "ring_full", 3),
        ];
        for _ in 0..2 {
            batches.reverse();
            let mut gaps = Gaps::default();
            for (batch, closed_at) in batches.iter().chain(&batches) {
                gaps.note_losses(batch, *closed_at);
            }
            assert_eq!(gaps.counts.len(), 4);
            let counted = |from: u64, until: u64| {
                gaps.were_counted(BootNanos(from * BUCKET), BootNanos(until * BUCKET))
            };
            assert!(counted(160, 170) && counted(120, 220) && counted(90, 95));
            assert!(counted(120, 390), "nothing came after it");
            assert!(!counted(1, 2), "what was lost long after it");
            assert!(!counted(110, 120) && !counted(210, 260) && !counted(400, 410));
            assert!(!counted(120, 150), "the next batch tells until then");
            let shortly_after = BootNanos(100 * BUCKET + DISORDER_NS / 2);
            assert!(gaps.were_counted(shortly_after, BootNanos(120 * BUCKET)));
            assert!(gaps.have_counted());
            let (sender, state) = gaps.checkpoint();
            let mut restored = Gaps::default();
            restored.restore(sender, &state);
            assert_eq!(restored.counts, gaps.counts);
        }
        let (batch, closed_at) = told(100, "bridge_away", 7);
        let mut gaps = Gaps::default();
        gaps.note_losses(&batch, closed_at);
        assert!(!gaps.were_counted(BootNanos(90 * BUCKET), BootNanos(95 * BUCKET)));
        assert!(!gaps.have_counted());
    }

    #[test]
    fn another_run_of_the_probe_starts_over() {
        let mut gaps = Gaps::default();
        gaps.note(&sender(1), 70, &seen(BUCKET));
        gaps.note(&sender(2), 0, &seen(2 * BUCKET));
        assert_eq!(around(&gaps, 0, 3), Some((0, 0, false)));
    }

    #[test]
    fn a_long_life_costs_bounded_memory() {
        let mut gaps = Gaps::default();
        for n in 0..3 * BUCKETS_MAX as u64 {
            gaps.note(&sender(1), n, &seen(n * BUCKET));
        }
        assert_eq!(gaps.buckets.len(), BUCKETS_MAX);
        let batch = Batch {
            sender: sender(1),
            first_seq: 0,
            facts: Vec::new(),
            losses: Vec::new(),
            goodbye: false,
        };
        for n in 0..2 * COUNTS_MAX as u64 {
            gaps.note_losses(&batch, BootNanos(n));
        }
        assert_eq!(gaps.counts.len(), COUNTS_MAX);
    }
}
