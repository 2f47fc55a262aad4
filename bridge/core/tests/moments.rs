//! When a request settles whose time is wrong, or that came before anything said what time it is.

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
    fact::{Fact, Report},
    record::RequestRecord,
};
use syntrace_model::ClockSample;
use world::{turns::clock_at, *};

const HOUR_NS: u64 = 3_600_000_000_000;

/// The request from 1,000 ms on that took so long, told at 2,000 ms, and 8 s later; `None` if it has not settled.
fn settled(duration_ns: u64) -> Option<RequestRecord> {
    let mut reconciler = Reconciler::new(Limits::default());
    reconciler.handle_batch(batch(probe(), 0, preamble()));
    reconciler.handle_timeout(boot(0.0));
    reconciler.handle_timeout(boot(2_000.0));
    let report = Report {
        duration_ns,
        ..request(1, from_client(5001), 1_000.0, 1_000.0)
    };
    reconciler.handle_batch(batch(filter(), 0, vec![Fact::Request(report.into())]));
    reconciler.handle_timeout(boot(10_000.0));
    (reconciler.coverage().requests_settled > 0).then(|| settle(&mut reconciler).requests.remove(0))
}

#[test]
fn a_request_that_ends_more_than_an_hour_after_it_was_told_of_does_not_wait_for_its_end() {
    // It settles 2.305 s after its end.
    let longest = HOUR_NS + 1_000_000_000 - 2_305_000_000;
    assert_eq!(settled(longest), None);
    let record = settled(longest + 1).unwrap();
    assert_eq!(record.coverage.contradictions, ["from_the_future"]);
    let record = settled(24 * HOUR_NS).unwrap();
    assert_eq!(record.coverage.contradictions, ["from_the_future"]);
    let none: [&str; 0] = [];
    assert_eq!(settled(1_000_000).unwrap().coverage.contradictions, none);
}

#[test]
fn on_a_host_that_is_up_for_long_the_first_report_is_not_from_the_future() {
    let now = 7_200_000.0;
    let mut reconciler = Reconciler::new(Limits::default());
    let sample = ClockSample {
        boot: boot(now),
        unix: unix(now),
    };
    let mut kernel = preamble();
    kernel.push(Fact::Clock(sample));
    reconciler.handle_batch(batch(probe(), 0, kernel));
    let report = request(1, from_client(5001), now, now + 5.0);
    reconciler.handle_batch(batch(filter(), 0, vec![Fact::Request(report.into())]));
    let record = settle(&mut reconciler).requests.remove(0);
    let none: [&str; 0] = [];
    assert_eq!(record.coverage.contradictions, none);
}

#[test]
fn a_fold_that_is_taken_up_again_knows_that_a_report_comes_late() {
    let mut told = Reconciler::new(Limits::default());
    told.handle_batch(batch(probe(), 0, preamble()));
    told.handle_timeout(boot(10_000.0));
    let mut reconciler = Reconciler::restore(Limits::default(), told.checkpoint());
    let report = request(1, from_client(5001), 10.0, 20.0);
    reconciler.handle_batch(batch(filter(), 0, vec![Fact::Request(report.into())]));
    let record = settle(&mut reconciler).requests.remove(0);
    assert!(record.coverage.late);
}

#[test]
fn a_request_from_more_than_an_hour_ahead_is_joined_and_never_certain() {
    let ahead = 4_000_000.0;
    let mut reconciler = known(Limits::default(), vec![accepted(1, ahead, ahead + 90.0)]);
    let rung = preamble().remove(0);
    reconciler.handle_batch(batch(probe(), 3, vec![rung, clock_at(ahead)]));
    reconciler.handle_timeout(boot(100.0));
    let report = request(1, from_client(5001), ahead + 20.0, ahead + 30.0);
    reconciler.handle_batch(batch(filter(), 0, requests_of(vec![report])));
    let record = settle(&mut reconciler).requests.remove(0);
    assert_eq!(record.coverage.contradictions, ["from_the_future"]);
    assert_eq!(found(&record.received_on), Ok((1, LIKELY)));
}

#[test]
fn a_request_whose_time_stays_wrong_is_looked_at_again_with_each_reading_of_the_clock() {
    let mut reconciler = Reconciler::new(Limits::default());
    reconciler.handle_batch(batch(probe(), 0, preamble()));
    reconciler.handle_timeout(boot(100.0));
    let ahead = 8_000_000.0;
    let report = request(1, from_client(5001), ahead, ahead + 10.0);
    reconciler.handle_batch(batch(filter(), 0, requests_of(vec![report])));
    let clocks = [100.0, 200.0, 300.0].map(clock_at);
    reconciler.handle_batch(batch(probe(), 2, clocks.to_vec()));
    let record = settle(&mut reconciler).requests.remove(0);
    assert_eq!(record.coverage.contradictions, ["out_of_time"]);
}
