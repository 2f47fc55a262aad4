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

/// Older than those that are kept: one bucket in 2^32 ns (4.3 s) is kept of them, and so many, five hours.
const OLDER_SHIFT: u32 = 32 - BUCKET_SHIFT;
const OLDER_MAX: usize = 4096;

/// Batches whose counts are kept: where the count rose, the last one before and the first one after.
const COUNTS_MAX: usize = 4096;

/// How soon after an interval a fact must come to prove the interval complete, nanoseconds: longer than a probe
/// gathers, and short enough that all of it has arrived when what ended with the interval settles.
const SHOWN_WITHIN_NS: u64 = 250_000_000;

/// Causes of losses of facts that had a number: those show as gaps.
const NUMBERED: [&str; 2] = ["bridge_away", "bridge_refused"];

/// Cause of losses of which one may be of several facts.
const SEVERAL: &str = "sock_diag_overflow";

/// In a checkpoint, marks what follows as a count.
const COUNT: u64 = u64::MAX;

/// The numbers of the facts that one probe saw, by when it saw them.
#[derive(Debug, Default)]
pub(crate) struct Gaps {
    sender: Option<SenderId>,
    /// By time.
    buckets: VecDeque<Bucket>,
    /// Some of those from before them, by time.
    older: VecDeque<Bucket>,
    /// How many were lost without a number by when a batch was closed, by time; of batches in a row with the same
    /// count, the first and the last.
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
        let count = unnumbered.fold(0_u64, |sum, (cause, count)| {
            let facts = if &**cause == SEVERAL { 2 } else { 1 };
            sum.saturating_add(count.saturating_mul(facts))
        });
        let place = self.counts.partition_point(|&known| known < (at, count));
        let is_same = |place: Option<usize>| {
            place.and_then(|n| self.counts.get(n)).map(|known| known.1) == Some(count)
        };
        let before = [1, 2].map(|back| is_same(place.checked_sub(back)));
        let after = [0, 1].map(|on| is_same(Some(place + on)));
        match (before, after) {
            // Between two with the same count it adds nothing.
            ([true, _], [true, _]) => {}
            ([true, true], _) => self.move_count(place - 1, at),
            (_, [true, true]) => self.move_count(place, at),
            _ if self.counts.get(place) == Some(&(at, count)) => {}
            _ => self.counts.insert(place, (at, count)),
        }
        if self.counts.len() > COUNTS_MAX {
            self.counts.pop_front();
        }
    }

    fn move_count(&mut self, place: usize, at: BootNanos) {
        if let Some(known) = self.counts.get_mut(place) {
            known.0 = at;
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
        if self.buckets.len() > BUCKETS_MAX
            && let Some(oldest) = self.buckets.pop_front()
        {
            self.outlive(oldest);
        }
    }

    /// Keeps one of many of those that are no longer kept: a moment of long ago is after some that is known.
    fn outlive(&mut self, bucket: Bucket) {
        let period = bucket.at >> OLDER_SHIFT;
        let is_later = |known: &Bucket| known.at >> OLDER_SHIFT < period;
        if self.older.back().is_none_or(is_later) {
            self.older.push_back(bucket);
        }
        if self.older.len() > OLDER_MAX {
            self.older.pop_front();
        }
    }

    /// Starts over where it is another run of the probe, which numbers from 0 again.
    fn turn_to(&mut self, sender: &SenderId) {
        if self.sender.as_ref() != Some(sender) {
            self.sender = Some(sender.clone());
            self.buckets.clear();
            self.older.clear();
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
        let before = match begin.checked_sub(1) {
            Some(n) => self.buckets.get(n),
            None => {
                let later = self.older.partition_point(|bucket| bucket.at < first);
                later.checked_sub(1).and_then(|n| self.older.get(n))
            }
        };
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

    /// Returns whether two facts or more without a number, about an interval, are counted as lost between one batch
    /// and the next.
    pub(crate) fn were_two_counted(&self, from: BootNanos, until: BootNanos) -> bool {
        let begin = self.counts.partition_point(|&(at, _)| at <= from);
        let end = self.counts.partition_point(|&(at, _)| at < until);
        let before = begin.checked_sub(1).and_then(|n| self.counts.get(n));
        let mut before = before.map_or(0, |&(_, count)| count);
        let shown = until.plus_ns(SHOWN_WITHIN_NS);
        let mut within = self
            .counts
            .range(begin..)
            .take(end.saturating_sub(begin) + 1);
        within.any(|&(at, count)| {
            let lost = count.saturating_sub(std::mem::replace(&mut before, count));
            lost >= 2 && at <= shown
        })
    }

    /// Returns whose numbers are known, and which, by bucket; then what that probe counts as lost.
    pub(crate) fn checkpoint(&self) -> (Option<SenderId>, Vec<(u64, u64, u64)>) {
        let buckets = self.older.iter().chain(&self.buckets);
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
        let older = self.buckets.len().saturating_sub(BUCKETS_MAX);
        self.older = self.buckets.drain(..older).collect();
    }

    /// Returns whose numbers they are.
    pub(crate) fn sender(&self) -> Option<&SenderId> {
        self.sender.as_ref()
    }
}

#[cfg(test)]
mod tests;
