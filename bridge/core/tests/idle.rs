//! A connection that only the proxy saw, and that pauses between its requests: nothing says when it ends.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod world;

use syntrace_core::{
    Limits, Reconciler,
    fact::{Fact, SenderId},
    record::{ConnectionRecord, RequestRecord},
};
use syntrace_model::{ClockSample, ConnectionId};
use world::*;

const MINUTE: f64 = 60_000.0;

/// What is known of a proxy's connection: its records, the records of its requests, and what was counted late.
struct Known {
    records: Vec<ConnectionRecord>,
    requests: Vec<RequestRecord>,
    late: u64,
}

/// One connection with a request at each of these moments, each beside more connections of one request than are
/// remembered.
fn with_requests_at(moments: &[f64]) -> Known {
    const OTHERS: u64 = 150;
    let mut reconciler = Reconciler::new(Limits {
        remembered: 100,
        ..Limits::default()
    });
    let mut told = 0..;
    for (n, &at) in (0..).zip(moments) {
        let others = (0..OTHERS).map(|other| (1_000 * (n + 1) + other, 1_000 * (n + 1) + other));
        for (span, connection) in others.chain([(n + 1, 1)]) {
            let mut report = request(span, from_client(5001), at, at + 10.0);
            report.downstream_connection = connection;
            report.connection_trace_id = None;
            let facts = vec![Fact::Request(report.into())];
            reconciler.handle_batch(batch(filter(), told.next().unwrap(), facts));
        }
        let clock = ClockSample {
            boot: boot(at + 20.0),
            unix: unix(at + 20.0),
        };
        let bridge = SenderId {
            name: "bridge".into(),
            epoch: 77,
        };
        reconciler.handle_batch(batch(bridge, n, vec![Fact::Clock(clock)]));
        reconciler.handle_timeout(boot(at + 20.0));
        reconciler.handle_timeout(boot(at + 5_000.0));
    }
    let late = reconciler.coverage().late;
    let all = settle(&mut reconciler);
    let one = |id: ConnectionId| matches!(id, ConnectionId::Proxy { connection: 1, .. });
    let (records, requests) = (all.connections.into_iter(), all.requests.into_iter());
    Known {
        records: records.filter(|record| one(record.id)).collect(),
        requests: requests.filter(|record| one(record.connection())).collect(),
        late,
    }
}

#[test]
fn a_request_after_a_pause_is_in_the_record_of_its_connection_and_not_late() {
    let moments = [100.0, MINUTE + 110.0, 3.0 * MINUTE, 62.0 * MINUTE];
    let known = with_requests_at(&moments);
    assert_eq!(known.records.len(), 1);
    assert_eq!(known.records[0].requests.len(), moments.len());
    assert_eq!(known.requests.len(), moments.len());
    assert_eq!((known.late, known.records[0].coverage.late), (0, 0));
    assert!(known.requests.iter().all(|record| !record.coverage.late));
}

#[test]
fn a_request_that_begins_when_the_proxy_would_have_closed_its_connection_is_in_its_record() {
    // It ends after the hour, and settles later still.
    let known = with_requests_at(&[100.0, 60.0 * MINUTE + 105.0]);
    assert_eq!(known.records.len(), 1);
    assert_eq!(known.records[0].requests.len(), 2);
    assert_eq!(known.late, 0);
}
