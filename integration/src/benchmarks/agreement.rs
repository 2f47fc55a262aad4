//! Two runs of the same benchmarks, held against each other: which figures agree within their intervals, and which do
//! not.
//!
//! Two figures agree if their 95 % intervals share a number; two counts, if they are equal. A figure that was measured
//! once has neither: by how much it differs is said, and nothing concluded.

use super::figures::{Figure, Summary};

/// Another run of the same benchmarks: when it was, and its figures.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Run {
    /// When it was measured, for people.
    pub measured_at: String,
    /// What it found.
    #[serde(flatten)]
    pub summary: Summary,
}

/// A figure of both runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pair<'a> {
    pub(super) earlier: &'a Figure,
    pub(super) later: &'a Figure,
    pub(super) agreement: Agreement,
}

/// What may be said of a figure that both runs have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agreement {
    /// The intervals share a number, or the counts are equal.
    Agrees,
    /// The intervals share none, or the counts differ.
    Differs,
    /// One of them is a single measurement, whose noise nobody knows.
    Unknown,
}

/// Units of what is counted to the last one, however fast the machine is.
const COUNTED: [&str; 5] = ["runs", "calls", "pages", "facts", "snapshots"];
/// Ratios that are made of counts to the last one.
const COUNTED_RATIOS: [&str; 3] = ["chain.joined_ratio", "chain.precision", "chain.recall"];

/// Pairs the figures of two runs by name, in the later one's order; a figure that only one of them has is left out.
pub(super) fn pairs<'a>(earlier: &'a Summary, later: &'a Summary) -> Vec<Pair<'a>> {
    let of = |later: &'a Figure| {
        let earlier = earlier.get(&later.name)?;
        earlier.value?;
        later.value?;
        Some(Pair {
            earlier,
            later,
            agreement: agreement(earlier, later),
        })
    };
    later.figures.iter().filter_map(of).collect()
}

fn agreement(earlier: &Figure, later: &Figure) -> Agreement {
    let agree = match (earlier.interval, later.interval) {
        (Some(_), Some(_)) => earlier.overlaps(later),
        (None, None) if is_counted(later) => earlier.value == later.value,
        _ => return Agreement::Unknown,
    };
    if agree {
        Agreement::Agrees
    } else {
        Agreement::Differs
    }
}

fn is_counted(figure: &Figure) -> bool {
    COUNTED.contains(&figure.unit.as_str()) || COUNTED_RATIOS.contains(&figure.name.as_str())
}

// === impl Pair ===

impl Pair<'_> {
    /// Returns by how much the later one is larger, %; `None` where the earlier is 0.
    pub(super) fn change_percent(&self) -> Option<f64> {
        let (earlier, later) = (self.earlier.value?, self.later.value?);
        (earlier != 0.0).then(|| 100.0 * (later - earlier) / earlier.abs())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::figures::tests::figure, *};

    fn judged(earlier: Figure, later: Figure) -> Agreement {
        let [earlier, later] = [earlier, later].map(|figure| Summary {
            figures: vec![figure],
        });
        pairs(&earlier, &later)[0].agreement
    }

    fn count(name: &str, unit: &str, value: f64) -> Figure {
        Figure {
            unit: unit.to_owned(),
            interval: None,
            ..figure(name, value, (0.0, 0.0))
        }
    }

    #[test]
    fn figures_agree_where_their_intervals_touch_and_differ_where_they_do_not() {
        let earlier = || figure("x", 1.0, (0.9, 1.1));
        assert_eq!(
            judged(earlier(), figure("x", 1.2, (1.1, 1.3))),
            Agreement::Agrees
        );
        assert_eq!(
            judged(earlier(), figure("x", 0.8, (0.7, 0.95))),
            Agreement::Agrees
        );
        assert_eq!(
            judged(earlier(), figure("x", 1.2, (1.11, 1.3))),
            Agreement::Differs
        );
        assert_eq!(
            judged(earlier(), figure("x", 0.8, (0.7, 0.89))),
            Agreement::Differs
        );
    }

    #[test]
    fn counts_agree_only_if_they_are_equal_and_a_single_measurement_proves_nothing() {
        let both = |name, unit, value| judged(count(name, unit, 10.5), count(name, unit, value));
        assert_eq!(both("x", "runs", 10.5), Agreement::Agrees);
        assert_eq!(both("x", "runs", 10.6), Agreement::Differs);
        assert_eq!(both("chain.recall", "ratio", 1.0), Agreement::Differs);
        assert_eq!(both("x", "MiB", 10.5), Agreement::Unknown);
        let sampled = figure("x", 1.0, (0.9, 1.1));
        assert_eq!(
            judged(sampled, count("x", "ratio", 1.0)),
            Agreement::Unknown
        );
    }

    #[test]
    fn a_figure_of_one_run_only_is_left_out_and_one_of_both_tells_its_change() {
        let earlier = Summary {
            figures: vec![
                figure("a", -2.0, (-3.0, -1.0)),
                figure("b", 0.0, (0.0, 0.0)),
            ],
        };
        let later = Summary {
            figures: vec![
                figure("c", 1.0, (1.0, 1.0)),
                figure("b", 1.0, (1.0, 1.0)),
                figure("a", -1.0, (-1.5, -0.5)),
            ],
        };
        let pairs = pairs(&earlier, &later);
        let names: Vec<_> = pairs.iter().map(|pair| pair.later.name.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
        let changes: Vec<_> = pairs.iter().map(Pair::change_percent).collect();
        assert_eq!(changes, [None, Some(50.0)]);
    }

    #[test]
    fn a_run_is_read_as_the_summary_is_written() {
        let run = Run {
            measured_at: "2026-01-01 00:00 UTC".to_owned(),
            summary: Summary {
                figures: vec![figure("x", 1.0, (0.9, 1.1))],
            },
        };
        let text = serde_json::to_string(&run).unwrap();
        assert!(text.starts_with("{\"measured_at\":\"2026-01-01 00:00 UTC\",\"figures\":["));
        assert_eq!(serde_json::from_str::<Run>(&text).unwrap(), run);
    }
}
