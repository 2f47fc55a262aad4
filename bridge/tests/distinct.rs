//! Paths, hosts, clusters, labels and addresses of which no two are alike: metrics and memory stay as they are.
//!
//! `SYNTRACE_DISTINCT=1000000` is the long run, for a release build; it prints what the bridge took.
#![expect(clippy::print_stdout, reason = "a test says what it measured")]

mod support;

use std::env;

use support::{
    process::{self, Connection, Process},
    traffic,
};
use syntrace_proto::{Batch, Endpoint, fact::Body};

/// Connections, with a request each, unless `SYNTRACE_DISTINCT` says otherwise.
const COUNT: u64 = 20_000;

/// Connections in one batch.
const BATCH: u64 = 250;

/// What memory may grow by after the first half of them.
const GROWTH_BYTES_MAX: u64 = 16 << 20;

#[test]
fn words_and_addresses_that_never_come_again_take_neither_series_nor_memory() {
    let count: u64 = env::var("SYNTRACE_DISTINCT").map_or(COUNT, |text| text.parse().unwrap());
    let place = tempfile::tempdir().unwrap();
    let mut command = process::command(place.path());
    command
        .env_remove("SYNTRACE_DATA_DIR")
        .env("SYNTRACE_GRACE_MS", "100")
        .env("SYNTRACE_SETTLED_RECORDS", "1000");
    let bridge = Process::start(&mut command);
    let mut connection = Connection::open(&process::socket(place.path())).unwrap();
    connection.accept(&traffic::opening());
    // Asking has a series of its own.
    bridge.ask("/metrics");
    let mut took = Vec::new();
    for half in 0..2 {
        for n in half * count / 2 / BATCH..(half + 1) * count / 2 / BATCH {
            connection.accept(&distinct(n));
        }
        let settled = (half + 1) * count / 2;
        bridge.eventually("/v1/coverage", |coverage| {
            coverage["requests"]["settled"] == settled
        });
        let (_, page) = bridge.ask("/metrics");
        took.push((page.lines().count(), bridge.resident_bytes()));
    }
    let [(series, bytes), (series_after, bytes_after)] = *took.first_chunk().unwrap();
    println!("{count}: {series} lines and {bytes} bytes, then {series_after} and {bytes_after}");
    assert_eq!(series_after, series);
    assert!(bytes_after <= bytes + GROWTH_BYTES_MAX);
}

/// A batch in which no word and no address is one of another batch.
fn distinct(number: u64) -> Batch {
    let mut batch = traffic::batch_of(0, number * BATCH, BATCH);
    batch.first_seq = traffic::OPENING + number * 2 * BATCH;
    for (fact, n) in batch.facts.iter_mut().zip(2 * number * BATCH..) {
        // The two facts of one connection follow each other.
        let n = n / 2;
        let (local, peer) = (Some(end(0)), Some(end(n + 1)));
        match &mut fact.body {
            Some(Body::Connection(connection)) => {
                (connection.local, connection.peer) = (local, peer);
            }
            Some(Body::Request(request)) => {
                (request.local, request.peer) = (local, peer);
                request.path = format!("/products/{n}");
                request.authority = format!("{n}.example");
                request.dye = format!("label={n}");
                if let Some(upstream) = &mut request.upstream {
                    upstream.cluster = format!("cluster-{n}");
                }
            }
            _ => {}
        }
    }
    batch
}

fn end(number: u64) -> Endpoint {
    let network = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0];
    Endpoint {
        address: [network, number.to_be_bytes()].concat(),
        port: 8080,
    }
}
