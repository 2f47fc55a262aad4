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
    Confidence, Limits, Reconciler,
    answer::{Party, TimeByParty},
    fact::{Batch, Fact, Report, SenderId, Snapshot},
    record::{Join, Missing, RequestRecord},
};
use syntrace_model::{ConnectionId, Opening, Outcome};
use world::*;

const REFUSED: &str = "delayed connect error: 111";

fn told(mut sockets: Vec<Snapshot>, report: Report) -> RequestRecord {
    let client = accepted(1, 0.0, 5_000.0);
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
fn a_connect_that_failed_otherwise_than_the_proxy_says_fails_nothing() {
    let aborted = failed(2, to_service(6_002), Outcome::Aborted, 99.0, 100.3);
    let record = told(vec![aborted], fails(100.0, 100.5));
    assert_eq!(record.opened, Some(Join::Missing(Missing::NoConnection)));
}

#[test]
fn a_connect_of_a_thread_that_is_not_known_is_no_more_than_likely() {
    let mut connect = refused(2, 100.1);
    connect.owner_tid = 0;
    let record = told(vec![connect], fails(100.0, 100.5));
    assert_eq!(failed_by(&record), Some((2, Confidence::Likely)));
}

#[test]
fn a_worker_that_did_other_work_after_its_wait_may_have_noticed_the_connect_late_before_it() {
    let report = Report {
        duration_ns: 4_420_000,
        ..fails(100.0, 101.0)
    };
    let record = told(vec![refused(2, 96.0)], report);
    assert_eq!(failed_by(&record), Some((2, Confidence::Certain)));
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

#[test]
fn a_connect_that_ended_after_the_request_as_told_is_no_more_than_likely() {
    let ended = |at| failed_by(&told(vec![refused(2, at)], fails(100.0, 100.5)));
    assert_eq!(ended(100.5), Some((2, Confidence::Certain)));
    assert_eq!(ended(100.6), Some((2, Confidence::Likely)));
}

#[test]
fn of_several_connects_none_is_preferred_because_it_ended_while_a_late_worker_had_the_request() {
    let told = told(
        vec![refused(2, 100.1), refused(3, 129.4)],
        fails(100.0, 130.0),
    );
    let two = Confidence::Ambiguous { candidates: 2 };
    assert_eq!(failed_by(&told), Some((3, two)));
    // In time, it is.
    let told = self::told(
        vec![refused(2, 127.0), refused(3, 129.4)],
        Report {
            started_at: unix(129.5),
            duration_ns: 500_000,
            ..fails(100.0, 130.0)
        },
    );
    assert_eq!(failed_by(&told), Some((3, Confidence::Likely)));
}

#[test]
fn a_worker_is_late_if_it_did_more_than_five_milliseconds_of_other_work() {
    let after = |duration_ns| {
        let report = Report {
            duration_ns,
            ..fails(100.0, 101.0)
        };
        failed_by(&told(vec![refused(2, 100.1)], report)).unwrap().1
    };
    assert_eq!(after(5_420_000), Confidence::Certain);
    assert_eq!(after(5_420_001), Confidence::Likely);
}

#[test]
fn the_connect_that_ended_at_the_very_moment_when_the_wait_began_may_be_the_first() {
    let report = Report {
        duration_ns: 1_000_000,
        ..fails(100.0, 101.0)
    };
    let mut first = refused(2, 100.0);
    first.seen_at = boot(100.0).plus_ns(600_000);
    first.closed_at = Some(first.seen_at);
    let told = told(vec![first, refused(3, 100.5)], report);
    let two = Confidence::Ambiguous { candidates: 2 };
    assert_eq!(failed_by(&told), Some((2, two)));
}

#[test]
fn of_many_connects_those_around_the_wait_are_listed() {
    // The first 28 ended before the wait began at 100.01 ms, the others while it lasted.
    let connects = (0..40).map(|n| refused(2 + n, 98.8 + 0.035 * n as f64));
    let mut report = fails(100.0, 100.5);
    report.upstream.as_mut().unwrap().pool_wait_ns = Some(750_000);
    report.duration_ns = 760_000;
    let told = told(connects.collect(), report);
    let Some(Join::To {
        candidates,
        confidence,
        ..
    }) = told.opened
    else {
        panic!("nothing was found");
    };
    assert_eq!(confidence, Confidence::Ambiguous { candidates: 40 });
    let cookies: Vec<_> = candidates
        .iter()
        .map(|id| match id {
            ConnectionId::Socket { cookie, .. } => *cookie,
            ConnectionId::Proxy { .. } => 0,
        })
        .collect();
    assert_eq!(cookies, (22..38).collect::<Vec<_>>());
}

/// What failed a request by the only connect that was told of, where the kernel view says this, in batches
/// with these first numbers. After each, the bridge tells a clock of its own, which says nothing of the probe.
fn told_in(batches: Vec<(u64, Vec<Fact>, u64)>) -> Confidence {
    let bridge = SenderId {
        name: "bridge".into(),
        epoch: 3,
    };
    let mut reconciler = Reconciler::new(Limits::default());
    for (first_seq, facts, ring_full) in batches {
        reconciler.handle_batch(Batch {
            losses: vec![("ring_full".into(), ring_full)],
            ..batch(probe(), first_seq, facts)
        });
        let clock = clock_after(&fails(100.0, 100.5));
        reconciler.handle_batch(batch(bridge.clone(), first_seq, vec![clock]));
    }
    let report = Fact::Request(fails(100.0, 100.5).into());
    reconciler.handle_batch(batch(filter(), 0, vec![report]));
    let record = settle(&mut reconciler).requests.remove(0);
    failed_by(&record).unwrap().1
}

#[test]
fn a_connect_is_certain_only_where_all_that_the_kernel_saw_about_the_end_was_told() {
    let client = accepted(1, 50.0, 60_000.0);
    let mut first = preamble();
    first.push(Fact::Connection(established(&client)));
    let told = vec![Fact::Connection(refused(2, 100.1))];
    let clock = || vec![clock_after(&fails(100.0, 100.5)), preamble().remove(0)];
    let all = told_in(vec![
        (0, first.clone(), 0),
        (3, told.clone(), 0),
        (4, clock(), 0),
    ]);
    assert_eq!(all, Confidence::Certain);
    let lost_after_it = told_in(vec![
        (0, first.clone(), 0),
        (3, told.clone(), 0),
        (5, clock(), 0),
    ]);
    assert_eq!(lost_after_it, Confidence::Likely);
    let lost_before_it = told_in(vec![
        (0, first.clone(), 0),
        (4, told.clone(), 0),
        (5, clock(), 0),
    ]);
    assert_eq!(lost_before_it, Confidence::Likely);
    let nothing_after_it = told_in(vec![(0, first.clone(), 0), (3, told.clone(), 0)]);
    assert_eq!(nothing_after_it, Confidence::Likely);
    let counted = told_in(vec![
        (0, first.clone(), 0),
        (3, told.clone(), 0),
        (4, clock(), 1),
    ]);
    assert_eq!(counted, Confidence::Likely);
    // Clocks alone are the bridge's own.
    let only_clock = vec![clock().remove(0)];
    let not_a_probe_s = told_in(vec![(0, first, 0), (3, told, 0), (4, only_clock, 0)]);
    assert_eq!(not_a_probe_s, Confidence::Likely);
}

#[test]
fn a_connect_that_ended_early_in_the_wait_leaves_the_last_one_in_doubt() {
    let waits = |from: f64| {
        let mut report = fails(from, 100.5);
        report.upstream.as_mut().unwrap().pool_wait_ns = Some(report.duration_ns);
        told(vec![refused(2, 60.0), refused(3, 100.1)], report)
    };
    assert_eq!(failed_by(&waits(50.0)), Some((3, Confidence::Likely)));
    assert_eq!(failed_by(&waits(70.0)), Some((3, Confidence::Certain)));
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
/// connect was told of.
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
