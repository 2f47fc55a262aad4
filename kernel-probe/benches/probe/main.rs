//! What the eBPF programs cost: runs (exact) and run time per connection, against an empty
//! `sock_ops` program in the same run; and what is lost when the reader stops.
//!
//! `make bench-probe` writes `target/bench/probe.json`. Times are ratios within one round; the
//! ratio of two empty programs (A/A) stands beside them. They are told; an exact count that is
//! above its budget fails the run. Needs root, cgroup v2 and BTF.
#![forbid(unsafe_code)]
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark says by panicking what went wrong, and prints what it measured"
)]
#![expect(dead_code, reason = "the tests' helpers have more than is used here")]

#[path = "../../tests/kernel/cgroup.rs"]
mod cgroup;
#[path = "../../tests/kernel/probe.rs"]
mod probe;
#[path = "../../tests/kernel/receiver.rs"]
mod receiver;
mod rounds;
#[path = "../../tests/kernel/stats.rs"]
mod stats;
mod subject;
#[path = "../../tests/kernel/traffic.rs"]
mod traffic;

use std::{
    net::TcpListener,
    process::ExitCode,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use syntrace_bench_report::{Estimate, Figure, Report, median, ratios};

use crate::{
    rounds::interleaved,
    stats::{Cost, Stats},
    subject::Subject,
    traffic::{Exchange, exchange},
};

/// Everything on.
const FULL: &[&str] = &["--tag-to", "127.0.0.0/8", "--believe-from", "127.0.0.0/8"];

/// Nothing but the tag.
const TAG: &[&str] = &[
    "--tag-to",
    "127.0.0.0/8",
    "--believe-from",
    "127.0.0.0/8",
    "--without",
    "life-cycle,accept-wait,incidents,backfill",
];

/// Rounds of a comparison; odd, for a median.
const ROUNDS: usize = 15;

/// Connections of one turn.
const CONNECTIONS: usize = 500;

/// Round trips on one connection, none of which may run a program.
const ROUND_TRIPS: usize = 1000;

/// Snapshots of both ends of a connection: established and closed, and accepted.
const SNAPSHOTS: u64 = 5;

fn main() -> ExitCode {
    let mut report = Report::new("probe");
    lost(&mut report);
    let stats = Stats::new();
    runs(&mut report);
    let is_exact_kept = report.passed();
    times(&mut report);
    drop(stats);
    cpu(&mut report);
    report.write().unwrap();
    print!("{}", report.to_table());
    if is_exact_kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs of the programs, exactly.
fn runs(report: &mut Report) {
    let ends = 2 * CONNECTIONS;
    for (orders, name, budget, goal) in [
        (FULL, "probe.runs_per_connection_end", 10.5, 9.0),
        (TAG, "probe.tag_runs_per_connection_end", 6.5, 6.0),
    ] {
        let subject = Subject::probe(orders);
        // Listening is a run too; and the first tagged connection to a destination is a trial,
        // which may run more often.
        let listener = subject.within(listener);
        subject.within(|| churn(&listener, 1));
        let work = || churn(&listener, CONNECTIONS);
        let runs = subject.cost(work).sock_ops_runs as f64;
        let estimate = Estimate::exact(runs / ends as f64, ends);
        let figure = Figure::new(name, "runs", estimate);
        report.add(figure.at_most(budget).goal(goal).floor(4.5));
    }
    let subject = Subject::probe(FULL);
    let mut pair = subject.within(|| traffic::connected(&listener()));
    let Cost {
        sock_ops_runs,
        other_runs,
        ..
    } = subject.cost(|| pair.round_trips(ROUND_TRIPS));
    let segments = 2 * ROUND_TRIPS;
    let runs = (sock_ops_runs + other_runs) as f64 / segments as f64;
    let estimate = Estimate::exact(runs, segments);
    let figure = Figure::new("probe.runs_per_data_packet", "runs", estimate);
    report.add(figure.at_most(0.0).goal(0.0).floor(0.0));
}

/// Run time of all programs per connection, against an empty program's.
fn times(report: &mut Report) {
    let (first, second) = (Subject::empty(), Subject::empty());
    let (tag, full) = (Subject::probe(TAG), Subject::probe(FULL));
    let bare = Subject::bare_tag();
    let ns = |subject: &Subject| {
        let listener = subject.within(listener);
        let ns = subject.cost(|| churn(&listener, CONNECTIONS)).ns;
        ns as f64 / CONNECTIONS as f64
    };
    let rounds = interleaved(
        ROUNDS,
        [
            &|| ns(&first),
            &|| ns(&second),
            &|| ns(&tag),
            &|| ns(&full),
            &|| ns(&bare),
        ],
    );
    let empty = |round: &[f64; 5]| f64::midpoint(round[0], round[1]);
    let aa: Vec<_> = rounds.iter().map(|round| (round[1], round[0])).collect();
    let aa = ratios(&aa).value;
    for (at, name, budget, goal) in [
        (2, "probe.tag_over_empty", 2.3, 1.8),
        (3, "probe.full_over_empty", 6.0, 4.0),
    ] {
        let pairs: Vec<_> = rounds
            .iter()
            .map(|round| (round[at], empty(round)))
            .collect();
        let figure = Figure::new(name, "ratio", ratios(&pairs));
        report.add(figure.at_most(budget).goal(goal).floor(1.0).aa(aa));
    }
    // What the kernel's own calls take, whatever a program makes of them.
    let bare: Vec<_> = rounds
        .iter()
        .map(|round| (round[4], empty(round)))
        .collect();
    let figure = Figure::new("probe.tag_floor_over_empty", "ratio", ratios(&bare));
    report.add(figure.aa(aa));
    for (at, name) in [
        (0, "probe.empty_ns"),
        (2, "probe.tag_ns"),
        (3, "probe.full_ns"),
    ] {
        let ns: Vec<_> = rounds.iter().map(|round| round[at]).collect();
        report.add(Figure::new(name, "ns for both ends", median(&ns)));
    }
}

/// CPU time of a connection with everything attached, against none, without statistics.
fn cpu(report: &mut Report) {
    let full = Subject::probe(FULL);
    let work = || cpu_ns(|| churn(&listener(), CONNECTIONS));
    let inside = || full.within(work);
    let rounds = interleaved(ROUNDS, [&work, &inside, &work]);
    let unattached = |round: &[f64; 3]| f64::midpoint(round[0], round[2]);
    let pairs: Vec<_> = rounds
        .iter()
        .map(|round| (round[1], unattached(round)))
        .collect();
    let aa: Vec<_> = rounds.iter().map(|round| (round[2], round[0])).collect();
    let figure = Figure::new("probe.churn_cpu_full", "ratio", ratios(&pairs));
    report.add(figure.aa(ratios(&aa).value));
}

/// What is lost when nobody reads for a second at the full rate.
fn lost(report: &mut Report) {
    let mut subject = Subject::probe(FULL);
    subject.running().0.freeze();
    let mut connections = 0;
    subject.within(|| {
        let (listener, begun) = (listener(), Instant::now());
        while begun.elapsed() < Duration::from_secs(1) {
            touch(&listener);
            connections += 1;
        }
    });
    let (probe, receiver) = subject.running();
    probe.thaw();
    assert!(probe.stop().success());
    let (arrived, lost) = (receiver.connections().len() as u64, receiver.lost());
    assert_eq!(arrived + lost, connections * SNAPSHOTS, "kept and counted");
    let estimate = Estimate::exact(lost as f64, arrived as usize);
    let figure = Figure::new("probe.lost_reader_stopped_1s", "snapshots", estimate);
    report.add(figure.at_most(0.0).goal(0.0).floor(0.0));
}

/// Returns the CPU time of this thread, which the kernel's work on loopback is part of.
fn cpu_ns(work: impl FnOnce()) -> f64 {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
    };
    let before = now();
    work();
    now() - before
}

/// Opens and closes connections, one after the other.
fn churn(listener: &TcpListener, connections: usize) {
    for _ in 0..connections {
        touch(listener);
    }
}

fn touch(listener: &TcpListener) {
    exchange(listener, Exchange::SMALLEST);
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Where the tests' helpers print; nothing is said here.
fn say(_line: &str) {}
