//! What the service's own end of a connection tells of a request, where this host sees that end too.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod world;

use syntrace_core::{
    answer::{Code, Party},
    fact::{Http, Incident, IncidentKind, Report, Snapshot, Watch},
    record::RequestRecord,
};
use syntrace_model::Opening;
use world::*;

/// The proxy's end of a connection to the service, from 20.1 ms on.
fn proxy_s() -> Snapshot {
    socket(2, Opening::Active, to_service(6001), 20.1, 5_000.0)
}

/// The service's end of it.
fn service_s() -> Snapshot {
    let far_end = ends("198.51.100.2:80", "198.51.100.1:6001");
    socket(3, Opening::Passive, far_end, 20.1, 5_000.0)
}

/// Whether a request until 2,035 ms, whose answer took almost all of it, is said to have waited in an accept queue.
fn waited_in_accept_queue(from: f64, service_s: Snapshot) -> bool {
    let report = request(1, from_client(5001), from, 2_035.0);
    let report = served(report, 6001, 0.4, 2_034.0 - from);
    let record = told_with(vec![proxy_s(), service_s], vec![], report);
    assert_eq!(record.answer.cause.code, Code::SlowService);
    record
        .answer
        .cause
        .sentence
        .to_string()
        .contains("accept queue")
}

#[test]
fn a_service_that_was_slow_to_accept_is_told_by_its_accept_queue() {
    let accepted_at = |ms| Snapshot {
        accepted_at: Some(boot(ms)),
        ..service_s()
    };
    assert!(waited_in_accept_queue(20.0, accepted_at(2_000.0)));
    assert!(!waited_in_accept_queue(20.0, accepted_at(900.0)));
    // Most of that was before the request.
    assert!(!waited_in_accept_queue(1_000.0, accepted_at(1_100.0)));
    assert!(waited_in_accept_queue(1_000.0, accepted_at(1_900.0)));
    // The listener waited for data.
    let deferred = Snapshot {
        watch: Watch {
            accept_deferred: true,
            ..Watch::default()
        },
        ..accepted_at(2_000.0)
    };
    assert!(!waited_in_accept_queue(20.0, deferred));
}

/// A request from 1,000 ms on, whose answer was there after `answered` ms, 20 ms before its end.
fn answered(answered: f64) -> Report {
    let request = request(1, from_client(5001), 1_000.0, 1_020.0 + answered);
    served(request, 6001, 0.0, answered)
}

/// What the service's end sent again.
fn resent(at: f64) -> Incident {
    let key = service_s().key;
    Incident {
        local: key.local,
        peer: Some(key.peer),
        ..incident(3, IncidentKind::Retransmit, at)
    }
}

fn told(report: Report, incident: Incident) -> RequestRecord {
    told_with(vec![proxy_s(), service_s()], vec![incident], report)
}

#[test]
fn an_answer_that_the_service_had_to_send_again_is_the_network_s_for_as_long_as_it_was_lost() {
    let record = told(answered(230.0), resent(1_228.0));
    assert_eq!(record.answer.cause.code, Code::ResponseRetransmitted);
    assert_eq!(record.answer.cause.party, Party::Network);
    assert_eq!(record.answer.time.network_ns, 202_000_000 + 200_000);
    assert_eq!(record.answer.time.service_ns, 0);
    // Longer waits may have been the service's before.
    let record = told(answered(480.0), resent(1_478.0));
    assert_eq!(record.answer.cause.party, Party::Unknown);
    assert_eq!(record.answer.time.network_ns, 202_000_000 + 200_000);
}

#[test]
fn what_the_service_sent_again_long_before_its_answer_accuses_nobody() {
    let record = told(answered(480.0), resent(1_100.0));
    assert_eq!(record.answer.cause.party, Party::Unknown);
    assert_eq!(record.answer.time.service_ns, 0);
}

#[test]
fn only_data_that_is_sent_again_while_a_slow_request_ran_alone_may_be_its_answer() {
    let code = |report, incident| told(report, incident).answer.cause.code;
    // After the answer was there it means nothing; nor before the request, nor after it.
    for at in [1_490.0, 990.0, 1_501.0] {
        assert_eq!(code(answered(480.0), resent(at)), Code::SlowService);
    }
    let window = Incident {
        kind: IncidentKind::ZeroWindow,
        ..resent(1_478.0)
    };
    assert_eq!(code(answered(480.0), window), Code::SlowService);
    let mut stream = answered(480.0);
    stream.http = Http {
        grpc: true,
        ..stream.http
    };
    let network_ns = |report| told(report, resent(1_078.0)).answer.time.network_ns;
    assert_eq!(network_ns(stream), 200_000);
    // Quick: within a tenth of a second.
    assert_eq!(network_ns(answered(79.9)), 200_000);
    assert!(network_ns(answered(80.0)) > 200_000);
}
