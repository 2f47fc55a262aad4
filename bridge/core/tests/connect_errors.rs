//! Which connects agree with the error that the proxy names: as the kernel ends a socket by that error.

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
    fact::{Counters, Snapshot},
    record::{Missing, RequestRecord},
};
use syntrace_model::{Opening, Outcome};
use world::{connects, *};

/// The record of a request from 111 to 111.5 ms that failed with these words.
fn fails(connects: Vec<Snapshot>, text: &str) -> RequestRecord {
    let report = unserved(request(1, from_client(5001), 111.0, 111.5), text);
    connects::told(connects, report)
}

fn joined_to(record: &RequestRecord) -> Result<(u64, Confidence), Missing> {
    found(record.opened.as_ref().unwrap())
}

/// A connection that the service reset right after the handshake.
fn reset(cookie: u64) -> Snapshot {
    Snapshot {
        outcome: Outcome::ResetByPeer,
        errno: 104,
        counters: Counters::default(),
        ..socket(
            cookie,
            Opening::Active,
            to_service(6_000 + cookie as u16),
            111.1,
            111.45,
        )
    }
}

fn aborted(cookie: u64) -> Snapshot {
    failed(
        cookie,
        to_service(6_000 + cookie as u16),
        Outcome::Aborted,
        50.0,
        111.3,
    )
}

#[test]
fn a_reset_right_after_the_handshake_is_found_by_its_error_and_is_the_service_s() {
    let texts = [
        "delayed connect error: 104",
        "delayed_connect_error:_Connection_reset_by_peer",
        "delayed connect error: Broken pipe",
    ];
    for text in texts {
        let record = fails(vec![aborted(3), reset(2)], text);
        assert_eq!(joined_to(&record), Ok((2, CERTAIN)), "{text}");
        let cause = &record.answer.cause;
        assert_eq!(
            (cause.party, cause.code),
            (Party::Service, Code::ResetBeforeFirstByte)
        );
        assert_eq!(
            cause.sentence.to_string(),
            "503: the service at 198.51.100.2:80 reset the connection 0.150 ms after the TCP handshake"
        );
    }
}

#[test]
fn a_connect_that_was_given_up_agrees_with_no_reset() {
    let record = fails(vec![aborted(3)], "delayed connect error: 104");
    assert_eq!(joined_to(&record), Err(Missing::NoConnection));
}

#[test]
fn a_connection_that_carried_a_request_and_was_reset_then_failed_no_other() {
    let used = Snapshot {
        key: to_service(6009),
        ..reset(9)
    };
    let first = served(request(1, from_client(5001), 111.3, 111.4), 6009, 0.0, 0.0);
    let second = unserved(
        request(2, from_client(5001), 111.3, 111.5),
        "delayed connect error: 104",
    );
    let told = tell(vec![accepted(1, 0.0, 5_000.0), used], vec![first, second]);
    let joins = told.requests.iter();
    let joins: Vec<_> = joins.map(|record| record.opened.as_ref()).collect();
    assert_eq!(found(joins[1].unwrap()), Err(Missing::NoConnection));
}

#[test]
fn a_connect_that_could_not_be_begun_has_no_connection_and_is_the_proxy_s() {
    let texts = [
        "immediate connect error: 99",
        "immediate_connect_error:_Cannot_assign_requested_address|remote_address:198.51.100.2:80",
        "immediate connect error: Network is unreachable",
        "failed_to_bind_to_203.0.113.77:0:_Cannot_assign_requested_address",
    ];
    let refused = failed(2, to_service(6002), Outcome::Refused, 111.1, 111.3);
    let unreachable = failed(4, to_service(6004), Outcome::Unreachable, 111.1, 111.3);
    for text in texts {
        for beside in [refused.clone(), aborted(3), unreachable.clone(), reset(5)] {
            let record = fails(vec![beside], text);
            assert_eq!(joined_to(&record), Err(Missing::NotSought), "{text}");
            let cause = &record.answer.cause;
            assert_eq!(
                (cause.party, cause.code),
                (Party::Proxy, Code::ConnectFailed)
            );
            assert_eq!(
                cause.sentence.to_string(),
                format!("503: the proxy could not start connecting to the service ({text})")
            );
        }
    }
}

#[test]
fn an_error_of_unknown_meaning_agrees_with_no_known_one_and_is_never_certain() {
    let refused = failed(2, to_service(6002), Outcome::Refused, 111.1, 111.3);
    let unanswered = failed(4, to_service(6004), Outcome::Unanswered, 50.0, 111.3);
    for text in [
        "delayed connect error: 103",
        "delayed connect error: Software caused connection abort",
    ] {
        for other in [&refused, &unanswered, &reset(5)] {
            let record = fails(vec![other.clone()], text);
            assert_eq!(joined_to(&record), Err(Missing::NoConnection), "{text}");
        }
        let record = fails(vec![aborted(3), refused.clone()], text);
        assert_eq!(joined_to(&record), Ok((3, LIKELY)), "{text}");
        // The proxy's timeout is not what it names.
        assert_eq!(record.answer.cause.code, Code::ConnectAborted);
    }
}

#[test]
fn an_error_that_icmp_may_mean_agrees_with_icmp_alone() {
    let unreachable = failed(4, to_service(6004), Outcome::Unreachable, 111.1, 111.3);
    for text in [
        "delayed connect error: 13",
        "delayed connect error: Permission denied",
        "delayed connect error: Host is down",
    ] {
        let record = fails(vec![aborted(3), unreachable.clone()], text);
        assert_eq!(joined_to(&record), Ok((4, CERTAIN)), "{text}");
    }
}

#[test]
fn without_an_error_a_connection_that_the_service_closed_in_tls_may_be_the_one_as_well() {
    // Envoy names none where the service's FIN ends the handshake.
    let closed = socket(2, Opening::Active, to_service(6002), 111.1, 111.6);
    let refused = failed(3, to_service(6003), Outcome::Refused, 110.9, 111.3);
    let record = fails(vec![closed.clone(), refused], "");
    assert_eq!(
        joined_to(&record).unwrap().1,
        Confidence::Ambiguous { candidates: 2 }
    );
    let record = fails(vec![closed], "");
    assert_eq!(joined_to(&record).unwrap().0, 2);
    assert_eq!(record.answer.cause.code, Code::TlsFailed);
}
