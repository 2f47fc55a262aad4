//! What a record and the fold say of themselves: who saw it, what is missing, how much of what came.

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
    fact::{Batch, Fact, IncidentKind, Origin, Snapshot, Watch},
    record::{ConnectionCoverage, Method, Sharing},
};
use syntrace_model::Opening;
use world::*;

fn seen(origin: Origin) -> ConnectionCoverage {
    ConnectionCoverage {
        kernel: Some(origin),
        ..ConnectionCoverage::default()
    }
}

#[test]
fn a_connection_s_record_says_who_saw_it() {
    let report = |n, port| request(n, from_client(port), 20.0, 30.0);
    let sampled = Snapshot {
        watch: Watch {
            origin: Origin::Polled,
            one_in: 4,
            ..Watch::default()
        },
        ..socket(2, Opening::Passive, from_client(5002), 10.0, 90.0)
    };
    let sockets = vec![accepted(1, 10.0, 90.0), sampled];
    let told = tell(sockets, vec![report(1, 5001), report(2, 5003)]);
    let coverage: Vec<_> = told
        .connections
        .into_iter()
        .map(|one| one.coverage)
        .collect();
    let both = ConnectionCoverage {
        proxy: true,
        ..seen(Origin::Watched)
    };
    let kernel = ConnectionCoverage {
        one_in: 4,
        ..seen(Origin::Polled)
    };
    let proxy = ConnectionCoverage {
        proxy: true,
        ..ConnectionCoverage::default()
    };
    assert_eq!(coverage.len(), 3);
    assert!(
        [both, kernel, proxy]
            .iter()
            .all(|one| coverage.contains(one)),
        "{coverage:?}"
    );
}

#[test]
fn a_connection_s_record_says_whether_its_close_and_facts_about_its_life_are_missing() {
    let open = established(&accepted(1, 100.0, 900.0));
    let mut reconciler = known(Limits::default(), vec![open.clone()]);
    assert_eq!(
        reconciler.connection(open.id()).unwrap().coverage,
        seen(Origin::Watched)
    );
    reconciler.drain();
    assert!(
        settle(&mut reconciler).connections[0]
            .coverage
            .close_missing
    );
    let lost = |first_seq, from: f64| {
        let socket = accepted(1, from, from + 50.0);
        let mut reconciler = known(Limits::default(), vec![]);
        let clock = clock_after(&request(1, from_client(5001), 0.0, 100.0));
        reconciler.handle_batch(batch(probe(), first_seq, vec![clock, preamble().remove(0)]));
        let told = vec![Fact::Connection(socket)];
        reconciler.handle_batch(batch(probe(), first_seq + 2, told));
        settle(&mut reconciler).connections[0].coverage.facts_lost
    };
    // They were lost in the first 200 ms.
    assert!(lost(4, 100.0));
    assert!(!lost(4, 300.0));
    assert!(!lost(2, 100.0));
}

#[test]
fn what_came_is_counted() {
    let sockets = vec![
        accepted(1, 10.0, 90.0),
        socket(2, Opening::Active, to_service(6001), 5.0, 90.0),
    ];
    let mut reconciler = known(Limits::default(), sockets.clone());
    let again = sockets.into_iter().map(Fact::Connection).collect();
    reconciler.handle_batch(batch(probe(), 2, again));
    let reports = [(1, 20.0), (2, 40.0)].map(|(n, from)| {
        let report = request(n, from_client(5001), from, from + 10.0);
        Fact::Request(report.into())
    });
    let refused = ["port", "port", "time"].map(Fact::Refused);
    let told = [reports.to_vec(), refused.to_vec()].concat();
    reconciler.handle_batch(batch(filter(), 0, told));
    settle(&mut reconciler);
    // Two more, long after they were due, and after the record of their connection.
    let late = [3, 4].map(|n| Fact::Request(request(n, from_client(5001), 20.0, 30.0).into()));
    reconciler.handle_batch(batch(filter(), 5, late.to_vec()));
    reconciler.handle_timeout(boot(2e9));
    let coverage = reconciler.coverage();
    assert_eq!(coverage.requests_settled, 4);
    assert_eq!(coverage.connections_settled, 3);
    assert_eq!(coverage.duplicates, 2);
    assert_eq!(
        coverage.refused.into_iter().collect::<Vec<_>>(),
        [("port", 2), ("time", 1)]
    );
    assert_eq!(coverage.late, 2);
    assert!(coverage.contradictions.is_empty());
    assert_eq!(
        coverage.requests_joined.into_iter().collect::<Vec<_>>(),
        [((Method::Exact, CERTAIN.name()), 2)]
    );
    assert_eq!(coverage.requests_unjoined.values().sum::<u64>(), 2);
    let received: Vec<_> = coverage
        .senders
        .iter()
        .map(|one| (&*one.sender.name, one.received))
        .collect();
    assert_eq!(received, [("filter", 7), ("probe", 4)]);
}

#[test]
fn incidents_of_more_sockets_than_are_kept_before_they_are_told_of_are_counted() {
    // Of 1,024 sockets that nothing else is known of.
    let retransmits = (1..=1_026).map(|n| incident(n, IncidentKind::Retransmit, n as f64));
    let again = incident(1, IncidentKind::Retransmit, 1.5);
    let mut reconciler = known(Limits::default(), vec![]);
    let told = std::iter::once(again).chain(retransmits);
    let told = told.map(Fact::Incident).collect();
    reconciler.handle_batch(batch(probe(), 2, told));
    // Both of the first, and that of the second.
    assert_eq!(reconciler.coverage().incidents_evicted, 3);
}

#[test]
fn a_request_that_opened_its_connection_counts_once_among_those_that_an_incident_hit() {
    let report = |n, from, until, waited, first_byte| {
        let report = request(n, from_client(5001), from, until);
        Fact::Request(served(report, 6001, waited, first_byte).into())
    };
    let upstream = socket(2, Opening::Active, to_service(6001), 20.1, 5_000.0);
    let mut reconciler = known(Limits::default(), vec![upstream]);
    let resent = incident(2, IncidentKind::Retransmit, 225.05);
    reconciler.handle_batch(batch(probe(), 3, vec![Fact::Incident(resent)]));
    let first = report(1, 20.0, 225.0, 0.4, 204.0);
    reconciler.handle_batch(batch(filter(), 0, vec![first]));
    let second = report(2, 225.1, 460.0, 0.0, 230.0);
    reconciler.handle_batch(batch(filter(), 1, vec![second]));
    let told = settle(&mut reconciler);
    assert!(told.requests[0].opened.is_some());
    let sharing = told.requests[1].incidents[0].incident.sharing;
    assert_eq!(sharing, Sharing::Shared { streams: 2 });
}

#[test]
fn a_fold_that_is_taken_up_again_knows_whose_word_what_can_be_seen_is() {
    let taken_up = || {
        let told = known(Limits::default(), vec![]);
        Reconciler::restore(Limits::default(), told.checkpoint())
    };
    let goodbye = |from| Batch {
        goodbye: true,
        ..batch(from, 2, vec![])
    };
    let mut reconciler = taken_up();
    reconciler.handle_batch(goodbye(filter()));
    assert!(reconciler.coverage().rung.is_some());
    reconciler.handle_batch(goodbye(probe()));
    assert_eq!(reconciler.coverage().rung, None);
    let mut reconciler = taken_up();
    reconciler.handle_timeout(boot(31_000.0));
    assert_eq!(reconciler.coverage().rung, None, "it fell silent");
}
