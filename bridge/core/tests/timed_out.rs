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
    fact::{Incident, IncidentKind, Report, Snapshot, Upstream},
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
        "408: the proxy's stream idle timeout ended the request after 1.000 s; \
         for 1.000 s of it the proxy waited for the rest of the request"
    );
    assert_eq!(
        said(sent(UT, 504, "response_timeout", 1_011.0)),
        "504: the service did not answer within 1.000 s; \
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
        "504: the service did not answer within 15.0 s; for 12.6 s of it the request was being retransmitted \
         to the service"
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

#[test]
fn a_service_did_not_answer_for_as_long_as_the_request_ran_only_if_it_had_it_all_the_time() {
    type Change = fn(&mut Report);
    fn upstream(report: &mut Report) -> &mut Upstream {
        report.upstream.as_mut().unwrap()
    }
    let said = |change: Change| {
        let mut report = sent(UT, 504, "response_timeout", 11_011.0);
        change(&mut report);
        cause(report).sentence.to_string()
    };
    let at_once = "504: the service did not answer within 11.0 s";
    let whatever = "504: the proxy's response timeout ended the request after 11.0 s";
    let unready = "504: no connection to the service was ready when the proxy's response timeout ended the request \
                   after 11.0 s";
    let cases: [(Change, &str); 11] = [
        (|_| (), at_once),
        (|report| report.http.request_bytes = 14_600, at_once),
        (|report| report.http.request_bytes = 14_601, whatever),
        (|report| report.http.head_ns = Some(1_000_000), at_once),
        (|report| report.http.head_ns = Some(1_000_001), whatever),
        (|report| report.http.head_ns = None, whatever),
        (|report| upstream(report).attempts = 2, whatever),
        (
            |report| upstream(report).pool_wait_ns = Some(1_000_000),
            at_once,
        ),
        (
            |report| upstream(report).pool_wait_ns = Some(1_000_001),
            whatever,
        ),
        (|report| upstream(report).pool_wait_ns = None, whatever),
        (|report| upstream(report).local = None, unready),
    ];
    for (change, what) in cases {
        let said = said(change);
        let what_else = said.strip_prefix(what);
        let is_said = what_else.is_some_and(|rest| rest.is_empty() || rest.starts_with("; for "));
        assert!(is_said, "{said}, not {what}");
    }
}

#[test]
fn an_rst_that_comes_after_the_proxy_ended_the_request_does_not_make_the_wait_the_service_s() {
    const UC: u64 = 1 << 6;
    let service_ns = |flags, request_bytes| {
        let mut report = sent(flags, 504, "response_timeout", 50.0);
        report.http.request_bytes = request_bytes;
        let upstream = Snapshot {
            outcome: Outcome::ResetByPeer,
            ..socket(2, Opening::Active, to_service(6001), 5.0, 54.0)
        };
        let record = told(vec![accepted(1, 10.0, 9_000.0), upstream], report);
        record.answer.time.service_ns
    };
    assert_eq!(service_ns(UT, 100), 0);
    assert_eq!(service_ns(UC, 100), 38_800_000);
    assert_eq!(service_ns(UT, 1_000_000), 0);
    // The client may have been sending it all the time.
    assert_eq!(service_ns(UC, 1_000_000), 0);
}
