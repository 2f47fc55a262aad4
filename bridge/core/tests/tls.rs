//! A service whose TLS handshake fails, or that never answers it: which connection that was, and whose the time is.

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
    fact::{Report, Snapshot},
    record::{Join, Missing, RequestRecord},
};
use syntrace_model::{Opening, Outcome};
use world::*;

/// The record of one request, on a connection from the client that was there before.
fn told(upstream: Vec<Snapshot>, report: Report) -> RequestRecord {
    let client = accepted(1, 1.0, 5_000.0);
    let sockets = [client].into_iter().chain(upstream).collect();
    tell(sockets, vec![report]).requests.remove(0)
}

#[test]
fn a_tls_handshake_that_failed_is_found_by_its_end() {
    let broken = socket(2, Opening::Active, to_service(6001), 11.1, 13.9);
    let report = unserved(
        request(1, from_client(5001), 11.0, 14.0),
        "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end",
    );
    let record = told(vec![broken], report);
    assert_eq!(record.answer.cause.code, Code::TlsFailed);
    assert!(record.opened.as_ref().and_then(Join::connection).is_some());
}

/// The request from 11 ms on that the proxy's connect timeout failed 250 ms later, with a connection to the service
/// that was established at once, sent so much, and ended when the peer acknowledged it.
fn timed_out(bytes_acked: u64, bytes_received: u64) -> RequestRecord {
    let mut silent = socket(2, Opening::Active, to_service(6001), 11.1, 301.0);
    silent.counters.bytes_acked = bytes_acked;
    silent.counters.bytes_received = bytes_received;
    let mut report = unserved(request(1, from_client(5001), 11.0, 261.0), "");
    report.http.response_details =
        "upstream_reset_before_response_started{connection_timeout}".into();
    told(vec![silent], report)
}

#[test]
fn a_service_that_takes_the_connection_and_never_answers_in_tls_is_waited_for() {
    let record = timed_out(130, 0);
    let (cause, time) = (&record.answer.cause, &record.answer.time);
    assert_eq!(
        (cause.party, cause.code, cause.confidence),
        (Party::Service, Code::TlsFailed, Confidence::Likely)
    );
    assert!(
        cause
            .sentence
            .to_string()
            .contains("did not answer the TLS handshake"),
        "{}",
        cause.sentence
    );
    assert!(time.service_ns > 249_000_000, "{time:?}");
    assert!(record.opened.as_ref().and_then(Join::connection).is_some());
}

#[test]
fn an_earlier_attempt_that_was_never_answered_in_tls_is_found_although_its_end_comes_after_the_next_one_s()
 {
    let mut silent = socket(2, Opening::Active, to_service(6001), 11.1, 401.0);
    silent.counters.bytes_received = 0;
    let refused = failed(3, to_service(6002), Outcome::Refused, 270.0, 270.1);
    let mut report = request(1, from_client(5001), 11.0, 290.0);
    report = served(report, 6003, 9.0, 5.0);
    if let Some(upstream) = &mut report.upstream {
        upstream.attempts = 3;
    }
    let kept = socket(4, Opening::Active, to_service(6003), 5.0, 5_000.0);
    let record = told(vec![silent.clone(), refused.clone(), kept], report);
    let found: Vec<_> = record.earlier.iter().filter_map(Join::connection).collect();
    assert_eq!(found, [silent.id(), refused.id()]);
}

#[test]
fn a_connection_on_which_nothing_was_acknowledged_blames_nobody_for_its_timeout() {
    let record = timed_out(0, 0);
    let cause = &record.answer.cause;
    assert_eq!(
        (cause.party, cause.code),
        (Party::Unknown, Code::ConnectFailed)
    );
    assert_eq!(record.answer.time.service_ns, 0);
}

#[test]
fn a_connection_that_was_answered_is_no_connect_that_timed_out() {
    let record = timed_out(130, 1);
    assert_eq!(record.opened, Some(Join::Missing(Missing::NoConnection)));
    // Whether a connect was waited for, or the proxy was busy, nobody tells.
    let time = &record.answer.time;
    assert!(time.proxy_ns < 2_000_000, "{time:?}");
    assert!(time.unknown_ns > 249_000_000, "{time:?}");
}

const NOT_VERIFIED: &str =
    "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end";

/// The connect that failed the request from 111 to 151.5 ms on, whose certificate was not verified.
fn not_verified(upstream: Vec<Snapshot>) -> Join {
    let report = unserved(request(9, from_client(5001), 111.0, 151.5), NOT_VERIFIED);
    told(upstream, report).opened.unwrap()
}

#[test]
fn a_tls_handshake_that_failed_is_found_although_the_peer_acknowledges_its_end_a_round_trip_later()
{
    let closing = |until| socket(2, Opening::Active, to_service(6001), 111.1, until);
    for (until, expected) in [
        (151.6, Ok((2, Confidence::Certain))),
        (151.9, Ok((2, Confidence::Likely))),
        (171.5, Ok((2, Confidence::Likely))),
        (401.4, Ok((2, Confidence::Likely))),
        (408.0, Err(Missing::NoConnection)),
    ] {
        assert_eq!(found(&not_verified(vec![closing(until)])), expected);
    }
}

#[test]
fn of_several_connections_that_ended_soon_after_a_tls_failure_none_is_preferred() {
    let own = socket(2, Opening::Active, to_service(6001), 111.1, 171.5);
    let unused = socket(3, Opening::Active, to_service(6002), 20.0, 151.3);
    let (_, confidence) = found(&not_verified(vec![own.clone(), unused])).unwrap();
    assert_eq!(confidence, Confidence::Ambiguous { candidates: 2 });
    // One that began after it had ended is another's.
    let next = socket(4, Opening::Active, to_service(6003), 158.0, 170.0);
    let join = not_verified(vec![own, next]);
    assert_eq!(found(&join), Ok((2, Confidence::Likely)));
}

#[test]
fn a_connection_that_carried_requests_failed_none_by_its_tls_handshake() {
    let own = socket(2, Opening::Active, to_service(6001), 111.1, 171.5);
    let pooled = socket(3, Opening::Active, to_service(6002), 20.0, 151.45);
    let before = served(request(1, from_client(5001), 100.0, 110.0), 6002, 0.0, 9.0);
    let report = unserved(request(9, from_client(5001), 111.0, 151.5), NOT_VERIFIED);
    let failed_by = |upstream: &[Snapshot]| {
        let sockets = [&[accepted(1, 1.0, 5_000.0)], upstream].concat();
        let told = tell(sockets, vec![before.clone(), report.clone()]);
        found(told.requests[1].opened.as_ref().unwrap())
    };
    assert_eq!(
        failed_by(&[own, pooled.clone()]),
        Ok((2, Confidence::Likely))
    );
    assert_eq!(failed_by(&[pooled]), Err(Missing::NoConnection));
}

#[test]
fn one_tls_handshake_that_failed_explains_every_request_that_it_failed() {
    let broken = socket(2, Opening::Active, to_service(6001), 111.1, 151.45);
    let failed = |n| unserved(request(n, from_client(5001), 111.0, 151.5), NOT_VERIFIED);
    let sockets = vec![accepted(1, 1.0, 5_000.0), broken];
    let told = tell(sockets, (1..=3).map(failed).collect());
    for record in &told.requests {
        let join = record.opened.as_ref().unwrap();
        assert_eq!(found(join), Ok((2, Confidence::Certain)));
    }
}
