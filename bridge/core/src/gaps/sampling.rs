//! When one run of a probe left connections out: of those that end well it reports only some while its ring cannot
//! hold all. That is no loss, and leaves no gap.

use syntrace_model::BootNanos;

use crate::join::DISORDER_NS;

/// Changes kept. Of more, all counts as sampled from the first on until one that is kept says otherwise.
const CHANGES_MAX: usize = 1024;

/// From which moments on one of how many was reported, by time.
#[derive(Debug)]
pub(super) struct Sampled(Vec<(BootNanos, u32)>);

// === impl Sampled ===

impl Sampled {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Notes from when on one of `one_in` is reported; what was noted before changes nothing.
    pub(super) fn note(&mut self, at: BootNanos, one_in: u32) {
        let Err(place) = self.0.binary_search(&(at, one_in)) else {
            return;
        };
        self.0.insert(place, (at, one_in));
        if self.0.len() > CHANGES_MAX {
            let is_all = |&(_, one_in): &(_, u32)| one_in <= 1;
            let dropped = self.0.iter().position(is_all).unwrap_or(1);
            self.0.remove(dropped);
        }
    }

    /// Returns whether a connection that began within an interval may have been left out.
    pub(super) fn was_on(&self, from: BootNanos, until: BootNanos) -> bool {
        let (from, until) = (from.minus_ns(DISORDER_NS), until.plus_ns(DISORDER_NS));
        let begin = self.0.partition_point(|&(at, _)| at <= from);
        let end = self.0.partition_point(|&(at, _)| at <= until);
        let concerned = self.0.get(begin.saturating_sub(1)..end);
        concerned.is_some_and(|changes| changes.iter().any(|&(_, one_in)| one_in > 1))
    }

    pub(super) fn checkpoint(&self) -> Vec<(BootNanos, u32)> {
        self.0.clone()
    }

    pub(super) fn restore(from: &[(BootNanos, u32)]) -> Self {
        Self(from.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn it_holds_from_one_change_to_the_next_in_whatever_order_they_are_told() {
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let mut sampled = Sampled::new();
            for n in order {
                let (at, one_in) = [(10, 2), (20, 4), (30, 1)][n];
                sampled.note(second(at), one_in);
                sampled.note(second(at), one_in);
            }
            let was_on = |from, until| sampled.was_on(second(from), second(until));
            assert!(!was_on(1, 9));
            assert!(was_on(1, 11), "it began within");
            assert!(was_on(12, 13), "it began before");
            assert!(was_on(25, 40), "it ended within");
            assert!(!was_on(31, 40));
            assert!(was_on(0, 40));
        }
    }

    #[test]
    fn beyond_the_bound_more_counts_as_sampled_and_not_less() {
        let mut sampled = Sampled::new();
        for n in 0..3 * CHANGES_MAX as u64 {
            sampled.note(second(10 + n), 1 + (n % 2) as u32);
        }
        assert_eq!(sampled.0.len(), CHANGES_MAX);
        assert!(!sampled.was_on(second(1), second(9)));
        for n in 1..3 * CHANGES_MAX as u64 {
            let (at, on) = (second(10 + n), n % 2 == 1);
            let was_on = sampled.was_on(at.plus_ns(SECOND / 4), at.plus_ns(SECOND / 2));
            assert!(was_on || !on, "{n}");
        }
    }

    #[test]
    fn a_change_counts_as_far_as_the_sources_disagree_and_is_taken_up_again() {
        let mut noted = Sampled::new();
        noted.note(second(10), 2);
        noted.note(second(30), 1);
        for sampled in [&noted, &Sampled::restore(&noted.checkpoint())] {
            let ended = |before_ns| sampled.was_on(second(1), second(10).minus_ns(before_ns));
            assert!(ended(DISORDER_NS) && !ended(DISORDER_NS + 1));
            let began = |after_ns| sampled.was_on(second(30).plus_ns(after_ns), second(40));
            assert!(began(DISORDER_NS - 1) && !began(DISORDER_NS));
        }
        assert!(!Sampled::new().was_on(second(1), second(40)));
    }

    fn second(n: u64) -> BootNanos {
        BootNanos(n * SECOND)
    }
}
