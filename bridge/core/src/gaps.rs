//! When facts of the kernel view were lost: a gap in the numbers, placed in time by the facts around it.
//!
//! A gap is known as soon as a later fact has come; one after which nothing came is not. What had
//! happened by a moment has arrived a grace period later, so what is asked then does not depend on the
//! order of arrival.

use std::collections::VecDeque;

use syntrace_model::BootNanos;

use crate::fact::{Fact, SenderId};

/// Facts are placed to about 4 ms: less than the sources' disorder.
const BUCKET_SHIFT: u32 = 22;

/// Buckets at each end of an interval whose numbers are looked at.
const EDGE: usize = 8;

/// Buckets kept; without a pause, the last minute.
const BUCKETS_MAX: usize = 16_384;

/// The numbers of the facts that one probe saw, by when it saw them.
#[derive(Debug, Default)]
pub(crate) struct Gaps {
    sender: Option<SenderId>,
    /// By time.
    buckets: VecDeque<Bucket>,
}

/// The facts of one stretch of time.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// The time, in buckets since boot.
    at: u64,
    first_seq: u64,
    last_seq: u64,
}

// === impl Gaps ===

impl Gaps {
    /// Notes a fact that is new, with its number.
    pub(crate) fn note(&mut self, sender: &SenderId, seq: u64, fact: &Fact) {
        let at = match fact {
            Fact::Connection(snapshot) => snapshot.seen_at,
            Fact::Incident(incident) => incident.at,
            Fact::Clock(_) | Fact::Request(_) | Fact::Rung(_) | Fact::Refused(_) => return,
        };
        if self.sender.as_ref() != Some(sender) {
            self.sender = Some(sender.clone());
            self.buckets.clear();
        }
        let at = at.0 >> BUCKET_SHIFT;
        // As a rule it is of the time of the latest.
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

    /// Returns the numbers of the facts between which everything about an interval lies; `None` where
    /// nothing is known of that time.
    pub(crate) fn around(&self, from: BootNanos, until: BootNanos) -> Option<(u64, u64)> {
        let (from, until) = (from.0 >> BUCKET_SHIFT, until.0 >> BUCKET_SHIFT);
        let from = from.min(until);
        let begin = self.buckets.partition_point(|bucket| bucket.at < from);
        let end = self.buckets.partition_point(|bucket| bucket.at <= until);
        let before = begin.checked_sub(1).and_then(|n| self.buckets.get(n));
        // Facts are out of order by less than a few buckets: what lies between the ends is between their
        // numbers, however long the interval is.
        let within = || self.buckets.range(begin..end);
        let last = within()
            .rev()
            .take(EDGE)
            .map(|bucket| bucket.last_seq)
            .max()?;
        let first = within().take(EDGE).map(|bucket| bucket.first_seq).min()?;
        let first = before.map_or(first, |bucket| bucket.last_seq.min(first));
        Some((first, last))
    }

    /// Returns whose numbers are known, and which, by stretch of time.
    pub(crate) fn checkpoint(&self) -> (Option<SenderId>, Vec<(u64, u64, u64)>) {
        let buckets = self.buckets.iter();
        let buckets = buckets.map(|bucket| (bucket.at, bucket.first_seq, bucket.last_seq));
        (self.sender.clone(), buckets.collect())
    }

    /// Takes back what was known before.
    pub(crate) fn restore(&mut self, sender: Option<SenderId>, buckets: &[(u64, u64, u64)]) {
        self.sender = sender;
        let bucket = |&(at, first_seq, last_seq)| Bucket {
            at,
            first_seq,
            last_seq,
        };
        self.buckets = buckets.iter().map(bucket).collect();
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

    #[test]
    fn a_time_lies_between_the_facts_before_it_and_within_it() {
        let mut gaps = Gaps::default();
        for (seq, bucket) in [(3, 1), (4, 5), (9, 5), (11, 8)] {
            gaps.note(&sender(1), seq, &seen(bucket * BUCKET));
        }
        let around = |from, until| gaps.around(BootNanos(from * BUCKET), BootNanos(until * BUCKET));
        assert_eq!(around(4, 6), Some((3, 9)));
        assert_eq!(around(6, 9), Some((9, 11)));
        assert_eq!(around(0, 1), Some((3, 3)));
        assert_eq!(around(6, 7), None, "nothing came after it");
    }

    #[test]
    fn another_run_of_the_probe_numbers_anew() {
        let mut gaps = Gaps::default();
        gaps.note(&sender(1), 70, &seen(BUCKET));
        gaps.note(&sender(2), 0, &seen(2 * BUCKET));
        let around = gaps.around(BootNanos(0), BootNanos(3 * BUCKET));
        assert_eq!(around, Some((0, 0)));
    }

    #[test]
    fn a_long_life_costs_bounded_memory() {
        let mut gaps = Gaps::default();
        for n in 0..3 * BUCKETS_MAX as u64 {
            gaps.note(&sender(1), n, &seen(n * BUCKET));
        }
        assert_eq!(gaps.buckets.len(), BUCKETS_MAX);
    }
}
