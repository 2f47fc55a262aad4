//! Which failed connect failed a request: where the worker noticed it late, and where facts were lost.

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
    fact::{Batch, Fact, Report, SenderId},
    record::{Join, Missing},
};
use syntrace_model::{ConnectionId, Outcome};
use world::{
    connects::{failed_by, fails, refused, told},
    *,
};

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

/// What failed a request by the only connect that was reported, where the kernel view says this, in batches
/// with these first numbers. After each, the bridge sends a clock sample of its own, which says nothing of the probe.
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
