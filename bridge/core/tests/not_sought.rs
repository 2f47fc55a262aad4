//! Requests that waited for a connection when something else than a failed connect ended them.

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
    audit::{self, Rule},
    fact::Report,
    record::{Join, Missing, RequestRecord},
};
use syntrace_model::Outcome;
use world::{connects, *};

const UPSTREAM_RETRY_LIMIT: u64 = 1 << 15;
const NOT_SOUGHT: Option<Join> = Some(Join::Missing(Missing::NotSought));

/// A request from 111 ms on that never got a connection, and ended for the reason that these flags name.
fn ended(until: f64, flags: u64, status: u16, details: &str) -> Report {
    let mut report = unserved(request(2, from_client(5001), 111.0, until), "");
    report.http.response_flags = flags;
    report.http.status = status;
    report.http.response_details = details.into();
    report.upstream.as_mut().unwrap().pool_wait_ns = None;
    report
}

/// Its record, where a connect of the worker towards the same host ended just before it did.
fn beside(outcome: Outcome, report: Report) -> RequestRecord {
    let until = 111.0 + report.duration_ns as f64 / 1e6;
    let connect = failed(2, to_service(6001), outcome, 111.1, until - 0.3);
    connects::told(vec![connect], report)
}

#[test]
fn a_request_that_something_else_ended_was_failed_by_no_connect_that_ended_meanwhile() {
    let cases = [
        (1 << 1, 503, "no_healthy_upstream", Code::NoHealthyUpstream),
        (1 << 2, 504, "response_timeout", Code::UpstreamTimeout),
        (
            1 << 7,
            503,
            "upstream_reset_before_response_started{overflow}",
            Code::CircuitOpen,
        ),
        (1 << 11, 429, "request_rate_limited", Code::RateLimited),
        (1 << 14, 0, "downstream_remote_disconnect", Code::ClientGone),
        (1 << 25, 503, "overload", Code::Overloaded),
        (1 << 28, 0, "http2.remote_reset", Code::ClientGone),
    ];
    for (flags, status, details, code) in cases {
        for outcome in [Outcome::Refused, Outcome::Aborted, Outcome::Unanswered] {
            let record = beside(outcome, ended(112.0, flags, status, details));
            assert_eq!(record.opened, NOT_SOUGHT, "{details}");
            assert_eq!(record.answer.cause.code, code, "{details}");
        }
    }
    let local_reset = "upstream_reset_before_response_started{local_reset}";
    let record = beside(Outcome::Refused, ended(112.0, 1 << 3, 503, local_reset));
    assert_eq!(record.opened, NOT_SOUGHT);
    assert_ne!(record.answer.cause.party, Party::Service);
}

#[test]
fn a_client_that_leaves_while_a_connect_goes_on_is_named_and_the_connect_is_not() {
    let left = ended(161.0, 1 << 14, 0, "downstream_remote_disconnect");
    let record = beside(Outcome::Aborted, left);
    let cause = &record.answer.cause;
    assert_eq!((cause.party, cause.code), (Party::Client, Code::ClientGone));
    assert_eq!(
        cause.sentence.to_string(),
        "The client went away after 50.0 ms"
    );
}

#[test]
fn whom_a_request_waited_for_that_never_got_a_connection_is_not_known() {
    let waited = |waited_ns| {
        let mut report = ended(911.0, 1 << 2, 504, "response_timeout");
        report.upstream.as_mut().unwrap().pool_wait_ns = waited_ns;
        let record = beside(Outcome::Refused, report);
        assert_eq!(record.answer.cause.party, Party::Unknown);
        assert_eq!(record.answer.cause.code, Code::UpstreamTimeout);
        record.answer.time
    };
    for waited_ns in [None, Some(800_000_000)] {
        let time = waited(waited_ns);
        assert!(time.unknown_ns >= 799_000_000, "{time:?}");
        assert!(time.proxy_ns < 1_000_000, "{time:?}");
    }
    // Nor where it did so for no longer than the proxy works by itself.
    let brief = ended(111.3, 1 << 2, 504, "response_timeout");
    let record = beside(Outcome::Refused, brief);
    assert_eq!(record.answer.cause.party, Party::Unknown);
    assert_eq!(record.answer.time.proxy_ns, 0);
}

#[test]
fn the_failure_text_of_an_earlier_attempt_seeks_no_connect() {
    let mut left = ended(912.0, 1 << 14, 0, "downstream_remote_disconnect");
    let upstream = left.upstream.as_mut().unwrap();
    upstream.attempts = 2;
    upstream.failure = "delayed_connect_error:_Connection_refused".into();
    let refused = failed(2, to_service(6001), Outcome::Refused, 111.1, 111.4);
    let record = connects::told(vec![refused.clone()], left.clone());
    assert_eq!(record.opened, NOT_SOUGHT);
    assert_eq!(record.answer.cause.party, Party::Client);
    // A request's last connect sets `UF` beside it; another reason than a connect may exhaust the attempts too.
    left.http.response_flags = 1 << 2 | UPSTREAM_RETRY_LIMIT;
    assert_eq!(connects::told(vec![refused], left).opened, NOT_SOUGHT);
}

#[test]
fn a_session_whose_last_connect_the_proxy_closed_itself_was_failed_by_it() {
    let session = |flags, text: &str| {
        let mut report = ended(112.0, flags, 0, "");
        report.http.tcp_session = true;
        report.upstream.as_mut().unwrap().failure = text.into();
        beside(Outcome::Refused, report).opened.unwrap()
    };
    let refused = "delayed connect error: 111";
    let found = |flags, text| found(&session(flags, text)).map(|(cookie, _)| cookie);
    assert_eq!(found(UPSTREAM_RETRY_LIMIT, refused), Ok(2));
    assert_eq!(found(1 << 5, refused), Ok(2));
    assert_eq!(found(UPSTREAM_RETRY_LIMIT, ""), Err(Missing::NotSought));
    assert_eq!(found(0, refused), Err(Missing::NotSought));
}

#[test]
fn a_join_to_a_connect_that_is_not_sought_or_the_lack_of_one_that_is_breaks_a_rule() {
    let rules = |record: &RequestRecord| -> Vec<Rule> {
        let findings = audit::request(record).into_iter();
        findings.map(|finding| finding.rule).collect()
    };
    let record = beside(
        Outcome::Refused,
        ended(112.0, 1 << 11, 429, "request_rate_limited"),
    );
    assert_eq!(rules(&record), []);
    let mut joined = record.clone();
    joined.opened = Some(joined.received_on.clone());
    assert!(rules(&joined).contains(&Rule::JoinsComplete));
    let mut unjoined = record;
    unjoined.opened = Some(Join::Missing(Missing::NoConnection));
    assert_eq!(rules(&unjoined), [Rule::JoinsComplete]);
    let refused = unserved(request(2, from_client(5001), 111.0, 112.0), "");
    let mut failed = beside(Outcome::Aborted, refused);
    failed.opened = NOT_SOUGHT;
    assert_eq!(rules(&failed), [Rule::JoinsComplete]);
}
