//! The proxy's limits of time: whom it awaited when one was reached, and whose the time was.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod world;

use syntrace_core::{
    answer::{Cause, Code, Party},
    fact::{Incident, IncidentKind, Snapshot},
};
use syntrace_model::{Opening, Outcome};
use world::{
    cut_off::{cause, sent},
    *,
};

const UT: u64 = 1 << 2;
const SI: u64 = 1 << 16;
const UMSDR: u64 = 1 << 19;
const DT: u64 = 1 << 22;

#[test]
fn a_limit_is_whose_the_proxy_awaited() {
    let late = 300_000.0;
    let grpc = |status| {
        let mut report = sent(SI, 200, "stream_idle_timeout", late);
        report.http.grpc = true;
        report.http.grpc_status = Some(status);
        report
    };
    let long = |request_bytes| {
        let mut report = sent(SI, 408, "stream_idle_timeout", late);
        report.http.request_bytes = request_bytes;
        report
    };
    let idle = Code::StreamIdleTimeout;
    let cases = [
        (
            sent(SI, 504, "stream_idle_timeout", late),
            Party::Service,
            idle,
        ),
        (
            sent(SI, 408, "stream_idle_timeout", late),
            Party::Client,
            idle,
        ),
        // What is sent in one go waits for nobody; a long request may have waited for the service to read it.
        (long(14_600), Party::Client, idle),
        (long(14_601), Party::Unknown, idle),
        // The answer had begun.
        (
            sent(SI, 200, "stream_idle_timeout", late),
            Party::Unknown,
            idle,
        ),
        (grpc(14), Party::Service, idle),
        (grpc(2), Party::Unknown, idle),
        (
            sent(DT, 504, "", late),
            Party::Service,
            Code::DurationTimeout,
        ),
        (
            sent(0, 504, "max_duration_timeout", late),
            Party::Service,
            Code::DurationTimeout,
        ),
        (
            sent(0, 408, "max_duration_timeout", late),
            Party::Client,
            Code::DurationTimeout,
        ),
        (
            sent(0, 408, "request_overall_timeout", late),
            Party::Client,
            Code::RequestTimeout,
        ),
        (
            sent(UMSDR, 504, "", late),
            Party::Service,
            Code::UpstreamTimeout,
        ),
        (
            sent(UMSDR, 200, "", late),
            Party::Unknown,
            Code::UpstreamTimeout,
        ),
    ];
    for (report, party, code) in cases {
        let http = report.http.clone();
        let cause = cause(report);
        assert_eq!((cause.party, cause.code), (party, code), "{http:?}");
        let is_unknown = party == Party::Unknown;
        let confidence = if is_unknown { CERTAIN } else { LIKELY };
        assert_eq!(cause.confidence, confidence, "{http:?}");
    }
}

#[test]
fn a_limit_is_explained_in_one_sentence() {
    let said = |report| cause(report).sentence.to_string();
    assert_eq!(
        said(sent(SI, 408, "stream_idle_timeout", 1_011.0)),
        "408: nothing moved for as long as the proxy allows, which ended the request after 1000.0 ms; \
         for 1000.0 ms of it the proxy waited for the rest of the request"
    );
    assert_eq!(
        said(sent(UT, 504, "response_timeout", 1_011.0)),
        "504: the service did not answer within 1000.0 ms; \
         for 999.8 ms of it the proxy waited for the service to answer"
    );
    assert_eq!(
        said(sent(UT, 504, "response_timeout", 111.0)),
        "504: the service did not answer within 100.0 ms"
    );
}

#[test]
fn a_tcp_session_that_lasted_as_long_as_it_may_is_nobody_s_failure() {
    let mut session = sent(DT, 0, "", 300_000.0);
    session.http.tcp_session = true;
    let cause = cause(session);
    assert_eq!(
        (cause.party, cause.code),
        (Party::Unknown, Code::DurationTimeout)
    );
}

/// A request that ran from 11 ms to `until`, and had to be sent again at these moments.
fn unanswered(until: f64, resent_at: &[f64]) -> Cause {
    let upstream = Snapshot {
        outcome: Outcome::ResetLocally,
        ..socket(2, Opening::Active, to_service(6001), 5.0, until)
    };
    let again = resent_at.iter().map(|&at| Incident {
        local: to_service(6001).local,
        peer: Some(to_service(6001).peer),
        ..incident(2, IncidentKind::Retransmit, at)
    });
    let report = sent(UT, 504, "response_timeout", until);
    let downstream = socket(1, Opening::Passive, from_client(5001), 10.0, until);
    told_with(vec![downstream, upstream], again.collect(), report)
        .answer
        .cause
}

#[test]
fn a_timeout_is_the_network_s_if_the_request_was_sent_again_most_of_the_time() {
    let resent_at = [211.0, 611.0, 1_411.0, 3_011.0, 6_211.0, 12_611.0];
    let cause = unanswered(15_011.0, &resent_at);
    assert_eq!((cause.party, cause.confidence), (Party::Network, LIKELY));
    assert_eq!(
        cause.sentence.to_string(),
        "504: the service did not answer within 15000.0 ms; for 12600.0 ms of it the request was on its way \
         to the service, and had to be sent again"
    );
}

#[test]
fn a_timeout_is_the_service_s_only_if_the_request_surely_arrived() {
    let party = |until, resent_at: &[f64]| unanswered(until, resent_at).party;
    // Linux would have sent it again within 250.6 ms, of which 0.2 ms are the round trip.
    assert_eq!(party(261.0, &[]), Party::Unknown);
    assert_eq!(party(263.0, &[]), Party::Service);
    // It was sent again after 200 ms, and was due once more after 600.
    assert_eq!(party(651.0, &[211.0]), Party::Unknown);
    assert_eq!(party(663.0, &[211.0]), Party::Service);
    // Nobody knows what was sent again where the connection is not known.
    let report = sent(UT, 504, "response_timeout", 15_011.0);
    assert_eq!(told(vec![], report).answer.cause.party, Party::Unknown);
}
