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
    record::{ConnectionRecord, Missing},
};
use syntrace_model::{ClockSample, ConnectionId, Opening};
use world::*;

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

#[test]
fn a_request_from_before_the_clock_was_set_back_is_not_moved_to_after_its_arrival() {
    let mut reconciler = Reconciler::new(Limits::default());
    let sample = |at: f64| {
        let ahead = if at > 5_000.0 { -3_000.0 } else { 0.0 };
        Fact::Clock(ClockSample {
            boot: boot(at),
            unix: unix(at + ahead),
        })
    };
    let mut facts = preamble();
    facts.extend((1..=30).map(|n| sample(f64::from(n) * 170.0)));
    facts.push(Fact::Connection(accepted(1, 4_000.0, 7_000.0)));
    let seq = facts.len() as u64;
    reconciler.handle_batch(batch(probe(), 0, facts));
    reconciler.handle_timeout(boot(5_100.0));
    let report = request(1, from_client(5001), 4_950.0, 4_990.0);
    reconciler.handle_batch(batch(filter(), 0, requests_of(vec![report])));
    // Now the clock shows the same times again.
    let facts = (31..=80).map(|n| sample(f64::from(n) * 170.0));
    reconciler.handle_batch(batch(probe(), seq, facts.collect()));
    let told = settle(&mut reconciler);
    assert_eq!(joined(&told.requests[0].received_on).0, 1);
    assert!(told.requests[0].received_on.is_certain());
    assert!(!told.requests[0].coverage.late);
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
