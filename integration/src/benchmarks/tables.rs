//! Figures as Markdown tables.

use std::fmt::Write as _;

use super::{
    evidence::Sighting,
    figures::{Benchmark, Figure, Summary, Verdict},
    picture::words,
};

/// Measurements below which an interval means nothing.
const ENOUGH: u64 = 3;

/// Writes a number with three significant digits, or as a whole one.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        size if size >= 0.001 => format!("{value:.3}"),
        _ => format!("{value:.5}"),
    }
}

/// Writes a figure with its interval.
pub(super) fn figure(figure: &Figure) -> String {
    let Some(value) = figure.value else {
        return "no number".to_owned();
    };
    match figure.interval.filter(|_| figure.n >= ENOUGH) {
        Some((low, high)) => format!("{} ({} to {})", number(value), number(low), number(high)),
        None => number(value),
    }
}

/// Writes a difference or a ratio, or that it is within its noise.
pub(super) fn difference(of: &Figure) -> String {
    beyond(of, None)
}

/// Writes a difference, or that it is within its noise, or within that of two equal things.
pub(super) fn beyond(of: &Figure, equal: Option<&Figure>) -> String {
    if of.is_noise() || equal.is_some_and(|equal| equal.overlaps(of)) {
        format!("within noise: {}", figure(of))
    } else {
        figure(of)
    }
}

fn or_none(value: Option<f64>) -> String {
    value.map_or_else(String::new, number)
}

/// Where [`open-problems.md`] says why a budget is missed, by what the figure's name begins with.
///
/// [`open-problems.md`]: ../../../../docs/open-problems.md
const REASONS: [(&str, &str); 3] = [
    ("chain.", "#under-load"),
    ("filter.", "#the-filter"),
    ("reconciler.", "#the-reconciler"),
];

/// Where it says so of any other.
const REASON: &str = "#budgets-that-are-missed";

/// Returns a link to the reason why a budget is missed.
pub(super) fn reason(figure: &Figure) -> String {
    let heading = REASONS
        .iter()
        .find(|(prefix, _)| figure.name.starts_with(prefix));
    let heading = heading.map_or(REASON, |(_, heading)| heading);
    format!("[why](open-problems.md{heading})")
}

/// Every figure that has a budget, and what may be said of it.
pub(super) fn budgets(summary: &Summary) -> String {
    let mut table = "| figure | measured (95 %) | A/A | budget | goal | floor | |\n| --- | --- | --- | --- | --- | --- | --- |\n".to_owned();
    for of in &summary.figures {
        let verdict = match of.verdict() {
            Some(Verdict::Kept) => "kept".to_owned(),
            Some(Verdict::Missed) => format!("**missed**, {}", reason(of)),
            Some(Verdict::NotShown) => {
                format!(
                    "not shown: the interval reaches to both sides, {}",
                    reason(of)
                )
            }
            None => continue,
        };
        writeln!(
            table,
            "| `{}` | {} | {} | {} | {} | {} | {verdict} |",
            of.name,
            figure(of),
            or_none(of.aa),
            or_none(of.budget),
            or_none(of.goal),
            or_none(of.floor),
        )
        .unwrap_or_default();
    }
    table
}

/// What two equal variants differ by is kept under this name.
const EQUAL: &str = "nothing_again";

/// One row for each variant, one column for each load: `<before>.<load>.<variant>`. A cell is written from its figure
/// and from that of two equal variants under the same load.
pub(super) fn by_load(
    summary: &Summary,
    before: &str,
    write: fn(&Figure, Option<&Figure>) -> String,
) -> String {
    let (mut loads, mut variants) = (Vec::new(), Vec::new());
    let cells: Vec<_> = summary
        .below(before)
        .filter_map(|(rest, figure)| Some((rest.split_once('.')?, figure)))
        .collect();
    for ((load, variant), _) in &cells {
        for (list, name) in [(&mut loads, load), (&mut variants, variant)] {
            if !list.contains(name) {
                list.push(name);
            }
        }
    }
    let mut table = String::from("| |");
    for load in &loads {
        write!(table, " {} |", words(load)).unwrap_or_default();
    }
    table.push_str("\n| --- |");
    table.push_str(&" --- |".repeat(loads.len()));
    for variant in variants {
        write!(table, "\n| {} |", words(variant)).unwrap_or_default();
        for load in &loads {
            let find = |variant| {
                let cell = cells.iter().find(|(name, _)| *name == (*load, variant));
                cell.map(|(_, figure)| *figure)
            };
            let text = find(variant).map_or_else(String::new, |of| write(of, find(EQUAL)));
            write!(table, " {text} |").unwrap_or_default();
        }
    }
    table + "\n"
}

/// Figures as they are, one to a row.
pub(super) fn list<'a>(figures: impl Iterator<Item = &'a Figure>) -> String {
    let mut table =
        "| figure | measured (95 %) | unit | A/A | n |\n| --- | --- | --- | --- | --- |\n"
            .to_owned();
    for of in figures {
        let (name, unit, n) = (&of.name, &of.unit, of.n);
        let (measured, aa) = (figure(of), or_none(of.aa));
        writeln!(table, "| `{name}` | {measured} | {unit} | {aa} | {n} |").unwrap_or_default();
    }
    table
}

/// Every figure of every benchmark.
pub(super) fn all(benchmarks: &[Benchmark]) -> String {
    let one = |benchmark: &Benchmark| {
        format!(
            "### {}, {}\n\n{}",
            benchmark.name,
            benchmark.measured_at,
            list(benchmark.figures.iter())
        )
    };
    let with_figures = benchmarks.iter().filter(|of| !of.figures.is_empty());
    let all: Vec<_> = with_figures.map(one).collect();
    all.join("\n")
}

/// Faults against tools, and the first line of what Syntrace printed about each.
pub(super) fn faults(sightings: &[Sighting]) -> String {
    let (mut tools, mut faults): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for of in sightings {
        for (list, name) in [(&mut tools, &of.tool), (&mut faults, &of.fault)] {
            if !list.contains(&name.as_str()) {
                list.push(name);
            }
        }
    }
    let mut text = String::from("| |");
    for fault in &faults {
        write!(text, " {fault} |").unwrap_or_default();
    }
    text.push_str("\n| --- |");
    text.push_str(&" --- |".repeat(faults.len()));
    for tool in &tools {
        write!(text, "\n| {tool} |").unwrap_or_default();
        for fault in &faults {
            let seen = sightings
                .iter()
                .find(|of| of.tool == *tool && of.fault == *fault);
            write!(text, " {} |", seen.map_or_else(String::new, sighting)).unwrap_or_default();
        }
    }
    text.push_str("\n\nThe first line of what Syntrace printed, right or wrong:\n\n");
    for of in sightings.iter().filter(|of| of.tool.contains("Syntrace")) {
        let first = of.lines.first().map_or("(nothing)", String::as_str);
        writeln!(text, "- {}: \"{first}\"", of.fault).unwrap_or_default();
    }
    text
}

/// Everything each tool printed, by fault.
pub(super) fn printed(sightings: &[Sighting]) -> String {
    let mut text = String::new();
    let mut fault = None;
    for of in sightings {
        if fault.replace(&of.fault) != Some(&of.fault) {
            writeln!(text, "\n## {}", of.fault).unwrap_or_default();
        }
        write!(text, "\n{}:\n\n```text\n", of.tool).unwrap_or_default();
        if of.lines.is_empty() {
            text.push_str("(nothing)\n");
        }
        for line in &of.lines {
            text.push_str(line);
            text.push('\n');
        }
        text.push_str("```\n");
    }
    text
}

/// What a tool told, in words.
fn sighting(of: &Sighting) -> String {
    let told = [
        (of.request, "request"),
        (of.connection, "connection"),
        (of.cause, "**cause**"),
    ];
    let told: Vec<_> = told
        .iter()
        .filter_map(|(told, what)| told.then_some(*what))
        .collect();
    match (of.lines.is_empty(), told.is_empty()) {
        (true, _) => "nothing".to_owned(),
        (false, true) => "a line, no more".to_owned(),
        (false, false) => told.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::figures::tests::figure as sample, *};

    #[test]
    fn a_table_has_a_row_for_each_variant_and_leaves_open_what_was_not_measured() {
        let summary = Summary {
            figures: vec![
                sample("x.http1.nothing", 50.0, (49.0, 51.0)),
                sample("x.churn.nothing", 90.0, (80.0, 99.0)),
                sample("x.http1.lua", 60.0, (59.0, 61.0)),
            ],
        };
        let expected = "| | http1 | churn |\n| --- | --- | --- |\n\
            | nothing | 50 (49 to 51) | 90 (80 to 99) |\n| lua | 60 (59 to 61) |  |\n";
        assert_eq!(by_load(&summary, "x.", |of, _| figure(of)), expected);
    }

    #[test]
    fn what_reaches_into_the_difference_of_two_equal_things_is_noise() {
        let us = |name: &str, value, interval| Figure {
            unit: "us".to_owned(),
            ..sample(name, value, interval)
        };
        let summary = Summary {
            figures: vec![
                us("x.http1.nothing_again", 0.1, (-3.0, 2.0)),
                us("x.http1.probe", 3.0, (1.5, 7.0)),
                us("x.http1.lua", 9.0, (2.5, 12.0)),
            ],
        };
        let table = by_load(&summary, "x.", beyond);
        assert!(
            table.contains("| probe | within noise: 3 (1.50 to 7) |"),
            "{table}"
        );
        assert!(table.contains("| lua | 9 (2.50 to 12) |"), "{table}");
    }

    #[test]
    fn a_budget_that_is_missed_leads_to_its_reason() {
        let missed = |name: &str| Figure {
            budget: Some(1.0),
            pass: Some(false),
            ..sample(name, 2.0, (1.5, 2.5))
        };
        let figures = vec![missed("filter.x"), missed("x.y")];
        let table = budgets(&Summary { figures });
        assert!(table.contains("| **missed**, [why](open-problems.md#the-filter) |"));
        assert!(table.contains("| **missed**, [why](open-problems.md#budgets-that-are-missed) |"));
    }

    #[test]
    fn every_heading_that_gives_a_reason_is_there() {
        let problems = include_str!("../../../docs/open-problems.md");
        let headings = problems.lines().filter(|line| line.starts_with("##"));
        let known: Vec<_> = headings
            .map(|line| line.trim_start_matches(['#', ' ']))
            .map(|heading| format!("#{}", heading.to_lowercase().replace(' ', "-")))
            .collect();
        let reasons = REASONS.iter().map(|(_, heading)| *heading);
        for heading in reasons.chain([REASON]) {
            assert!(known.iter().any(|known| known == heading), "{heading}");
        }
    }

    #[test]
    fn a_difference_within_its_noise_is_called_so() {
        assert_eq!(
            difference(&sample("x", 1.05, (0.9, 1.2))),
            "within noise: 1.05 (0.900 to 1.20)"
        );
        assert_eq!(
            difference(&sample("x", 1.5, (1.25, 2.0))),
            "1.50 (1.25 to 2)"
        );
    }

    #[test]
    fn what_a_tool_told_of_a_fault_stands_in_its_cell_and_its_lines_below_the_fault() {
        let lines = vec!["GET /a 503 UF".to_owned()];
        let seen = Sighting::judge(("refused", "access log"), lines, "/a", &[41], &[("UF", 1)]);
        let unseen = Sighting::judge(
            ("refused", "tcplife"),
            Vec::new(),
            "/a",
            &[41],
            &[("UF", 1)],
        );
        let sightings = [seen, unseen];
        let text = faults(&sightings);
        assert!(
            text.contains("| access log | request, **cause** |\n| tcplife | nothing |"),
            "{text}"
        );
        let expected = "\n## refused\n\naccess log:\n\n```text\nGET /a 503 UF\n```\n\
            \ntcplife:\n\n```text\n(nothing)\n```\n";
        assert_eq!(printed(&sightings), expected);
    }
}
