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
    Limits, Reconciler,
    fact::{Fact, Report, Rung, Snapshot},
    record::{Join, Missing, RequestRecord},
};
use syntrace_model::{Opening, Outcome};
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
    let socket = socket(1, Opening::Passive, from_client(5001), 10.0, 90.0);
    Snapshot {
        seen_at: boot(seen_at),
        ..established(&socket)
    }
}

#[test]
fn a_request_whose_connection_may_be_among_lost_facts_says_so() {
    let lost = told(vec![], 4);
    assert_eq!(lost.received_on, Join::Missing(Missing::FactsLost));
    assert!(lost.coverage.facts_lost);
    let all = told(vec![], 2);
    assert_eq!(all.received_on, Join::Missing(Missing::AddressHidden));
    assert!(!all.coverage.facts_lost);
}

#[test]
fn a_connection_that_is_seen_after_facts_were_lost_is_still_the_same() {
    let lost_since = told(vec![(2, open(10.2))], 5);
    assert!(!lost_since.received_on.is_certain());
    let seen_since = told(vec![(2, open(10.2)), (5, open(65.0))], 6);
    assert!(seen_since.received_on.is_certain());
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
        let client = socket(1, Opening::Passive, from_client(5001), 10.0, 90.0);
        let upstream = socket(2, Opening::Active, to_service(6001), upstream_from, 90.0);
        let redirected = Report {
            downstream: Some(ends("198.51.100.200:443", "192.0.2.2:5001")),
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
        let client = socket(1, Opening::Passive, from_client(5001), 10.0, 90.0);
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

/// How a request from 40 to 50 ms, whose connection was redirected, is joined after this one on another connection
/// and these sockets, if it came from the same worker.
fn after(sockets: Vec<Snapshot>, first: Report) -> Join {
    let client = socket(3, Opening::Passive, from_client(5002), 10.0, 90.0);
    let redirected = Report {
        downstream: Some(ends("198.51.100.200:443", "192.0.2.2:5002")),
        downstream_connection: 77,
        ..request(2, from_client(5002), 40.0, 50.0)
    };
    let told = tell([vec![client], sockets].concat(), vec![first, redirected]);
    told.requests[1].received_on.clone()
}

#[test]
fn what_process_a_worker_is_is_learnt_from_accepted_connections_that_are_certain() {
    let other = socket(1, Opening::Passive, from_client(5001), 10.0, 90.0);
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
            ..request(1, from_client(5001), 20.0, 30.0)
        };
        after(vec![upstream], served(nameless, 6001, 0.0, 5.0))
    };
    assert!(after(11.0).connection().is_some());
    assert_eq!(after(23.0), Join::Missing(Missing::ProcessUnknown));
}
