//! Which probe still watches a socket, where two probes report it or two runs of one.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod world;

use syntrace_core::{
    Confidence,
    fact::{Batch, Fact, SenderId, Snapshot},
    record::Missing,
};
use syntrace_model::Opening;
use world::{
    turns::{backfilled, clock_at, in_turn, joined, of_sockets, open, sender},
    *,
};

/// The end of a run.
fn goodbye(from: SenderId) -> Batch {
    Batch {
        goodbye: true,
        ..batch(from, 1_000, Vec::new())
    }
}

#[test]
fn a_socket_is_watched_while_one_of_the_probes_that_told_of_it_is() {
    let one = || (20.0, of_sockets(probe(), 0, vec![open()]));
    let other = || (30.0, of_sockets(sender("other", 1), 0, vec![open()]));
    assert_eq!(joined(vec![one(), other()]), Ok((1, CERTAIN)));
    let first_leaves = vec![one(), other(), (40.0, goodbye(probe()))];
    assert_eq!(joined(first_leaves), Ok((1, CERTAIN)));
    let alone = vec![one(), (40.0, goodbye(probe()))];
    assert_eq!(joined(alone), Ok((1, LIKELY)));
    // What was told of to its end needs no watch.
    let ended = (40.0, of_sockets(probe(), 1, vec![accepted(1, 10.0, 90.0)]));
    assert_eq!(
        joined(vec![one(), ended, (50.0, goodbye(probe()))]),
        Ok((1, CERTAIN))
    );
}

#[test]
fn a_probe_does_not_end_what_a_probe_of_another_name_watches() {
    let elsewhere = Snapshot {
        cookie: 7,
        ..socket(7, Opening::Passive, from_client(5007), 10.0, 90.0)
    };
    let turns = vec![
        (20.0, of_sockets(probe(), 0, vec![open()])),
        (30.0, of_sockets(sender("other", 1), 0, vec![elsewhere])),
    ];
    assert_eq!(joined(turns), Ok((1, CERTAIN)));
    let succeeded = vec![
        (20.0, of_sockets(probe(), 0, vec![open()])),
        (30.0, of_sockets(sender("probe", 2), 0, vec![])),
        (
            40.0,
            of_sockets(sender("probe", 2), 0, vec![backfilled(40.0)]),
        ),
    ];
    assert_eq!(joined(succeeded), Ok((1, CERTAIN)));
}

#[test]
fn what_a_run_that_has_ended_tells_late_does_not_put_in_doubt_what_the_next_one_watches() {
    let next = sender("probe", 2);
    let later = Snapshot {
        seen_at: boot(41.0),
        ..open()
    };
    let turns = vec![
        (20.0, of_sockets(probe(), 0, vec![open()])),
        (40.0, of_sockets(next, 0, vec![backfilled(40.0)])),
        (50.0, of_sockets(probe(), 1, vec![open()])),
        (51.0, of_sockets(probe(), 2, vec![later])),
    ];
    assert_eq!(joined(turns), Ok((1, CERTAIN)));
}

#[test]
fn a_run_that_ended_with_nothing_left_and_tells_late_does_not_succeed_the_next_one() {
    let other = socket(7, Opening::Passive, from_client(5007), 10.0, 15.0);
    let turns = vec![
        (20.0, of_sockets(sender("probe", 2), 0, vec![open()])),
        (30.0, of_sockets(probe(), 0, vec![other])),
    ];
    assert_eq!(joined(turns), Ok((1, CERTAIN)));
}

#[test]
fn what_a_run_that_has_ended_tells_long_after_does_not_stay_for_ever() {
    let other = socket(7, Opening::Passive, from_client(5007), 10.0, 90.0);
    let turns = vec![
        (20.0, of_sockets(probe(), 0, vec![established(&other)])),
        (
            40.0,
            of_sockets(sender("probe", 2), 0, vec![backfilled(40.0)]),
        ),
        (50.0, batch(filter(), 0, vec![])),
        (11_000.0, batch(filter(), 0, vec![])),
        (12_000.0, of_sockets(probe(), 1, vec![established(&other)])),
        (13_000.0, batch(filter(), 0, vec![])),
        (24_000.0, batch(filter(), 0, vec![])),
    ];
    let reconciler = in_turn(turns);
    assert_eq!(reconciler.coverage().connections_live, 1);
    assert_eq!(reconciler.coverage().connections_unseen, 2);
}

#[test]
fn a_connection_that_ended_waits_for_its_requests_though_its_probe_is_gone() {
    let dialled = socket(2, Opening::Active, to_service(6001), 5.0, 9_000.0);
    let turns = vec![
        (20.0, of_sockets(probe(), 0, vec![established(&dialled)])),
        (
            30.0,
            of_sockets(sender("probe", 2), 0, vec![backfilled(30.0)]),
        ),
        (40.0, of_sockets(probe(), 1, vec![dialled])),
        (11_000.0, batch(filter(), 0, vec![])),
    ];
    let mut reconciler = in_turn(turns);
    let report = request(1, from_client(5001), 8_000.0, 12_000.0);
    let report = served(report, 6001, 0.0, 3_500.0);
    reconciler.handle_batch(batch(filter(), 0, vec![Fact::Request(report.into())]));
    let told = settle(&mut reconciler);
    let served_by = told.requests[0].served_by.as_ref().unwrap();
    assert_eq!(found(served_by).unwrap().0, 2);
}

/// What a probe says whose hooks keep the sockets that they follow in this map.
fn hooked(from: SenderId, n: u64, map: u32, sockets: Vec<Snapshot>) -> Batch {
    let mut batch = of_sockets(from, n, sockets);
    for fact in &mut batch.facts {
        if let Fact::Rung(rung) = fact {
            rung.sockets_map_id = Some(map);
        }
    }
    batch
}

/// How a request is joined 12 s after a run with this map followed one with map 7.
fn after_a_run_with(map: u32, found: Snapshot) -> Result<(u64, Confidence), Missing> {
    let rung = preamble().remove(0);
    let next = |n, clock| {
        let facts = vec![rung.clone(), clock_at(clock)];
        (clock, batch(sender("probe", 9), n, facts))
    };
    let mut reconciler = in_turn(vec![
        (20.0, hooked(sender("probe", 8), 0, 7, vec![found])),
        (30.0, hooked(sender("probe", 9), 0, map, vec![])),
        next(2, 200.0),
        next(4, 11_000.0),
        next(6, 12_500.0),
    ]);
    let report = request(1, from_client(5001), 12_100.0, 12_110.0);
    reconciler.handle_batch(batch(filter(), 0, requests_of(vec![report])));
    world::found(&settle(&mut reconciler).requests[0].received_on)
}

#[test]
fn a_run_with_the_map_of_the_one_before_follows_its_sockets_on() {
    assert_eq!(after_a_run_with(7, open()), Ok((1, CERTAIN)));
    assert!(after_a_run_with(8, open()).is_err());
    // What no hook followed has to be told of again.
    assert!(after_a_run_with(7, backfilled(20.0)).is_err());
}

#[test]
fn what_an_heir_follows_ends_with_the_heir() {
    let rung = preamble().remove(0);
    let next = |epoch, n, clock| {
        let facts = vec![rung.clone(), clock_at(clock)];
        (clock, batch(sender("probe", epoch), n, facts))
    };
    let reconciler = in_turn(vec![
        (20.0, hooked(sender("probe", 7), 0, 7, vec![open()])),
        (30.0, hooked(sender("probe", 8), 0, 7, vec![])),
        next(8, 2, 200.0),
        next(8, 4, 11_000.0),
        (12_000.0, hooked(sender("probe", 9), 0, 8, vec![])),
        next(9, 2, 12_200.0),
        next(9, 4, 23_500.0),
        next(9, 6, 24_000.0),
    ]);
    assert_eq!(reconciler.coverage().connections_live, 0);
    assert_eq!(reconciler.coverage().connections_unseen, 1);
}
