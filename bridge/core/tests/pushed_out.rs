//! Incidents without number: what happens later pushes nothing out that a request is still to be told of, and what a
//! bound leaves out is said.

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
    answer::{Code, Party},
    fact::{Fact, Incident, IncidentKind, Snapshot},
    record::{PhaseKind, RequestRecord},
};
use syntrace_model::{Opening, Outcome};
use world::{turns::clock_at, *};

/// A retransmission to the service, over the gateway's second connection.
fn resent(at: f64) -> Incident {
    Incident {
        local: to_service(6001).local,
        peer: Some(to_service(6001).peer),
        ..incident(2, IncidentKind::Retransmit, at)
    }
}

/// The record of a request from 11 to 220 ms that was resent at 213 ms, where data were resent at these moments after
/// it, which the probe tells at that moment; and how many incidents the fold left out.
fn then_resent(after: &[f64], told_at: f64) -> (RequestRecord, u64) {
    let upstream = socket(2, Opening::Active, to_service(6001), 5.0, 40_000.0);
    let sockets = vec![
        established(&accepted(1, 10.0, 40_000.0)),
        established(&upstream),
    ];
    let mut reconciler = known(Limits::default(), sockets);
    let first = vec![Fact::Incident(resent(213.0)), clock_at(300.0)];
    reconciler.handle_batch(batch(probe(), 4, first));
    reconciler.handle_timeout(boot(310.0));
    let report = served(request(1, from_client(5001), 11.0, 220.0), 6001, 0.0, 208.0);
    reconciler.handle_batch(batch(filter(), 0, requests_of(vec![report])));
    reconciler.handle_timeout(boot(told_at));
    let early: Vec<_> = std::iter::from_fn(|| reconciler.poll_output()).collect();
    let then = after.iter().map(|&at| Fact::Incident(resent(at))).collect();
    reconciler.handle_batch(batch(probe(), 6, then));
    let record = settle_after(early, &mut reconciler).requests.remove(0);
    (record, reconciler.coverage().incidents_evicted)
}

#[test]
fn what_is_resent_after_a_request_does_not_push_out_that_it_was_resent() {
    let after: Vec<_> = (0..100).map(|n| 1_400.0 + f64::from(n)).collect();
    let (expected, _) = then_resent(&after, 3_300.0);
    assert_eq!(expected.answer.cause.code, Code::RequestRetransmitted);
    let (told, left_out) = then_resent(&after, 1_650.0);
    assert_eq!(told, expected);
    assert_eq!((told.coverage.incidents_evicted, left_out), (0, 0));
}

#[test]
fn a_request_of_which_too_much_was_resent_says_that_something_is_left_out() {
    let after: Vec<_> = (0..200).map(|n| 1_400.0 + f64::from(n)).collect();
    let (told, left_out) = then_resent(&after, 1_650.0);
    assert_eq!((told.coverage.incidents_evicted, left_out), (73, 73));
    assert_eq!(told.answer.cause.party, Party::Unknown);
    assert_eq!(told.answer.time.service_ns, 0);
}

#[test]
fn what_was_left_out_before_a_request_is_no_matter_to_it() {
    let upstream = socket(2, Opening::Active, to_service(6001), 5.0, 90_000.0);
    let report = served(
        request(1, from_client(5001), 60_011.0, 60_220.0),
        6001,
        0.0,
        208.0,
    );
    let long_ago = (0..40).map(|n| resent(1_000.0 + f64::from(n)));
    let incidents = long_ago.chain([resent(60_213.0)]).collect();
    let sockets = vec![accepted(1, 10.0, 90_000.0), upstream];
    let told = told_with(sockets, incidents, report);
    assert_eq!(told.answer.cause.code, Code::RequestRetransmitted);
    assert_eq!(told.coverage.incidents_evicted, 0);
}

/// The record of a request that opened its connection, which took 1 s, while its client's end is seen too. The listener
/// dropped a SYN meanwhile, and each of so many listeners there two more after it, a second apart.
fn where_listeners_drop(listeners: u32) -> RequestRecord {
    let dropped = |at| Incident {
        peer: None,
        ..incident(5, IncidentKind::AcceptOverflow, at)
    };
    let gateway_s = Snapshot {
        accepted_at: Some(boot(1_010.5)),
        ..accepted(1, 1_010.0, 90_000.0)
    };
    let mut client_s = Snapshot {
        netns: 99,
        owner_pid: 500,
        established_at: Some(boot(1_010.1)),
        syn_ack_at: Some(boot(1_010.1)),
        ..socket(
            77,
            Opening::Active,
            ends("192.0.2.2:5001", "192.0.2.1:8080"),
            5.0,
            90_000.0,
        )
    };
    client_s.counters.syn_retransmits = 1;
    let looks = [1_600.0, 2_600.0].into_iter();
    let later = looks.flat_map(|at| (0..listeners).map(move |_| dropped(at)));
    let incidents = std::iter::once(dropped(600.0)).chain(later).collect();
    let mut report = request(1, from_client(5001), 1_011.0, 1_015.0);
    report.http.response_details = "direct_response".into();
    told_with(vec![gateway_s, client_s], incidents, report)
}

#[test]
fn that_a_listener_dropped_a_syn_is_not_pushed_out_by_what_the_listeners_of_all_workers_drop_later()
{
    for listeners in [0, 8, 64] {
        let told = where_listeners_drop(listeners);
        assert_eq!(told.answer.cause.party, Party::Kernel, "{listeners}");
        assert_eq!(told.coverage.incidents_evicted, 0);
    }
}

#[test]
fn where_too_many_listeners_drop_nobody_is_said_to_have_dropped_a_syn() {
    let told = where_listeners_drop(600);
    let handshake = &told.phases[0];
    assert_eq!(
        (handshake.kind, handshake.party),
        (PhaseKind::Handshake, Party::Unknown)
    );
    assert_eq!(told.answer.cause.party, Party::Unknown);
    assert_eq!(told.coverage.incidents_evicted, 1_201 - 1_024);
}

#[test]
fn what_happens_before_a_connection_is_told_of_counts_as_what_happens_after() {
    let mut reconciler = known(Limits::default(), vec![]);
    let before = (0..200).map(|n| Fact::Incident(resent(10.0 + f64::from(n))));
    reconciler.handle_batch(batch(probe(), 2, before.collect()));
    assert_eq!(reconciler.coverage().incidents_evicted, 72);
    let upstream = socket(2, Opening::Active, to_service(6001), 5.0, 90_000.0);
    let told = vec![Fact::Connection(established(&upstream))];
    reconciler.handle_batch(batch(probe(), 202, told));
    reconciler.handle_batch(batch(probe(), 203, vec![Fact::Incident(resent(250.0))]));
    assert_eq!(reconciler.coverage().incidents_evicted, 73);
}

#[test]
fn much_that_happens_to_one_connection_leaves_room_for_another() {
    let sockets = vec![
        accepted(1, 10.0, 90_000.0),
        socket(2, Opening::Active, to_service(6001), 5.0, 90_000.0),
    ];
    let mut reconciler = known(Limits::default(), sockets);
    let to_service = (0..10_000).map(|n| resent(10.0 + f64::from(n) / 1e3));
    let to_client =
        (0..100).map(|n| incident(1, IncidentKind::Retransmit, 30.0 + f64::from(n) / 1e3));
    let incidents = to_service.chain(to_client).map(Fact::Incident);
    reconciler.handle_batch(batch(probe(), 4, incidents.collect()));
    assert_eq!(reconciler.coverage().incidents_evicted, 10_000 - 128);
}

#[test]
fn where_something_is_left_out_nobody_is_said_to_have_dropped_the_syn_of_a_connect() {
    for (n_incidents, expected) in [(10, Party::Network), (200, Party::Unknown)] {
        let to_client = |n| incident(1, IncidentKind::Retransmit, 12.0 + f64::from(n));
        let sockets = vec![
            accepted(1, 10.0, 40_000.0),
            failed(2, to_service(6001), Outcome::Unanswered, 11.1, 900.0),
        ];
        let report = request(1, from_client(5001), 11.0, 900.2);
        let report = unserved(report, "delayed connect error: 110");
        let told = told_with(sockets, (0..n_incidents).map(to_client).collect(), report);
        let mut phases = told.phases.iter();
        let connect = phases.find(|phase| phase.kind == PhaseKind::UpstreamHandshake);
        assert_eq!(connect.unwrap().party, expected, "{n_incidents}");
    }
}

#[test]
fn what_connections_and_listeners_left_out_is_counted_and_known_to_a_fold_that_is_taken_up_again() {
    let mut reconciler = known(
        Limits::default(),
        vec![socket(2, Opening::Active, to_service(6001), 5.0, 90_000.0)],
    );
    let incidents = (0..200).map(|n| Fact::Incident(resent(10.0 + f64::from(n))));
    reconciler.handle_batch(batch(probe(), 3, incidents.collect()));
    assert_eq!(reconciler.coverage().incidents_evicted, 72);
    let mut resumed: Reconciler = Reconciler::restore(Limits::default(), reconciler.checkpoint());
    let report = served(request(1, from_client(5001), 11.0, 320.0), 6001, 0.0, 308.0);
    for fold in [&mut reconciler, &mut resumed] {
        fold.handle_batch(batch(probe(), 203, vec![Fact::Incident(resent(250.0))]));
        assert_eq!(fold.coverage().incidents_evicted, 73);
        fold.handle_batch(batch(filter(), 0, requests_of(vec![report.clone()])));
    }
    let expected = settle(&mut reconciler);
    assert_eq!(expected.requests[0].coverage.incidents_evicted, 73);
    assert_eq!(settle(&mut resumed), expected);
}
