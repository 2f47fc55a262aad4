//! What stands beside `docs/BENCHMARKS.md` in full: every figure, and every line that a tool printed about a fault.

use super::{
    agreement::Run,
    document::Machine,
    evidence::Evidence,
    figures::{Benchmark, Summary},
    tables, two_runs,
};

/// Writes `docs/bench/figures.md`: every figure by benchmark, and beside those of an `earlier` run, if there is one.
#[must_use]
pub fn all_figures(machine: &Machine, benchmarks: &[Benchmark], earlier: Option<&Run>) -> String {
    let mut text = machine.head("Benchmarks: all figures")
        + "[BENCHMARKS.md](../BENCHMARKS.md) says how they were measured, and what they show.\n";
    let later = machine.run(&Summary::of(benchmarks));
    let sections = [
        (
            "By benchmark, with the time of its run",
            tables::all(benchmarks),
        ),
        (
            "Two runs",
            earlier.map_or_else(String::new, |earlier| two_runs::listed(earlier, &later)),
        ),
    ];
    for (title, body) in sections {
        if !body.is_empty() {
            text.push_str(&format!("\n## {title}\n\n{body}"));
        }
    }
    text
}

/// Writes `docs/bench/faults.md`: everything each tool printed about each fault.
#[must_use]
pub fn printed_about_faults(machine: &Machine, evidence: &Evidence) -> String {
    machine.head("Benchmarks: what each tool printed about a fault")
        + "[BENCHMARKS.md](../BENCHMARKS.md#what-each-tool-tells-of-a-fault) says how they were made, and what the lines tell.\n"
        + &tables::printed(&evidence.sightings)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Figure, Sighting, figures::tests::figure},
        *,
    };

    fn machine() -> Machine {
        Machine {
            description: "2 processors".to_owned(),
            measured_at: "Tuesday".to_owned(),
        }
    }

    fn benchmark(figures: Vec<Figure>) -> Benchmark {
        Benchmark {
            name: "filter".to_owned(),
            measured_at: "Tuesday, 12:00".to_owned(),
            figures,
        }
    }

    #[test]
    fn every_figure_stands_below_its_benchmark_and_beside_the_earlier_run() {
        let benchmarks = [benchmark(vec![
            figure("filter.x", 2.0, (1.5, 2.5)),
            figure("filter.new", 1.0, (1.0, 1.0)),
        ])];
        let earlier = Run {
            measured_at: "Monday".to_owned(),
            summary: Summary {
                figures: vec![figure("filter.x", 1.0, (0.9, 1.1))],
            },
        };
        let text = all_figures(&machine(), &benchmarks, Some(&earlier));
        assert!(text.starts_with("# Benchmarks: all figures\n"), "{text}");
        let (by_benchmark, two_runs) = text.split_once("\n## Two runs\n").unwrap();
        assert!(
            by_benchmark.contains("### filter, Tuesday, 12:00\n"),
            "{text}"
        );
        for name in ["`filter.x`", "`filter.new`"] {
            assert!(by_benchmark.contains(name), "{text}");
        }
        assert!(
            two_runs.contains(
                "| `filter.x` | ratio | 1 (0.900 to 1.10) | 2 (1.50 to 2.50) | +100.0 % |"
            )
        );
        assert!(!two_runs.contains("`filter.new`"), "{text}");
    }

    #[test]
    fn without_an_earlier_run_there_is_nothing_to_hold_it_against() {
        let benchmarks = [benchmark(vec![figure("filter.x", 2.0, (1.5, 2.5))])];
        let text = all_figures(&machine(), &benchmarks, None);
        assert!(!text.contains("## Two runs"), "{text}");
    }

    #[test]
    fn all_that_a_tool_printed_is_kept() {
        let lines = vec!["first".to_owned(), "second".to_owned()];
        let evidence = Evidence {
            sightings: vec![Sighting::judge(
                ("refused", "tcplife"),
                lines,
                "/",
                &[],
                &[],
            )],
            ..Evidence::default()
        };
        let text = printed_about_faults(&machine(), &evidence);
        assert!(text.contains("\n2 processors, Tuesday."), "{text}");
        assert!(
            text.contains("\n## refused\n\ntcplife:\n\n```text\nfirst\nsecond\n```\n"),
            "{text}"
        );
    }
}
