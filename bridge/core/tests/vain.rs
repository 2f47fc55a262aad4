//! Which connects count as earlier attempts of a request that was retried, and in which order.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod world;

use syntrace_core::{fact::Snapshot, record::Join};
use syntrace_model::{ConnectionId, Opening, Outcome};
use world::*;

/// The cookies of the connects of earlier attempts, of a request from 20,100 ms on that was answered by its third
/// attempt; that one began at 20,370.1 ms.
fn earlier(connects: Vec<Snapshot>) -> Vec<u64> {
    let report = request(1, from_client(5001), 20_100.0, 20_375.1);
    let mut report = served(report, 6001, 0.0, 5.0);
    report.upstream.as_mut().unwrap().attempts = 3;
    let client = accepted(1, 0.0, 50_000.0);
    let upstream = socket(2, Opening::Active, to_service(6001), 50.0, 50_000.0);
    let told = tell([vec![client, upstream], connects].concat(), vec![report]);
    let cookie = |join: &Join| match join.connection() {
        Some(ConnectionId::Socket { cookie, .. }) => cookie,
        _ => 0,
    };
    told.requests[0].earlier.iter().map(cookie).collect()
}

/// A connection on which the service never sent a byte.
fn silent(cookie: u64, from: f64, until: f64) -> Snapshot {
    let key = to_service(6_000 + cookie as u16);
    let mut silent = socket(cookie, Opening::Active, key, from, until);
    silent.counters.bytes_received = 0;
    silent
}

#[test]
fn a_connection_that_was_kept_open_for_long_and_never_used_is_no_earlier_attempt() {
    let none: [u64; 0] = [];
    assert_eq!(earlier(vec![silent(3, 5_000.0, 20_350.0)]), none);
    assert_eq!(earlier(vec![silent(3, 10_349.7, 20_350.0)]), none);
    assert_eq!(earlier(vec![silent(3, 10_349.8, 20_350.0)]), [3]);
}

#[test]
fn a_connection_that_was_there_before_the_probe_is_no_earlier_attempt() {
    let mut old = silent(3, 20_101.0, 20_350.0);
    assert_eq!(earlier(vec![old.clone()]), [3]);
    (old.syn_at, old.syn_ack_at, old.established_at) = (None, None, None);
    assert_eq!(earlier(vec![old]), [0; 0]);
}

#[test]
fn a_connect_that_was_done_after_the_last_attempt_had_begun_is_no_earlier_one() {
    // Its end is the kernel's, when the peer has acknowledged it: that may be later.
    assert_eq!(earlier(vec![silent(3, 20_370.1, 20_380.0)]), [3]);
    assert_eq!(earlier(vec![silent(3, 20_370.3, 20_380.0)]), [0; 0]);
}

#[test]
fn earlier_attempts_are_in_the_order_in_which_they_were_given_up() {
    let refused = failed(3, to_service(6003), Outcome::Refused, 20_200.0, 20_200.3);
    let given_up = silent(4, 20_110.0, 20_300.0);
    assert_eq!(earlier(vec![refused.clone(), given_up.clone()]), [4, 3]);
    // One that was answered, and broke off then, was given up when it ended.
    let mut answered = given_up;
    answered.counters.bytes_received = 7;
    assert_eq!(earlier(vec![refused, answered]), [3, 4]);
}

#[test]
fn where_too_many_connects_may_be_the_earlier_attempts_none_is_named() {
    let refused = |n: u64| {
        let key = to_service(6_100 + n as u16);
        let from = 20_200.0 + n as f64;
        failed(100 + n, key, Outcome::Refused, from, from + 0.3)
    };
    let many = |n| earlier((0..n).map(refused).collect());
    assert_eq!(many(16), [100, 101]);
    assert_eq!(many(17), [0; 0]);
}
