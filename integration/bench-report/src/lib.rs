//! What every benchmark reports, in one shape: `target/bench/<name>.json` and a table to read.
//!
//! Figures with their budget, their spread and what the same measurement gives between two runs of
//! the same thing. Measures nothing itself, and depends on nothing: a benchmark of any part may use it.
#![forbid(unsafe_code)]

mod estimate;
mod json;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub use estimate::{Estimate, median, ratio_of_medians, ratios};

/// One figure, with all that is needed to judge it.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    name: String,
    unit: &'static str,
    estimate: Estimate,
    budget: Option<Budget>,
    goal: Option<f64>,
    floor: Option<f64>,
    aa: Option<f64>,
}

/// The bound that a figure has to keep.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Budget {
    /// Less is better.
    AtMost(f64),
    /// More is better.
    AtLeast(f64),
}

/// The figures of one benchmark.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    name: &'static str,
    figures: Vec<Figure>,
}

// === impl Figure ===

impl Figure {
    /// Returns a figure without a budget, to be read and not judged.
    #[must_use]
    pub fn new(name: impl Into<String>, unit: &'static str, estimate: Estimate) -> Self {
        Self {
            name: name.into(),
            unit,
            estimate,
            budget: None,
            goal: None,
            floor: None,
            aa: None,
        }
    }

    /// Sets the budget of a figure of which less is better.
    #[must_use]
    pub const fn at_most(mut self, budget: f64) -> Self {
        self.budget = Some(Budget::AtMost(budget));
        self
    }

    /// Sets the budget of a figure of which more is better.
    #[must_use]
    pub const fn at_least(mut self, budget: f64) -> Self {
        self.budget = Some(Budget::AtLeast(budget));
        self
    }

    /// Sets what is aimed at, beyond the budget.
    #[must_use]
    pub const fn goal(mut self, goal: f64) -> Self {
        self.goal = Some(goal);
        self
    }

    /// Sets what cannot be beaten.
    #[must_use]
    pub const fn floor(mut self, floor: f64) -> Self {
        self.floor = Some(floor);
        self
    }

    /// Sets what the same measurement gives between two runs of the same thing: near 1 for a ratio,
    /// near 0 for a difference. A figure that differs by less says nothing.
    #[must_use]
    pub const fn aa(mut self, aa: f64) -> Self {
        self.aa = Some(aa);
        self
    }

    /// Returns whether the budget is kept; `None` without one.
    #[must_use]
    pub fn pass(&self) -> Option<bool> {
        self.budget.map(|budget| match budget {
            Budget::AtMost(budget) => self.estimate.value <= budget,
            Budget::AtLeast(budget) => self.estimate.value >= budget,
        })
    }

    fn budget_value(&self) -> Option<f64> {
        self.budget.map(|budget| match budget {
            Budget::AtMost(budget) | Budget::AtLeast(budget) => budget,
        })
    }
}

// === impl Report ===

impl Report {
    /// Returns a report without figures; `name` is the file's.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            figures: Vec::new(),
        }
    }

    /// Adds a figure.
    pub fn add(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    /// Returns whether every budget is kept.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.figures
            .iter()
            .all(|figure| figure.pass() != Some(false))
    }

    /// Writes `target/bench/<name>.json` of the checkout; returns its path.
    ///
    /// # Errors
    ///
    /// Fails if the folder or the file cannot be written.
    pub fn write(&self) -> io::Result<PathBuf> {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let folder = checkout.join("target/bench");
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}.json", self.name));
        fs::write(&path, self.to_json())?;
        path.canonicalize()
    }

    /// Returns the figures as JSON, one to a line; what does not apply is null.
    #[must_use]
    pub fn to_json(&self) -> String {
        json::write(&self.figures)
    }

    /// Returns the figures as a table, one to a line.
    #[must_use]
    pub fn to_table(&self) -> String {
        let mut table = String::new();
        for figure in &self.figures {
            let Estimate { value, interval, n } = figure.estimate;
            let spread = interval.map_or_else(String::new, |(low, high)| {
                format!(" [{}, {}]", short(low), short(high))
            });
            let aa = figure
                .aa
                .map_or_else(String::new, |aa| format!(" A/A {}", short(aa)));
            let judged = match (figure.budget_value(), figure.pass()) {
                (Some(budget), Some(true)) => format!("  within {}", short(budget)),
                (Some(budget), _) => format!("  MISSES {}", short(budget)),
                (None, _) => String::new(),
            };
            let (name, unit) = (&figure.name, figure.unit);
            table.push_str(&format!(
                "{name:<52} {:>12} {unit}{spread}{aa} n={n}{judged}\n",
                short(value)
            ));
        }
        table
    }
}

/// Writes a number with three significant digits, or as a whole one.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(value: f64) -> Estimate {
        Estimate::exact(value, 3)
    }

    #[test]
    fn a_budget_is_kept_from_the_side_that_it_names() {
        let figure = |value| Figure::new("x", "ns", estimate(value));
        assert_eq!(figure(2.0).at_most(1.0).pass(), Some(false));
        assert_eq!(figure(2.0).at_least(1.0).pass(), Some(true));
        assert_eq!(figure(2.0).pass(), None);
        let mut report = Report::new("x");
        report.add(figure(1.0).at_most(1.0));
        assert!(report.passed());
        report.add(figure(2.0).at_most(1.0));
        assert!(!report.passed());
    }

    #[test]
    fn what_does_not_apply_is_null() {
        let mut report = Report::new("x");
        let spread = Estimate {
            value: 0.5,
            interval: Some((0.4, 0.6)),
            n: 9,
        };
        report.add(Figure::new("a.b", "ratio", spread).at_least(0.35).aa(1.01));
        report.add(Figure::new("c", "bytes", estimate(7.0)));
        let expected = concat!(
            "{\"figures\":[\n",
            "{\"name\":\"a.b\",\"value\":0.5,\"unit\":\"ratio\",\"budget\":0.35,\"goal\":null,\"floor\":null,",
            "\"interval\":[0.4,0.6],\"aa\":1.01,\"n\":9,\"pass\":true},\n",
            "{\"name\":\"c\",\"value\":7,\"unit\":\"bytes\",\"budget\":null,\"goal\":null,\"floor\":null,",
            "\"interval\":null,\"aa\":null,\"n\":3,\"pass\":null}\n",
            "]}\n",
        );
        assert_eq!(report.to_json(), expected);
    }
}
