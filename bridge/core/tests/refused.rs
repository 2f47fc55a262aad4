//! Which failed connect explains which request that was answered 503.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod world;

use syntrace_core::{
    Confidence,
    answer::{Code, Party},
    fact::Snapshot,
    record::{Join, Method, Missing},
};
use syntrace_model::{Opening, Outcome};
use world::*;

const PASSIVE: Opening = Opening::Passive;

#[test]
fn a_refused_connect_explains_the_503_that_waited_for_it() {
    let told = tell(
        vec![
            socket(1, PASSIVE, from_client(5001), 110.0, 150.0),
            failed(2, to_service(6001), Outcome::Refused, 111.1, 111.4),
        ],
        vec![unserved(
            request(1, from_client(5001), 111.0, 112.0),
            "delayed connect error: 111",
        )],
    );
    let record = &told.requests[0];
    assert_eq!(
        joined(record.opened.as_ref().unwrap()),
        (2, Method::Failure, Confidence::Certain)
    );
    assert_eq!(record.answer.cause.party, Party::Service);
    assert_eq!(record.answer.cause.code, Code::ConnectRefused);
    assert_eq!(
        record.answer.cause.sentence.to_string(),
        "503: the service at 198.51.100.2:80 refused the connection, RST 0.300 ms after the SYN"
    );
    let evidence = record.answer.cause.evidence.iter();
    let evidence: Vec<_> = evidence.map(ToString::to_string).collect();
    let named = [
        "status=503",
        "response_flags=0x20",
        "upstream_failure=delayed connect error: 111",
        "outcome=refused",
        "errno=111",
        "syn_retransmits=0",
    ];
    assert_eq!(evidence, named);
    // Its client had waited for the connection too: 0.2 ms for the handshake, 0.8 ms until it sent.
    assert_eq!(record.answer.time.network_ns, 300_000 + 200_000);
    assert_eq!(record.answer.time.client_ns, 800_000);
    assert_eq!(record.duration_ns(), record.report.duration_ns + 1_000_000);
}

#[test]
fn one_refused_connect_explains_every_request_that_it_failed() {
    let text = "delayed connect error: Connection refused";
    let told = tell(
        vec![failed(2, to_service(6001), Outcome::Refused, 11.1, 11.4)],
        (1..=3)
            .map(|n| unserved(request(n, from_client(5001), 11.0, 12.0), text))
            .collect(),
    );
    for record in &told.requests {
        assert_eq!(joined(record.opened.as_ref().unwrap()).0, 2);
    }
    assert_eq!(told.connections[0].requests.len(), 3);
}

#[test]
fn two_refused_connects_at_the_same_time_are_ambiguous() {
    let told = tell(
        vec![
            failed(2, to_service(6001), Outcome::Refused, 11.1, 11.4),
            failed(3, to_service(6002), Outcome::Refused, 11.2, 11.5),
        ],
        vec![unserved(
            request(1, from_client(5001), 11.0, 12.0),
            "delayed connect error: 111",
        )],
    );
    let opened = told.requests[0].opened.as_ref().unwrap();
    assert_eq!(joined(opened).2, Confidence::Ambiguous { candidates: 2 });
    assert_eq!(
        told.requests[0].answer.cause.confidence,
        Confidence::Ambiguous { candidates: 2 }
    );
}

#[test]
fn a_refused_connect_of_another_namespace_or_time_explains_nothing() {
    let mut elsewhere = failed(2, to_service(6001), Outcome::Refused, 11.1, 11.4);
    elsewhere.netns = 8;
    let told = tell(
        vec![
            socket(1, PASSIVE, from_client(5001), 10.0, 500.0),
            elsewhere,
            failed(3, to_service(6002), Outcome::Refused, 100.0, 100.4),
        ],
        vec![unserved(
            request(1, from_client(5001), 11.0, 12.0),
            "delayed connect error: 111",
        )],
    );
    assert_eq!(
        told.requests[0].opened,
        Some(Join::Missing(Missing::NoConnection))
    );
    assert_eq!(told.requests[0].answer.cause.party, Party::Unknown);
    assert_eq!(told.requests[0].answer.cause.code, Code::ConnectFailed);
}

#[test]
fn a_connect_of_another_thread_is_at_best_likely() {
    let kept = socket(4, Opening::Active, to_service(6009), 5.0, 5_000.0);
    let other_thread = Snapshot {
        owner_tid: 2,
        ..failed(2, to_service(6001), Outcome::Refused, 11.1, 11.9)
    };
    let report = unserved(
        request(2, from_client(5001), 11.0, 12.0),
        "delayed connect error: 111",
    );
    let first = served(request(1, from_client(5001), 10.4, 10.9), 6009, 0.0, 0.2);
    let told = tell(vec![client(10.3), kept, other_thread], vec![first, report]);
    assert_eq!(
        told.requests[1].opened,
        Some(Join::Missing(Missing::NoConnection))
    );
}
