//! What settles before its time because there is too much of it, and what waits although its time has come.

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
    record::ConnectionRecord,
};
use syntrace_model::{Opening, Outcome};
use world::*;

/// An open connection of a client.
fn open(cookie: u64, from: f64) -> Snapshot {
    let key = from_client(5_000 + cookie as u16);
    established(&socket(cookie, Opening::Passive, key, from, 90_000.0))
}

fn told(live_connections: usize, sockets: Vec<Snapshot>) -> Reconciler {
    let limits = Limits {
        live_connections,
        ..Limits::default()
    };
    known(limits, sockets)
}

fn settled(reconciler: &mut Reconciler) -> Vec<ConnectionRecord> {
    let outputs = std::iter::from_fn(|| reconciler.poll_output());
    let connection = |output| match output {
        Output::Connection(record) => Some(record),
        Output::Request(_) => None,
    };
    outputs.filter_map(connection).collect()
}

#[test]
fn of_too_many_open_connections_the_oldest_ends_early() {
    let sockets = vec![
        open(1, 500.0),
        open(2, 100.0),
        open(3, 900.0),
        open(4, 300.0),
    ];
    let early = settled(&mut told(2, sockets));
    let ids: Vec<_> = early.iter().map(|record| record.id).collect();
    assert_eq!(ids, [open(2, 100.0).id(), open(4, 300.0).id()]);
    assert!(early.iter().all(|record| record.coverage.evicted));
}

#[test]
fn of_as_many_that_have_ended_as_are_open_one_that_has_ended_goes_first() {
    let ended = socket(3, Opening::Passive, from_client(5003), 500.0, 600.0);
    let early = settled(&mut told(1, vec![open(2, 100.0), ended.clone()]));
    let ids: Vec<_> = early.iter().map(|record| record.id).collect();
    assert_eq!(ids, [ended.id()]);
}

#[test]
fn of_too_many_requests_the_one_that_would_settle_next_ends_early() {
    let mut reconciler = Reconciler::new(Limits {
        live_requests: 2,
        ..Limits::default()
    });
    reconciler.handle_batch(batch(probe(), 0, preamble()));
    let reports = [(1, 500.0), (2, 300.0), (3, 400.0)].map(|(n, until)| {
        let report = request(n, from_client(5001), 200.0, until);
        Fact::Request(report.into())
    });
    reconciler.handle_batch(batch(filter(), 0, reports.to_vec()));
    let Some(Output::Request(record)) = reconciler.poll_output() else {
        panic!("a request");
    };
    assert_eq!(record.id(), span(2));
    assert!(record.coverage.evicted);
}

#[test]
fn what_is_told_of_a_connection_that_ended_early_is_late_and_no_new_connection() {
    let mut reconciler = told(1, vec![open(1, 100.0), open(2, 500.0)]);
    let again = Fact::Connection(open(1, 100.0));
    reconciler.handle_batch(batch(probe(), 10, vec![again]));
    assert_eq!(reconciler.coverage().late, 1);
    assert_eq!(reconciler.coverage().connections_unseen, 0);
    reconciler.drain();
    assert_eq!(settled(&mut reconciler).len(), 2);
}

#[test]
fn a_request_waits_for_a_probe_whose_batch_was_old_when_it_came() {
    let mut reconciler = told(10, vec![]);
    reconciler.handle_batch(batch(probe(), 2, vec![preamble().remove(1)]));
    let report = request(1, from_client(5001), 60.0, 70.0);
    reconciler.handle_batch(batch(filter(), 0, vec![Fact::Request(report.into())]));
    reconciler.handle_timeout(boot(5_000.0));
    assert_eq!(reconciler.coverage().requests_settled, 0);
    // Then it tells of the connection.
    let client = accepted(1, 10.0, 90.0);
    let told = vec![Fact::Connection(client), preamble().remove(1)];
    reconciler.handle_batch(batch(probe(), 3, told));
    let record = settle(&mut reconciler).requests.remove(0);
    assert!(record.received_on.is_certain());
}

#[test]
fn a_connection_that_only_the_proxy_saw_is_waited_for_an_hour_after_its_last_request() {
    let mut reconciler = told(10, vec![]);
    let long = request(1, from_client(5001), 100.0, 200_100.0);
    reconciler.handle_batch(batch(filter(), 0, vec![Fact::Request(long.into())]));
    // And as long as the next one may go on and its report may take: 17.305 s.
    reconciler.handle_timeout(boot(3_817_000.0));
    assert_eq!(reconciler.coverage().requests_settled, 1);
    assert_eq!(reconciler.coverage().connections_live, 1);
    reconciler.handle_timeout(boot(3_818_000.0));
    assert_eq!(reconciler.coverage().connections_live, 0);
}

#[test]
fn a_refused_connect_settles_after_the_requests_that_it_may_have_failed() {
    let refused = failed(2, to_service(6001), Outcome::Refused, 20.0, 20.4);
    let mut reconciler = told(10, vec![refused]);
    reconciler.handle_timeout(boot(10_000.0));
    assert_eq!(reconciler.coverage().connections_live, 1);
    reconciler.handle_timeout(boot(60_000.0));
    assert_eq!(reconciler.coverage().connections_live, 0);
}
