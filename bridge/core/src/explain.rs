//! Who did it, and where the time went: one pure function over what was joined.
//!
//! From evidence only: what no source saw is `unknown`. The API, metrics and spans all show
//! what this says.

use syntrace_model::{BootNanos, Outcome};

use crate::{
    answer::{Answer, Cause, Code, Party, TimeByParty},
    confidence::Confidence,
    fact::{Report, Snapshot},
};

/// Envoy's response flags that tell who ended a request (`CoreResponseFlag`, as bits).
mod flag {
    pub(super) const UPSTREAM_TIMEOUT: u64 = 1 << 2;
    pub(super) const UPSTREAM_REMOTE_RESET: u64 = 1 << 4;
    pub(super) const UPSTREAM_CONNECT_FAILURE: u64 = 1 << 5;
    pub(super) const UPSTREAM_TERMINATION: u64 = 1 << 6;
    pub(super) const DOWNSTREAM_TERMINATION: u64 = 1 << 14;
}

/// What was joined to a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Evidence<'a> {
    /// The connection that carried it to the service.
    pub served_by: Option<&'a Snapshot>,
    /// Whether the service's RST ended that connection while the request ran.
    pub reset_by_service: bool,
    /// The connect that it waited for.
    pub opened: Option<&'a Snapshot>,
    /// The connect that failed it, and how sure that is.
    pub failed_by: Option<(&'a Snapshot, Confidence)>,
}

/// Says who made a request fail or wait, and splits its duration by party.
#[must_use]
pub fn request(report: &Report, evidence: Evidence<'_>) -> Answer {
    let time = request_time(report, evidence);
    let (party, code, sentence, confidence) = request_cause(report, evidence, &time);
    let mut named = vec![format!("status={}", report.http.status)];
    if report.http.response_flags != 0 {
        named.push(format!("response_flags={:#x}", report.http.response_flags));
    }
    if let Some(failure) = failure(report) {
        named.push(format!("upstream_failure={failure}"));
    }
    if let Some((socket, _)) = evidence.failed_by {
        named.extend(socket_evidence(socket));
    }
    Answer {
        cause: cause(party, code, sentence, named, confidence),
        time,
    }
}

/// Says why a connect failed; `None` for a connection that was established, or still may be.
#[must_use]
pub fn connect(socket: &Snapshot) -> Option<Answer> {
    let (party, code) = failed_connect(socket.outcome)?;
    let time = TimeByParty {
        network_ns: life_ns(socket),
        ..TimeByParty::default()
    };
    let sentence = connect_sentence(socket, "");
    let evidence = socket_evidence(socket);
    Some(Answer {
        cause: cause(party, code, sentence, evidence, Confidence::Certain),
        time,
    })
}

/// Splits the duration of a request.
///
/// The connect it waited for is the network's, as is one round trip of what passed until the first
/// byte of the response; the rest of that was the service's. The round trip is the handshake's: a later
/// measurement may come before or after the request settles. Waiting for a connection beyond the
/// handshake is the proxy's, and all that is left of a request that no service ever had. What passed
/// around and after the first byte is `unknown`: no source says whose it was.
fn request_time(report: &Report, evidence: Evidence<'_>) -> TimeByParty {
    let mut left = Budget(report.duration_ns);
    let mut time = TimeByParty::default();
    let upstream = report.upstream.as_ref();
    if let Some((socket, _)) = evidence.failed_by {
        time.network_ns += left.take(life_ns(socket));
    }
    if let Some(socket) = evidence.opened {
        time.network_ns += left.take(handshake_ns(socket));
    }
    let waited_ns = upstream
        .and_then(|upstream| upstream.pool_wait_ns)
        .unwrap_or(0);
    time.proxy_ns += left.take(waited_ns.saturating_sub(time.network_ns));
    match upstream.and_then(|upstream| upstream.first_byte_ns) {
        Some(first_byte_ns) => {
            let round_trip_ns = evidence
                .served_by
                .map_or(0, handshake_ns)
                .min(first_byte_ns);
            time.network_ns += left.take(round_trip_ns);
            time.service_ns += left.take(first_byte_ns - round_trip_ns);
            time.unknown_ns = left.0;
        }
        None if upstream.is_none_or(|upstream| upstream.local.is_none()) => time.proxy_ns += left.0,
        None => time.unknown_ns = left.0,
    }
    time
}

fn request_cause(
    report: &Report,
    evidence: Evidence<'_>,
    time: &TimeByParty,
) -> (Party, Code, String, Confidence) {
    let flags = report.http.response_flags;
    let status = report.http.status;
    let has = |flag: u64| flags & flag != 0;
    let certain = Confidence::Certain;
    if let Some((socket, confidence)) = evidence.failed_by
        && let Some((party, code)) = failed_connect(socket.outcome)
    {
        return (
            party,
            code,
            format!("{status}: {}", connect_sentence(socket, "the service at ")),
            confidence,
        );
    }
    if has(flag::UPSTREAM_CONNECT_FAILURE) {
        let text = failure(report).unwrap_or("no text");
        let sentence = format!(
            "{status}: the proxy reports a failed connect ({text}) that no kernel record confirms"
        );
        return (Party::Unknown, Code::ConnectFailed, sentence, certain);
    }
    if has(flag::DOWNSTREAM_TERMINATION) {
        let sentence = format!("The client went away after {}", millis(report.duration_ns));
        return (Party::Client, Code::ClientGone, sentence, certain);
    }
    if has(flag::UPSTREAM_TIMEOUT) {
        let sentence = format!(
            "{status}: the service did not answer within {}",
            millis(report.duration_ns)
        );
        return (Party::Service, Code::UpstreamTimeout, sentence, certain);
    }
    if has(flag::UPSTREAM_REMOTE_RESET | flag::UPSTREAM_TERMINATION) {
        let party = if evidence.reset_by_service {
            Party::Service
        } else {
            Party::Unknown
        };
        let sentence =
            format!("{status}: the connection to the service ended before the answer was complete");
        return (party, Code::UpstreamReset, sentence, certain);
    }
    if status == 0 {
        let sentence = "The request ended without a response, and nothing says why".to_owned();
        return (Party::Unknown, Code::Unexplained, sentence, certain);
    }
    let answered = report
        .upstream
        .as_ref()
        .is_some_and(|upstream| upstream.local.is_some());
    match (answered, error_of(report)) {
        (true, Some(error)) => {
            let sentence = format!(
                "{error}: the service answered with an error after {}",
                millis(report.duration_ns)
            );
            (Party::Service, Code::ServiceError, sentence, certain)
        }
        (false, Some(error)) => {
            let details = &report.http.response_details;
            let sentence =
                format!("{error}: the proxy answered without asking a service ({details})");
            (Party::Proxy, Code::AnsweredByProxy, sentence, certain)
        }
        (_, None) => completed(report, time),
    }
}

/// Says of a request that nothing failed who took most of its time.
fn completed(report: &Report, time: &TimeByParty) -> (Party, Code, String, Confidence) {
    let total = millis(report.duration_ns);
    let slowest = Party::ALL
        .into_iter()
        .max_by_key(|&party| time.of(party))
        .unwrap_or(Party::Unknown);
    let took = millis(time.of(slowest));
    let sentence = match slowest {
        Party::Unknown if time.unknown_ns == report.duration_ns => {
            format!("Completed in {total}; its parts were not reported")
        }
        Party::Unknown => format!("Completed in {total}; {took} of it is not accounted for"),
        Party::Client | Party::Network | Party::Kernel | Party::Proxy | Party::Service => {
            format!(
                "Completed in {total}; the {} took {took} of it",
                slowest.name()
            )
        }
    };
    (slowest, Code::Completed, sentence, Confidence::Certain)
}

/// Returns how the failure is called, if the status says that there is one.
fn error_of(report: &Report) -> Option<String> {
    let http = &report.http;
    match http.grpc_status {
        Some(0) => None,
        Some(code) => Some(format!("gRPC status {code}")),
        None => (http.status >= 500).then(|| http.status.to_string()),
    }
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

/// Says how a connect failed; `role` goes before the peer's address, where the peer's role is known.
fn connect_sentence(socket: &Snapshot, role: &str) -> String {
    let after = millis(life_ns(socket));
    let peer = format!("{role}{}", socket.key.peer);
    let syns = match socket.counters.syn_retransmits {
        0 => "the SYN".to_owned(),
        again => format!("{} SYNs", u64::from(again) + 1),
    };
    match socket.outcome {
        Outcome::Refused => format!("{peer} refused the connection, RST {after} after the SYN"),
        Outcome::Unanswered => format!("{peer} did not answer {syns} within {after}"),
        Outcome::Unreachable => format!("{peer} cannot be reached, ICMP said after {after}"),
        Outcome::Aborted => {
            format!("the connect to {peer} was given up after {after}, {syns} unanswered")
        }
        Outcome::Connecting
        | Outcome::Established
        | Outcome::Closed
        | Outcome::ResetByPeer
        | Outcome::ResetLocally
        | Outcome::TimedOut
        | Outcome::Unknown => format!("the connection to {peer} is {}", socket.outcome.name()),
    }
}

fn socket_evidence(socket: &Snapshot) -> Vec<String> {
    let mut named = vec![format!("outcome={}", socket.outcome.name())];
    if socket.errno != 0 {
        named.push(format!("errno={}", socket.errno));
    }
    named.push(format!(
        "syn_retransmits={}",
        socket.counters.syn_retransmits
    ));
    named
}

fn cause(
    party: Party,
    code: Code,
    sentence: String,
    evidence: Vec<String>,
    confidence: Confidence,
) -> Cause {
    let mut sentence = sentence;
    if let Some(first) = sentence.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    Cause {
        party,
        code,
        sentence: sentence.into(),
        evidence: evidence.into_iter().map(Into::into).collect(),
        confidence,
    }
}

fn failure(report: &Report) -> Option<&str> {
    let failure = &*report.upstream.as_ref()?.failure;
    (!failure.is_empty()).then_some(failure)
}

/// From the SYN to the close; 0 where either was not observed.
fn life_ns(socket: &Snapshot) -> u64 {
    between(socket.syn_at, socket.closed_at)
}

/// From the SYN to the end of the handshake; 0 where either was not observed.
fn handshake_ns(socket: &Snapshot) -> u64 {
    between(socket.syn_at, socket.established_at)
}

fn between(from: Option<BootNanos>, until: Option<BootNanos>) -> u64 {
    from.zip(until)
        .map_or(0, |(from, until)| until.since_ns(from))
}

/// Writes a length of time in milliseconds, to the microsecond below ten.
fn millis(ns: u64) -> String {
    let ms = ns as f64 / 1e6;
    if ms < 10.0 {
        format!("{ms:.3} ms")
    } else {
        format!("{ms:.1} ms")
    }
}

/// What is left of a duration; nothing can take more.
struct Budget(u64);

impl Budget {
    fn take(&mut self, ns: u64) -> u64 {
        let taken = ns.min(self.0);
        self.0 -= taken;
        taken
    }
}
