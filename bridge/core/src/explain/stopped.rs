//! The proxy itself answered, or ended the stream: on purpose, or because it could not ask a service.

use super::{VIA_UPSTREAM, Verdict};
use crate::{
    answer::{Code, Party},
    fact::Report,
    flag, words,
};

/// Flags by which the proxy says why it answered or ended the stream; those that come first say more.
const REASONS: [(u64, Code, &str); 11] = [
    (flag::RATE_LIMITED, Code::RateLimited, RATE_LIMIT),
    (
        flag::OVERLOAD_MANAGER,
        Code::Overloaded,
        "its overload manager stopped the request",
    ),
    (
        flag::DROP_OVERLOAD | flag::DROP_ALL,
        Code::Overloaded,
        "the cluster's drop_overload policy dropped the request",
    ),
    (
        flag::NAME_UNRESOLVED,
        Code::NameUnresolved,
        "the service's name could not be resolved",
    ),
    (
        flag::NO_HEALTHY_UPSTREAM,
        Code::NoHealthyUpstream,
        "the cluster had no healthy host",
    ),
    (
        flag::NO_ROUTE | flag::NO_CLUSTER,
        Code::NoRoute,
        "it had no route or cluster for the request",
    ),
    (
        flag::FAULT_INJECTED,
        Code::FaultInjected,
        "its configuration injects a fault",
    ),
    (
        flag::NOT_AUTHORISED,
        Code::NotAuthorised,
        "external authorisation did not permit the request",
    ),
    (
        flag::RATE_LIMIT_ERROR,
        Code::AnsweredByProxy,
        "its rate limit service failed",
    ),
    (
        flag::LOCAL_HEALTH_CHECK,
        Code::AnsweredByProxy,
        "it was told to fail its health check",
    ),
    (
        flag::NO_FILTER_CONFIG,
        Code::AnsweredByProxy,
        "a filter had received no configuration",
    ),
];

const CIRCUIT: &str = "a circuit breaker was open";
const RATE_LIMIT: &str = "a rate limit was reached";
const OVERLOAD: &str = "it was overloaded";

/// Says why the proxy itself answered or ended the stream, if it did.
pub(super) fn by_proxy(report: &Report) -> Option<Verdict> {
    let flags = report.http.response_flags;
    let mark = report.http.mark.as_ref().map_or("", |mark| &*mark.reason);
    if flags == 0 && mark.is_empty() {
        return None;
    }
    let is_open = flags & flag::UPSTREAM_OVERFLOW != 0 || mark == "CIRCUIT_OPEN";
    let (code, why) = if is_open && !was_only_retry(report) {
        (Code::CircuitOpen, CIRCUIT)
    } else if mark.starts_with("RATE_LIMIT") {
        (Code::RateLimited, RATE_LIMIT)
    } else if mark.starts_with("OVERLOAD") {
        let named = flagged(flags).filter(|(code, _)| *code == Code::Overloaded);
        named.unwrap_or((Code::Overloaded, OVERLOAD))
    } else {
        flagged(flags)?
    };
    let status = words::status(report.http.status);
    let did = if answered_itself(report) {
        "answered"
    } else if report.http.tcp_session {
        "ended the session"
    } else {
        "ended the stream"
    };
    let sentence = format!("{status}the proxy itself {did}, because {why}");
    // Of the resolver, and of what lies between, nothing is observed.
    let party = if code == Code::NameUnresolved {
        Party::Unknown
    } else {
        Party::Proxy
    };
    Some(Verdict::certain(party, code, sentence))
}

/// Returns whether there was a response, and it is the proxy's own. Where a service may have been asked, only an error
/// is: anything else was the service's response, which the proxy cut short.
fn answered_itself(report: &Report) -> bool {
    let http = &report.http;
    let is_error = http.status >= 400 || http.grpc_status.is_some_and(|status| status != 0);
    let may_be_service_s = report.may_have_been_sent() && !is_error;
    http.status != 0 && !may_be_service_s && &*http.response_details != VIA_UPSTREAM
}

/// Returns the first of [`REASONS`] that `flags` name.
fn flagged(flags: u64) -> Option<(Code, &'static str)> {
    let mut reasons = REASONS.into_iter();
    let (_, code, why) = reasons.find(|(of, ..)| flags & of != 0)?;
    Some((code, why))
}

/// Returns whether the circuit breaker kept the proxy only from another attempt: the answer is that of the one
/// that was made.
fn was_only_retry(report: &Report) -> bool {
    report.was_sent() && !report.http.response_details.contains("overflow")
}
