//! The proxy answered by itself: on purpose, or because it could not ask a service.

use super::Verdict;
use crate::{
    answer::{Code, Party},
    fact::Report,
    flag, words,
};

/// Flags by which the proxy says why it answered; those that come first say more.
const REASONS: [(u64, Code, &str); 9] = [
    (flag::RATE_LIMITED, Code::RateLimited, RATE_LIMIT),
    (
        flag::OVERLOAD_MANAGER | flag::DROP_OVERLOAD | flag::DROP_ALL,
        Code::Overloaded,
        OVERLOAD,
    ),
    (
        flag::NAME_UNRESOLVED,
        Code::NameUnresolved,
        "the service's name could not be resolved",
    ),
    (
        flag::NO_HEALTHY_UPSTREAM,
        Code::NoHealthyUpstream,
        "no host of the cluster was healthy",
    ),
    (
        flag::NO_ROUTE | flag::NO_CLUSTER,
        Code::NoRoute,
        "it has no route or cluster for the request",
    ),
    (
        flag::FAULT_INJECTED,
        Code::FaultInjected,
        "its configuration injects this fault",
    ),
    (
        flag::NOT_AUTHORISED,
        Code::NotAuthorised,
        "the external authorisation did not permit it",
    ),
    (
        flag::RATE_LIMIT_ERROR,
        Code::AnsweredByProxy,
        "its rate limit service could not be asked",
    ),
    (
        flag::LOCAL_HEALTH_CHECK | flag::NO_FILTER_CONFIG,
        Code::AnsweredByProxy,
        "its health check is told to fail, or a filter has no configuration",
    ),
];

const CIRCUIT: &str = "a circuit breaker was open";
const RATE_LIMIT: &str = "a rate limit was reached";
const OVERLOAD: &str = "it was overloaded";

/// Says why the proxy answered by itself, if it did.
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
        (Code::Overloaded, OVERLOAD)
    } else {
        let mut reasons = REASONS.into_iter();
        let (_, code, why) = reasons.find(|(of, ..)| flags & of != 0)?;
        (code, why)
    };
    let status = words::status(report.http.status);
    let sentence = format!("{status}the proxy answered by itself, because {why}");
    // Of the resolver, and of what lies between, nothing is observed.
    let party = if code == Code::NameUnresolved {
        Party::Unknown
    } else {
        Party::Proxy
    };
    Some(Verdict::certain(party, code, sentence))
}

/// Returns whether the circuit breaker kept the proxy only from another attempt: the answer is that of the one
/// that was made.
fn was_only_retry(report: &Report) -> bool {
    report.was_sent() && !report.http.response_details.contains("overflow")
}
