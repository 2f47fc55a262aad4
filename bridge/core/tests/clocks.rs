//! The wall clock: steps that break no join, and requests that come before the first reading of it, or without any.

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
    fact::Fact,
    record::{ConnectionRecord, Missing, RequestRecord},
};
use syntrace_model::{ClockSample, ConnectionId, Opening};
use world::{turns::clock_at, *};

const PASSIVE: Opening = Opening::Passive;

#[test]
fn reports_that_come_before_the_first_clock_sample_wait_for_it() {
    let mut reconciler = Reconciler::new(Limits::default());
    let report = request(1, from_client(5001), 11.0, 20.0);
    reconciler.handle_batch(batch(filter(), 0, vec![Fact::Request(report.into())]));
    reconciler.handle_timeout(boot(1.0));
    assert_eq!(reconciler.poll_output(), None);
    let mut kernel = preamble();
    kernel.push(Fact::Connection(socket(
        1,
        PASSIVE,
        from_client(5001),
        10.0,
        50.0,
    )));
    reconciler.handle_batch(batch(probe(), 0, kernel));
    let told = settle(&mut reconciler);
    assert_eq!(joined(&told.requests[0].received_on).0, 1);
}

#[test]
fn a_step_of_the_wall_clock_does_not_break_a_join() {
    let mut reconciler = Reconciler::new(Limits::default());
    let mut kernel = preamble();
    let stepped = ClockSample {
        boot: boot(100.0),
        unix: unix(1_000_100.0),
    };
    kernel.push(Fact::Clock(stepped));
    kernel.push(Fact::Connection(socket(
        1,
        PASSIVE,
        from_client(5001),
        10.0,
        50.0,
    )));
    kernel.push(Fact::Connection(socket(
        2,
        PASSIVE,
        from_client(5001),
        110.0,
        150.0,
    )));
    reconciler.handle_batch(batch(probe(), 0, kernel));
    let before = request(1, from_client(5001), 11.0, 20.0);
    let after = request(2, from_client(5001), 1_000_120.0, 1_000_130.0);
    let facts = [before, after]
        .into_iter()
        .map(|report| Fact::Request(report.into()))
        .collect();
    reconciler.handle_batch(batch(filter(), 0, facts));
    let told = settle(&mut reconciler);
    let cookies: Vec<_> = told
        .requests
        .iter()
        .map(|record| joined(&record.received_on).0)
        .collect();
    assert_eq!(cookies, [1, 2]);
}

#[test]
fn a_step_of_the_wall_clock_back_breaks_no_join() {
    let mut reconciler = Reconciler::new(Limits::default());
    let mut facts = vec![preamble().remove(0)];
    let hour_ms = 3_600_000.0;
    // Ten seconds as they were, then ten seconds again that the wall clock shows for a second time.
    for n in 0..100 {
        let at = f64::from(n) * 200.0;
        let ahead = if n < 50 { hour_ms } else { hour_ms - 10_000.0 };
        facts.push(Fact::Clock(ClockSample {
            boot: boot(at),
            unix: unix(at + ahead),
        }));
    }
    let closed = |cookie, from: f64| {
        socket(
            cookie,
            PASSIVE,
            from_client(5000 + cookie as u16),
            from,
            from + 500.0,
        )
    };
    facts.extend([closed(1, 2_000.0), closed(2, 12_000.0)].map(Fact::Connection));
    reconciler.handle_batch(batch(probe(), 0, facts));
    let shown = hour_ms - 10_000.0;
    let after = request(1, from_client(5002), 12_100.0 + shown, 12_200.0 + shown);
    reconciler.handle_batch(batch(filter(), 0, requests_of(vec![after])));
    let told = settle(&mut reconciler);
    let joined = told.requests[0].received_on.connection();
    assert_eq!(joined, Some(closed(2, 0.0).id()));
}

/// The record of a request of the client's only connection, which lives so long, where the wall clock is 3 s ahead and
/// then, at a moment, set right. The request's times are those that it shows; time has passed until `now` when it is
/// told of, before both clocks are read again.
fn told_where_set_back(at: f64, life: (f64, f64), ran: (f64, f64), now: f64) -> RequestRecord {
    let read = |from: u32, until: u32| {
        let moments = (from..until).map(|n| 170.0 * f64::from(n));
        let read = moments.map(|moment| ClockSample {
            boot: boot(moment),
            unix: unix(if moment > at {
                moment
            } else {
                moment + 3_000.0
            }),
        });
        read.map(Fact::Clock)
    };
    let by_now = 1 + (now / 170.0) as u32;
    let mut facts = vec![preamble().remove(0)];
    facts.extend(read(0, by_now));
    facts.push(Fact::Connection(accepted(1, life.0, life.1)));
    let seq = facts.len() as u64;
    let mut reconciler = Reconciler::new(Limits::default());
    reconciler.handle_batch(batch(probe(), 0, facts));
    reconciler.handle_timeout(boot(now));
    let report = request(1, from_client(5001), ran.0, ran.1);
    reconciler.handle_batch(batch(filter(), 0, requests_of(vec![report])));
    reconciler.handle_batch(batch(probe(), seq, read(by_now, 80).collect()));
    settle(&mut reconciler).requests.remove(0)
}

#[test]
fn a_request_from_before_the_clock_was_set_back_is_not_moved_to_after_its_arrival() {
    let record = told_where_set_back(5_000.0, (4_000.0, 7_000.0), (7_950.0, 7_990.0), 5_100.0);
    assert_eq!(joined(&record.received_on).0, 1);
    assert!(record.received_on.is_certain());
    assert!(!record.coverage.late);
}

#[test]
fn a_request_that_lasted_while_the_clock_was_set_back_is_not_moved_to_after_its_arrival() {
    let record = told_where_set_back(5_000.0, (4_800.0, 9_000.0), (7_850.0, 10_350.0), 7_400.0);
    assert_eq!(joined(&record.received_on).0, 1);
}

#[test]
fn a_request_is_not_moved_to_before_the_clock_was_set_back_because_time_has_gone_on_unnoticed() {
    let record = told_where_set_back(5_000.0, (7_800.0, 9_000.0), (7_850.0, 7_890.0), 7_500.0);
    assert_eq!(joined(&record.received_on).0, 1);
}

#[test]
fn a_request_that_comes_before_anything_said_what_time_it_is_may_be_of_any_time() {
    let record = told_where_set_back(900.0, (3_800.0, 5_000.0), (3_850.0, 3_890.0), 0.0);
    assert_eq!(joined(&record.received_on).0, 1);
}

#[test]
fn without_a_clock_requests_wait_within_their_bound() {
    let limits = Limits {
        live_requests: 10,
        ..Limits::default()
    };
    let mut reconciler = Reconciler::new(limits);
    let reports = (1..=100).map(|n| request(n, from_client(5001), 10.0, 20.0));
    reconciler.handle_batch(batch(filter(), 0, requests_of(reports.collect())));
    reconciler.handle_timeout(boot(1e7));
    let coverage = reconciler.coverage();
    assert_eq!(
        (coverage.requests_live, coverage.requests_evicted),
        (10, 90)
    );
    assert_eq!(
        coverage.requests_unjoined.get(&Missing::NoKernelView),
        Some(&90)
    );
    assert_eq!(reconciler.poll_timeout(), None);
    reconciler.drain();
    assert_eq!(reconciler.coverage().requests_settled, 100);
    let proxy = |record: &ConnectionRecord| matches!(record.id, ConnectionId::Proxy { .. });
    assert!(settle(&mut reconciler).connections.iter().all(proxy));
}

/// The record of a request that ran after the machine had slept for two hours; it is told of before the probe tells
/// of its connection and of both clocks, or after that, and the fold is perhaps taken up again in between.
fn told_after_a_sleep(is_first: bool, is_resumed: bool) -> RequestRecord {
    let awake = 7_210_000.0;
    let mut reconciler = known(Limits::default(), vec![]);
    reconciler.handle_batch(batch(probe(), 2, vec![clock_at(10_000.0)]));
    reconciler.handle_timeout(boot(awake + 110.0));
    let report = request(1, from_client(5001), awake + 20.0, awake + 30.0);
    let requests = batch(filter(), 0, requests_of(vec![report]));
    let connection = accepted(1, awake + 10.0, awake + 5_000.0);
    let facts = vec![clock_at(awake + 100.0), Fact::Connection(connection)];
    let mut turns = [requests, batch(probe(), 3, facts)];
    if !is_first {
        turns.reverse();
    }
    for turn in turns {
        reconciler.handle_batch(turn);
        reconciler.handle_timeout(boot(awake + 120.0));
        if is_resumed {
            reconciler = Reconciler::restore(Limits::default(), reconciler.checkpoint());
        }
    }
    settle(&mut reconciler).requests.remove(0)
}

#[test]
fn after_a_sleep_a_request_may_be_told_of_before_the_clock_is_read() {
    let expected = told_after_a_sleep(false, false);
    assert!(expected.received_on.is_certain());
    let none: [&str; 0] = [];
    assert_eq!(expected.coverage.contradictions, none);
    for (is_first, is_resumed) in [(true, false), (true, true), (false, true)] {
        let told = told_after_a_sleep(is_first, is_resumed);
        assert_eq!(told, expected, "{is_first} {is_resumed}");
    }
}

#[test]
fn a_wrong_time_is_as_wrong_to_a_fold_that_is_taken_up_again() {
    let told = |is_resumed| {
        let mut reconciler = known(Limits::default(), vec![]);
        let report = request(1, from_client(5001), 7_200_000.0, 7_200_010.0);
        reconciler.handle_batch(batch(filter(), 0, requests_of(vec![report])));
        if is_resumed {
            reconciler = Reconciler::restore(Limits::default(), reconciler.checkpoint());
        }
        settle(&mut reconciler).requests.remove(0)
    };
    let expected = told(false);
    assert_eq!(expected.coverage.contradictions, ["out_of_time"]);
    assert_eq!(told(true), expected);
}
