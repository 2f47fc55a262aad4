//! Two runs side by side: how many figures agree, and which.

use std::fmt::Write as _;

use super::{
    agreement::{Agreement, Pair, Run, pairs},
    tables,
};

/// What a figure's unit makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ratio,
    Absolute,
    Count,
}

const KINDS: [(Kind, &str); 3] = [
    (Kind::Ratio, "ratios, and differences in percent"),
    (Kind::Absolute, "times, rates and sizes"),
    (Kind::Count, "counts"),
];

const LISTED: [(Agreement, &str); 3] = [
    (Agreement::Differs, "Those that differ"),
    (Agreement::Unknown, "Measured once in each"),
    (Agreement::Agrees, "Those that agree"),
];

/// Writes how many agree, by kind; nothing if the runs have no figure in common.
pub(super) fn in_short(earlier: &Run, later: &Run) -> String {
    let pairs = pairs(&earlier.summary, &later.summary);
    if pairs.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "The run of this document, {}, beside one of {} ([bench/earlier.json](bench/earlier.json)). Two figures agree if their \
         95 % intervals share a number; two counts, if they are equal. What was measured once has no interval: it is listed, and not judged. The two may be of different states of the code, and of the benchmark: what differs may be that. \
         [bench/figures.md](bench/figures.md#two-runs) lists them.\n\n\
         | | agree | differ | measured once |\n| --- | --- | --- | --- |\n",
        later.measured_at, earlier.measured_at
    );
    for (kind, what) in KINDS {
        let count = |agreement| {
            let of = |pair: &&Pair<'_>| kind_of(pair) == kind && pair.agreement == agreement;
            pairs.iter().filter(of).count()
        };
        let (agree, differ, unknown) = (
            count(Agreement::Agrees),
            count(Agreement::Differs),
            count(Agreement::Unknown),
        );
        writeln!(text, "| {what} | {agree} | {differ} | {unknown} |").unwrap_or_default();
    }
    text
}

/// Writes every figure that both have, those that differ first; nothing if they have none in common.
pub(super) fn listed(earlier: &Run, later: &Run) -> String {
    let pairs = pairs(&earlier.summary, &later.summary);
    if pairs.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "This run, {}, beside one of {} ([earlier.json](earlier.json)).\n",
        later.measured_at, earlier.measured_at
    );
    for (agreement, title) in LISTED {
        let mut of = with(&pairs, agreement).peekable();
        let table = if of.peek().is_some() {
            table(of)
        } else {
            "None.\n".to_owned()
        };
        write!(text, "\n### {title}\n\n{table}").unwrap_or_default();
    }
    text
}

fn with<'a>(
    pairs: &'a [Pair<'a>],
    agreement: Agreement,
) -> impl Iterator<Item = &'a Pair<'a>> + 'a {
    pairs.iter().filter(move |pair| pair.agreement == agreement)
}

fn table<'a>(pairs: impl Iterator<Item = &'a Pair<'a>>) -> String {
    let mut table =
        "| figure | unit | earlier (95 %) | this run (95 %) | change |\n| --- | --- | --- | --- | --- |\n"
            .to_owned();
    for pair in pairs {
        let change = pair
            .change_percent()
            .map_or_else(String::new, |percent| format!("{percent:+.1} %"));
        let (earlier, later) = (tables::figure(pair.earlier), tables::figure(pair.later));
        writeln!(
            table,
            "| `{}` | {} | {earlier} | {later} | {change} |",
            pair.later.name, pair.later.unit
        )
        .unwrap_or_default();
    }
    table
}

fn kind_of(pair: &Pair<'_>) -> Kind {
    match (pair.later.unit.as_str(), pair.later.interval) {
        ("ratio" | "%", Some(_)) => Kind::Ratio,
        (_, None) if pair.agreement != Agreement::Unknown => Kind::Count,
        ("ratio" | "%", None) => Kind::Ratio,
        _ => Kind::Absolute,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::figures::{Figure, Summary, tests::figure},
        *,
    };

    fn run(measured_at: &str, figures: Vec<Figure>) -> Run {
        Run {
            measured_at: measured_at.to_owned(),
            summary: Summary { figures },
        }
    }

    #[test]
    fn what_differs_is_counted_by_kind_and_listed_with_both_intervals() {
        let counted = |value| Figure {
            unit: "runs".to_owned(),
            interval: None,
            ..figure("c", value, (0.0, 0.0))
        };
        let time = |value, interval| Figure {
            unit: "us".to_owned(),
            ..figure("t", value, interval)
        };
        let earlier = run(
            "Monday",
            vec![
                figure("r", 1.0, (0.9, 1.1)),
                time(10.0, (9.0, 11.0)),
                counted(6.5),
            ],
        );
        let later = run(
            "Tuesday",
            vec![
                figure("r", 1.05, (1.0, 1.1)),
                time(15.0, (14.0, 16.0)),
                counted(6.5),
            ],
        );
        let text = in_short(&earlier, &later);
        assert!(
            text.contains("this document, Tuesday, beside one of Monday"),
            "{text}"
        );
        assert!(
            text.contains("| ratios, and differences in percent | 1 | 0 | 0 |"),
            "{text}"
        );
        assert!(
            text.contains("| times, rates and sizes | 0 | 1 | 0 |"),
            "{text}"
        );
        assert!(text.contains("| counts | 1 | 0 | 0 |"), "{text}");
        let text = listed(&earlier, &later);
        let (differing, others) = text.split_once("### Measured once").unwrap();
        assert!(
            differing.contains("| `t` | us | 10 (9 to 11) | 15 (14 to 16) | +50.0 % |"),
            "{text}"
        );
        assert!(
            !differing.contains("`r`") && others.contains("`r`"),
            "{text}"
        );
    }

    #[test]
    fn runs_without_a_common_figure_are_not_compared() {
        let earlier = run("Monday", vec![figure("a", 1.0, (1.0, 1.0))]);
        let later = run("Tuesday", vec![figure("b", 1.0, (1.0, 1.0))]);
        assert_eq!(in_short(&earlier, &later), "");
        assert_eq!(listed(&earlier, &later), "");
    }

    #[test]
    fn runs_that_agree_in_everything_say_so() {
        let of = |day| run(day, vec![figure("a", 1.0, (0.9, 1.1))]);
        let text = listed(&of("Monday"), &of("Tuesday"));
        assert!(text.contains("### Those that differ\n\nNone.\n"), "{text}");
    }
}
