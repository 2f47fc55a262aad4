//! Figures as the benchmarks write them, and what may be said of one: kept, missed, or not shown.

use serde::{Deserialize, Serialize};

/// One figure with all that is needed to judge it; the shape of `bench-report`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// Stable name; its first part is the benchmark's.
    pub name: String,
    /// The number; absent where there is none, such as the ratio of two zeroes.
    pub value: Option<f64>,
    /// Its unit; `ratio` has none.
    pub unit: String,
    /// The bound that it has to keep.
    pub budget: Option<f64>,
    /// What is aimed at, beyond the budget.
    pub goal: Option<f64>,
    /// What cannot be beaten.
    pub floor: Option<f64>,
    /// Its 95 % interval; absent for a count.
    pub interval: Option<(f64, f64)>,
    /// What the same measurement gives between two runs of the same thing.
    pub aa: Option<f64>,
    /// From how many measurements.
    pub n: u64,
    /// Whether the budget is kept by the number itself.
    pub pass: Option<bool>,
}

/// One benchmark's figures.
#[derive(Clone, Debug, PartialEq)]
pub struct Benchmark {
    /// The file's name, without its ending.
    pub name: String,
    /// When it was written, for people.
    pub measured_at: String,
    /// In the order in which they were measured.
    pub figures: Vec<Figure>,
}

/// The figures of a file, or of all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The figures.
    pub figures: Vec<Figure>,
}

/// What may be said of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The whole interval keeps it.
    Kept,
    /// The whole interval misses it.
    Missed,
    /// The interval reaches to both sides.
    NotShown,
}

// === impl Figure ===

impl Figure {
    /// Returns what may be said of its budget; `None` without one.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        let (value, budget, pass) = (self.value?, self.budget?, self.pass?);
        let less_is_better = (value <= budget) == pass;
        let keeps = |value: f64| {
            if less_is_better {
                value <= budget
            } else {
                value >= budget
            }
        };
        let (low, high) = self.interval.unwrap_or((value, value));
        Some(match (keeps(low), keeps(high)) {
            (true, true) => Verdict::Kept,
            (false, false) => Verdict::Missed,
            (true, false) | (false, true) => Verdict::NotShown,
        })
    }

    /// Returns whether it is no larger than its noise: its interval holds "no difference", or the same measurement
    /// of two equal things gave as much.
    #[must_use]
    pub fn is_noise(&self) -> bool {
        let Some(value) = self.value else {
            return true;
        };
        let no_difference = if self.unit == "ratio" { 1.0 } else { 0.0 };
        let holds = self
            .interval
            .is_some_and(|(low, high)| low <= no_difference && no_difference <= high);
        let noise = self.aa.map_or(0.0, |aa| (aa - no_difference).abs());
        holds || (value - no_difference).abs() <= noise
    }

    /// Returns whether the intervals of both share a number; not where one has none.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let both = self.interval.zip(other.interval);
        both.is_some_and(|((low, high), (other_low, other_high))| {
            low <= other_high && other_low <= high
        })
    }
}

// === impl Summary ===

impl Summary {
    /// Puts the figures of all benchmarks into one list.
    #[must_use]
    pub fn of(benchmarks: &[Benchmark]) -> Self {
        let figures = benchmarks.iter().flat_map(|benchmark| &benchmark.figures);
        Self {
            figures: figures.cloned().collect(),
        }
    }

    /// Returns the figure of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }

    /// Returns the figures whose names begin with `prefix`, each with the rest of its name.
    pub fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Figure)> {
        self.figures
            .iter()
            .filter_map(move |figure| Some((figure.name.strip_prefix(prefix)?, figure)))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::benchmarks) fn figure(name: &str, value: f64, interval: (f64, f64)) -> Figure {
        Figure {
            name: name.to_owned(),
            value: Some(value),
            unit: "ratio".to_owned(),
            budget: None,
            goal: None,
            floor: None,
            interval: Some(interval),
            aa: None,
            n: 9,
            pass: None,
        }
    }

    #[test]
    fn a_budget_within_the_interval_is_neither_kept_nor_missed() {
        let judged = |value, interval| {
            Figure {
                budget: Some(2.0),
                pass: Some(value <= 2.0),
                ..figure("x", value, interval)
            }
            .verdict()
        };
        assert_eq!(judged(1.5, (1.2, 1.9)), Some(Verdict::Kept));
        assert_eq!(judged(1.5, (1.2, 2.1)), Some(Verdict::NotShown));
        assert_eq!(judged(2.5, (1.9, 3.0)), Some(Verdict::NotShown));
        assert_eq!(judged(2.5, (2.1, 3.0)), Some(Verdict::Missed));
        assert_eq!(figure("x", 1.0, (1.0, 1.0)).verdict(), None);
    }

    #[test]
    fn a_budget_of_which_more_is_better_is_told_by_its_verdict() {
        let figure = Figure {
            budget: Some(0.35),
            pass: Some(false),
            ..figure("x", 0.05, (0.04, 0.06))
        };
        assert_eq!(figure.verdict(), Some(Verdict::Missed));
    }

    #[test]
    fn what_two_equal_things_differ_by_as_well_is_noise() {
        assert!(figure("x", 1.1, (0.9, 1.2)).is_noise());
        assert!(!figure("x", 1.1, (1.05, 1.2)).is_noise());
        let beside = |aa| Figure {
            aa: Some(aa),
            ..figure("x", 1.1, (1.05, 1.2))
        };
        assert!(beside(0.85).is_noise());
        assert!(!beside(0.95).is_noise());
        let difference = Figure {
            unit: "us".to_owned(),
            ..figure("x", 1.1, (1.05, 1.2))
        };
        assert!(!difference.is_noise());
    }

    #[test]
    fn figures_are_read_as_the_benchmarks_write_them() {
        let line = concat!(
            "{\"figures\":[{\"name\":\"a.b\",\"value\":0.5,\"unit\":\"ratio\",\"budget\":0.35,\"goal\":null,\"floor\":null,",
            "\"interval\":[0.4,0.6],\"aa\":1.01,\"n\":9,\"pass\":true}]}"
        );
        let summary: Summary = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&summary).unwrap(), line);
        let below: Vec<_> = summary.below("a.").map(|(rest, _)| rest).collect();
        assert_eq!(below, ["b"]);
    }
}
