//! What a join says where a probe reports only some of the connections that end well: the others leave no gap.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod world;

use syntrace_core::{
    Confidence, Limits, Reconciler,
    fact::{Fact, Report, Sampling, Snapshot},
    record::{Join, RequestRecord},
};
use syntrace_model::Opening;
use world::{turns::clock_at, *};

const ALL: u32 = 1;
const SOME: u32 = 8;

fn sampling(at: f64, one_in: u32) -> Fact {
    let at = boot(at);
    Fact::Sampling(Sampling { at, one_in })
}

fn open(socket: &Snapshot) -> Fact {
    Fact::Connection(established(socket))
}

/// The records of requests where the probe tells these facts, loses so many, and tells these.
fn told(
    before: Vec<Fact>,
    n_lost: u64,
    after: Vec<Fact>,
    reports: Vec<Report>,
) -> Vec<RequestRecord> {
    let mut reconciler = Reconciler::new(Limits::default());
    let before = [preamble(), before].concat();
    // A rung shows whose batch it is.
    let after = [vec![preamble().remove(0)], after].concat();
    let next_seq = before.len() as u64 + n_lost;
    reconciler.handle_batch(batch(probe(), 0, before));
    reconciler.handle_batch(batch(probe(), next_seq, after));
    reconciler.handle_batch(batch(filter(), 0, requests_of(reports)));
    settle(&mut reconciler).requests
}

fn confidence(join: &Join) -> Confidence {
    found(join).unwrap().1
}

/// How sure a request of 60 to 70 ms is of its two connections, both seen 30 ms before it, where the probe reports one
/// in so many from 20 ms on, and so many facts are lost in between. Whose they are, an earlier request has shown.
fn after_losing(n_facts: u64, one_in: u32) -> [Confidence; 2] {
    let upstream =
        |cookie, port, from| socket(cookie, Opening::Active, to_service(port), from, 9e3);
    let client = socket(3, Opening::Passive, from_client(5002), 30.0, 9e3);
    let before = vec![
        open(&accepted(1, 1.0, 9e3)),
        open(&upstream(2, 6000, 2.0)),
        sampling(20.0, one_in),
        open(&client),
        open(&upstream(4, 6001, 30.0)),
    ];
    let after = [50.0, 170.0].map(clock_at).to_vec();
    let earlier = served(request(1, from_client(5001), 5.0, 8.0), 6000, 0.0, 1.0);
    let report = served(request(2, from_client(5002), 60.0, 70.0), 6001, 0.0, 5.0);
    let records = told(before, n_facts, after, vec![earlier, report]);
    let record = &records[1];
    [&record.received_on, record.served_by.as_ref().unwrap()].map(confidence)
}

#[test]
fn one_lost_fact_may_be_the_end_of_a_socket_that_one_left_out_has_succeeded() {
    use Confidence::{Certain, Likely};
    assert_eq!(after_losing(0, SOME), [Certain; 2]);
    assert_eq!(after_losing(1, SOME), [Likely; 2]);
    assert_eq!(
        after_losing(1, ALL),
        [Certain; 2],
        "its start was not lost too"
    );
    assert_eq!(after_losing(2, ALL), [Likely; 2]);
}

/// How sure a request is of the one socket that has its ends, by a proxy whose process nothing has shown.
fn of_unknown_process(facts: Vec<Fact>, report: Report) -> RequestRecord {
    let clock = clock_after(&report);
    told(facts, 0, vec![clock], vec![report]).remove(0)
}

#[test]
fn while_the_process_is_unknown_a_namespace_with_equal_addresses_may_have_been_left_out() {
    let client = open(&accepted(1, 10.0, 9e3));
    let report = || request(1, from_client(5001), 60.0, 70.0);
    let joined = |before: Vec<Fact>| {
        let facts = before.into_iter().chain([client.clone()]).collect();
        confidence(&of_unknown_process(facts, report()).received_on)
    };
    assert_eq!(joined(vec![]), Confidence::Certain);
    assert_eq!(joined(vec![sampling(5.0, SOME)]), Confidence::Likely);
    // What was left out then may live on.
    let over = vec![sampling(5.0, SOME), sampling(7.0, ALL)];
    assert_eq!(joined(over), Confidence::Likely);
    let later = of_unknown_process(vec![client.clone(), sampling(90.0, SOME)], report());
    assert_eq!(confidence(&later.received_on), Confidence::Certain);
}

#[test]
fn a_connect_that_a_request_waited_for_shows_the_process_once_all_is_reported_again() {
    let service = socket(2, Opening::Active, to_service(6001), 60.1, 9e3);
    let report = served(request(1, from_client(5001), 60.0, 70.0), 6001, 1.0, 5.0);
    let joined = |until: f64| {
        let facts = vec![
            sampling(5.0, SOME),
            open(&accepted(1, 10.0, 9e3)),
            sampling(until, ALL),
            open(&service),
        ];
        let record = of_unknown_process(facts, report.clone());
        [&record.received_on, record.served_by.as_ref().unwrap()].map(confidence)
    };
    assert_eq!(joined(20.0), [Confidence::Certain; 2]);
    assert_eq!(joined(61.0), [Confidence::Likely; 2]);
}

#[test]
fn a_connect_shows_the_process_only_if_the_request_surely_waited_for_it() {
    for (dialled_at, pool_wait, expected) in [
        (60.05, 1.0, Confidence::Certain),
        // It waited for less than the handshake took.
        (60.05, 0.0, Confidence::Likely),
        // The connect may have begun before the request.
        (58.0, 1.0, Confidence::Likely),
    ] {
        let service = socket(2, Opening::Active, to_service(6001), dialled_at, 9e3);
        let facts = vec![
            sampling(5.0, SOME),
            open(&accepted(1, 10.0, 9e3)),
            sampling(20.0, ALL),
            open(&service),
        ];
        let report = served(
            request(1, from_client(5001), 60.0, 70.0),
            6001,
            pool_wait,
            5.0,
        );
        let record = of_unknown_process(facts, report);
        let said = confidence(record.served_by.as_ref().unwrap());
        assert_eq!(said, expected, "{dialled_at} {pool_wait}");
    }
}

/// How sure a request of 60 ms is of the connection that its TLS handshake failed, where the probe samples so.
fn failed_in_tls(sampled: &[(f64, u32)]) -> Confidence {
    let upstream =
        |cookie, port, from, until| socket(cookie, Opening::Active, to_service(port), from, until);
    let broken = upstream(3, 6001, 60.1, 63.9);
    let mut before = vec![
        open(&accepted(1, 1.0, 9e3)),
        open(&upstream(2, 6000, 2.0, 9e3)),
        clock_at(50.0),
        open(&broken),
        Fact::Connection(broken),
    ];
    before.extend(sampled.iter().map(|&(at, one_in)| sampling(at, one_in)));
    let clocks = (1..=20).map(|n| clock_at(60.0 + 10.0 * f64::from(n)));
    let earlier = served(request(1, from_client(5001), 5.0, 8.0), 6000, 0.0, 1.0);
    let mut report = unserved(
        request(2, from_client(5001), 60.0, 64.0),
        "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end",
    );
    report.upstream.as_mut().unwrap().pool_wait_ns = Some(3_980_000);
    let records = told(before, 0, clocks.collect(), vec![earlier, report]);
    confidence(records[1].opened.as_ref().unwrap())
}

#[test]
fn a_connection_that_ended_well_for_the_kernel_may_be_one_that_was_left_out() {
    assert_eq!(failed_in_tls(&[(20.0, ALL)]), Confidence::Certain);
    assert_eq!(failed_in_tls(&[(20.0, SOME)]), Confidence::Likely);
    // It may have begun before all were reported again.
    let over = [(20.0, SOME), (40.0, ALL)];
    assert_eq!(failed_in_tls(&over), Confidence::Likely);
}
