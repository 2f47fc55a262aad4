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

use syntrace_bench_report::Report;

fn main() {
    let mut report = Report::new("bridge");
    cost::measure(&mut report);
    kept::measure(&mut report);
    idle::measure(&mut report);
    print!("{}", report.to_table());
    report.write().unwrap();
    if !report.passed() {
        std::process::exit(1);
    }
}
