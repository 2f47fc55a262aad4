//! What the filter adds to Envoy's work, beside what operators would use instead: `make bench-filter`.
//!
//! One Envoy with one worker on a processor of its own, one listener for each variant, the same load on
//! each in turn and in a new order each round. The cost is the worker thread's processor time for each
//! request, until the worker rests again: what is flushed later is paid for as well. Every variant is
//! compared with the mean of two listeners without any, whose difference is the noise.

mod costs;
mod variants;
mod worker;

use std::{
    fs,
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use serde_json::Value;
use syntrace_bench_report::{Estimate, Figure, Report, median};
use syntrace_integration::{bridge::Bridge, paths, requirements, sandbox::Sandbox, services};

use crate::{
    costs::Costs,
    variants::{Flush, Variant},
};

/// Rounds against the tracer that flushes rarely, and with its default; `BENCH_ROUNDS` sets the first.
const ROUNDS: usize = 25;

fn main() -> anyhow::Result<ExitCode> {
    let missing = requirements::missing();
    anyhow::ensure!(missing.is_empty(), "needs {}", missing.join(", "));
    let rounds = match std::env::var("BENCH_ROUNDS") {
        Ok(rounds) => rounds.parse().context("reading BENCH_ROUNDS")?,
        Err(_) => ROUNDS,
    };
    let sandbox = Sandbox::new()?;
    let _bridge = Bridge::start(&sandbox)?;
    let _sinks = services::sinks(&sandbox)?;
    let fair = costs::measure(&sandbox, Flush::Rarely, &Variant::ALL, rounds)?;
    let default = [Variant::None, Variant::NoneAgain, Variant::Tracer];
    let default = costs::measure(&sandbox, Flush::ByDefault, &default, rounds.div_ceil(3))?;
    let mut out = io::stdout();
    write!(out, "{}", fair.to_table("tracer flushes every 500 spans"))?;
    write!(
        out,
        "{}",
        default.to_table("tracer flushes by default, every 5 spans")
    )?;

    let report = report(&fair)?;
    write!(out, "{}", report.to_table())?;
    report.write()?;
    Ok(if report.passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn report(costs: &Costs) -> anyhow::Result<Report> {
    let mut report = Report::new("filter");
    let noise = median(&costs.noise()).value;
    let noise_of_ratios = costs.ratio(Variant::SyntraceAgain, Variant::Syntrace).value;
    for (name, rival, budget, goal) in [
        ("filter.over_batched_tracer", Variant::Tracer, 0.60, 0.40),
        ("filter.over_als", Variant::AccessLog, 1.6, 1.0),
        ("filter.over_empty_filter", Variant::Empty, 2.0, 1.3),
    ] {
        let estimate = costs.ratio(Variant::Syntrace, rival);
        // No filter of this kind can add less than one that does nothing.
        let floor = costs.ratio(Variant::Empty, rival).value;
        report.add(
            Figure::new(name, "ratio", estimate)
                .at_most(budget)
                .goal(goal)
                .floor(floor)
                .aa(noise_of_ratios),
        );
    }
    for variant in Variant::ALL {
        let added = median(&costs.added_us(variant));
        let name = format!("filter.added_us.{}", variant.name());
        report.add(Figure::new(name, "us", added).aa(noise));
    }
    let bytes = fs::metadata(paths::filter()?)?.len();
    report.add(
        Figure::new(
            "filter.module_bytes",
            "bytes",
            Estimate::exact(bytes as f64, 1),
        )
        .at_most(200_000.0)
        .goal(100_000.0)
        .floor(111_000.0),
    );
    let growth = Estimate::exact(costs.memory_growth_pages() as f64, 1);
    report.add(
        Figure::new("filter.memory_growth_pages", "pages", growth)
            .at_most(0.0)
            .floor(0.0),
    );
    for (name, key, budget, goal) in [
        ("filter.host_calls_per_request", "host_calls", 9.0, 7.0),
        ("filter.vm_entries_per_request", "vm_entries", 4.0, 2.0),
    ] {
        let counted = Estimate::exact(routine(key)?, 1);
        report.add(
            Figure::new(name, "calls", counted)
                .at_most(budget)
                .goal(goal)
                .floor(1.0),
        );
    }
    Ok(report)
}

/// Reads an exact count of the routine keep-alive request, as the filter's own tests keep them.
fn routine(key: &str) -> anyhow::Result<f64> {
    let path = paths::root().join("wasm-filter/core/tests/counts.json");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let counts: Value = serde_json::from_str(&text)?;
    counts
        .pointer(&format!("/keep_alive_request/{key}"))
        .and_then(Value::as_f64)
        .with_context(|| format!("{} has no keep_alive_request.{key}", path.display()))
}
