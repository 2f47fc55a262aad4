//! Who did it: one pure function over what was joined.
//!
//! From evidence only: what no source saw is `unknown`. The API, metrics and spans all show what this says.
//! `crate::phases` decides where the time went; this names the party and the code, and says it in one sentence
//! (`crate::words`).

mod completed;

use smallvec::{SmallVec, smallvec};
use syntrace_model::Outcome;

use crate::{
    answer::{Answer, Cause, Code, Ground, Party, Sentence},
    confidence::Confidence,
    errno::Failure,
    evidence::Evidence,
    fact::{Report, Snapshot},
    failure, phases,
    record::Phase,
    words::{self, millis},
};

/// Envoy's response flags that say who ended a request (`CoreResponseFlag`, as bits).
mod flag {
    pub(super) const NO_HEALTHY_UPSTREAM: u64 = 1 << 1;
    pub(super) const UPSTREAM_TIMEOUT: u64 = 1 << 2;
    pub(super) const UPSTREAM_REMOTE_RESET: u64 = 1 << 4;
    pub(super) const UPSTREAM_CONNECT_FAILURE: u64 = 1 << 5;
    pub(super) const UPSTREAM_TERMINATION: u64 = 1 << 6;
    pub(super) const UPSTREAM_OVERFLOW: u64 = 1 << 7;
    pub(super) const NO_ROUTE: u64 = 1 << 8;
    pub(super) const RATE_LIMITED: u64 = 1 << 11;
    pub(super) const DOWNSTREAM_TERMINATION: u64 = 1 << 14;
    pub(super) const DOWNSTREAM_PROTOCOL: u64 = 1 << 18;
    pub(super) const UPSTREAM_MAX_DURATION: u64 = 1 << 19;
    pub(super) const UPSTREAM_PROTOCOL: u64 = 1 << 23;
    pub(super) const NO_CLUSTER: u64 = 1 << 24;
    pub(super) const OVERLOAD_MANAGER: u64 = 1 << 25;
    pub(super) const DROP_OVERLOAD: u64 = 1 << 27;
}

/// A request that took less is not called slow, whoever took most of it, nanoseconds.
pub const SLOW_NS: u64 = 100_000_000;

/// Who did what, how sure that is, and in which words.
struct Verdict {
    party: Party,
    code: Code,
    sentence: Sentence,
    confidence: Confidence,
}

/// Says who made a request fail or wait; `phases` are its own.
pub(crate) fn request(report: &Report, evidence: &Evidence<'_>, phases: &[Phase]) -> Answer {
    let time = phases::by_party(phases);
    let verdict = connect_failed(report, evidence)
        .or_else(|| stopped_by_proxy(report))
        .or_else(|| cut_off(report, evidence))
        .or_else(|| answered_with_error(report))
        .unwrap_or_else(|| completed::completed(report, evidence, phases, &time));
    let mut named = smallvec![Ground::Status(report.http.status)];
    if report.http.response_flags != 0 {
        let flags = report.http.response_flags;
        named.push(format!("response_flags={flags:#x}").into());
    }
    if let Some(failure) = failure_text(report) {
        named.push(format!("upstream_failure={failure}").into());
    }
    if let Some((socket, _)) = evidence.failed_by {
        named.extend(words::of_socket(&socket.snapshot()));
    }
    let client_s = evidence.client_s.map(|socket| socket.counters());
    if let Some(again) = client_s.map(|counters| counters.syn_retransmits)
        && again > 0
    {
        named.push(format!("client_syn_retransmits={again}").into());
    }
    named.extend(evidence.incidents.iter().map(|charged| {
        let incident = &charged.incident;
        format!(
            "{}={} ({}, {})",
            incident.kind.name(),
            incident.count,
            charged.link.name(),
            incident.sharing.name()
        )
        .into()
    }));
    Answer {
        cause: cause(verdict, named),
        time,
    }
}

/// Says why a connect failed; `None` for a connection that was established, or still may be.
#[must_use]
pub fn connect(socket: &Snapshot) -> Option<Answer> {
    let (party, code) = failed_connect(socket.outcome)?;
    let verdict = Verdict {
        party,
        code,
        sentence: said(words::connect(socket, "")),
        confidence: Confidence::Certain,
    };
    Some(Answer {
        cause: cause(verdict, words::of_socket(socket).collect()),
        time: phases::by_party(&phases::connection(socket)),
    })
}

/// No connection to the service came about.
fn connect_failed(report: &Report, evidence: &Evidence<'_>) -> Option<Verdict> {
    let has_failed = report.http.response_flags & flag::UPSTREAM_CONNECT_FAILURE != 0;
    if let Some((socket, confidence)) = evidence.failed_by {
        let status = words::status(report.http.status);
        let snapshot = socket.snapshot();
        let peer = socket.key().peer;
        let (party, code, words) = match failed_connect(socket.outcome()) {
            Some((_, Code::ConnectAborted)) if has_failed => {
                let words = words::connect_timeout(&snapshot);
                (Party::Network, Code::ConnectTimeout, words)
            }
            Some((party, code)) => (party, code, words::connect(&snapshot, "the service at ")),
            None if Failure::of(report) == Failure::Timeout => {
                match failure::unanswered_ns(report, socket, evidence.ran) {
                    Some(ns) => (Party::Service, Code::TlsFailed, words::unanswered(peer, ns)),
                    None => {
                        let words = words::established_in_vain(peer);
                        (Party::Unknown, Code::ConnectFailed, words)
                    }
                }
            }
            None => {
                let party = if socket.outcome() == Outcome::ResetByPeer {
                    Party::Service
                } else {
                    Party::Unknown
                };
                let words = format!("the TLS handshake with the service at {peer} failed");
                (party, Code::TlsFailed, words)
            }
        };
        return Some(Verdict {
            party,
            code,
            sentence: said(format!("{status}{words}")),
            confidence: code.confidence(confidence),
        });
    }
    if !has_failed {
        return None;
    }
    let status = words::status(report.http.status);
    let text = failure_text(report).unwrap_or("no text");
    let code = match Failure::of(report) {
        Failure::Tls => Code::TlsFailed,
        Failure::Timeout => Code::ConnectTimeout,
        Failure::Errno(_) | Failure::Unnamed => Code::ConnectFailed,
    };
    Some(Verdict::certain(
        Party::Unknown,
        code,
        format!(
            "{status}the proxy reports a failed connect ({text}) that no kernel record confirms"
        ),
    ))
}

/// The proxy answered by itself, on purpose.
fn stopped_by_proxy(report: &Report) -> Option<Verdict> {
    let has = |flag: u64| report.http.response_flags & flag != 0;
    let mark = report.http.mark.as_ref().map_or("", |mark| &*mark.reason);
    let (code, why) = if has(flag::UPSTREAM_OVERFLOW) || mark == "CIRCUIT_OPEN" {
        (Code::CircuitOpen, "a circuit breaker was open")
    } else if has(flag::RATE_LIMITED) || mark.starts_with("RATE_LIMIT") {
        (Code::RateLimited, "a rate limit was reached")
    } else if has(flag::OVERLOAD_MANAGER | flag::DROP_OVERLOAD) || mark.starts_with("OVERLOAD") {
        (Code::Overloaded, "it was overloaded")
    } else if has(flag::NO_HEALTHY_UPSTREAM) {
        (
            Code::NoHealthyUpstream,
            "no host of the cluster was healthy",
        )
    } else if has(flag::NO_ROUTE | flag::NO_CLUSTER) {
        (Code::NoRoute, "it has no route or cluster for the request")
    } else {
        return None;
    };
    let status = words::status(report.http.status);
    let sentence = format!("{status}the proxy answered by itself, because {why}");
    Some(Verdict::certain(Party::Proxy, code, sentence))
}

/// Somebody ended the request before it was complete.
fn cut_off(report: &Report, evidence: &Evidence<'_>) -> Option<Verdict> {
    let flags = report.http.response_flags;
    if flags == 0 && (report.http.status != 0 || report.http.tcp_session) {
        return None;
    }
    let has = |flag: u64| flags & flag != 0;
    let status = words::status(report.http.status);
    let took = millis(report.duration_ns);
    let was_sent = report.was_sent();
    let verdict = if has(flag::DOWNSTREAM_PROTOCOL) {
        let sentence = format!("{status}the client broke the protocol");
        (Party::Client, Code::ClientProtocol, sentence)
    } else if has(flag::DOWNSTREAM_TERMINATION) {
        let sentence = format!("The client went away after {took}");
        (Party::Client, Code::ClientGone, sentence)
    } else if has(flag::UPSTREAM_TIMEOUT | flag::UPSTREAM_MAX_DURATION) && was_sent {
        let sentence = format!("{status}the service did not answer within {took}");
        (Party::Service, Code::UpstreamTimeout, sentence)
    } else if has(flag::UPSTREAM_TIMEOUT | flag::UPSTREAM_MAX_DURATION) {
        let sentence = format!("{status}no connection to the service was ready within {took}");
        (Party::Unknown, Code::UpstreamTimeout, sentence)
    } else if has(flag::UPSTREAM_PROTOCOL) {
        let sentence = format!("{status}the service broke the protocol");
        (Party::Service, Code::UpstreamProtocol, sentence)
    } else if has(flag::UPSTREAM_REMOTE_RESET | flag::UPSTREAM_TERMINATION) {
        let by_service = evidence.reset_by_service || has(flag::UPSTREAM_REMOTE_RESET);
        let party = if by_service {
            Party::Service
        } else {
            Party::Unknown
        };
        if before_first_byte(report) {
            let sentence = format!(
                "{status}the connection to the service ended after {took}, before the first byte of an answer"
            );
            (party, Code::ResetBeforeFirstByte, sentence)
        } else {
            let sentence = format!(
                "{status}the connection to the service ended before the answer was complete"
            );
            (party, Code::UpstreamReset, sentence)
        }
    } else if report.http.status == 0 && !report.http.tcp_session {
        let sentence = "The request ended without a response, and nothing says why".to_owned();
        (Party::Unknown, Code::Unexplained, sentence)
    } else {
        return None;
    };
    Some(Verdict::certain(verdict.0, verdict.1, verdict.2))
}

/// The answer itself says that something failed.
fn answered_with_error(report: &Report) -> Option<Verdict> {
    let error = error_of(report)?;
    let (party, code, sentence) = if report.was_sent() {
        let sentence = format!(
            "{error}: the service answered with an error after {}",
            millis(report.duration_ns)
        );
        (Party::Service, Code::ServiceError, sentence)
    } else {
        let details = words::in_brackets(&report.http.response_details);
        let sentence = format!("{error}: the proxy answered without asking a service{details}");
        (Party::Proxy, Code::AnsweredByProxy, sentence)
    };
    Some(Verdict::certain(party, code, sentence))
}

/// Returns what the failure is called, if the status says that there is one.
fn error_of(report: &Report) -> Option<String> {
    let http = &report.http;
    match http.grpc_status {
        Some(0) => None,
        Some(code) => Some(format!("gRPC status {code}")),
        None => (http.status >= 500).then(|| http.status.to_string()),
    }
}

/// Returns whether the proxy says that no byte of an answer came.
fn before_first_byte(report: &Report) -> bool {
    report
        .http
        .response_details
        .contains("before_response_started")
        && report
            .upstream
            .as_ref()
            .is_none_or(|upstream| upstream.first_byte_ns.is_none())
}

fn failed_connect(outcome: Outcome) -> Option<(Party, Code)> {
    match outcome {
        Outcome::Refused => Some((Party::Service, Code::ConnectRefused)),
        Outcome::Unanswered => Some((Party::Network, Code::ConnectUnanswered)),
        Outcome::Unreachable => Some((Party::Network, Code::ConnectUnreachable)),
        Outcome::Aborted => Some((Party::Unknown, Code::ConnectAborted)),
        Outcome::Connecting
        | Outcome::Established
        | Outcome::Closed
        | Outcome::ResetByPeer
        | Outcome::ResetLocally
        | Outcome::TimedOut
        | Outcome::Unknown => None,
    }
}

fn failure_text(report: &Report) -> Option<&str> {
    let failure = &*report.upstream.as_ref()?.failure;
    (!failure.is_empty()).then_some(failure)
}

fn cause(verdict: Verdict, evidence: SmallVec<[Ground; 1]>) -> Cause {
    Cause {
        party: verdict.party,
        code: verdict.code,
        sentence: verdict.sentence,
        evidence,
        confidence: verdict.confidence,
    }
}

/// Makes a sentence of words.
fn said(words: String) -> Sentence {
    words::capitalised(words).into()
}

// === impl Verdict ===

impl Verdict {
    fn certain(party: Party, code: Code, words: String) -> Self {
        Self {
            party,
            code,
            sentence: said(words),
            confidence: Confidence::Certain,
        }
    }
}
