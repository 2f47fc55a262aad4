//! Who is held to be at fault, code by code, and by whose evidence.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod world;

use syntrace_core::{
    answer::{Answer, Code, Party},
    explain,
    fact::{Http, Origin, Report},
};
use syntrace_model::{Opening, Outcome};
use world::*;

const DOWNSTREAM_TERMINATION: u64 = 1 << 14;
const UPSTREAM_TIMEOUT: u64 = 1 << 2;
const UPSTREAM_TERMINATION: u64 = 1 << 6;
/// A flag that says nothing about an end.
const UNNAMED: u64 = 1 << 30;

/// A request that took 10 ms, answered by the service over a connection from port 6001.
fn answered(status: u16, grpc_status: Option<u32>, response_flags: u64) -> Report {
    let http = Http {
        status,
        grpc: grpc_status.is_some(),
        grpc_status,
        response_flags,
        response_details: "via_upstream".into(),
        head_ns: Some(20_000),
        ..Http::default()
    };
    Report {
        http,
        ..served(request(1, from_client(5001), 10.0, 20.0), 6001, 0.0, 8.0)
    }
}

fn answer(report: Report) -> Answer {
    let upstream = socket(2, Opening::Active, to_service(6001), 5.0, 60.0);
    let told = tell(vec![upstream], vec![report]);
    told.requests[0].answer.clone()
}

#[test]
fn each_ending_has_its_party_and_its_code() {
    let not_asked = Report {
        upstream: None,
        ..answered(404, None, 0)
    };
    let not_routed = Report {
        upstream: None,
        ..answered(404, None, 1 << 8)
    };
    let refused_by_proxy = Report {
        http: Http {
            status: 503,
            ..not_asked.http.clone()
        },
        ..not_asked.clone()
    };
    let cases = [
        (answered(200, None, 0), Party::Service, Code::Completed),
        (answered(404, None, 0), Party::Service, Code::Completed),
        (answered(500, None, 0), Party::Service, Code::ServiceError),
        (answered(200, Some(0), 0), Party::Service, Code::Completed),
        (
            answered(200, Some(14), 0),
            Party::Service,
            Code::ServiceError,
        ),
        (
            answered(0, None, DOWNSTREAM_TERMINATION),
            Party::Client,
            Code::ClientGone,
        ),
        (
            answered(504, None, UPSTREAM_TIMEOUT),
            Party::Service,
            Code::UpstreamTimeout,
        ),
        (
            answered(503, None, UPSTREAM_TERMINATION),
            Party::Unknown,
            Code::UpstreamReset,
        ),
        (answered(0, None, 0), Party::Unknown, Code::Unexplained),
        (
            answered(0, None, UNNAMED),
            Party::Unknown,
            Code::Unexplained,
        ),
        (
            answered(200, None, UNNAMED),
            Party::Service,
            Code::Completed,
        ),
        (not_asked, Party::Proxy, Code::Completed),
        (not_routed, Party::Proxy, Code::NoRoute),
        (refused_by_proxy, Party::Proxy, Code::AnsweredByProxy),
    ];
    for (report, party, code) in cases {
        let http = report.http.clone();
        let cause = answer(report).cause;
        assert_eq!(
            (cause.party, cause.code),
            (party, code),
            "{http:?}: {}",
            cause.sentence
        );
    }
}

#[test]
fn a_tcp_session_has_no_status_and_needs_none() {
    for flags in [0, UNNAMED] {
        let mut session = answered(0, None, flags);
        session.http.tcp_session = true;
        assert_ne!(answer(session).cause.code, Code::Unexplained);
    }
}

#[test]
fn an_answer_had_not_begun_where_the_proxy_says_so_and_saw_no_byte_of_it() {
    let reset = |details: &str, first_byte_ns| {
        let mut report = answered(503, None, UPSTREAM_TERMINATION);
        report.http.response_details = details.into();
        report.upstream.as_mut().unwrap().first_byte_ns = first_byte_ns;
        report
    };
    let details = "upstream_reset_before_response_started{connection_termination}";
    let before = |report| answer(report).cause.code == Code::ResetBeforeFirstByte;
    assert!(before(reset(details, None)));
    assert!(!before(reset(details, Some(8_000_000))));
    assert!(!before(reset("via_upstream", None)));
    let upstream = None;
    assert!(before(Report {
        upstream,
        ..reset(details, None)
    }));
}

#[test]
fn a_reset_by_the_service_while_the_request_ran_is_the_service_s() {
    let reset = |until| {
        let mut upstream = socket(2, Opening::Active, to_service(6001), 5.0, until);
        upstream.outcome = Outcome::ResetByPeer;
        tell(
            vec![upstream],
            vec![answered(503, None, UPSTREAM_TERMINATION)],
        )
        .requests[0]
            .answer
            .clone()
    };
    assert_eq!(reset(19.0).cause.party, Party::Service);
    assert_eq!(reset(500.0).cause.party, Party::Unknown);
}

#[test]
fn time_until_the_answer_was_there_is_the_service_s_but_for_one_round_trip_and_the_rest_the_proxy_s()
 {
    let time = answer(answered(200, None, 0)).time;
    assert_eq!(time.network_ns, 200_000);
    assert_eq!(time.service_ns, 7_800_000);
    assert_eq!(time.proxy_ns, 2_000_000);
    assert_eq!(time.total_ns(), 10_000_000);
}

#[test]
fn waiting_for_a_connection_is_the_network_s_as_far_as_the_handshake_took_it() {
    let upstream = socket(2, Opening::Active, to_service(6001), 11.0, 60.0);
    let report = served(request(1, from_client(5001), 10.0, 20.0), 6001, 3.0, 4.0);
    let time = tell(vec![upstream], vec![report]).requests[0].answer.time;
    assert_eq!(time.network_ns, 200_000 + 200_000);
    assert_eq!(time.proxy_ns, 2_800_000 + 3_000_000);
    assert_eq!(time.service_ns, 3_800_000);
    assert_eq!(time.total_ns(), 10_000_000);
}

#[test]
fn each_failed_connect_has_its_party_its_code_and_its_sentence() {
    let cases = [
        (
            Outcome::Refused,
            Party::Service,
            Code::ConnectRefused,
            "refused the connection",
        ),
        (
            Outcome::Unanswered,
            Party::Network,
            Code::ConnectUnanswered,
            "did not answer the SYN within 2.000 ms",
        ),
        (
            Outcome::Unreachable,
            Party::Network,
            Code::ConnectUnreachable,
            "is unreachable; an ICMP error ended the connect after 2.000 ms",
        ),
        (
            Outcome::Aborted,
            Party::Unknown,
            Code::ConnectAborted,
            "was given up after 2.000 ms; the SYN was not answered",
        ),
    ];
    for (outcome, party, code, words) in cases {
        let answer =
            explain::connect(&failed(2, to_service(6001), outcome, 10.0, 12.0), false).unwrap();
        assert_eq!((answer.cause.party, answer.cause.code), (party, code));
        assert!(
            answer.cause.sentence.to_string().contains(words),
            "{}",
            answer.cause.sentence
        );
        assert_eq!(answer.time.total_ns(), 2_000_000);
    }
    let fine = socket(2, Opening::Active, to_service(6001), 10.0, 12.0);
    assert_eq!(explain::connect(&fine, false), None);
}

#[test]
fn a_connect_that_the_proxy_gave_up_says_whose_timeout_it_was() {
    let report = unserved(request(1, from_client(5001), 10.0, 260.0), "");
    let report = Report {
        http: Http {
            response_details: "upstream_reset_before_response_started{connection_timeout}".into(),
            ..report.http.clone()
        },
        ..report
    };
    let given_up = failed(2, to_service(6001), Outcome::Aborted, 10.0, 259.8);
    let told = tell(vec![accepted(1, 9.0, 500.0), given_up], vec![report]);
    let opened = told.requests[0].opened.as_ref().unwrap();
    assert_eq!(found(opened), Ok((2, CERTAIN)));
    let cause = &told.requests[0].answer.cause;
    assert_eq!(cause.code, Code::ConnectTimeout);
    // A full accept queue answers no SYN either.
    assert_eq!(cause.confidence, LIKELY);
    assert_eq!(
        cause.sentence.to_string(),
        "503: the proxy gave up connecting to the service at 198.51.100.2:80 after 249.8 ms; the SYN was not answered"
    );
}

#[test]
fn how_long_a_connect_took_is_said_only_if_its_syn_was_observed() {
    let cases = [
        (Outcome::Refused, "198.51.100.2:80 refused the connection"),
        (
            Outcome::Unanswered,
            "198.51.100.2:80 did not answer the SYN",
        ),
        (
            Outcome::Unreachable,
            "198.51.100.2:80 is unreachable; an ICMP error ended the connect",
        ),
        (
            Outcome::Aborted,
            "The connect to 198.51.100.2:80 was given up; the SYN was not answered",
        ),
    ];
    for (outcome, sentence) in cases {
        let mut polled = failed(2, to_service(6001), outcome, 10.0, 12.0);
        polled.syn_at = None;
        polled.watch.origin = Origin::Polled;
        polled.watch.first_seen_at = Some(boot(11.0));
        let cause = explain::connect(&polled, false).unwrap().cause;
        assert_eq!(cause.sentence.to_string(), sentence);
        let cause = explain::connect(&polled, true).unwrap().cause;
        assert_eq!(
            cause.sentence.to_string(),
            "A queue of the listener 198.51.100.2:80 on this host was full; the SYN was not answered"
        );
    }
}
