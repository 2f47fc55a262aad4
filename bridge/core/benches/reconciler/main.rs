//! What a fact costs, beside a bare hash join of the same keys, and what a connection weighs.
//!
//! `make bench-reconciler` runs it and writes `target/bench/reconciler.json`. Each round gives the same
//! facts to both floors and to two reconcilers, one after the other in changing order: the second one is
//! the A/A pair. Nothing is read or written while the clock runs.
//!
//! All share each report: whoever lets go of it last frees it, a reconciler in half of the rounds each.
#![forbid(unsafe_code)]
#![allow(
    clippy::allow_attributes,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints its figures, and ends when its traffic is not as made"
)]

mod hash_join;
mod memory;
mod traffic;

use std::{hint::black_box, io, process::ExitCode, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use syntrace_bench_report::{Estimate, Figure, Report, median, ratios};
use syntrace_core::{Limits, Reconciler};

use self::{
    hash_join::{Giving, HashJoin},
    traffic::{Chunk, Traffic},
};

/// Facts in one timed chunk.
const CHUNK_FACTS: usize = 40_000;

/// Timed chunks for each number of live connections.
const ROUNDS: usize = 15;

/// Live connections, and how they are called in the figures.
const SIZES: [(usize, &str); 3] = [(10_000, "10k"), (100_000, "100k"), (1_000_000, "1m")];

/// The size behind the figures that name none.
const HEADLINE: &str = "100k";

/// What the facts of one chunk cost each contender, nanoseconds a fact.
#[derive(Clone, Copy, Debug)]
struct Round {
    floor: f64,
    giving: f64,
    ours: f64,
    again: f64,
}

fn main() -> io::Result<ExitCode> {
    let mut report = Report::new("reconciler");
    let mut costs = Vec::new();
    for (live, name) in SIZES {
        let rounds = measure(live);
        let column = |of: fn(&Round) -> f64| rounds.iter().map(of).collect::<Vec<_>>();
        let pairs: Vec<_> = rounds
            .iter()
            .map(|round| (round.floor, round.ours))
            .collect();
        let giving: Vec<_> = rounds
            .iter()
            .map(|round| (round.giving, round.ours))
            .collect();
        let twins: Vec<_> = rounds
            .iter()
            .map(|round| (round.again, round.ours))
            .collect();
        let (ours, floor) = (column(|round| round.ours), column(|round| round.floor));
        let aa = ratios(&twins).value;
        let over = |name: String| {
            Figure::new(name, "ratio", ratios(&pairs))
                .at_least(0.35)
                .goal(0.6)
                .floor(1.0)
                .aa(aa)
        };
        let per_second: Vec<_> = ours.iter().map(|ns| 1e9 / ns).collect();
        if name == HEADLINE {
            report.add(over("reconciler.over_hash_join".to_owned()));
            let giving = ratios(&giving);
            report.add(Figure::new("reconciler.over_join_with_records", "ratio", giving).aa(aa));
            report.add(
                Figure::new(
                    "reconciler.events_per_second_core",
                    "1/s",
                    median(&per_second),
                )
                .aa(aa),
            );
        }
        report.add(over(format!("reconciler.over_hash_join.{name}")));
        report.add(
            Figure::new(
                format!("reconciler.ns_per_event.{name}"),
                "ns",
                median(&ours),
            )
            .aa(aa),
        );
        report.add(Figure::new(
            format!("reconciler.hash_join_ns_per_event.{name}"),
            "ns",
            median(&floor),
        ));
        costs.push((median(&ours).value, median(&floor).value));
    }
    if let (Some(small), Some(large)) = (costs.first(), costs.last()) {
        let growth = |from: f64, to: f64| Estimate::exact(to / from, ROUNDS);
        report.add(Figure::new(
            "reconciler.cost_growth_10k_to_1m",
            "ratio",
            growth(small.0, large.0),
        ));
        report.add(Figure::new(
            "reconciler.hash_join_cost_growth_10k_to_1m",
            "ratio",
            growth(small.1, large.1),
        ));
    }
    memory::report(&mut report, &SIZES, HEADLINE);
    print!("{}", report.to_table());
    println!("{}", report.write()?.display());
    Ok(if report.passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Lets `live` connections live for so long that as many settle as open, then times [`ROUNDS`] chunks.
fn measure(live: usize) -> Vec<Round> {
    let mut traffic = Traffic::new(live);
    let limits = Limits {
        live_connections: 10_000_000,
        ..Limits::default()
    };
    let mut floor = HashJoin::default();
    let mut giving = Giving::default();
    let mut ours = Reconciler::new(limits);
    let mut again = Reconciler::new(limits);
    let mut feed = |chunk: Chunk, n: usize| {
        let facts = chunk.facts() as f64;
        let [first, second, third] = std::array::from_fn(|_| chunk.clone());
        let last = chunk;
        let nanos = |took: Duration| took.as_nanos() as f64 / facts;
        let mut round = Round {
            floor: 0.0,
            giving: 0.0,
            ours: 0.0,
            again: 0.0,
        };
        if n.is_multiple_of(2) {
            round.ours = nanos(reconcile(&mut ours, first));
            round.floor = nanos(floor.join(second));
            round.giving = nanos(giving.join(third));
            round.again = nanos(reconcile(&mut again, last));
        } else {
            round.again = nanos(reconcile(&mut again, first));
            round.giving = nanos(giving.join(second));
            round.floor = nanos(floor.join(third));
            round.ours = nanos(reconcile(&mut ours, last));
        }
        round
    };
    for chunk in traffic.beginning(CHUNK_FACTS) {
        feed(chunk, 0);
    }
    while !traffic.is_steady() {
        feed(traffic.chunk(CHUNK_FACTS), 0);
    }
    (0..ROUNDS)
        .map(|n| feed(traffic.chunk(CHUNK_FACTS), n))
        .collect()
}

/// Feeds a chunk and takes what settles, as the bridge does.
fn reconcile(reconciler: &mut Reconciler, chunk: Chunk) -> Duration {
    let started = cpu_time();
    for (now, batch) in chunk.batches {
        reconciler.handle_batch(batch);
        reconciler.handle_timeout(now);
        while let Some(output) = reconciler.poll_output() {
            black_box(&output);
        }
    }
    cpu_time() - started
}

/// Returns the processor time of this thread: what others do on the machine is not in it, but for the
/// caches that they spoil.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
