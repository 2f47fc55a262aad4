//! What a report costs from its arrival to its spans, what keeping it costs beside, how fast it is found
//! again among a million, and what an idle bridge takes: `target/bench/bridge.json`.
//!
//! In one process without a network, but for the idle one. Ratios are of rounds that follow each other.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench ends by panicking and prints its table"
)]

mod cost;
mod idle;
mod kept;
mod load;
mod spent;

use syntrace_bench_report::Report;

/// Measures, and adds what it measured.
type Part = fn(&mut Report);

/// The parts, each by the name under which it is run alone: `cargo bench --bench bridge -- cost`.
const PARTS: [(&str, Part); 5] = [
    ("cost", cost::measure),
    ("open", kept::open),
    ("durable", kept::durable),
    ("find", kept::find),
    ("idle", idle::measure),
];

fn main() {
    let mut report = Report::new("bridge");
    let asked: Vec<_> = std::env::args().skip(1).collect();
    let alone = PARTS
        .iter()
        .any(|(name, _)| asked.iter().any(|asked| asked == name));
    for (name, measure) in PARTS {
        if !alone || asked.iter().any(|asked| asked == name) {
            measure(&mut report);
        }
    }
    print!("{}", report.to_table());
    if alone {
        return;
    }
    report.write().unwrap();
    if !report.passed() {
        std::process::exit(1);
    }
}
