//! Settled records that are unreadable for now: already evicted from memory, not yet in the database; being rebuilt
//! from the log.
//!
//! There are some while records settle faster than they are stored, for longer than memory lasts, or after a restart or
//! a lost file left fewer in the database than had settled. An answer that may leave them out says so.

use syntrace_model::UnixNanos;

/// Settled records that are being rebuilt from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// How many.
    pub records: u64,
    /// When the first and the last of them began; absent where memory never had some of them.
    pub span: Option<(UnixNanos, UnixNanos)>,
}

/// A run of numbers whose records memory gave up, stored or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct GivenUp {
    first: u64,
    last: u64,
    /// When the first and the last of them began.
    span: (UnixNanos, UnixNanos),
}

/// Where memory begins, at the moment at which it was looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seam {
    /// The lowest number that memory has, or will have.
    pub(super) first: u64,
    pub(super) given_up: Option<GivenUp>,
}

// === impl Hole ===

impl Hole {
    /// Returns whether one of them may have begun within the interval.
    #[must_use]
    pub fn touches(&self, since: UnixNanos, until: UnixNanos) -> bool {
        self.span
            .is_none_or(|(from, to)| from <= until && since <= to)
    }
}

// === impl GivenUp ===

impl GivenUp {
    /// Adds a record to the run, or begins another where that ended before.
    pub(super) fn after(run: Option<Self>, number: u64, began_at: UnixNanos) -> Self {
        match run {
            Some(run) if run.last + 1 == number => Self {
                last: number,
                span: (run.span.0.min(began_at), run.span.1.max(began_at)),
                ..run
            },
            Some(_) | None => Self {
                first: number,
                last: number,
                span: (began_at, began_at),
            },
        }
    }
}

// === impl Seam ===

impl Seam {
    /// Returns what lies between memory and what was stored by a later moment, before the database was looked at:
    /// no other record is missed.
    pub(crate) fn hole(&self, stored: u64) -> Option<Hole> {
        let records = self.first.saturating_sub(stored.saturating_add(1));
        let known = self
            .given_up
            .filter(|run| run.first <= stored.saturating_add(1) && run.last + 1 >= self.first);
        (records > 0).then(|| Hole {
            records,
            span: known.map(|run| run.span),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_hole_where_memory_begins_behind_what_is_stored() {
        assert_eq!(seam(1, &[]).hole(0), None);
        assert_eq!(seam(8, &[]).hole(7), None);
        assert_eq!(seam(8, &[]).hole(9), None);
        assert_eq!(seam(8, &[]).hole(u64::MAX), None);
        let hole = seam(8, &[]).hole(5).unwrap();
        assert_eq!((hole.records, hole.span), (2, None));
    }

    #[test]
    fn it_has_times_where_memory_had_all_of_it() {
        let seam = seam(8, &[(5, 30), (6, 10), (7, 20)]);
        let span = Some((UnixNanos(10), UnixNanos(30)));
        assert_eq!(seam.hole(4).unwrap().span, span);
        assert_eq!(seam.hole(6).unwrap().span, span);
        assert_eq!(seam.hole(3).unwrap().span, None);
        assert_eq!(seam.hole(7), None);
    }

    #[test]
    fn times_of_an_earlier_one_are_not_taken_for_those_of_another() {
        assert_eq!(seam(8, &[(5, 30)]).hole(4).unwrap().span, None);
        let seam = seam(8, &[(2, 90), (7, 20)]);
        let span = Some((UnixNanos(20), UnixNanos(20)));
        assert_eq!(seam.hole(6).unwrap().span, span);
        assert_eq!(seam.hole(1).unwrap().span, None);
    }

    #[test]
    fn it_touches_the_intervals_in_which_one_of_its_records_may_have_begun() {
        let hole = seam(8, &[(6, 10), (7, 30)]).hole(5).unwrap();
        let touches = |since, until| hole.touches(UnixNanos(since), UnixNanos(until));
        assert!(touches(0, 10) && touches(20, 20) && touches(30, u64::MAX));
        assert!(!touches(0, 9) && !touches(31, u64::MAX));
        let unknown = Hole { span: None, ..hole };
        assert!(unknown.touches(UnixNanos(31), UnixNanos(31)));
    }

    /// Memory that begins with a number, and gave up records of these numbers and times.
    fn seam(first: u64, given_up: &[(u64, u64)]) -> Seam {
        let mut run = None;
        for &(number, began_at) in given_up {
            run = Some(GivenUp::after(run, number, UnixNanos(began_at)));
        }
        Seam {
            first,
            given_up: run,
        }
    }
}
