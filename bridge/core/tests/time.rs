//! Where the time of a request went, and who is named for it, situation by situation.

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
    fact::{Fact, Incident, IncidentKind, Report, Snapshot, Watch},
    record::{PhaseKind, RequestRecord, Sharing},
};
use syntrace_model::Opening;
use world::*;

/// The phases by name, in microseconds.
fn phases(record: &RequestRecord) -> Vec<(&'static str, &'static str, u64)> {
    let phases = record.phases.iter();
    phases
        .map(|phase| {
            (
                phase.kind.name(),
                phase.party.name(),
                phase.duration_ns / 1_000,
            )
        })
        .collect()
}

#[test]
fn the_first_request_of_a_connection_waited_for_its_accept_and_the_next_did_not() {
    let upstream = socket(2, Opening::Active, to_service(6001), 5.0, 5_000.0);
    let first = served(request(1, from_client(5001), 410.3, 415.3), 6001, 0.0, 4.0);
    let second = served(request(2, from_client(5001), 420.0, 425.0), 6001, 0.0, 4.0);
    let told = tell(vec![client(410.2), upstream], vec![first, second]);
    let first = &told.requests[0];
    assert_eq!(
        phases(first),
        [
            ("handshake", "network", 200),
            ("accept_wait", "kernel", 400_000),
            ("request_wait", "client", 100),
            ("round_trip", "network", 200),
            ("service", "service", 3_800),
            ("response", "proxy", 1_000),
        ]
    );
    assert_eq!(first.duration_ns(), 405_300_000);
    assert_eq!(first.started_at(), unix(10.0));
    assert_eq!(first.answer.cause.code, Code::AcceptWait);
    assert_eq!(first.answer.cause.party, Party::Kernel);
    let second = &told.requests[1];
    assert_eq!(second.before_ns(), 0);
    assert_eq!(second.answer.time.kernel_ns, 0);
}

#[test]
fn a_listener_that_waits_for_data_waits_for_the_client() {
    let deferred = Snapshot {
        watch: Watch {
            accept_deferred: true,
            ..Watch::default()
        },
        ..client(410.2)
    };
    let report = unserved(request(1, from_client(5001), 410.3, 411.3), "");
    let record = told(vec![deferred], report);
    assert_eq!(record.answer.time.kernel_ns, 0);
    assert_eq!(record.answer.time.client_ns, 400_100_000);
}

#[test]
fn the_tls_handshake_is_the_network_s_for_one_round_trip() {
    let report = Report {
        tls_handshake_ns: Some(3_000_000),
        ..unserved(request(1, from_client(5001), 13.3, 14.3), "")
    };
    let record = told(vec![client(10.3)], report);
    let before: Vec<_> = phases(&record).into_iter().take(5).collect();
    assert_eq!(
        before,
        [
            ("handshake", "network", 200),
            ("accept_wait", "kernel", 100),
            ("tls", "network", 200),
            ("tls", "unknown", 2_800),
            ("pool_wait", "proxy", 1_000),
        ]
    );
}

/// A client's connection whose handshake took a second, with so many SYN-ACKs sent again.
fn opened_slowly(syn_ack_retransmits: u32) -> Snapshot {
    let mut slow = Snapshot {
        established_at: Some(boot(1_010.2)),
        ..client(1_010.3)
    };
    slow.counters.syn_ack_retransmits = syn_ack_retransmits;
    slow
}

#[test]
fn a_full_accept_queue_is_the_kernel_s() {
    let late = opened_slowly(1);
    let overflow = Incident {
        peer: None,
        ..incident(77, IncidentKind::AcceptOverflow, 12.0)
    };
    let report = unserved(request(1, from_client(5001), 1_010.4, 1_011.4), "");
    let record = told_with(vec![late.clone()], vec![overflow], report.clone());
    assert_eq!(record.answer.cause.code, Code::ConnectFailed);
    assert_eq!(record.answer.time.kernel_ns, 1_000_300_000);
    assert!(record.incidents[0].incident.listener);
    let record = told_with(vec![late], vec![], report);
    assert_eq!(record.answer.time.kernel_ns, 100_000);
}

#[test]
fn a_lost_syn_of_the_upstream_connect_is_the_network_s() {
    for (syn_retransmits, expected) in [
        (1, Code::ConnectSynLost),
        // A path that is as slow as that lost nothing.
        (0, Code::Completed),
    ] {
        let mut slow = Snapshot {
            established_at: Some(boot(1_021.2)),
            ..socket(2, Opening::Active, to_service(6001), 20.1, 9_000.0)
        };
        slow.counters.syn_retransmits = syn_retransmits;
        let report = served(
            request(1, from_client(5001), 20.0, 1_025.0),
            6001,
            1_001.2,
            2.0,
        );
        let cause = told(vec![slow], report).answer.cause;
        assert_eq!(cause.code, expected, "{}", cause.sentence);
        assert_eq!(cause.party, Party::Network, "{}", cause.sentence);
    }
}

#[test]
fn a_handshake_of_the_client_had_a_lost_syn_only_if_one_was_sent_again() {
    for (syn_ack_retransmits, expected) in [(1, Code::SynLost), (0, Code::Completed)] {
        let slow = opened_slowly(syn_ack_retransmits);
        let upstream = socket(2, Opening::Active, to_service(6001), 5.0, 9_000.0);
        let served_at_once = request(1, from_client(5001), 1_010.4, 1_011.4);
        let report = served(served_at_once, 6001, 0.0, 0.5);
        let cause = told_with(vec![slow, upstream], vec![], report).answer.cause;
        assert_eq!(cause.code, expected, "{}", cause.sentence);
        assert_eq!(cause.party, Party::Network, "{}", cause.sentence);
    }
}

#[test]
fn syn_cookies_are_no_full_queue() {
    let slow = opened_slowly(1);
    let cookies = Incident {
        peer: None,
        ..incident(77, IncidentKind::SynCookies, 12.0)
    };
    let upstream = socket(2, Opening::Active, to_service(6001), 5.0, 9_000.0);
    let served_at_once = request(1, from_client(5001), 1_010.4, 1_011.4);
    let report = served(served_at_once, 6001, 0.0, 0.5);
    let record = told_with(vec![slow, upstream], vec![cookies], report);
    assert_eq!(record.incidents.len(), 1);
    assert_eq!(record.answer.cause.code, Code::SynLost);
    assert_eq!(record.answer.cause.party, Party::Network);
}

#[test]
fn waiting_in_the_pool_is_the_proxy_s() {
    let upstream = socket(2, Opening::Active, to_service(6001), 5.0, 5_000.0);
    let report = served(request(1, from_client(5001), 20.0, 425.0), 6001, 400.0, 4.0);
    let record = told(vec![upstream], report);
    assert_eq!(record.answer.cause.code, Code::PoolWait);
    assert_eq!(record.answer.cause.party, Party::Proxy);
}

#[test]
fn a_request_that_had_to_be_sent_again_is_the_network_s_until_then() {
    let upstream = socket(2, Opening::Active, to_service(6001), 5.0, 5_000.0);
    let report = served(request(1, from_client(5001), 20.0, 235.0), 6001, 0.0, 214.0);
    let resent = incident(2, IncidentKind::Retransmit, 225.0);
    let record = told_with(vec![upstream], vec![resent], report);
    assert_eq!(
        record.incidents[0].incident.sharing,
        Sharing::Exclusive(record.id())
    );
    assert_eq!(record.answer.cause.code, Code::RequestRetransmitted);
    assert_eq!(record.answer.time.network_ns, 205_000_000 + 200_000);
}

#[test]
fn what_was_sent_again_about_the_end_as_told_leaves_the_service_s_time_in_doubt() {
    // The proxy's cached time may lag behind.
    let upstream = socket(2, Opening::Active, to_service(6001), 5.0, 5_000.0);
    let report = served(request(1, from_client(5001), 20.0, 235.0), 6001, 0.0, 214.0);
    let after = |at| {
        let resent = incident(2, IncidentKind::Retransmit, at);
        told_with(vec![upstream.clone()], vec![resent], report.clone()).answer
    };
    let in_doubt = after(238.0);
    assert_eq!(in_doubt.cause.party, Party::Unknown);
    assert_eq!(in_doubt.time.service_ns, 0);
    assert_eq!(after(241.0).cause.code, Code::SlowService);
    assert_eq!(after(200.0).cause.code, Code::SlowService);
}

#[test]
fn what_was_sent_again_twice_was_lost_until_the_second_time() {
    let upstream = socket(2, Opening::Active, to_service(6001), 5.0, 5_000.0);
    let report = served(request(1, from_client(5001), 20.0, 640.0), 6001, 0.0, 619.0);
    let resent = [225.0, 630.0].map(|at| incident(2, IncidentKind::Retransmit, at));
    let record = told_with(vec![upstream], resent.to_vec(), report);
    assert_eq!(record.answer.cause.code, Code::RequestRetransmitted);
    assert_eq!(record.answer.time.network_ns, 610_000_000 + 200_000);
}

#[test]
fn of_two_streams_neither_is_charged_with_what_was_sent_again() {
    let upstream = socket(2, Opening::Active, to_service(6001), 5.0, 5_000.0);
    let stream = |n, until| {
        served(
            request(n, from_client(5001), 20.0, until),
            6001,
            0.0,
            until - 21.0,
        )
    };
    let mut reconciler = Reconciler::new(Limits::default());
    let mut kernel = preamble();
    kernel.push(Fact::Connection(upstream));
    kernel.push(Fact::Incident(incident(2, IncidentKind::Retransmit, 225.0)));
    reconciler.handle_batch(batch(probe(), 0, kernel));
    let streams = [stream(1, 235.0), stream(2, 240.0)];
    let streams = streams.map(|report| Fact::Request(report.into()));
    reconciler.handle_batch(batch(filter(), 0, streams.to_vec()));
    for record in settle(&mut reconciler).requests {
        let sharing = record.incidents[0].incident.sharing;
        assert_eq!(sharing, Sharing::Shared { streams: 2 });
        assert_eq!(record.answer.cause.party, Party::Unknown);
    }
}

/// A request that took 500 ms, 480 of them until the answer of so many bytes was there.
fn answered_slowly(response_bytes: u64) -> Report {
    let mut report = served(
        request(1, from_client(5001), 1_000.0, 1_500.0),
        6001,
        0.0,
        480.0,
    );
    report.http.response_bytes = response_bytes;
    report
}

#[test]
fn a_client_that_closed_its_window_is_the_one_that_was_slow() {
    let upstream = socket(2, Opening::Active, to_service(6001), 5.0, 5_000.0);
    let told = |incidents: Vec<Incident>, response_bytes| {
        let sockets = vec![client(10.3), upstream.clone()];
        told_with(sockets, incidents, answered_slowly(response_bytes))
    };
    let closed = incident(1, IncidentKind::ZeroWindow, 1_100.0);
    let record = told(vec![closed.clone()], 1_000_000);
    assert_eq!(record.answer.cause.code, Code::SlowClient);
    assert_eq!(record.answer.cause.party, Party::Client);
    assert_eq!(record.answer.time.client_ns, 380_000_000);
    let resent = incident(1, IncidentKind::Retransmit, 1_100.0);
    let record = told(vec![resent], 1_000_000);
    assert_eq!(record.answer.cause.code, Code::ResponseRetransmitted);
    let record = told(vec![], 1_000_000);
    assert_eq!(record.answer.cause.party, Party::Unknown);
    // What the proxy takes at once keeps nobody waiting but for the service.
    let record = told(vec![closed], 5_000);
    assert_eq!(record.answer.cause.code, Code::SlowService);
    assert_eq!(record.answer.time.client_ns, 0);
}

#[test]
fn a_service_is_not_blamed_for_a_body_that_the_client_may_have_sent_slowly() {
    let upstream = socket(2, Opening::Active, to_service(6001), 5.0, 5_000.0);
    let mut report = answered_slowly(100);
    report.http.request_bytes = 1_000_000;
    let record = told(vec![client(10.3), upstream], report);
    assert_eq!(record.answer.cause.party, Party::Unknown);
    assert_eq!(record.answer.time.service_ns, 0);
}

#[test]
fn what_is_left_of_a_request_is_the_proxy_s_if_nobody_else_can_have_been_waited_for() {
    let upstream = socket(2, Opening::Active, to_service(6001), 5.0, 5_000.0);
    let told = |change: fn(&mut Report)| {
        let mut report = served(request(1, from_client(5001), 20.0, 325.0), 6001, 0.0, 5.0);
        change(&mut report);
        told(vec![client(10.3), upstream.clone()], report)
            .answer
            .time
    };
    assert_eq!(told(|_| ()).proxy_ns, 300_000_000);
    // The proxy does not say when the head was there, or it came late.
    assert_eq!(told(|report| report.http.head_ns = None).proxy_ns, 0);
    let late = told(|report| report.http.head_ns = Some(290_000_000));
    assert_eq!((late.unknown_ns, late.proxy_ns), (290_000_000, 10_000_000));
    // The client opens the window of an HTTP/2 stream.
    let stream = |report: &mut Report| report.http.protocol = "HTTP/2".into();
    assert_eq!(told(stream).proxy_ns, 0);
    let bodiless = told(|report| {
        report.http.protocol = "HTTP/2".into();
        report.http.response_details = "via_upstream".into();
    });
    assert_eq!(bodiless.proxy_ns, 300_000_000);
    // An attempt before the last may have been answered.
    let again = |report: &mut Report| report.upstream.as_mut().unwrap().attempts = 2;
    assert_eq!(told(again).proxy_ns, 0);
}

#[test]
fn an_incident_on_a_connection_of_many_streams_is_shared() {
    let mut report = served(
        request(1, from_client(5001), 1_000.0, 1_500.0),
        6001,
        0.0,
        4.0,
    );
    report.http.protocol = "HTTP/2".into();
    let closed = incident(1, IncidentKind::ZeroWindow, 1_100.0);
    let record = told_with(vec![client(10.3)], vec![closed], report);
    let sharing = record.incidents[0].incident.sharing;
    assert_eq!(sharing, Sharing::Shared { streams: 1 });
    assert_eq!(record.answer.cause.party, Party::Unknown);
}

#[test]
fn the_phases_of_a_connection_are_its_life() {
    let told = tell(vec![client(410.2)], vec![]);
    let phases = told.connections[0].phases.iter();
    let phases: Vec<_> = phases
        .map(|phase| (phase.kind, phase.duration_ns))
        .collect();
    assert_eq!(
        phases,
        [
            (PhaseKind::Handshake, 200_000),
            (PhaseKind::AcceptWait, 400_000_000),
            (PhaseKind::Open, 4_589_800_000),
        ]
    );
}
