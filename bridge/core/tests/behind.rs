//! A probe that is seconds behind: requests wait for what it will tell of their connections, within bounds.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod world;

use syntrace_core::{Limits, Output, Reconciler, fact::Fact, record::Join};
use syntrace_model::{BootNanos, ClockSample};
use world::*;

const S: f64 = 1_000.0;

/// What a probe says that closed its batch then.
fn closed_at(ms: f64) -> Fact {
    Fact::Clock(ClockSample {
        boot: boot(ms),
        unix: unix(ms),
    })
}

/// A request ended at 5 s, and was due after 7; it is 8 s, and what the probe told at 1 s came at 4 s.
fn behind() -> Reconciler {
    let mut reconciler = Reconciler::new(Limits::default());
    reconciler.handle_batch(batch(probe(), 0, preamble()));
    reconciler.handle_timeout(boot(0.0));
    reconciler.handle_batch(batch(probe(), 2, vec![closed_at(S)]));
    reconciler.handle_timeout(boot(4.0 * S));
    let report = request(1, from_client(5001), 4.9 * S, 5.0 * S);
    reconciler.handle_batch(batch(filter(), 0, vec![Fact::Request(report.into())]));
    reconciler.handle_timeout(boot(8.0 * S));
    reconciler
}

fn request_of(reconciler: &mut Reconciler) -> Option<Join> {
    match reconciler.poll_output()? {
        Output::Request(record) => Some(record.received_on),
        Output::Connection(record) => panic!("{record:?}"),
    }
}

#[test]
fn a_request_waits_for_a_probe_that_is_behind_and_finds_its_connection() {
    let mut reconciler = behind();
    assert_eq!(request_of(&mut reconciler), None);
    let socket = accepted(1, 4.8 * S, 5.5 * S);
    let told = vec![closed_at(6.0 * S), Fact::Connection(established(&socket))];
    reconciler.handle_batch(batch(probe(), 3, told));
    reconciler.handle_timeout(boot(9.0 * S));
    assert!(request_of(&mut reconciler).unwrap().is_certain());
}

#[test]
fn a_probe_that_is_behind_from_its_first_batch_on_is_waited_for() {
    let mut reconciler = Reconciler::new(Limits::default());
    reconciler.handle_timeout(boot(4.0 * S));
    let first = vec![preamble().remove(0), closed_at(S)];
    reconciler.handle_batch(batch(probe(), 0, first));
    let report = request(1, from_client(5001), 4.9 * S, 5.0 * S);
    reconciler.handle_batch(batch(filter(), 0, vec![Fact::Request(report.into())]));
    reconciler.handle_timeout(boot(4.1 * S));
    reconciler.handle_timeout(boot(8.0 * S));
    assert_eq!(request_of(&mut reconciler), None);
}

#[test]
fn a_probe_that_stays_behind_is_waited_for_no_longer_than_half_a_minute() {
    let mut reconciler = behind();
    let due = reconciler.poll_timeout().unwrap();
    let half_a_minute = 30_000_000_000;
    assert!(due >= boot(7.0 * S + 30.0 * S) && due <= boot(7.4 * S + 30.0 * S));
    reconciler.handle_timeout(BootNanos(due.0 - half_a_minute / 2));
    assert_eq!(request_of(&mut reconciler), None);
    reconciler.handle_timeout(due);
    assert!(request_of(&mut reconciler).is_some());
}

#[test]
fn a_probe_that_is_only_silent_holds_nothing_up() {
    let mut reconciler = Reconciler::new(Limits::default());
    reconciler.handle_batch(batch(probe(), 0, preamble()));
    reconciler.handle_timeout(boot(0.0));
    reconciler.handle_batch(batch(probe(), 2, vec![closed_at(S)]));
    reconciler.handle_timeout(boot(1.4 * S));
    let report = request(1, from_client(5001), 4.9 * S, 5.0 * S);
    reconciler.handle_batch(batch(filter(), 0, vec![Fact::Request(report.into())]));
    let due = reconciler.poll_timeout().unwrap();
    assert!(due >= boot(7.0 * S) && due <= boot(7.4 * S));
    reconciler.handle_timeout(boot(7.4 * S));
    assert!(request_of(&mut reconciler).is_some());
}

/// A request of 6,060 to 6,070 ms, where the probe is so far behind and the wall clock is stepped by so much at 6 s; all
/// that was told, and how many facts came too late.
fn where_stepped(behind: f64, step: f64) -> (Records, u64) {
    let mut reconciler = Reconciler::new(Limits::default());
    let (mut early, mut seq, mut is_told) = (Vec::new(), 2, false);
    reconciler.handle_timeout(boot(behind));
    reconciler.handle_batch(batch(probe(), 0, preamble()));
    for n in 1..120 {
        let (told, now) = (200.0 * f64::from(n), 200.0 * f64::from(n) + behind);
        reconciler.handle_timeout(boot(now));
        early.extend(std::iter::from_fn(|| reconciler.poll_output()));
        let ahead = if told >= 6.0 * S { step } else { 0.0 };
        let mut facts = vec![Fact::Clock(ClockSample {
            boot: boot(told),
            unix: unix(told + ahead),
        })];
        if told == 6.2 * S {
            facts.push(Fact::Connection(accepted(1, 6_010.0, 6_090.0)));
        }
        let first_seq = seq;
        seq += facts.len() as u64;
        reconciler.handle_batch(batch(probe(), first_seq, facts));
        if now >= 6.2 * S && !is_told {
            is_told = true;
            let report = request(1, from_client(5001), 6_060.0 + step, 6_070.0 + step);
            reconciler.handle_batch(batch(filter(), 0, vec![Fact::Request(report.into())]));
        }
    }
    let records = settle_after(early, &mut reconciler);
    (records, reconciler.coverage().late)
}

#[test]
fn a_step_of_the_wall_clock_lets_no_request_settle_after_its_connection() {
    for (behind, step) in [(5.0 * S, 0.0), (0.0, 10.0), (5.0 * S, 10.0)] {
        let (told, late) = where_stepped(behind, step);
        assert!(told.requests[0].received_on.is_certain(), "{behind} {step}");
        assert_eq!(told.connections[0].requests.len(), 1, "{behind} {step}");
        assert_eq!(late, 0);
    }
}

#[test]
fn a_batch_that_is_told_again_does_not_make_its_probe_seem_behind() {
    let mut reconciler = Reconciler::new(Limits::default());
    reconciler.handle_batch(batch(probe(), 0, preamble()));
    reconciler.handle_timeout(boot(0.0));
    for (seq, at) in [(2, 1.0), (3, 4.0), (2, 1.0)] {
        reconciler.handle_batch(batch(probe(), seq, vec![closed_at(at * S)]));
        reconciler.handle_timeout(boot(4.1 * S));
    }
    let report = request(1, from_client(5001), 3.9 * S, 4.0 * S);
    reconciler.handle_batch(batch(filter(), 0, vec![Fact::Request(report.into())]));
    reconciler.handle_timeout(boot(6.4 * S));
    assert!(request_of(&mut reconciler).is_some());
}
