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
use world::{
    cut_off::{cause, sent},
    *,
};

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
    const CIRCUIT: &str = "a circuit breaker was open";
    const RATE_LIMIT: &str = "a rate limit was reached";
    const OVERLOAD_MANAGER: &str = "its overload manager stopped the request";
    const DROPPED: &str = "the cluster's drop_overload policy dropped the request";
    const NO_HOST: &str = "the cluster had no healthy host";
    const NO_ROUTE: &str = "it had no route or cluster for the request";
    let cases = [
        (1 << 7, "", Code::CircuitOpen, CIRCUIT),
        (0, "CIRCUIT_OPEN", Code::CircuitOpen, CIRCUIT),
        (1 << 11, "", Code::RateLimited, RATE_LIMIT),
        (0, "RATE_LIMITED", Code::RateLimited, RATE_LIMIT),
        (1 << 25, "", Code::Overloaded, OVERLOAD_MANAGER),
        (1 << 25, "OVERLOADED", Code::Overloaded, OVERLOAD_MANAGER),
        (1 << 27, "", Code::Overloaded, DROPPED),
        (1 << 29, "OVERLOADED", Code::Overloaded, DROPPED),
        (0, "OVERLOADED", Code::Overloaded, "it was overloaded"),
        (1 << 1, "", Code::NoHealthyUpstream, NO_HOST),
        (1 << 8, "", Code::NoRoute, NO_ROUTE),
        (1 << 24, "", Code::NoRoute, NO_ROUTE),
    ];
    for (flags, mark, code, why) in cases {
        let cause = told(vec![], stopped(flags, mark)).answer.cause;
        assert_eq!((cause.code, cause.party), (code, Party::Proxy), "{mark}");
        let said = format!("503: the proxy itself answered, because {why}");
        assert_eq!(cause.sentence.to_string(), said);
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
            "the service reset the connection after 9.000 ms, before the first byte of a response",
        ),
        (
            1 << 6,
            early,
            false,
            Party::Unknown,
            Code::ResetBeforeFirstByte,
            "the connection to the service ended after 9.000 ms, before the first byte of a response",
        ),
        (
            1 << 4,
            early,
            false,
            Party::Service,
            Code::ResetBeforeFirstByte,
            "the service reset the stream after 9.000 ms, before the first byte of a response",
        ),
        (
            1 << 6,
            "",
            true,
            Party::Service,
            Code::UpstreamReset,
            "the service reset the connection after 9.000 ms, before the response was complete",
        ),
        (
            1 << 23,
            "",
            false,
            Party::Service,
            Code::UpstreamProtocol,
            "the service violated the HTTP protocol",
        ),
        (
            1 << 18,
            "",
            false,
            Party::Client,
            Code::ClientProtocol,
            "the client violated the HTTP protocol",
        ),
    ];
    for (flags, details, is_reset, party, code, what) in cases {
        let sockets = if is_reset {
            vec![reset.clone()]
        } else {
            vec![]
        };
        let cause = told(sockets, ended(flags, details)).answer.cause;
        assert_eq!((cause.party, cause.code), (party, code), "{flags:#x}");
        assert_eq!(cause.sentence.to_string(), format!("503: {what}"));
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

#[test]
fn a_stream_that_the_service_reset_leaves_its_connection_to_the_next_request() {
    let sockets = vec![
        accepted(1, 10.0, 400.0),
        socket(2, Opening::Active, to_service(6001), 5.0, 400.0),
    ];
    let details = "upstream_reset_before_response_started{remote_reset}";
    let reset = sent(1 << 4, 503, details, 50.0);
    let next = served(request(2, from_client(5001), 60.0, 70.0), 6001, 0.0, 5.0);
    let records = tell(sockets, vec![reset, next]);
    for record in &records.requests {
        let served_by = record.served_by.as_ref().unwrap();
        assert_eq!(found(served_by), Ok((2, CERTAIN)));
    }
    let cause = &records.requests[0].answer.cause;
    let said = (cause.party, cause.code);
    assert_eq!(said, (Party::Service, Code::ResetBeforeFirstByte));
    assert_eq!(
        cause.sentence.to_string(),
        "503: the service reset the stream after 39.0 ms, before the first byte of a response"
    );
}

#[test]
fn the_proxy_answered_itself_only_where_the_response_is_its_own() {
    const OM: u64 = 1 << 25;
    const UH: u64 = 1 << 1;
    let grpc = |status| {
        let mut report = sent(OM, 200, "overload", 50.0);
        report.http.grpc_status = Some(status);
        report
    };
    let session = Report {
        upstream: None,
        http: Http {
            tcp_session: true,
            ..sent(UH, 0, "", 50.0).http
        },
        ..sent(UH, 0, "", 50.0)
    };
    let unsent = |status, attempts| {
        let mut report = sent(OM, status, "overload", 50.0);
        let upstream = report.upstream.as_mut().unwrap();
        (upstream.local, upstream.attempts) = (None, attempts);
        report
    };
    let cases = [
        (sent(OM, 200, "reset", 50.0), "200: ", "ended the stream"),
        (sent(OM, 0, "", 50.0), "The ", "ended the stream"),
        (
            sent(OM, 503, "via_upstream", 50.0),
            "503: ",
            "ended the stream",
        ),
        (sent(OM, 503, "overload", 50.0), "503: ", "answered"),
        (sent(OM, 400, "overload", 50.0), "400: ", "answered"),
        (grpc(14), "200: ", "answered"),
        (grpc(0), "200: ", "ended the stream"),
        (unsent(200, 1), "200: ", "answered"),
        (unsent(200, 2), "200: ", "ended the stream"),
        (session, "The ", "ended the session"),
    ];
    for (report, begins, did) in cases {
        let http = report.http.clone();
        let cause = cause(report);
        assert_eq!(cause.party, Party::Proxy, "{http:?}");
        let said = cause.sentence.to_string();
        let named = said.contains(&format!("he proxy itself {did}, because "));
        assert!(said.starts_with(begins) && named, "{said}: {http:?}");
    }
}

#[test]
fn nothing_is_said_of_an_earlier_attempt_that_may_have_asked_a_service() {
    let answered = |attempts, details: &str| {
        let mut report = unserved(request(1, from_client(5001), 11.0, 31.0), "");
        (report.http.response_flags, report.http.response_details) = (0, details.into());
        report.upstream.as_mut().unwrap().attempts = attempts;
        let cause = cause(report);
        (cause.party, cause.code, cause.sentence.to_string())
    };
    let says = |party, code, sentence: &str| (party, code, sentence.to_owned());
    let by_proxy = |sentence| says(Party::Proxy, Code::AnsweredByProxy, sentence);
    assert_eq!(
        answered(1, "x"),
        by_proxy("503: the proxy answered without contacting a service (x)")
    );
    assert_eq!(
        answered(2, "x"),
        by_proxy("503: the proxy itself answered; its last attempt contacted no service (x)")
    );
    assert_eq!(
        answered(2, "via_upstream"),
        says(
            Party::Service,
            Code::ServiceError,
            "503: the service answered with an error after 20.0 ms"
        )
    );
    assert_eq!(
        answered(2, ""),
        says(
            Party::Unknown,
            Code::Unexplained,
            "503 after 20.0 ms, and nothing says who answered"
        )
    );
}
