//! One of the proxy's limits of time ended the request: who used most of it up.

use super::{Verdict, completed, said};
use crate::{
    answer::{Code, Party},
    confidence::Confidence,
    evidence::Evidence,
    fact::Report,
    limit::{Awaited, Limit},
    phases,
    record::Phase,
    words::{self, duration},
};

/// Says which limit ended the request, if one did, and whose phase took more than half of it. The limit alone says
/// nothing of whom: a network that carries nothing looks to the proxy like a service that does not answer.
pub(super) fn timed_out(
    report: &Report,
    evidence: &Evidence<'_>,
    phases: &[Phase],
) -> Option<Verdict> {
    let limit = Limit::of(report)?;
    let (code, what) = match limit {
        Limit::Answer if !report.was_sent() => (
            Code::UpstreamTimeout,
            "no connection to the service was ready when the proxy's response timeout ended the request after",
        ),
        Limit::Answer if was_asked_at_once(report) => {
            (Code::UpstreamTimeout, "the service did not answer within")
        }
        Limit::Answer => (
            Code::UpstreamTimeout,
            "the proxy's response timeout ended the request after",
        ),
        Limit::UpstreamDuration => (
            Code::UpstreamTimeout,
            "the stream to the service reached its maximum duration after",
        ),
        Limit::Idle => (
            Code::StreamIdleTimeout,
            "the proxy's stream idle timeout ended the request after",
        ),
        Limit::Duration => (
            Code::DurationTimeout,
            "the proxy's maximum duration was reached after",
        ),
        Limit::Request => (
            Code::RequestTimeout,
            "the client did not send the whole request within",
        ),
    };
    let (status, took) = (
        words::status(report.http.status),
        duration(report.duration_ns),
    );
    let mut words = format!("{status}{what} {took}");
    let within = phases
        .iter()
        .filter(|phase| !phase.kind.is_before_request());
    let longest = within
        .max_by_key(|phase| phase.duration_ns)
        .filter(|phase| phase.duration_ns > report.duration_ns / 2);
    let party = longest.map_or(Party::Unknown, |phase| phase.party);
    let why = longest.and_then(|&phase| {
        let is_missing = party == Party::Client && limit.awaited(report) == Awaited::Client;
        let why = match completed::slow(phase, evidence) {
            Some((_, why)) => why,
            None if is_missing => "the proxy waited for the rest of the request",
            None => return None,
        };
        Some((duration(phase.duration_ns), why))
    });
    if let Some((took, why)) = why {
        words.push_str("; for ");
        words.push_str(&took);
        words.push_str(" of it ");
        words.push_str(why);
    }
    Some(Verdict {
        party,
        code,
        sentence: said(words),
        confidence: if party == Party::Unknown {
            Confidence::Certain
        } else {
            Confidence::Likely
        },
    })
}

/// Returns whether the service had the whole request as long as the request ran: then that is how long it did not
/// answer. Otherwise the limit is shorter, by what is not reported.
fn was_asked_at_once(report: &Report) -> bool {
    phases::came_at_once(report) && phases::was_given_at_once(report)
}
