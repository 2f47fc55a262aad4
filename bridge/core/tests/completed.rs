//! What is said of a request that nothing failed: who took most of its time, and how sure that is.

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
    answer::{Answer, Party},
    fact::{Http, Report},
};
use syntrace_model::Opening;
use world::*;

/// A request from 1,000 ms on, served over a connection that was there.
fn request_of(took: f64, pool_wait: f64, first_byte: f64) -> Report {
    let report = request(1, from_client(5001), 1_000.0, 1_000.0 + took);
    served(report, 6001, pool_wait, first_byte)
}

fn answer(report: Report) -> Answer {
    let upstream = socket(2, Opening::Active, to_service(6001), 5.0, 5_000.0);
    let told = tell(vec![upstream], vec![report]);
    told.requests[0].answer.clone()
}

fn cause(report: Report) -> (Party, String) {
    let cause = answer(report).cause;
    (cause.party, cause.sentence.to_string())
}

#[test]
fn who_took_most_of_the_time_is_named_and_otherwise_why_nobody_is() {
    let says = |party, sentence: &str| (party, sentence.to_owned());
    assert_eq!(
        cause(request_of(10.0, 0.0, 8.0)),
        says(
            Party::Service,
            "Completed in 10.0 ms; the service took 7.800 ms of it"
        )
    );
    assert_eq!(
        cause(request_of(10.0, 0.0, 4.9)),
        says(
            Party::Unknown,
            "Completed in 10.0 ms; the evidence does not show which party took most of it"
        )
    );
    let mut stream = request_of(10.0, 0.0, 3.0);
    stream.http.protocol = "HTTP/2".into();
    assert_eq!(
        cause(stream.clone()),
        says(
            Party::Unknown,
            "Completed in 10.0 ms; 7.000 ms of it is not accounted for"
        )
    );
    stream.upstream.as_mut().unwrap().first_byte_ns = Some(5_000_000);
    assert_eq!(
        cause(stream),
        says(
            Party::Unknown,
            "Completed in 10.0 ms; the evidence does not show which party took most of it"
        )
    );
    let mut unreported = request_of(10.0, 0.0, 3.0);
    let upstream = unreported.upstream.as_mut().unwrap();
    (upstream.pool_wait_ns, upstream.first_byte_ns) = (None, None);
    assert_eq!(
        cause(unreported),
        says(
            Party::Unknown,
            "Completed in 10.0 ms; how it was spent was not reported"
        )
    );
    let session = Report {
        http: Http {
            tcp_session: true,
            ..Http::default()
        },
        ..request_of(10.0, 0.0, 3.0)
    };
    assert_eq!(
        cause(session),
        says(Party::Unknown, "The session ended after 10.0 ms")
    );
}

#[test]
fn what_a_slow_service_did_is_concluded_and_what_a_slow_proxy_did_was_told() {
    let sure = |report| {
        let cause = answer(report).cause;
        (cause.party, cause.confidence)
    };
    assert_eq!(
        sure(request_of(200.0, 0.0, 190.0)),
        (Party::Service, Confidence::Likely)
    );
    assert_eq!(
        sure(request_of(200.0, 190.0, 5.0)),
        (Party::Proxy, Confidence::Certain)
    );
}

#[test]
fn a_service_that_was_sent_a_long_request_is_not_said_to_be_slow() {
    let mut report = request_of(200.0, 0.0, 190.0);
    report.http.request_bytes = 10_000_000;
    assert_eq!(
        cause(report),
        (
            Party::Unknown,
            "Completed in 200.0 ms; 199.8 ms of it is not accounted for".to_owned()
        )
    );
}

#[test]
fn an_answer_names_the_status_that_it_rests_on_and_flags_if_there_are_any() {
    let named = |response_flags| {
        let mut report = request_of(10.0, 0.0, 8.0);
        report.http.response_flags = response_flags;
        let evidence = answer(report).cause.evidence;
        evidence.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(named(0), ["status=200"]);
    assert_eq!(named(4), ["status=200", "response_flags=0x4"]);
}

#[test]
fn what_is_left_of_a_request_whose_body_may_have_come_slowly_is_nobody_s() {
    let uploaded = |request_bytes, report: Report| {
        let mut report = report;
        report.http.protocol = "HTTP/1.1".into();
        report.http.request_bytes = request_bytes;
        let answer = answer(report);
        (answer.cause.party, answer.time)
    };
    // The proxy refused it.
    let mut refused = request(1, from_client(5001), 1_000.0, 6_000.0);
    refused.http.status = 413;
    refused.http.response_details = "request_payload_too_large".into();
    // A filter of the proxy kept it until it was whole.
    let kept = request_of(5_000.0, 0.0, 10.0);
    for report in [refused, kept] {
        let (_, time) = uploaded(14_600, report.clone());
        assert!(time.proxy_ns >= 4_990_000_000, "{time:?}");
        let (party, time) = uploaded(14_601, report);
        assert_eq!(party, Party::Unknown);
        assert_eq!(time.proxy_ns, 0);
        assert!(time.unknown_ns >= 4_990_000_000, "{time:?}");
        assert_eq!(time.total_ns(), 5_000_000_000);
    }
}

#[test]
fn of_a_request_with_a_long_body_too_a_short_rest_is_the_proxy_s() {
    let mut report = request_of(1.0, 0.0, 0.5);
    report.http.request_bytes = 1_000_000;
    assert_eq!(answer(report).time.proxy_ns, 500_000);
}
