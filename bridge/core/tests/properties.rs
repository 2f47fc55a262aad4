//! What holds for every world: order and redelivery do not matter, nothing is lost, ids are unique,
//! nothing grows beyond its bound. Every record is audited on the way.
//!
//! The worlds are small and simulated, a hundred thousand for each property; a failure names its seed.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "tests end when something is not as told"
)]

mod sim;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use sim::{
    World, echoes, garbage,
    hops::{self, Hops, Travelled},
    worker::MS,
};
use syntrace_core::{
    Limits, Output, Reconciler, audit,
    fact::{Batch, Fact},
    record::{ConnectionRecord, RequestRecord},
};
use syntrace_model::{ConnectionId, SpanId, TraceId};

/// Worlds for each property; `RUNS` asks for fewer.
const RUNS: u64 = 100_000;

/// What came out, by name.
#[derive(Debug, Default, PartialEq)]
struct Told {
    requests: BTreeMap<SpanId, RequestRecord>,
    connections: BTreeMap<ConnectionId, ConnectionRecord>,
}

#[test]
fn delays_within_the_grace_period_timeouts_and_redelivery_change_nothing() {
    for_every_seed(|seed| {
        let straight = hops::travel(World::small(seed), Hops::STRAIGHT);
        let winding = hops::travel(World::small(seed), winding(seed));
        let (expected, _) = tell(straight.arrivals, Limits::default());
        let (told, reconciler) = tell(winding.arrivals, Limits::default());
        assert_eq!(reconciler.coverage().late, 0);
        assert_eq!(told, expected);
    });
}

#[test]
fn sockets_that_are_told_of_differently_are_the_same_in_whatever_order() {
    for_every_seed(|seed| {
        let told = |hops| {
            let mut world = World::small(seed);
            echoes::echo(&mut world.senders, seed);
            let (told, _) = tell(hops::travel(world, hops).arrivals, Limits::default());
            // A request shows the id that was known when it settled, which a later word may change.
            told.connections
        };
        assert_eq!(told(winding(seed)), told(Hops::STRAIGHT));
    });
}

#[test]
fn every_fact_is_in_a_record_or_counted() {
    for_every_seed(|seed| {
        let hops = Hops {
            lost: 50_000,
            delay: 9_000 * MS,
            ..winding(seed)
        };
        let travelled = hops::travel(World::small(seed), hops);
        let arrived = Arrived::of(&travelled);
        let (told, reconciler) = tell(travelled.arrivals, Limits::default());
        let coverage = reconciler.coverage();
        let requests: BTreeSet<_> = told.requests.keys().copied().collect();
        assert_eq!(requests, arrived.requests);
        let sockets = told.connections.keys();
        let sockets = sockets.filter(|id| matches!(id, ConnectionId::Socket { .. }));
        let sockets: BTreeSet<_> = sockets.copied().collect();
        assert_eq!(sockets, arrived.sockets);
        let received: u64 = coverage.senders.iter().map(|sender| sender.received).sum();
        assert_eq!(received, arrived.different);
        assert_eq!(coverage.duplicates, arrived.all - arrived.different);
        assert_eq!(received + travelled.lost, travelled.sent);
        assert_eq!(coverage.requests_settled, arrived.requests.len() as u64);
        let late = told.requests.values().filter(|record| record.coverage.late);
        assert!(coverage.late >= late.count() as u64);
    });
}

#[test]
fn what_comes_after_the_grace_period_is_counted_late() {
    for_every_seed(|seed| {
        let mut arrivals = hops::travel(World::small(seed), Hops::STRAIGHT).arrivals;
        let last = arrivals.last().unwrap().0 + 3_000 * MS;
        let is_report = |fact: &Fact| matches!(fact, Fact::Request(_));
        let mut reports = 0;
        for (at, batch) in &mut arrivals {
            if batch.facts.iter().all(is_report) {
                *at = last;
                reports += batch.facts.len() as u64;
            }
        }
        arrivals.sort_by_key(|(at, _)| *at);
        let (told, reconciler) = tell(arrivals, Limits::default());
        assert!(reconciler.coverage().late >= reports);
        assert!(told.requests.values().all(|record| record.coverage.late));
    });
}

#[test]
fn a_connection_has_one_id_and_an_id_one_connection() {
    for_every_seed(|seed| {
        let travelled = hops::travel(World::small(seed), winding(seed));
        let (told, _) = tell(travelled.arrivals, Limits::default());
        let mut known_as: BTreeMap<TraceId, ConnectionId> = BTreeMap::new();
        for record in told.connections.values() {
            for id in record.aliases.iter().chain([&record.trace_id]) {
                let other = known_as.insert(*id, record.id);
                assert_eq!(other, None, "{id} leads to {} too", record.id);
            }
        }
        for record in told.requests.values() {
            if let Some(record) = record
                .received_on
                .connection()
                .filter(|_| record.received_on.is_certain())
                .and_then(|id| told.connections.get(&id))
            {
                assert!(record.requests_evicted > 0 || !record.requests.is_empty());
            }
        }
    });
}

#[test]
fn nothing_grows_beyond_its_bound_whatever_is_told() {
    let limits = Limits {
        requests_per_connection: 2,
        live_connections: 3,
        live_requests: 3,
        remembered: 4,
        ..Limits::default()
    };
    for_every_seed(|seed| {
        let mut travelled = hops::travel(World::small(seed), winding(seed));
        garbage::spoil(&mut travelled, seed);
        let mut reconciler = Reconciler::new(limits);
        for (at, batch) in travelled.arrivals {
            reconciler.handle_timeout(syntrace_model::BootNanos(at));
            reconciler.handle_batch(batch);
            let coverage = reconciler.coverage();
            assert!(coverage.connections_live <= limits.live_connections);
            assert!(coverage.requests_live <= limits.live_requests);
            while let Some(output) = reconciler.poll_output() {
                check(&output);
                if let Output::Connection(record) = output {
                    assert!(record.requests.len() <= limits.requests_per_connection);
                }
            }
        }
        reconciler.drain();
        let coverage = reconciler.coverage();
        assert_eq!((coverage.connections_live, coverage.requests_live), (0, 0));
    });
}

#[test]
fn facts_that_contradict_each_other_break_no_record() {
    for_every_seed(|seed| {
        let mut travelled = hops::travel(World::small(seed), winding(seed));
        garbage::spoil(&mut travelled, seed);
        let arrived = Arrived::of(&travelled);
        let mut requests = BTreeSet::new();
        let mut sockets = BTreeSet::new();
        hops::feed(travelled.arrivals, Limits::default(), |output| {
            check(&output);
            match output {
                // A span id that is told again long after is another request.
                Output::Request(record) => requests.extend([record.id()]),
                Output::Connection(record) => assert!(sockets.insert(record.id)),
            }
        });
        assert_eq!(requests, arrived.requests);
        assert!(arrived.sockets.is_subset(&sockets));
    });
}

#[test]
fn the_same_arrivals_give_the_same_records_in_the_same_order() {
    for_every_seed(|seed| {
        let travelled = hops::travel(World::small(seed), winding(seed));
        let outputs = |arrivals: &Travelled| {
            let mut outputs = Vec::new();
            let arrivals = arrivals.arrivals.clone();
            hops::feed(arrivals, Limits::default(), |output| outputs.push(output));
            outputs
        };
        assert_eq!(outputs(&travelled), outputs(&travelled));
    });
}

/// What arrived, whatever became of it.
#[derive(Debug, Default)]
struct Arrived {
    requests: BTreeSet<SpanId>,
    sockets: BTreeSet<ConnectionId>,
    all: u64,
    different: u64,
}

impl Arrived {
    fn of(travelled: &Travelled) -> Self {
        let mut arrived = Self::default();
        let mut seen = BTreeSet::new();
        for (_, batch) in &travelled.arrivals {
            for (fact, seq) in batch.facts.iter().zip(batch.first_seq..) {
                arrived.all += 1;
                if !seen.insert((batch.sender.epoch, seq)) {
                    continue;
                }
                arrived.different += 1;
                match fact {
                    Fact::Request(report) => {
                        arrived.requests.insert(report.span_id);
                    }
                    Fact::Connection(snapshot) => {
                        arrived.sockets.insert(snapshot.id());
                    }
                    _ => {}
                }
            }
        }
        arrived
    }
}

/// Late within the grace period, some of it twice.
fn winding(seed: u64) -> Hops {
    Hops {
        seed,
        lost: 0,
        delay: 1_900 * MS,
        slow: 500_000,
        again: 200_000,
        late: 0,
    }
}

fn tell(arrivals: Vec<(u64, Batch)>, limits: Limits) -> (Told, Reconciler) {
    let mut told = Told::default();
    let reconciler = hops::feed(arrivals, limits, |output| {
        check(&output);
        match output {
            Output::Request(record) => {
                let twice = told.requests.insert(record.id(), record);
                assert_eq!(twice, None, "a request settles once");
            }
            Output::Connection(record) => {
                let twice = told.connections.insert(record.id, record);
                assert_eq!(twice, None, "a connection settles once");
            }
        }
    });
    (told, reconciler)
}

fn check(output: &Output) {
    let findings = match output {
        Output::Request(record) => audit::request(record),
        Output::Connection(record) => audit::connection(record),
    };
    assert!(findings.is_empty(), "{findings:?} of {output:#?}");
}

/// Runs a property for every seed, on all processors.
fn for_every_seed(property: impl Fn(u64) + Sync) {
    let runs = env::var("RUNS").map_or(RUNS, |runs| runs.parse().unwrap());
    let next = AtomicU64::new(0);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= runs {
                return;
            }
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| property(seed)));
            if let Err(panic) = outcome {
                next.store(runs, Ordering::Relaxed);
                let text = panic.downcast_ref::<String>().map_or("", String::as_str);
                panic!("seed {seed}: {text}");
            }
        }
    };
    let processors = thread::available_parallelism().map_or(2, |n| n.get());
    thread::scope(|scope| {
        let working: Vec<_> = (0..processors).map(|_| scope.spawn(work)).collect();
        for worker in working {
            worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
}
