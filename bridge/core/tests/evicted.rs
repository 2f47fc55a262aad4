//! Which connections are given up when there are too many: those of the kind of which there are the most, by age.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod world;

use syntrace_core::{
    Limits, Output, Reconciler,
    fact::{Fact, Snapshot},
    record::RequestRecord,
};
use syntrace_model::{ClockSample, Opening, Outcome};
use world::*;

const PASSIVE: Opening = Opening::Passive;
const ACTIVE: Opening = Opening::Active;

/// Connections that are kept.
const MOST: usize = 200;

/// Requests that are told of, ten in a second: some 25 are not settled yet. More than connections are kept.
const REQUESTS: u64 = 300;

/// Sockets of the flood for each request, from the thirtieth on: together, 27 times as many as are kept.
const FLOOD: u64 = 20;
const FLOOD_FROM: u64 = 30;

/// The upstream connection that all requests share, opened before everything else.
const POOL: u64 = 1;

/// When a request's connection opens, milliseconds.
fn opens_at(n: u64) -> f64 {
    1_000.0 + 100.0 * n as f64
}

/// A connection from the client's port, and what was open or has ended by the time that it closes.
fn short(n: u64) -> Snapshot {
    let key = from_client(1_000 + n as u16);
    socket(
        100 + n,
        PASSIVE,
        key,
        opens_at(n) + 10.0,
        opens_at(n) + 60.0,
    )
}

/// The `n`th socket of a flood, towards or from a port of its own.
fn flooding(n: u64, opening: Opening) -> Snapshot {
    let from = opens_at(n / FLOOD) + (n % FLOOD) as f64;
    let key = match opening {
        PASSIVE => ends("192.0.2.1:8080", &format!("203.0.113.1:{}", 1_024 + n)),
        ACTIVE => ends(&format!("198.51.100.9:{}", 1_024 + n), "198.51.100.8:80"),
    };
    socket(10_000 + n, opening, key, from, from + 0.5)
}

/// The records of the requests, each served by the pool's connection and received on one of its own, which closes
/// unless it is `lasting`; beside a flood, where `most` connections are kept.
fn beside(
    most: usize,
    lasting: bool,
    flood: impl Fn(u64) -> Option<Snapshot>,
) -> Vec<RequestRecord> {
    let mut reconciler = Reconciler::new(Limits {
        live_connections: most,
        ..Limits::default()
    });
    let mut told = 0;
    let mut tell = |reconciler: &mut Reconciler, facts: Vec<Fact>| {
        let first_seq = told;
        told += facts.len() as u64;
        reconciler.handle_batch(batch(probe(), first_seq, facts));
    };
    let pool = socket(POOL, ACTIVE, to_service(6001), 5.0, 1e9);
    let mut facts = preamble();
    facts.push(Fact::Connection(established(&pool)));
    tell(&mut reconciler, facts);
    let mut requests = Vec::new();
    let mut take = |reconciler: &mut Reconciler| {
        while let Some(output) = reconciler.poll_output() {
            if let Output::Request(record) = output {
                requests.push(record);
            }
        }
    };
    for n in 0..REQUESTS {
        let now = opens_at(n);
        let clock = ClockSample {
            boot: boot(now),
            unix: unix(now),
        };
        let beside = (n * FLOOD..(n + 1) * FLOOD).filter(|_| n >= FLOOD_FROM);
        let beside = beside.filter_map(&flood);
        let own = if lasting {
            established(&short(n))
        } else {
            short(n)
        };
        let facts = [Fact::Clock(clock), Fact::Connection(own)];
        let facts = facts.into_iter().chain(beside.map(Fact::Connection));
        tell(&mut reconciler, facts.collect());
        let report = request(1 + n, short(n).key, now + 20.0, now + 30.0);
        let report = served(report, 6001, 0.0, 5.0);
        reconciler.handle_batch(batch(filter(), n, vec![Fact::Request(report.into())]));
        reconciler.handle_timeout(boot(now + 100.0));
        take(&mut reconciler);
    }
    assert!(reconciler.coverage().connections_live <= most);
    assert!(reconciler.coverage().connections_evicted > 0);
    reconciler.handle_timeout(boot(60_000.0));
    take(&mut reconciler);
    requests
}

/// Returns how many requests were received on the connection meant, and how many the pool's served.
fn joined_of(requests: &[RequestRecord]) -> (usize, usize) {
    let received = requests.iter().filter(|record| {
        let n = u64::from(record.report.downstream.unwrap().peer.port()) - 1_000;
        found(&record.received_on).is_ok_and(|(cookie, _)| cookie == 100 + n)
    });
    let served = requests.iter().filter(|record| {
        let served_by = record.served_by.as_ref().unwrap();
        found(served_by).is_ok_and(|(cookie, _)| cookie == POOL)
    });
    (received.count(), served.count())
}

const ALL: (usize, usize) = (REQUESTS as usize, REQUESTS as usize);

#[test]
fn open_sockets_that_no_request_uses_push_out_themselves() {
    for opening in [PASSIVE, ACTIVE] {
        let open = |n| Some(established(&flooding(n, opening)));
        assert_eq!(joined_of(&beside(MOST, false, open)), ALL, "{opening:?}");
    }
}

#[test]
fn failed_connects_push_out_themselves() {
    let refused = |n| {
        Some(Snapshot {
            outcome: Outcome::Refused,
            established_at: None,
            errno: 111,
            ..flooding(n, ACTIVE)
        })
    };
    assert_eq!(joined_of(&beside(MOST, false, refused)), ALL);
}

#[test]
fn of_open_connections_in_use_those_go_first_whose_last_request_is_longest_ago() {
    assert_eq!(joined_of(&beside(MOST / 2, true, |_| None)), ALL);
}
