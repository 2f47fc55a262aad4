//! What is not settled is found by id and by every name, and listed the newest first.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod sim;

use std::collections::BTreeSet;

use sim::{
    World,
    hops::{self, Hops},
};
use syntrace_core::{Limits, LiveConnection, LiveRequest, Reconciler};
use syntrace_model::BootNanos;

const RUNS: u64 = 50;

/// A world in the middle of its story.
fn halfway(seed: u64) -> Reconciler {
    let arrivals = hops::travel(World::small(seed), Hops::STRAIGHT).arrivals;
    let mut reconciler = Reconciler::new(Limits::default());
    let half = arrivals.len() / 2;
    for (at, batch) in arrivals.into_iter().take(half) {
        reconciler.handle_timeout(BootNanos(at));
        reconciler.handle_batch(batch);
    }
    reconciler
}

#[test]
fn every_connection_is_found_by_its_trace_id_and_its_aliases() {
    let mut named = 0;
    for seed in 0..RUNS {
        let reconciler = halfway(seed);
        for record in reconciler.connections() {
            for id in record.aliases.iter().chain([&record.trace_id]) {
                named += 1;
                assert!(reconciler.connections_known_as(*id).contains(&record.id));
            }
            assert_eq!(reconciler.connection(record.id), Some(record));
        }
        for live in reconciler.connections_newest(None) {
            let socket = live.record().and_then(|record| record.socket);
            assert_eq!(live.key(), socket.map(|socket| socket.key));
        }
    }
    assert!(named > 100, "{named}");
}

#[test]
fn every_request_is_found_by_its_trace_and_its_request_id() {
    let mut found = 0;
    for seed in 0..RUNS {
        let reconciler = halfway(seed);
        for record in reconciler.requests() {
            found += 1;
            let (report, id) = (&record.report, record.id());
            assert!(reconciler.requests_of_trace(report.trace_id).contains(&id));
            let request_id = &report.http.request_id;
            assert!(
                reconciler
                    .requests_with_request_id(request_id)
                    .contains(&id)
            );
            assert_eq!(reconciler.request(id), Some(record));
        }
    }
    assert!(found > 100, "{found}");
}

#[test]
fn pages_hold_everything_once_and_the_newest_first() {
    for seed in 0..RUNS {
        let reconciler = halfway(seed);
        let all: Vec<_> = reconciler.connections_newest(None).collect();
        let mut paged = Vec::new();
        let mut below = None;
        loop {
            let page = reconciler.connections_newest(below).take(3);
            let page: Vec<_> = page.map(LiveConnection::place).collect();
            let Some(last) = page.last() else { break };
            below = Some(*last);
            paged.extend(page);
        }
        let places: BTreeSet<_> = all.iter().map(|live| live.place()).collect();
        assert_eq!(paged.len(), reconciler.coverage().connections_live);
        assert_eq!(paged.iter().copied().collect::<BTreeSet<_>>(), places);

        let newest: Vec<_> = reconciler
            .requests_newest(None)
            .map(LiveRequest::place)
            .collect();
        assert!(newest.is_sorted_by(|a, b| a > b));
        assert_eq!(newest.len(), reconciler.coverage().requests_live);
        if let Some(&place) = newest.get(1) {
            let next = reconciler.requests_newest(Some(place)).next();
            assert_eq!(next.map(LiveRequest::place), newest.get(2).copied());
        }
    }
}
