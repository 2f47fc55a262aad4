//! The numbers of the facts of one run of a probe, by when it saw them, and what it counts as lost without a number.
//!
//! Facts are out of order by less than a few buckets: what was seen between two facts has a number between theirs.

use std::collections::VecDeque;

use syntrace_model::BootNanos;

use super::sampling::Sampled;
use crate::{
    checkpoint::TimelineState,
    fact::{Batch, SenderId},
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

/// When the facts of one run were seen.
#[derive(Debug)]
pub(super) struct Timeline {
    sender: SenderId,
    /// The bucket of its first clock: from then on it alone reports what happens.
    since: Option<u64>,
    /// By time.
    buckets: VecDeque<Bucket>,
    /// Some of those from before them, by time.
    older: VecDeque<Bucket>,
    /// How many were lost without a number by when a batch was closed, by time; of batches in a row with the same
    /// count, the first and the last.
    counts: VecDeque<(BootNanos, u64)>,
    /// When connections that end well were left out.
    pub(super) sampled: Sampled,
}

/// The facts of one stretch of time.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// The time, in buckets since boot.
    at: u64,
    first_seq: u64,
    last_seq: u64,
}

/// The numbers around an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Around {
    /// Of a fact from before it, as close as possible; `None` if the run had not begun.
    pub(super) before: Option<u64>,
    /// The lowest and the highest of those about it.
    pub(super) within: Option<(u64, u64)>,
    /// Of the first fact from after it, if that is soon enough to prove the interval complete.
    pub(super) after: Option<u64>,
}

// === impl Timeline ===

impl Timeline {
    pub(super) const fn new(sender: SenderId) -> Self {
        Self {
            sender,
            since: None,
            buckets: VecDeque::new(),
            older: VecDeque::new(),
            counts: VecDeque::new(),
            sampled: Sampled::new(),
        }
    }

    /// Returns whose numbers they are.
    pub(super) const fn sender(&self) -> &SenderId {
        &self.sender
    }

    /// Returns the latest bucket of which anything is known.
    pub(super) fn latest(&self) -> u64 {
        let counted = self.counts.back().map(|&(at, _)| bucket_of(at));
        let seen = self.buckets.back().map(|bucket| bucket.at);
        counted.max(seen).unwrap_or(0)
    }

    /// Returns whether the run told before an interval that starts then.
    pub(super) fn told_before(&self, from: BootNanos) -> bool {
        self.since.is_some_and(|since| since < first_bucket(from))
    }

    /// Notes that the run read the clock.
    pub(super) fn note_clock(&mut self, at: BootNanos) {
        let at = bucket_of(at);
        self.since = Some(self.since.map_or(at, |since| since.min(at)));
    }

    /// Notes a fact that is new, with its number.
    pub(super) fn note(&mut self, seq: u64, at: BootNanos) {
        let at = bucket_of(at);
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

    /// Notes what a batch reports as lost by when it was closed.
    pub(super) fn note_losses(&mut self, batch: &Batch, at: BootNanos) {
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

    /// Returns the numbers around an interval.
    pub(super) fn around(&self, from: BootNanos, until: BootNanos) -> Around {
        let first = first_bucket(from.min(until));
        let last = bucket_of(until.plus_ns(DISORDER_NS));
        let shown = bucket_of(until.plus_ns(SHOWN_WITHIN_NS));
        let begin = self.buckets.partition_point(|bucket| bucket.at < first);
        let end = self.buckets.partition_point(|bucket| bucket.at <= last);
        let before = match begin.checked_sub(1) {
            Some(n) => self.buckets.get(n),
            None => {
                let later = self.older.partition_point(|bucket| bucket.at < first);
                later.checked_sub(1).and_then(|n| self.older.get(n))
            }
        };
        let has_begun = self.told_before(from.min(until));
        let after = self.buckets.get(end).filter(|bucket| bucket.at <= shown);
        // However long the interval is, what lies between its ends is between their numbers.
        let within = || self.buckets.range(begin..end.max(begin));
        let lowest = within().take(EDGE).map(|bucket| bucket.first_seq).min();
        let highest = within().rev().take(EDGE).map(|bucket| bucket.last_seq);
        Around {
            before: before.filter(|_| has_begun).map(|bucket| bucket.last_seq),
            within: lowest.zip(highest.max()),
            after: after.map(|bucket| bucket.first_seq),
        }
    }

    /// Returns whether any facts without a number are counted as lost.
    pub(super) fn have_counted(&self) -> bool {
        self.counts.back().is_some_and(|&(_, count)| count > 0)
    }

    /// Returns whether facts without a number about an interval are counted as lost.
    pub(super) fn were_counted(&self, from: BootNanos, until: BootNanos) -> bool {
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

    /// Returns how many facts without a number, about an interval, are counted as lost between one batch and the next,
    /// at most.
    pub(super) fn counted_at_once(&self, from: BootNanos, until: BootNanos) -> u64 {
        let begin = self.counts.partition_point(|&(at, _)| at <= from);
        let end = self.counts.partition_point(|&(at, _)| at < until);
        let before = begin.checked_sub(1).and_then(|n| self.counts.get(n));
        let mut before = before.map_or(0, |&(_, count)| count);
        let shown = until.plus_ns(SHOWN_WITHIN_NS);
        let within = self
            .counts
            .range(begin..)
            .take(end.saturating_sub(begin) + 1)
            .take_while(|&&(at, _)| at <= shown);
        let lost = within.map(|&(_, count)| {
            let known = std::mem::replace(&mut before, count);
            count.saturating_sub(known)
        });
        lost.max().unwrap_or(0)
    }

    pub(super) fn checkpoint(&self) -> TimelineState {
        let buckets = self.older.iter().chain(&self.buckets);
        let buckets = buckets.map(|bucket| (bucket.at, bucket.first_seq, bucket.last_seq));
        TimelineState {
            sender: self.sender.clone(),
            since: self.since,
            buckets: buckets.collect(),
            counts: self.counts.iter().copied().collect(),
            sampled: self.sampled.checkpoint(),
        }
    }

    pub(super) fn restore(from: &TimelineState) -> Self {
        let bucket = |&(at, first_seq, last_seq): &(u64, u64, u64)| Bucket {
            at,
            first_seq,
            last_seq,
        };
        let older = from.buckets.len().saturating_sub(BUCKETS_MAX);
        let (older, buckets) = from.buckets.split_at(older);
        Self {
            sender: from.sender.clone(),
            since: from.since,
            buckets: buckets.iter().map(bucket).collect(),
            older: older.iter().map(bucket).collect(),
            counts: from.counts.iter().copied().collect(),
            sampled: Sampled::restore(&from.sampled),
        }
    }
}

pub(super) const fn bucket_of(at: BootNanos) -> u64 {
    at.0 >> BUCKET_SHIFT
}

/// Returns the first bucket that may hold facts about an interval that starts then.
pub(super) fn first_bucket(from: BootNanos) -> u64 {
    bucket_of(from.minus_ns(DISORDER_NS))
}

#[cfg(test)]
mod tests;
