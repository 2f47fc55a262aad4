//! The section about two runs: how many figures agree, and every one that does not.

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

/// Writes all of it; nothing if the runs have no figure in common.
pub(super) fn section(earlier: &Run, later: &Run) -> String {
    let pairs = pairs(&earlier.summary, &later.summary);
    if pairs.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "The run of this document, {}, beside one of {} ([bench/earlier.json](bench/earlier.json)). Two figures agree if their \
         95 % intervals share a number; two counts, if they are equal. What was measured once has no interval: it is listed, and not judged. The two may be of different states of the code, and of the benchmark: what differs may be that.\n\n\
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
    let differing: Vec<_> = with(&pairs, Agreement::Differs).collect();
    if differing.is_empty() {
        text.push_str("\nNone differs.\n");
    } else {
        text.push_str("\nThose that differ:\n\n");
        text.push_str(&table(differing.into_iter()));
    }
    for (agreement, title) in [
        (Agreement::Unknown, "Measured once in each"),
        (Agreement::Agrees, "Those that agree"),
    ] {
        let table = table(with(&pairs, agreement));
        write!(
            text,
            "\n<details><summary>{title}</summary>\n\n{table}\n</details>\n"
        )
        .unwrap_or_default();
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
        let text = section(&earlier, &later);
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
        let (before, details) = text.split_once("<details>").unwrap();
        assert!(
            before.contains("| `t` | us | 10 (9 to 11) | 15 (14 to 16) | +50.0 % |"),
            "{text}"
        );
        assert!(!before.contains("`r`") && details.contains("`r`"), "{text}");
    }

    #[test]
    fn runs_without_a_common_figure_are_not_compared() {
        let earlier = run("Monday", vec![figure("a", 1.0, (1.0, 1.0))]);
        let later = run("Tuesday", vec![figure("b", 1.0, (1.0, 1.0))]);
        assert_eq!(section(&earlier, &later), "");
    }

    #[test]
    fn runs_that_agree_in_everything_say_so() {
        let of = |day| run(day, vec![figure("a", 1.0, (0.9, 1.1))]);
        assert!(section(&of("Monday"), &of("Tuesday")).contains("None differs."));
    }
}
