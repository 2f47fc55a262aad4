//! Failed connects that are noticed late, and those of attempts before a request's last one.

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
    answer::TimeByParty,
    fact::{Report, Snapshot},
    record::{Join, RequestRecord},
};
use syntrace_model::{ConnectionId, Opening, Outcome};
use world::*;

const REFUSED: &str = "delayed connect error: 111";

fn told(mut sockets: Vec<Snapshot>, report: Report) -> RequestRecord {
    let client = socket(1, Opening::Passive, from_client(5001), 0.0, 5_000.0);
    sockets.insert(0, client);
    tell(sockets, vec![report]).requests.remove(0)
}

fn refused(cookie: u64, from: f64) -> Snapshot {
    failed(
        cookie,
        to_service(6_000 + cookie as u16),
        Outcome::Refused,
        from,
        from + 0.25,
    )
}

/// A request that waited 0.4 ms for a connection, and failed.
fn fails(from: f64, until: f64) -> Report {
    let mut report = unserved(request(1, from_client(5001), from, until), REFUSED);
    report.upstream.as_mut().unwrap().pool_wait_ns = Some(400_000);
    report
}

fn failed_by(record: &RequestRecord) -> Option<(u64, Confidence)> {
    match record.opened.as_ref()? {
        Join::To {
            connection: ConnectionId::Socket { cookie, .. },
            confidence,
            ..
        } => Some((*cookie, *confidence)),
        Join::To { .. } | Join::Missing(_) => None,
    }
}

#[test]
fn a_request_fails_by_a_connect_that_had_failed_and_was_not_noticed_when_it_began() {
    let record = told(vec![refused(2, 99.0)], fails(100.0, 100.5));
    assert_eq!(failed_by(&record), Some((2, Confidence::Certain)));
    let record = told(vec![refused(2, 20.0)], fails(100.0, 100.5));
    assert_eq!(failed_by(&record), Some((2, Confidence::Likely)));
    let one = told(
        vec![refused(2, 20.0), refused(3, 60.0)],
        fails(100.0, 100.5),
    );
    let two = Confidence::Ambiguous { candidates: 2 };
    assert_eq!(failed_by(&one).unwrap().1, two);
}

#[test]
fn a_request_that_ends_long_after_its_wait_fails_by_the_connect_of_its_beginning() {
    let record = told(vec![refused(2, 100.1)], fails(100.0, 102.0));
    assert_eq!(failed_by(&record), Some((2, Confidence::Certain)));
    let record = told(vec![refused(2, 100.1)], fails(100.0, 130.0));
    assert_eq!(failed_by(&record), Some((2, Confidence::Likely)));
    // Nothing that ended in all that time is left out.
    let record = told(
        vec![refused(2, 100.1), refused(3, 129.0)],
        fails(100.0, 130.0),
    );
    let two = Confidence::Ambiguous { candidates: 2 };
    assert_eq!(failed_by(&record).unwrap().1, two);
}

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
