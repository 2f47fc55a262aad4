//! Connects that failed in attempts before a request's last one.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod world;

use syntrace_core::{
    answer::{Party, TimeByParty},
    fact::Snapshot,
    record::Join,
};
use syntrace_model::{Opening, Outcome};
use world::{
    connects::{fails, refused, told},
    *,
};

/// A request that took `took` milliseconds, the last 5 of them in its second attempt; the first may have
/// failed by any of `connects`.
fn retried(connects: Vec<Snapshot>, took: f64) -> TimeByParty {
    let mut report = served(
        request(1, from_client(5001), 100.0, 100.0 + took),
        6001,
        0.0,
        5.0,
    );
    report.upstream.as_mut().unwrap().attempts = 2;
    let upstream = socket(2, Opening::Active, to_service(6001), 50.0, 5_000.0);
    let sockets = [vec![upstream], connects].concat();
    told(sockets, report).answer.time
}

fn dropped(cookie: u64, from: f64, until: f64) -> Snapshot {
    failed(
        cookie,
        to_service(6_000 + cookie as u16),
        Outcome::Aborted,
        from,
        until,
    )
}

#[test]
fn an_earlier_attempt_is_the_network_s_and_the_pause_after_it_the_proxy_s() {
    let time = retried(vec![dropped(3, 100.1, 350.1)], 275.1);
    assert_eq!(time.network_ns, 250_000_000 + 200_000);
    assert_eq!(time.proxy_ns, 20_100_000);
    assert_eq!(time.unknown_ns, 0);
}

#[test]
fn of_two_connects_that_both_explain_an_attempt_the_network_had_the_less() {
    let time = retried(vec![refused(3, 100.25), dropped(4, 100.5, 110.5)], 25.0);
    assert_eq!(time.network_ns, 250_000 + 200_000);
    assert_eq!(time.unknown_ns, 9_750_000);
    assert_eq!(time.proxy_ns, 10_000_000);
}

#[test]
fn a_connect_that_leaves_more_than_a_pause_explains_no_earlier_attempt() {
    let time = retried(vec![refused(3, 100.1)], 275.0);
    assert_eq!((time.network_ns, time.proxy_ns), (200_000, 0));
    assert_eq!(time.unknown_ns, 270_000_000);
    assert_eq!(retried(vec![], 25.0).unknown_ns, 20_000_000);
}

#[test]
fn a_connect_elsewhere_that_began_before_the_request_explains_no_earlier_attempt() {
    let mut elsewhere = dropped(3, 20.0, 270.0);
    elsewhere.key = ends("198.51.100.1:6003", "198.51.100.9:80");
    assert_eq!(retried(vec![elsewhere], 190.0).proxy_ns, 0);
    let time = retried(vec![dropped(3, 20.0, 270.0)], 190.0);
    assert_eq!(time.network_ns, 170_000_000 + 200_000);
}

#[test]
fn an_attempt_that_was_given_up_was_not_a_connect_that_timed_out_meanwhile() {
    let with = |from: f64, closed_at: f64| {
        let mut given_up = socket(4, Opening::Active, to_service(6_004), from, closed_at);
        given_up.counters.bytes_received = 100;
        retried(vec![dropped(3, 100.1, 350.1), given_up], 275.1)
    };
    let time = |closed_at: f64| with(60.0, closed_at);
    assert_eq!(time(375.2).of(Party::Network), 200_000);
    assert_eq!(time(375.2).unknown_ns, 270_100_000);
    // Closed before, or long after.
    for other in [99.9, 500.0] {
        assert_eq!(time(other).of(Party::Network), 250_000_000 + 200_000);
    }
    // Opened only then.
    for from in [370.3, 372.0] {
        assert_eq!(with(from, 375.2).of(Party::Network), 250_000_000 + 200_000);
    }
    // The last attempt began at 370.1, as exactly as clocks agree.
    assert_eq!(with(370.1, 375.2).of(Party::Network), 200_000);
}

#[test]
fn a_connection_that_the_service_reset_was_not_given_up() {
    let mut reset = socket(4, Opening::Active, to_service(6_004), 60.0, 375.2);
    reset.outcome = Outcome::ResetByPeer;
    reset.counters.bytes_received = 100;
    let time = retried(vec![dropped(3, 100.1, 350.1), reset], 275.1);
    assert_eq!(time.network_ns, 250_000_000 + 200_000);
}

/// The connects of earlier attempts of a request that was tried twice, the second time elsewhere, where no
/// connect was reported.
fn tried_twice(mut connect: Snapshot) -> Vec<Join> {
    connect.key = ends("198.51.100.1:6002", "198.51.100.9:80");
    let mut report = fails(100.0, 110.0);
    report.upstream.as_mut().unwrap().attempts = 2;
    told(vec![connect], report).earlier
}

#[test]
fn earlier_attempts_are_named_even_if_the_connect_of_the_last_one_is_not_known() {
    let earlier = tried_twice(refused(2, 102.0));
    let ids: Vec<_> = earlier.iter().map(Join::connection).collect();
    assert_eq!(ids, [Some(refused(2, 102.0).id())]);
}

#[test]
fn a_connect_of_another_process_whose_thread_had_the_same_number_is_no_earlier_attempt() {
    let mut other_s = refused(2, 102.0);
    other_s.owner_pid = 9;
    assert_eq!(tried_twice(other_s), Vec::new());
}

#[test]
fn a_connection_that_was_closed_after_its_last_request_was_not_given_up() {
    let closed = |until: f64, closed_at: f64| {
        let mut worn_out = socket(4, Opening::Active, to_service(6_004), 60.0, closed_at);
        worn_out.counters.bytes_received = 100;
        let mut report = served(request(1, from_client(5001), 100.0, 375.1), 6001, 0.0, 5.0);
        report.upstream.as_mut().unwrap().attempts = 2;
        let other = served(
            request(2, from_client(5001), until - 2.0, until),
            6_004,
            0.0,
            1.0,
        );
        let client = accepted(1, 0.0, 5_000.0);
        let upstream = socket(2, Opening::Active, to_service(6001), 50.0, 5_000.0);
        let sockets = vec![client, upstream, dropped(3, 100.1, 350.1), worn_out];
        let mut told = tell(sockets, vec![report, other]);
        told.requests.remove(0).answer.time.network_ns
    };
    let explained = 250_000_000 + 200_000;
    let other = |until: f64| closed(until, 375.2);
    // Settled before it, and after it.
    assert_eq!(other(375.0), explained);
    assert_eq!(other(376.0), explained);
    assert_eq!(other(300.0), 200_000);
    // The last attempt began at 370.1, as exactly as clocks agree: what was closed before was not beside it.
    assert_eq!(closed(300.0, 370.0), 200_000);
    assert_eq!(closed(300.0, 369.7), explained);
}
