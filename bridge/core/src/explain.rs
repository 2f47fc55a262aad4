//! Who did it: one pure function over what was joined.
//!
//! From evidence only: what no source saw is `unknown`. The API, metrics and spans all show what this says.
//! `crate::phases` decides where the time went; this names the party and the code, and says it in one sentence
//! (`crate::words`).

mod completed;
mod stopped;
mod timed_out;

use smallvec::{SmallVec, smallvec};
use syntrace_model::Outcome;

use crate::{
    answer::{Answer, Cause, Code, Ground, Party, Sentence},
    confidence::Confidence,
    errno::Failure,
    evidence::Evidence,
    fact::{Report, Snapshot},
    failure, flag, phases,
    record::Phase,
    words::{self, duration},
};

/// Envoy's details of an answer that is the service's.
const VIA_UPSTREAM: &str = "via_upstream";

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
        .or_else(|| stopped::by_proxy(report))
        .or_else(|| ended_by_client(report))
        .or_else(|| timed_out::timed_out(report, evidence, phases))
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
///
/// `syn_dropped` says whether the listener that it went to, in its own namespace, dropped a SYN meanwhile.
#[must_use]
pub fn connect(socket: &Snapshot, syn_dropped: bool) -> Option<Answer> {
    let (party, code) = failed_connect(socket.outcome)?;
    let (party, code, words) = if syn_dropped {
        let words = words::syn_dropped(socket);
        (Party::Kernel, Code::AcceptOverflow, words)
    } else {
        (party, code, words::connect(socket, ""))
    };
    let verdict = Verdict {
        party,
        code,
        sentence: said(words),
        confidence: code.confidence(Confidence::Certain),
    };
    Some(Answer {
        cause: cause(verdict, words::of_socket(socket).collect()),
        time: phases::by_party(&phases::connection(socket, syn_dropped)),
    })
}

/// No connection to the service came about.
fn connect_failed(report: &Report, evidence: &Evidence<'_>) -> Option<Verdict> {
    let failure = Failure::of(report)?;
    let status = words::status(report.http.status);
    if let Some((socket, confidence)) = evidence.failed_by {
        let snapshot = socket.snapshot();
        let peer = socket.key().peer;
        let (party, code, words) = match failed_connect(socket.outcome()) {
            Some(_) if evidence.syn_dropped => {
                let words = words::syn_dropped(&snapshot);
                (Party::Kernel, Code::AcceptOverflow, words)
            }
            Some((_, Code::ConnectAborted)) if failure != Failure::Other => {
                let words = words::connect_timeout(&snapshot);
                (Party::Network, Code::ConnectTimeout, words)
            }
            Some((party, code)) => (party, code, words::connect(&snapshot, "the service at ")),
            None if failure == Failure::Timeout => {
                match failure::unanswered_ns(report, socket, evidence.ran) {
                    Some(ns) => (Party::Service, Code::TlsFailed, words::unanswered(peer, ns)),
                    None => {
                        let words = words::established_in_vain(peer);
                        (Party::Unknown, Code::ConnectFailed, words)
                    }
                }
            }
            None if failure == Failure::Ended(Outcome::ResetByPeer) => {
                let words = words::reset_at_once(&snapshot);
                (Party::Service, Code::ResetBeforeFirstByte, words)
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
    let text = failure_text(report).unwrap_or("no reason given");
    let code = match failure {
        Failure::Tls => Code::TlsFailed,
        Failure::Timeout => Code::ConnectTimeout,
        Failure::NotDialled => {
            let sentence =
                format!("{status}the proxy could not start connecting to the service ({text})");
            let code = Code::ConnectFailed;
            return Some(Verdict::certain(Party::Proxy, code, sentence));
        }
        Failure::Ended(_) | Failure::Other | Failure::Unnamed => Code::ConnectFailed,
    };
    Some(Verdict::certain(
        Party::Unknown,
        code,
        format!(
            "{status}the proxy reports a failed connect ({text}) that no kernel record confirms"
        ),
    ))
}

/// The client ended the request, or made it one that cannot be served.
fn ended_by_client(report: &Report) -> Option<Verdict> {
    let has = |flags: u64| report.http.response_flags & flags != 0;
    let took = || duration(report.duration_ns);
    let status = || words::status(report.http.status);
    let (code, sentence) = if has(flag::DOWNSTREAM_PROTOCOL) {
        let sentence = format!("{}the client violated the HTTP protocol", status());
        (Code::ClientProtocol, sentence)
    } else if has(flag::INVALID_HEADERS) {
        let sentence = format!(
            "{}the client sent an x-envoy header with a value that the proxy's strict check rejects",
            status()
        );
        (Code::ClientProtocol, sentence)
    } else if has(flag::DOWNSTREAM_REMOTE_RESET) {
        let sentence = format!("The client cancelled the request after {}", took());
        (Code::ClientGone, sentence)
    } else if has(flag::DOWNSTREAM_TERMINATION) && !was_closed_by_proxy(report) {
        let sentence = format!("The client went away after {}", took());
        (Code::ClientGone, sentence)
    } else {
        return None;
    };
    Some(Verdict::certain(Party::Client, code, sentence))
}

/// Returns whether the proxy says that it closed the client's connection itself.
fn was_closed_by_proxy(report: &Report) -> bool {
    let details = &report.http.response_details;
    details.starts_with("downstream_local_disconnect")
}

/// Somebody ended the request before it was complete.
fn cut_off(report: &Report, evidence: &Evidence<'_>) -> Option<Verdict> {
    let flags = report.http.response_flags;
    if flags == 0 && (report.http.status != 0 || report.http.tcp_session) {
        return None;
    }
    let has = |flag: u64| flags & flag != 0;
    let status = words::status(report.http.status);
    let took = duration(report.duration_ns);
    let details = || words::in_brackets(&report.http.response_details);
    let verdict = if has(flag::UPSTREAM_PROTOCOL) {
        let sentence = format!("{status}the service violated the HTTP protocol");
        (Party::Service, Code::UpstreamProtocol, sentence)
    } else if has(flag::UPSTREAM_REMOTE_RESET | flag::UPSTREAM_TERMINATION) {
        let by_service = evidence.reset_by_service || has(flag::UPSTREAM_REMOTE_RESET);
        let party = if by_service {
            Party::Service
        } else {
            Party::Unknown
        };
        let ended = if has(flag::UPSTREAM_REMOTE_RESET) {
            "the service reset the stream"
        } else if evidence.reset_by_service {
            "the service reset the connection"
        } else {
            "the connection to the service ended"
        };
        let (code, when) = if before_first_byte(report) {
            let when = "before the first byte of a response";
            (Code::ResetBeforeFirstByte, when)
        } else {
            (Code::UpstreamReset, "before the response was complete")
        };
        let sentence = format!("{status}{ended} after {took}, {when}");
        (party, code, sentence)
    } else if has(flag::LOCAL_RESET) {
        let sentence = format!(
            "{status}the proxy itself reset the stream to the service after {took}{}",
            details()
        );
        (Party::Unknown, Code::LocalReset, sentence)
    } else if has(flag::DOWNSTREAM_TERMINATION) {
        let sentence = format!(
            "{status}the proxy itself closed the client's connection after {took}{}",
            details()
        );
        (Party::Unknown, Code::LocalReset, sentence)
    } else if report.http.status == 0 && !report.http.tcp_session {
        let sentence = "The request ended without a response, and nothing says why".to_owned();
        (Party::Unknown, Code::Unexplained, sentence)
    } else {
        return None;
    };
    Some(Verdict::certain(verdict.0, verdict.1, verdict.2))
}

/// The answer itself says that something failed: the service's, only if the proxy says so.
fn answered_with_error(report: &Report) -> Option<Verdict> {
    let error = error_of(report)?;
    let details = &*report.http.response_details;
    let in_brackets = || words::in_brackets(details);
    let took = || duration(report.duration_ns);
    let (party, code, sentence) = if !report.may_have_been_sent() {
        let sentence = format!(
            "{error}: the proxy answered without contacting a service{}",
            in_brackets()
        );
        (Party::Proxy, Code::AnsweredByProxy, sentence)
    } else if details == VIA_UPSTREAM {
        let sentence = format!(
            "{error}: the service answered with an error after {}",
            took()
        );
        (Party::Service, Code::ServiceError, sentence)
    } else if details.is_empty() || details.starts_with("upstream") {
        let sentence = format!(
            "{error} after {}, and nothing says who answered{}",
            took(),
            in_brackets()
        );
        (Party::Unknown, Code::Unexplained, sentence)
    } else if !report.was_sent() {
        let sentence = format!(
            "{error}: the proxy itself answered; its last attempt contacted no service{}",
            in_brackets()
        );
        (Party::Proxy, Code::AnsweredByProxy, sentence)
    } else {
        let sentence = format!(
            "{error}: the proxy answered in place of the service it had contacted{}",
            in_brackets()
        );
        (Party::Proxy, Code::AnswerReplaced, sentence)
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
