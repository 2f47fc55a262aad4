//! Which numbers of one sender's facts arrived: runs, and the gaps between them. Bounded: of a sender that
//! keeps leaving gaps, the oldest are forgotten.

use std::collections::BTreeSet;

/// Runs remembered; beyond, the oldest gap is forgotten.
const RUNS_MAX: usize = 1024;

/// The numbers that arrived.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    /// As first number and the number after the last; neither overlapping nor touching.
    runs: BTreeSet<(u64, u64)>,
    received: u64,
    /// Highest number seen, plus one.
    end: u64,
}

// === impl Runs ===

impl Runs {
    /// Restores what arrived before.
    pub(super) fn restore(runs: &[(u64, u64)], received: u64, end: u64) -> Self {
        Self {
            runs: runs.iter().copied().collect(),
            received,
            end,
        }
    }

    /// Returns all runs, in order.
    pub(super) fn all(&self) -> Vec<(u64, u64)> {
        self.runs.iter().copied().collect()
    }

    /// Returns how many different ones arrived.
    pub(super) const fn received(&self) -> u64 {
        self.received
    }

    /// Returns the number after the highest that arrived.
    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    /// Returns how many below the highest did not arrive.
    pub(super) const fn missing(&self) -> u64 {
        self.end.saturating_sub(self.received)
    }

    /// Returns whether a number arrived.
    pub(super) fn contains(&self, seq: u64) -> bool {
        self.run_of(seq).is_some_and(|(_, end)| seq < end)
    }

    /// Adds the run `first..end`, merged with those that it overlaps or touches.
    pub(super) fn add(&mut self, first: u64, end: u64) {
        if first >= end {
            return;
        }
        let (mut from, mut to, mut known) = (first, end, 0);
        while let Some(run) = self.run_of(to) {
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

    /// Returns the first number that arrived, and the last.
    pub(crate) fn ends(&self) -> (u64, u64) {
        let first = self.runs.first().map_or(0, |run| run.0);
        (first, self.end.saturating_sub(1))
    }

    /// Returns whether all arrived, from the first that did to the last.
    pub(crate) fn is_whole(&self) -> bool {
        self.runs.len() == 1
    }

    /// Returns whether these numbers, and all between them, are known to have arrived.
    pub(crate) fn has_all(&self, first: u64, last: u64) -> bool {
        let run = self.run_of(first);
        run.is_some_and(|run| last < run.1 && !self.may_hide_gaps(run))
    }

    /// Returns whether two consecutive numbers, from `first` to `last`, did not arrive.
    pub(crate) fn lacks_two(&self, first: u64, last: u64) -> bool {
        let from = self.run_of(first).unwrap_or((first, first));
        let later = (first.saturating_add(1), 0)..=(last.max(first).saturating_add(1), 0);
        let mut arrived_until = from.1;
        self.may_hide_gaps(from)
            || self.runs.range(later).any(|&(begin, end)| {
                let missing = begin.saturating_sub(arrived_until);
                arrived_until = end;
                missing >= 2
            })
    }

    /// Returns the last run that begins at or before a number.
    fn run_of(&self, seq: u64) -> Option<(u64, u64)> {
        self.runs.range(..=(seq, u64::MAX)).next_back().copied()
    }

    /// Returns whether gaps within a run may have been forgotten: of many runs, within the oldest.
    fn may_hide_gaps(&self, run: (u64, u64)) -> bool {
        self.runs.len() > RUNS_MAX / 2 && self.runs.first() == Some(&run)
    }

    /// Merges the two oldest runs: what lies between stays counted as missing, and is a duplicate if it arrives.
    fn forget_oldest_gap(&mut self) {
        if let (Some(first), Some(second)) = (self.runs.pop_first(), self.runs.pop_first()) {
            self.runs.insert((first.0, second.1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(runs: &[(u64, u64)]) -> Runs {
        let mut numbers = Runs::default();
        for &(first, end) in runs {
            numbers.add(first, end);
        }
        numbers
    }

    fn arrivals(runs: &[(u64, u64)]) -> (u64, u64) {
        let numbers = of(runs);
        (numbers.received(), numbers.missing())
    }

    #[test]
    fn gaps_are_missing_until_they_are_filled() {
        assert_eq!(arrivals(&[(0, 5)]), (5, 0));
        assert_eq!(arrivals(&[(0, 5), (8, 10)]), (7, 3));
        assert_eq!(arrivals(&[(0, 5), (8, 10), (5, 8)]), (10, 0));
    }

    #[test]
    fn a_batch_without_facts_is_no_run_and_what_was_before_the_first_did_not_arrive() {
        let numbers = of(&[(5, 9), (20, 20)]);
        assert!(numbers.is_whole() && numbers.has_all(5, 8));
        assert!(!numbers.has_all(2, 8));
        assert_eq!(numbers.ends(), (5, 8));
    }

    #[test]
    fn redelivery_and_overlap_count_once() {
        assert_eq!(arrivals(&[(0, 5), (0, 5)]), (5, 0));
        assert_eq!(arrivals(&[(3, 6), (0, 10), (2, 4)]), (10, 0));
    }

    #[test]
    fn a_gap_that_was_given_up_is_not_taken_for_complete() {
        let mut numbers = of(&[(10, 15)]);
        for n in 0..2 * RUNS_MAX as u64 {
            numbers.add(20 + 10 * n, 25 + 10 * n);
        }
        assert!(!numbers.has_all(10, 24) && numbers.lacks_two(10, 24));
        let newest = 20 + 10 * (2 * RUNS_MAX as u64 - 1);
        assert!(numbers.has_all(newest, newest + 4));
        assert!(!numbers.has_all(newest, newest + 5));
    }

    #[test]
    fn two_that_are_missing_apart_from_each_other_are_not_two_in_a_row() {
        let numbers = of(&[(0, 10), (11, 20), (21, 30), (32, 40)]);
        let lacks = |first, last| numbers.lacks_two(first, last);
        assert!(!lacks(0, 29) && !lacks(0, 9) && !lacks(33, 39));
        assert!(lacks(0, 32) && lacks(29, 32) && lacks(5, 39));
    }

    #[test]
    fn a_sender_that_leaves_gaps_for_ever_costs_bounded_memory() {
        let mut numbers = Runs::default();
        for n in 0..10 * RUNS_MAX as u64 {
            numbers.add(2 * n, 2 * n + 1);
        }
        assert_eq!(numbers.runs.len(), RUNS_MAX);
        assert_eq!(numbers.received(), 10 * RUNS_MAX as u64);
        assert_eq!(numbers.missing(), numbers.received() - 1);
    }
}
