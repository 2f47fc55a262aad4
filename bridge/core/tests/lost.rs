//! What a join says where facts of the kernel view are lost, and where nothing is certain.

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
    fact::{Fact, Report, Rung, SenderId, Snapshot},
    record::{Join, Missing, RequestRecord},
};
use syntrace_model::{ClockSample, Opening, Outcome};
use world::*;

/// A request from 60 to 70 ms, where the probe tells this, numbered from 2, and then of the clock.
fn told(facts: Vec<(u64, Snapshot)>, last_seq: u64) -> RequestRecord {
    let mut reconciler = Reconciler::new(Limits::default());
    reconciler.handle_batch(batch(probe(), 0, preamble()));
    for (seq, snapshot) in facts {
        reconciler.handle_batch(batch(probe(), seq, vec![Fact::Connection(snapshot)]));
    }
    let report = request(1, from_client(5001), 60.0, 70.0);
    let clock = vec![clock_after(&report), preamble().remove(0)];
    reconciler.handle_batch(batch(probe(), last_seq, clock));
    reconciler.handle_batch(batch(filter(), 0, vec![Fact::Request(report.into())]));
    settle(&mut reconciler).requests.remove(0)
}

fn open(seen_at: f64) -> Snapshot {
    let socket = accepted(1, 10.0, 90.0);
    Snapshot {
        seen_at: boot(seen_at),
        ..established(&socket)
    }
}

/// What the probe says that reads the clock at these moments.
fn clocks(at: &[f64]) -> Vec<Fact> {
    let clock = |&at: &f64| {
        Fact::Clock(ClockSample {
            boot: boot(at),
            unix: unix(at),
        })
    };
    let rung = preamble().remove(0);
    at.iter().map(clock).chain([rung]).collect()
}

#[test]
fn a_request_whose_connection_may_be_among_lost_facts_says_so() {
    let lost = told(vec![], 4);
    assert_eq!(lost.received_on, Join::Missing(Missing::FactsLost));
    assert!(lost.coverage.facts_lost);
    let all = told(vec![], 2);
    assert_eq!(all.received_on, Join::Missing(Missing::NoConnection));
    assert!(!all.coverage.facts_lost);
}

#[test]
fn a_socket_with_these_ends_that_does_not_fit_may_hide_that_the_one_that_does_was_lost() {
    let younger = accepted(1, 66.0, 90.0);
    let whole = told(vec![(2, younger.clone())], 3);
    assert_eq!(whole.received_on, Join::Missing(Missing::TimeDiffers));
    let lost = told(vec![(3, younger)], 4);
    assert_eq!(lost.received_on, Join::Missing(Missing::FactsLost));
}

#[test]
fn a_connection_that_is_seen_after_facts_were_lost_is_still_the_same() {
    let lost_since = told(vec![(2, open(10.2))], 5);
    assert!(!lost_since.received_on.is_certain());
    let seen_since = told(vec![(2, open(10.2)), (5, open(65.0))], 6);
    assert!(seen_since.received_on.is_certain());
    let other = Snapshot {
        cookie: 2,
        key: from_client(5002),
        ..open(100.0)
    };
    let lost_later = told(vec![(2, open(10.2)), (3, other)], 6);
    assert!(lost_later.received_on.is_certain());
}

/// How sure a request from 60 to 70 ms is of its connection, where another probe tells something between these
/// batches of the first, which it numbers so.
fn by_turns(turns: Vec<(u64, Vec<Fact>)>) -> Confidence {
    let mut reconciler = Reconciler::new(Limits::default());
    let other = SenderId {
        name: "poller".into(),
        epoch: 3,
    };
    for (seq, facts) in turns {
        reconciler.handle_batch(batch(other.clone(), 2 * seq, preamble()));
        reconciler.handle_batch(batch(probe(), seq, facts));
    }
    let report = request(1, from_client(5001), 60.0, 70.0);
    reconciler.handle_batch(batch(filter(), 0, vec![Fact::Request(report.into())]));
    let record = settle(&mut reconciler).requests.remove(0);
    found(&record.received_on).unwrap().1
}

#[test]
fn where_it_is_not_known_when_facts_were_lost_they_may_be_of_any_connection() {
    let first = || [preamble(), vec![Fact::Connection(open(10.2))]].concat();
    let all = vec![(0, first()), (3, clocks(&[160.0]))];
    assert_eq!(by_turns(all), CERTAIN);
    let one_lost = vec![(0, first()), (4, clocks(&[160.0]))];
    assert_eq!(by_turns(one_lost), CERTAIN);
    let lost = vec![(0, first()), (5, clocks(&[160.0]))];
    assert_eq!(by_turns(lost), LIKELY);
    let later_known = vec![(0, first()), (5, clocks(&[30.0, 160.0]))];
    assert_eq!(by_turns(later_known), LIKELY);
}

#[test]
fn a_join_that_is_not_certain_shows_the_connection_s_own_id_and_not_what_the_request_claims() {
    let shown = |record: RequestRecord| match record.received_on {
        Join::To { trace_id, .. } => trace_id,
        Join::Missing(reason) => panic!("{reason:?}"),
    };
    assert_eq!(shown(told(vec![(2, open(10.2))], 5)), kernel_id(1));
    assert_eq!(shown(told(vec![(2, open(10.2))], 3)), trace(0xf1));
}

#[test]
fn without_a_probe_that_sees_the_kernel_nothing_is_joined() {
    let mut reconciler = Reconciler::new(Limits::default());
    let rung = Rung {
        name: "l7-only".into(),
        missing: Vec::new(),
        counted: Vec::new(),
        sockets_map_id: None,
    };
    reconciler.handle_batch(batch(
        probe(),
        0,
        vec![Fact::Rung(rung), preamble().remove(1)],
    ));
    let report = request(1, from_client(5001), 60.0, 70.0);
    reconciler.handle_batch(batch(filter(), 0, vec![Fact::Request(report.into())]));
    let missing = settle(&mut reconciler).requests.remove(0).received_on;
    assert_eq!(missing, Join::Missing(Missing::NoKernelView));
}

#[test]
fn a_join_that_is_not_certain_tells_nothing_of_the_gateway() {
    let received_on = |upstream_from| {
        let client = accepted(1, 10.0, 90.0);
        let upstream = socket(2, Opening::Active, to_service(6001), upstream_from, 90.0);
        let redirected = Report {
            downstream: Some(ends("198.51.100.200:443", "192.0.2.2:5001")),
            direct: None,
            ..request(1, from_client(5001), 20.0, 30.0)
        };
        let report = served(redirected, 6001, 0.0, 5.0);
        tell(vec![client, upstream], vec![report])
            .requests
            .remove(0)
            .received_on
    };
    assert!(received_on(11.0).connection().is_some());
    // Not there yet, but for disorder.
    let unknown = Join::Missing(Missing::ProcessUnknown);
    assert_eq!(received_on(23.0), unknown);
}

#[test]
fn a_failed_connect_is_not_certain_where_the_worker_is_only_likely() {
    let failed_by = |from| {
        let client = accepted(1, 10.0, 90.0);
        let refused = failed(2, to_service(6001), Outcome::Refused, 39.5, 39.9);
        let report = unserved(
            request(1, from_client(5001), from, 40.0),
            "delayed connect error: 111",
        );
        let told = tell(vec![client, refused], vec![report]);
        told.requests[0].opened.clone().unwrap()
    };
    assert!(failed_by(11.0).is_certain());
    let likely = failed_by(9.0);
    assert!(likely.connection().is_some() && !likely.is_certain());
}

/// How sure it is which connect failed a request that ended at 41 ms, where the probe tells of it, of the request's
/// connection and of the clock as it was then, and after that of the clock at another moment.
fn refused_between(clock_from: f64, clock_until: f64) -> (u64, Confidence) {
    let refused = failed(2, to_service(6001), Outcome::Refused, 40.5, 40.9);
    let report = unserved(
        request(1, from_client(5001), 20.0, 41.0),
        "delayed connect error: 111",
    );
    let sockets = [open(39.0), refused].map(Fact::Connection).to_vec();
    let mut reconciler = Reconciler::new(Limits::default());
    reconciler.handle_batch(batch(probe(), 0, clocks(&[clock_from])));
    reconciler.handle_batch(batch(probe(), 2, sockets));
    reconciler.handle_batch(batch(probe(), 4, clocks(&[clock_until])));
    reconciler.handle_batch(batch(filter(), 0, vec![Fact::Request(report.into())]));
    let record = settle(&mut reconciler).requests.remove(0);
    found(&record.opened.unwrap()).unwrap()
}

#[test]
fn a_failed_connect_is_certain_if_all_that_ended_by_then_was_told() {
    // It may have ended 0.3 ms after the request, and facts be 5 ms out of order: in the 4 ms from 46.14 on.
    assert_eq!(refused_between(0.0, 48.0), (2, LIKELY));
    assert_eq!(refused_between(0.0, 52.0), (2, CERTAIN));
}

#[test]
fn a_failed_connect_is_not_certain_where_the_probe_tells_of_nothing_from_before() {
    // It may have ended 5 ms before the request, and facts be 5 ms out of order: in the 4 ms from 29.36 on.
    assert_eq!(refused_between(30.0, 52.0), (2, LIKELY));
    assert_eq!(refused_between(28.0, 52.0), (2, CERTAIN));
}

/// How a request from 40 to 50 ms, whose connection was redirected, is joined after this one on another connection
/// and these sockets, if it came from the same worker.
fn after(sockets: Vec<Snapshot>, first: Report) -> Join {
    let client = socket(3, Opening::Passive, from_client(5002), 10.0, 90.0);
    let redirected = Report {
        downstream: Some(ends("198.51.100.200:443", "192.0.2.2:5002")),
        direct: None,
        downstream_connection: 77,
        ..request(2, from_client(5002), 40.0, 50.0)
    };
    let told = tell([vec![client], sockets].concat(), vec![first, redirected]);
    told.requests[1].received_on.clone()
}

#[test]
fn what_process_a_worker_is_is_learnt_from_accepted_connections_that_are_certain() {
    let other = accepted(1, 10.0, 90.0);
    let after = |from| {
        after(
            vec![other.clone()],
            request(1, from_client(5001), from, 30.0),
        )
    };
    assert!(after(20.0).connection().is_some());
    assert_eq!(after(9.0), Join::Missing(Missing::ProcessUnknown));
}

#[test]
fn what_process_a_worker_is_is_learnt_from_dialled_connections_that_are_certain() {
    let after = |from| {
        let upstream = socket(2, Opening::Active, to_service(6001), from, 90.0);
        let nameless = Report {
            downstream: None,
            direct: None,
            ..request(1, from_client(5001), 20.0, 30.0)
        };
        after(vec![upstream], served(nameless, 6001, 0.0, 5.0))
    };
    assert!(after(11.0).connection().is_some());
    assert_eq!(after(23.0), Join::Missing(Missing::ProcessUnknown));
}
