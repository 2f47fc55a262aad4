//! What is told of many worlds, as a hash for each: a change of the code that leaves all of them alike changes no
//! join in any of them. Probes come and go, contradict each other and themselves, and facts get lost.
//!
//! `bridge/core/mutants.py` runs it: `UPDATE=1` writes the hashes to the file that `LIKENESS` names; otherwise they
//! have to be the same.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "tests end when something is not as told; this one writes a file"
)]

mod sim;

use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use sim::{
    Weather, World, garbage,
    hops::{self, Hops, Travelled},
    random::Random,
    worker::MS,
};
use syntrace_core::{
    Limits, Output, Reconciler,
    fact::{Batch, Fact, Origin, SenderId, Snapshot},
};
use syntrace_model::{BootNanos, TraceId};

/// Small worlds; of every hundredth there is a larger one too, in which the clock is stepped.
const WORLDS: u64 = 1_000;

/// What is told of one world.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Told {
    /// Joins, how sure they are, and ids.
    joins: u64,
    /// All of the records, and what is counted.
    all: u64,
}

#[test]
fn every_world_is_told_as_it_was() {
    let file = env::var("LIKENESS").unwrap();
    let told: Vec<_> = (0..WORLDS).flat_map(tell).collect();
    if env::var_os("UPDATE").is_some() {
        let lines = told
            .iter()
            .map(|told| format!("{} {}\n", told.joins, told.all));
        fs::write(file, lines.collect::<String>()).unwrap();
        return;
    }
    let known = fs::read_to_string(file).unwrap();
    let known: Vec<_> = known
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .collect();
    assert_eq!(known.len(), told.len());
    let pairs = || known.iter().zip(&told);
    let joins = pairs().filter(|((joins, _), told)| *joins != told.joins.to_string());
    let all = pairs().filter(|((_, all), told)| *all != told.all.to_string());
    let (joins, all) = (joins.count(), all.count());
    assert_eq!(
        (joins, all),
        (0, 0),
        "worlds with other joins, with other records"
    );
}

/// Tells of the worlds of a seed.
fn tell(seed: u64) -> Vec<Told> {
    let hops = Hops {
        seed,
        lost: 20_000 * (seed % 2),
        delay: 3_000 * MS,
        slow: 300_000,
        again: 100_000,
        late: 0,
    };
    let mut travelled = hops::travel(World::small(seed), hops);
    let mut random = Random::new(seed ^ 0x11ce);
    if seed % 5 == 4 {
        garbage::spoil(&mut travelled, seed);
    }
    if !seed.is_multiple_of(3) {
        tell_twice(&mut travelled, &mut random);
    }
    if seed % 4 > 1 {
        restart(&mut travelled, &mut random);
    }
    let mut told = vec![feed(travelled, seed)];
    if seed.is_multiple_of(100) {
        let weather = Weather {
            seed,
            connections: 8,
            span: 3_000 * MS,
            steps: true,
        };
        told.push(feed(hops::travel(World::new(weather), hops), seed));
    }
    told
}

/// A second probe tells of some of the sockets in its own words.
fn tell_twice(travelled: &mut Travelled, random: &mut Random) {
    let poller = SenderId {
        name: "poller".into(),
        epoch: 7,
    };
    let mut first_seq = 0;
    let mut arrivals = Vec::new();
    for (at, batch) in &travelled.arrivals {
        let snapshots = batch.facts.iter().filter_map(|fact| match fact {
            Fact::Connection(snapshot) if random.below(3) == 0 => Some(snapshot.clone()),
            _ => None,
        });
        let snapshots: Vec<_> = snapshots.collect();
        let facts: Vec<_> = snapshots
            .into_iter()
            .map(|snapshot| Fact::Connection(in_other_words(snapshot, random)))
            .collect();
        if !facts.is_empty() {
            let batch = Batch {
                sender: poller.clone(),
                first_seq,
                facts,
                losses: Vec::new(),
                goodbye: random.below(20) == 0,
            };
            first_seq += batch.facts.len() as u64;
            arrivals.push((at + random.below(1_000 * MS), batch));
        }
    }
    travelled.arrivals.extend(arrivals);
    travelled.arrivals.sort_by_key(|(at, _)| *at);
}

fn in_other_words(mut snapshot: Snapshot, random: &mut Random) -> Snapshot {
    snapshot.watch.origin = *random.pick(&[Origin::Watched, Origin::Backfilled, Origin::Polled]);
    snapshot.minted = TraceId::new(u128::from(random.next()).to_be_bytes()).unwrap();
    let change = random.below(8);
    match change {
        0 => (snapshot.owner_pid, snapshot.owner_tid) = (0, 0),
        1 => (snapshot.owner_pid, snapshot.owner_tid) = (9, 9),
        2 => snapshot.syn_at = None,
        3 => snapshot.established_at = snapshot.established_at.map(|at| at.plus_ns(MS / 10)),
        4 => snapshot.closed_at = snapshot.closed_at.map(|at| at.plus_ns(MS / 10)),
        5 => snapshot.tag = None,
        6 => snapshot.counters.segments_in += 1,
        _ => (snapshot.syn_at, snapshot.established_at) = (None, None),
    }
    if random.below(2) == 0 {
        let by = random.below(3) * MS / 2;
        let seen_at = snapshot.seen_at;
        snapshot.seen_at = *random.pick(&[seen_at.plus_ns(by), seen_at.minus_ns(by)]);
    }
    snapshot
}

/// From some moment on another run of the probe tells, and another run of the filters perhaps; long after, all is
/// still.
fn restart(travelled: &mut Travelled, random: &mut Random) {
    let cut = random.below(travelled.arrivals.len() as u64) as usize;
    let is_filter_s = random.below(2) == 0;
    let says_goodbye = random.below(2) == 0;
    let mut first_seqs = std::collections::BTreeMap::new();
    let mut last = 0;
    for (n, (at, batch)) in travelled.arrivals.iter_mut().enumerate() {
        last = *at;
        let is_probe_s = &*batch.sender.name == "probe";
        if n < cut || !is_probe_s && !is_filter_s {
            batch.goodbye |= is_probe_s && says_goodbye && n + 8 > cut;
            continue;
        }
        batch.sender.epoch += 100;
        let first_seq = first_seqs
            .entry(batch.sender.epoch)
            .or_insert(batch.first_seq);
        batch.first_seq = batch.first_seq.saturating_sub(*first_seq);
        for fact in &mut batch.facts {
            match fact {
                Fact::Connection(snapshot) if random.below(2) == 0 => {
                    snapshot.watch.origin = Origin::Backfilled;
                    snapshot.minted =
                        TraceId::new(u128::from(random.next()).to_be_bytes()).unwrap();
                    (snapshot.syn_at, snapshot.established_at) = (None, None);
                }
                Fact::Request(report) if random.below(4) == 0 => {
                    Arc::make_mut(report).downstream_connection = 1 + random.below(3);
                }
                _ => {}
            }
        }
    }
    for after in [12_000, 45_000, 400_000] {
        let still = Batch {
            sender: SenderId {
                name: "clock".into(),
                epoch: 1,
            },
            first_seq: after,
            facts: Vec::new(),
            losses: Vec::new(),
            goodbye: false,
        };
        travelled.arrivals.push((last + after * MS, still));
    }
}

fn feed(travelled: Travelled, seed: u64) -> Told {
    let mut outputs = Vec::new();
    let few = Limits {
        requests_per_connection: 3,
        live_connections: 12,
        ..Limits::default()
    };
    let limits = if seed % 7 == 6 {
        few
    } else {
        Limits::default()
    };
    let cut = travelled.arrivals.len() / 2;
    let mut reconciler = Reconciler::new(limits);
    for (n, (at, batch)) in travelled.arrivals.into_iter().enumerate() {
        reconciler.handle_timeout(BootNanos(at));
        reconciler.handle_batch(batch);
        outputs.extend(std::iter::from_fn(|| reconciler.poll_output()));
        if n == cut && seed % 11 == 10 {
            reconciler = Reconciler::restore(limits, reconciler.checkpoint());
        }
    }
    reconciler.drain();
    outputs.extend(std::iter::from_fn(|| reconciler.poll_output()));
    let joins = outputs.iter().map(joins).collect();
    let mut all: Vec<_> = outputs.iter().map(|output| format!("{output:?}")).collect();
    all.push(format!("{:?}", reconciler.coverage()));
    Told {
        joins: hash(joins),
        all: hash(all),
    }
}

fn joins(output: &Output) -> String {
    match output {
        Output::Request(record) => format!(
            "{:?} {:?} {:?} {:?} {:?}",
            record.id(),
            record.received_on,
            record.served_by,
            record.opened,
            record.earlier
        ),
        Output::Connection(record) => format!(
            "{:?} {:?} {:?} {:?} {:?} {:?}",
            record.id,
            record.trace_id,
            record.trace_id_source,
            record.aliases,
            record.role,
            record.requests
        ),
    }
}

fn hash(mut lines: Vec<String>) -> u64 {
    lines.sort_unstable();
    let mut hasher = DefaultHasher::new();
    lines.hash(&mut hasher);
    hasher.finish()
}
