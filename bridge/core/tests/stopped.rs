//! Who stopped a request, by the proxy's flags and marks.

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
    fact::{Http, Mark, Report, Snapshot},
};
use syntrace_model::{Opening, Outcome};
use world::*;

#[test]
fn what_the_proxy_stopped_is_named_by_its_flag_or_its_mark() {
    let stopped = |flags: u64, mark: &str| Report {
        http: Http {
            status: 503,
            response_flags: flags,
            mark: (!mark.is_empty()).then(|| Mark {
                reason: mark.into(),
                at: unix(11.0),
            }),
            ..Http::default()
        },
        ..request(1, from_client(5001), 11.0, 12.0)
    };
    let cases = [
        (1 << 7, "", Code::CircuitOpen),
        (0, "CIRCUIT_OPEN", Code::CircuitOpen),
        (1 << 11, "", Code::RateLimited),
        (0, "RATE_LIMITED", Code::RateLimited),
        (1 << 25, "", Code::Overloaded),
        (1 << 27, "", Code::Overloaded),
        (0, "OVERLOAD", Code::Overloaded),
        (1 << 1, "", Code::NoHealthyUpstream),
        (1 << 8, "", Code::NoRoute),
        (1 << 24, "", Code::NoRoute),
    ];
    for (flags, mark, code) in cases {
        let cause = told(vec![], stopped(flags, mark)).answer.cause;
        assert_eq!((cause.code, cause.party), (code, Party::Proxy), "{mark}");
    }
}

#[test]
fn what_ended_the_upstream_stream_is_named_by_when_and_by_whom() {
    let ended = |flags: u64, details: &str| {
        let mut report = served(request(1, from_client(5001), 11.0, 20.0), 6001, 0.0, 4.0);
        report.http.status = 503;
        report.http.response_flags = flags;
        report.http.response_details = details.into();
        if !details.is_empty() {
            report.upstream.as_mut().unwrap().first_byte_ns = None;
        }
        report
    };
    let reset = Snapshot {
        outcome: Outcome::ResetByPeer,
        ..socket(2, Opening::Active, to_service(6001), 5.0, 19.9)
    };
    let early = "upstream_reset_before_response_started{connection_termination}";
    let cases = [
        (
            1 << 6,
            early,
            true,
            Party::Service,
            Code::ResetBeforeFirstByte,
        ),
        (
            1 << 6,
            early,
            false,
            Party::Unknown,
            Code::ResetBeforeFirstByte,
        ),
        (
            1 << 4,
            early,
            false,
            Party::Service,
            Code::ResetBeforeFirstByte,
        ),
        (1 << 6, "", true, Party::Service, Code::UpstreamReset),
        (1 << 23, "", false, Party::Service, Code::UpstreamProtocol),
        (1 << 18, "", false, Party::Client, Code::ClientProtocol),
    ];
    for (flags, details, is_reset, party, code) in cases {
        let sockets = if is_reset {
            vec![reset.clone()]
        } else {
            vec![]
        };
        let cause = told(sockets, ended(flags, details)).answer.cause;
        assert_eq!((cause.party, cause.code), (party, code), "{flags:#x}");
    }
}

#[test]
fn a_request_that_timed_out_before_it_had_a_connection_does_not_blame_the_service() {
    let mut report = unserved(request(1, from_client(5001), 11.0, 15_011.0), "");
    report.http.response_flags = 1 << 2;
    let cause = told(vec![], report).answer.cause;
    assert_eq!(
        (cause.party, cause.code),
        (Party::Unknown, Code::UpstreamTimeout)
    );
}
