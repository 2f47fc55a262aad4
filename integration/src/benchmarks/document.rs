//! `docs/BENCHMARKS.md`: what was measured, how, against whom, and what it does not show.

use super::{
    agreement::Run,
    evidence::{Evidence, Tool},
    figures::{Benchmark, Summary, Verdict},
    tables, two_runs,
};

/// Where and when it was measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Processors, memory, kernel, distribution: one line.
    pub description: String,
    /// When the last of the benchmarks ended.
    pub measured_at: String,
}

/// Figures that a reader wants first, and what each is.
const FIRST: [(&str, &str); 12] = [
    (
        "chain.cpu_everything_over_nothing",
        "gateway's processor time of a request with everything on (Envoy, probe, bridge) ÷ with nothing; HTTP/1.1, connections kept",
    ),
    (
        "chain.cpu_everything_over_nothing.churn",
        "the same, a connection for each request",
    ),
    (
        "chain.peak_everything_over_nothing",
        "most requests in a second with everything on ÷ with nothing, one worker",
    ),
    (
        "chain.p50_added_percent",
        "latency added at 50 % of the peak, p50, %",
    ),
    ("chain.p99_added_percent", "the same, p99"),
    (
        "chain.joined_ratio",
        "requests joined to both views' connection, of all, at the machine's peak of new connections",
    ),
    ("chain.lost", "facts lost meanwhile"),
    (
        "filter.over_batched_tracer",
        "what the filter adds to Envoy's worker ÷ what Envoy's tracer adds, flushing every 500 spans",
    ),
    (
        "probe.runs_per_data_packet",
        "eBPF programs run for a data packet",
    ),
    (
        "probe.full_over_empty",
        "run time of all eBPF programs for a connection ÷ an empty program's",
    ),
    (
        "reconciler.over_hash_join",
        "the reconciler's speed ÷ a bare hash join's",
    ),
    (
        "bridge.over_floor",
        "facts in to OTLP out, speed ÷ that of decoding and encoding alone",
    ),
];

const HOW: &str = "\
One host in network namespaces: a client, a gateway and a service, joined by veth. The gateway is a real Envoy with one
worker on a processor of its own; client, service, bridge and probe share the other. Three equal Envoys with a service each
take turns: two that nobody watches, whose difference is the A/A figure, and one in the probe's cgroup (tags on for
client, gateway and service). Each has a listener for each variant; all variants of a round are measured one after the
other, in a new order each round, and compared within the round. Numbers are medians with 95 % bootstrap intervals.

- **Processor time** is what the scheduler counted for the worker thread, from before the load until the worker rests
  again, by request. What the probe and the bridge use themselves is measured in runs of its own, until the last record is settled,
  and is part of `cpu_everything_over_nothing`.
- **Latency** is measured by an open loop: request *i* is due at a time that was fixed before, on a connection that was fixed
  before, and its latency counts from then on, whether or not the connection was free (what wrk2 calls corrected for
  coordinated omission). All samples are kept; percentiles are exact. The peak is that of the gateway with everything on, so that
  both sides can keep up with 80 % of it. `everything yielding` is the same with the probe and the bridge under `SCHED_IDLE`: what it
  lacks of `everything` is that they take turns with the client and the service on one processor, as they would not on a larger machine.
- **Coverage** is measured at as many new connections a second as this machine makes while it observes them, all on two processors: fewer
  than 10,000. Every join is held against the client's own log. Where the database falls behind this rate, what memory
  cannot hold meanwhile is made anew from the log: `catch_up` is how long that took when the load was over, and until then lists are not
  complete. `probe_behind` is by how much the kernel's facts came later than the filter's at most: a request waits for them.
- **The kernel's statistics** (`bpf_stats`) are off while time is measured; they are on only where programs' runs are counted.
- **No difference** is called one if its interval holds \"none\", if two equal things differed by as much, or, where each variant's
  addition is told, if its interval reaches into that of the two equal gateways: such figures are marked \"within noise\".
";

const NOT_SHOWN: &str = "\
- Other machines: two virtual processors, no hardware counters, and neighbours that nobody here knows. Ratios travel further than
  microseconds do.
- A network: veth has no latency to speak of, so an added microsecond is a larger part here than between hosts.
- Whether `filter` costs more than `everything`: they run in two Envoys, each of which compiles the module for itself. What the same filter
  costs in two equal listeners is `filter.added_us.syntrace` and `filter.added_us.syntrace_again`.
- Many workers, and contention between them: one worker was measured.
- Payloads: answers have six bytes. Nothing of Syntrace runs for a data packet, so larger ones make its share smaller.
- Kernel time that no thread is charged with: packets that arrive while a processor is idle. The `host` figures hold what client, gateway and
  service were charged with together.
- Rivals that do not run on this kernel: it has no kprobes and no fentry, so Debian's `tcpconnlat` and the usual scripts of
  bpftrace do not attach; scripts on tracepoints that print the same columns stand in for them.
- Hours: nothing here ran for longer than minutes.
";

// === impl Machine ===

impl Machine {
    /// Begins a document: its title, and where and when all in it was measured.
    pub(super) fn head(&self, title: &str) -> String {
        format!(
            "# {title}\n\n<!-- Written by `make bench`; edit integration/src/benchmarks/ instead. -->\n\n{}, {}.\n",
            self.description, self.measured_at
        )
    }

    /// Returns what was measured on it, as a run to hold against another.
    pub(super) fn run(&self, summary: &Summary) -> Run {
        Run {
            measured_at: self.measured_at.clone(),
            summary: summary.clone(),
        }
    }
}

/// Writes what a reader wants; held against an `earlier` run, if there is one.
#[must_use]
pub fn overview(
    machine: &Machine,
    benchmarks: &[Benchmark],
    evidence: &Evidence,
    earlier: Option<&Run>,
) -> String {
    let summary = Summary::of(benchmarks);
    let mut text = machine.head("Benchmarks")
        + "`make bench` measures and writes all of this. Every figure is in [bench/figures.md](bench/figures.md), and for programs in\n\
           `target/bench/summary.json`.\n";
    let mut section = |title: &str, body: &str| {
        if !body.trim().is_empty() {
            text.push_str(&format!("\n## {title}\n\n{}\n", body.trim_end()));
        }
    };
    section("In short", &in_short(&summary));
    section("How", HOW);
    section("Processor time of a request", &processor_time(&summary));
    section("Latency", &latency(&summary));
    section("What each tool tells of a fault", &faults(evidence));
    section("Coverage at load", &figures(&summary, COVERAGE));
    section("With nothing to do", &figures(&summary, &["chain.idle_"]));
    section("Growth", &figures(&summary, &["chain.growth."]));
    section("Budgets", &budgets(&summary));
    section("Two runs", &compared(machine, &summary, earlier));
    section("What this does not show", NOT_SHOWN);
    section("Notes of this run", &notes(&evidence.notes));
    section("Tools", &tools(&evidence.tools));
    text
}

const COVERAGE: &[&str] = &[
    "chain.joined",
    "chain.unmatched",
    "chain.lost",
    "chain.precision",
    "chain.recall",
    "chain.coverage.",
];

fn in_short(summary: &Summary) -> String {
    let mut text = "| | measured (95 %) |\n| --- | --- |\n".to_owned();
    for (name, what) in FIRST {
        if let Some(figure) = summary.get(name) {
            let measured = if name.contains("over_nothing") || name.contains("added") {
                tables::difference(figure)
            } else {
                tables::figure(figure)
            };
            text.push_str(&format!("| {what} | {measured} |\n"));
        }
    }
    let missed = summary
        .figures
        .iter()
        .filter(|figure| figure.verdict() == Some(Verdict::Missed));
    let missed: Vec<_> = missed.map(|figure| format!("`{}`", figure.name)).collect();
    text + "\n"
        + &if missed.is_empty() {
            "No budget is missed.\n".to_owned()
        } else {
            format!(
                "Budgets that are missed: {}. [open-problems.md](open-problems.md#budgets-that-are-missed) says why.\n",
                missed.join(", ")
            )
        }
}

fn budgets(summary: &Summary) -> String {
    let table = tables::budgets(summary);
    format!(
        "*Floor* is what cannot be beaten here, *goal* what is aimed at beyond the budget.\n\n{table}\n\
         The budget of joins on generated truth is held by a test, which fails where one is missed ([ground-truth.md](ground-truth.md)); that what is not \
         observed runs no program of ours follows from where the programs are attached, and is not measured."
    )
}

fn compared(machine: &Machine, summary: &Summary, earlier: Option<&Run>) -> String {
    earlier.map_or_else(String::new, |earlier| {
        two_runs::in_short(earlier, &machine.run(summary))
    })
}

fn processor_time(summary: &Summary) -> String {
    let table = tables::by_load(summary, "chain.cpu_us.", |of, _| tables::figure(of));
    let added = tables::by_load(summary, "chain.added_us.", tables::beyond);
    let host = tables::by_load(summary, "chain.host_added_us.", tables::beyond);
    let own = tables::list(summary.below("chain.own_us.").map(|(_, figure)| figure));
    format!(
        "![Processor time of a request by variant](bench/processor.svg)\n\n\
         Envoy's worker, microseconds for each request; `churn` is a connection for each request.\n\n{table}\n\
         What each adds to the worker, compared within a round:\n\n{added}\n\
         What each adds to client, gateway and service together; most of the probe's work is done where a packet arrives, and some of \
         that is not on the worker:\n\n{host}\n\
         What the probe and the bridge use themselves, and the tools that are programs of their own:\n\n{own}"
    )
}

fn latency(summary: &Summary) -> String {
    if summary.below("chain.latency_us.").next().is_none() {
        return String::new();
    }
    let table = tables::by_load(summary, "chain.latency_us.", |of, _| tables::figure(of));
    let told = ["added_percent", "chain.peak", "chain.generator"];
    let beside = summary
        .figures
        .iter()
        .filter(|figure| told.iter().any(|part| figure.name.contains(part)));
    let added = tables::list(beside);
    format!(
        "![Latency by percentile](bench/latency.svg)\n\nMicroseconds, at 50 % and 80 % of the peak; the upright lines are 95 % intervals:\n\n{table}\n{added}"
    )
}

fn faults(evidence: &Evidence) -> String {
    if evidence.sightings.is_empty() {
        return String::new();
    }
    format!(
        "Each fault was made once while all tools watched. A cell says what the lines that the tool printed about it hold: the *request* (its path), \
         the *connection* (a port of it), the *cause* (a word that names it). Lines that any healthy connection has too are printed as well, and \
         name no cause.\n\n{}\nEverything each tool printed is in [bench/faults.md](bench/faults.md).",
        tables::faults(&evidence.sightings)
    )
}

fn figures(summary: &Summary, prefixes: &[&str]) -> String {
    let wanted = |name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix));
    let mut found = summary
        .figures
        .iter()
        .filter(|figure| wanted(&figure.name))
        .peekable();
    if found.peek().is_none() {
        return String::new();
    }
    tables::list(found)
}

fn notes(notes: &[String]) -> String {
    notes.iter().map(|note| format!("- {note}\n")).collect()
}

fn tools(tools: &[Tool]) -> String {
    let mut table =
        "| | version | command line, or configuration |\n| --- | --- | --- |\n".to_owned();
    for Tool {
        name,
        version,
        command,
    } in tools
    {
        let command = command.replace('|', "\\|");
        table.push_str(&format!("| {name} | {version} | `{command}` |\n"));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{
        super::figures::{Figure, tests::figure},
        *,
    };

    fn benchmarks() -> Vec<Benchmark> {
        let missed = Figure {
            budget: Some(0.6),
            pass: Some(false),
            ..figure("filter.over_batched_tracer", 1.34, (1.09, 1.75))
        };
        vec![Benchmark {
            name: "filter".to_owned(),
            measured_at: "2026-01-01 00:00".to_owned(),
            figures: vec![
                missed,
                figure("chain.cpu_us.http1.nothing", 50.0, (49.0, 51.0)),
            ],
        }]
    }

    #[test]
    fn a_budget_that_is_missed_is_said_first_and_in_its_table() {
        let machine = Machine {
            description: "2 processors".to_owned(),
            measured_at: "2026-01-01".to_owned(),
        };
        let text = overview(&machine, &benchmarks(), &Evidence::default(), None);
        assert!(
            text.contains("Budgets that are missed: `filter.over_batched_tracer`"),
            "{text}"
        );
        assert!(text.contains("| 0.600 |  |  | **missed**, [why]"), "{text}");
        assert!(text.contains("| nothing | 50 (49 to 51) |"), "{text}");
        assert!(text.contains("## What this does not show"));
    }

    #[test]
    fn what_was_not_measured_has_no_section() {
        let machine = Machine {
            description: String::new(),
            measured_at: String::new(),
        };
        let text = overview(&machine, &[], &Evidence::default(), None);
        for absent in [
            "## Latency",
            "## Growth",
            "## Coverage",
            "## What each tool",
        ] {
            assert!(!text.contains(absent), "{absent}");
        }
    }
}
