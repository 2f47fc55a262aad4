//! The reconciler against a simulated world whose truth is known: what it calls certain is right.
//!
//! `UPDATE=1` writes the tables to `docs/ground-truth.md`; otherwise they have to be the same.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests end when something is not as told; this one writes a document"
)]

mod sim;

use std::{
    collections::BTreeMap,
    env, fs,
    io::Write as _,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use sim::{
    BEGIN, Weather, World,
    far::{self, Ids},
    hops::{self, Hops},
    sampling,
    score::{Score, Tally},
    tables::grouped,
    truth::Arrival,
    worker::MS,
};
use syntrace_core::{Limits, Output};

/// Worlds; `WORLDS` asks for fewer, and writes and compares no document then.
const SEEDS: u64 = 100;
/// Worlds in which the probe samples, beside those.
const SAMPLED: u64 = 10;
/// Downstream connections of each of a world's 18 workers.
const CONNECTIONS: u64 = 425;
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ground-truth.md");

#[test]
fn what_is_called_certain_is_true_in_a_million_connections() {
    let worlds = env::var("WORLDS").map_or(SEEDS, |worlds| worlds.parse().unwrap());
    let score = tell_all(worlds);
    if worlds < SEEDS {
        say(&score.tables());
    }
    assert!(
        score.connections >= worlds * 10_000,
        "{}",
        score.connections
    );
    assert_eq!(score.errors, Vec::<String>::new(), "the first few of all");

    let joins = score.joins();
    assert_eq!(joins.certain_wrong, 0, "of {} certain joins", joins.certain);
    let late = score.late.map(|tally| tally.certain_wrong);
    assert_eq!(late, [0, 0], "certain joins where facts came too late");
    let ordinary = of_arrivals(&score, Arrival::is_ordinary);
    assert_share("ordinary ones certain", ordinary.certain, ordinary.all, 999);
    let joinable = of_arrivals(&score, Arrival::is_joinable);
    let found = joinable.all - joinable.missing - joinable.likely_wrong - joinable.ambiguous;
    assert_share("joinable ones found", found, joinable.all, 999);
    let mut single = Tally::default();
    for ((_, alone), tally) in &score.failed_by {
        if *alone {
            single.add(*tally);
        }
    }
    assert_share("single failures certain", single.certain, single.all, 950);
    let ambiguous = joins.ambiguous - joins.ambiguous_without;
    assert_share("ambiguous with the truth", ambiguous, joins.ambiguous, 999);
    let wrong: u64 = score.parties.values().map(|parties| parties.wrong).sum();
    assert_eq!(wrong, 0, "parties");

    let ends: u64 = score.ends.values().map(|ends| ends.wrong).sum();
    assert_eq!(ends, 0, "ids of the two ends of a connection");

    let document = document(&score);
    if worlds < SEEDS {
        return;
    }
    if env::var_os("UPDATE").is_some() {
        fs::write(DOCUMENT, document).unwrap();
    } else {
        let known = fs::read_to_string(DOCUMENT).unwrap();
        assert!(known == document, "UPDATE=1 writes this:\n{document}");
    }
}

#[test]
fn nothing_that_is_called_certain_is_wrong_where_the_probe_samples() {
    let (mut score, mut left_out) = (Score::default(), 0);
    for seed in SEEDS..SEEDS + SAMPLED {
        let mut world = World::new(weather(seed));
        // From the first connections on, when no process is known, or later.
        let began = BEGIN + 20_000 * MS * (seed % 2);
        left_out += sampling::sample(&mut world, began, began + 15_000 * MS, 4);
        score.add(tell(world, seed));
    }
    let joins = score.joins();
    say(&format!(
        "{left_out} of {} connections left out; of {} joins {} certain, {} likely\n",
        score.connections, joins.all, joins.certain, joins.likely
    ));
    assert!(left_out > SAMPLED * 500, "{left_out}");
    assert_eq!(joins.certain_wrong, 0, "of {} certain joins", joins.certain);
    let late = score.late.map(|tally| tally.certain_wrong);
    assert_eq!(late, [0, 0], "certain joins where facts came too late");
}

/// Prints past the harness's capture.
fn say(text: &str) {
    std::io::stderr().write_all(text.as_bytes()).unwrap();
}

/// Tells the stories of all seeds, on all processors.
fn tell_all(worlds: u64) -> Score {
    let next = AtomicU64::new(0);
    let work = || {
        let mut scores = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= worlds {
                return scores;
            }
            scores.push((seed, tell(World::new(weather(seed)), seed)));
        }
    };
    let processors = thread::available_parallelism().map_or(2, |n| n.get());
    let mut scores: Vec<(u64, Score)> = thread::scope(|scope| {
        let working: Vec<_> = (0..processors).map(|_| scope.spawn(work)).collect();
        let done = working.into_iter().map(|worker| worker.join().unwrap());
        done.flatten().collect()
    });
    scores.sort_unstable_by_key(|(seed, _)| *seed);
    let mut all = Score::default();
    for (_, score) in scores {
        all.add(score);
    }
    all
}

fn weather(seed: u64) -> Weather {
    Weather {
        seed,
        connections: CONNECTIONS,
        span: 60_000 * MS,
        steps: seed % 10 == 1,
    }
}

/// Tells one seed's story; every fifth loses facts, in every tenth the wall clock is stepped, in another
/// tenth some facts come after the grace period.
fn tell(mut world: World, seed: u64) -> Score {
    let is_late = seed % 10 == 3;
    let mut truth = std::mem::take(&mut world.truth);
    let mut score = Score {
        is_late,
        connections: truth.sockets,
        ..Score::default()
    };
    let hops = Hops {
        seed,
        lost: if seed.is_multiple_of(5) { 1_000 } else { 0 },
        delay: 1_800 * MS,
        slow: 200_000,
        again: 10_000,
        late: if is_late { 10_000 } else { 0 },
    };
    let there = far::tell(std::mem::take(&mut world.far), hops);
    let mut here = BTreeMap::new();
    let travelled = hops::travel(world, hops);
    score.sent = travelled.sent;
    score.lost = travelled.lost;
    hops::feed(travelled.arrivals, Limits::default(), |output| {
        if let Output::Connection(record) = &output {
            here.extend(Ids::of(record).filter(|(cookie, _)| truth.far.contains_key(cookie)));
        }
        score.take(&mut truth, output);
    });
    if !is_late {
        score.ends(&truth, &here, &there);
    }
    score.unheard = truth.requests.len() as u64;
    score
}

fn of_arrivals(score: &Score, which: fn(Arrival) -> bool) -> Tally {
    let mut all = Tally::default();
    for (arrival, tally) in &score.received_on {
        if which(*arrival) {
            all.add(*tally);
        }
    }
    all
}

/// At least so many in a thousand.
fn assert_share(what: &str, some: u64, all: u64, least: u64) {
    assert!(some * 1_000 >= all * least, "{what}: {some} of {all}");
}

fn document(score: &Score) -> String {
    format!(
        "<!-- Written by bridge/core/tests/ground_truth.rs; UPDATE=1 rewrites it. -->\n\
         # What the reconciler says of a world whose truth is known\n\n\
         {SEEDS} simulated worlds, each of seven gateways with 18 workers in a simulated minute: \
         {} connections, {} requests, {} facts sent, of which {} were lost on the way. Facts come late by up to \
         1.8 s, out of order, and one batch in a hundred twice; in every fifth world facts are lost, in every \
         tenth the wall clock is stepped three times in the minute. In another tenth one batch in a hundred \
         comes 2.5 to 20 s late, beyond the grace period of 2 s: their requests have a table of their own, and \
         are in no other. `bridge/core/tests/sim` says what is simulated.\n\n\
         *Certain* and *likely* count joins by what they call themselves; *wrong* says how many of those are \
         not what happened; an *ambiguous* join names its candidates. A request that was polled and ended before \
         `sock_diag` first showed its connection cannot be joined, nor can one whose addresses PROXY protocol \
         replaced and whose direct addresses are not reported; a proxy on the same host has a connection with the \
         addresses that it names, which is the wrong one. Segments are lost, and pools also open connections ahead of need; an attempt that takes \
         250 ms, as long as a connect may, gets a second one beside it (hedging).\n\n{}",
        grouped(score.connections),
        grouped(score.requests),
        grouped(score.sent),
        grouped(score.lost),
        score.tables()
    )
}
