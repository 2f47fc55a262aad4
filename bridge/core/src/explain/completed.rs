//! Who took most of the time of a request that nothing failed.

use std::cmp::Reverse;

use super::{SLOW_NS, Verdict};
use crate::{
    answer::{Code, Party, TimeByParty},
    confidence::Confidence,
    evidence::Evidence,
    fact::{IncidentKind, Report},
    phases::{self, LOST_SYN_NS},
    record::{LinkKind, Phase, PhaseKind},
    words::millis,
};

/// How the sentence about most requests begins; it is put together without [`std::fmt`], which would
/// cost more than all other parts of the answer.
const COMPLETED: &str = "Completed in ";

/// Nothing failed: who took most of the time, and why, if it was long.
pub(super) fn completed(report: &Report, evidence: &Evidence<'_>, phases: &[Phase]) -> Verdict {
    let time = phases::by_party(phases);
    let total_ns = time.total_ns();
    let total = millis(total_ns);
    let total = total.as_str();
    let longest = phases.iter().max_by_key(|phase| phase.duration_ns);
    if let Some(&longest) = longest
        && longest.duration_ns >= SLOW_NS
        && longest.duration_ns > total_ns / 2
        && let Some((code, why)) = slow(longest, evidence)
    {
        let took = millis(longest.duration_ns);
        let parts = [COMPLETED, total, "; for ", took.as_str(), " of it ", why];
        let sentence = parts.concat();
        return Verdict {
            party: longest.party,
            code,
            sentence,
            confidence: if is_concluded(longest.kind) {
                Confidence::Likely
            } else {
                Confidence::Certain
            },
        };
    }
    let slowest = leader(&time, phases, evidence);
    let took = millis(time.of(slowest));
    let took = took.as_str();
    let unreported = phases
        .iter()
        .all(|phase| matches!(phase.kind, PhaseKind::Unreported | PhaseKind::RoundTrip));
    let sentence = match slowest {
        Party::Unknown if report.http.tcp_session => ["The session ended after ", total].concat(),
        Party::Unknown if unreported => {
            [COMPLETED, total, "; its parts were not reported"].concat()
        }
        Party::Unknown if time.unknown_ns > total_ns / 2 => {
            [COMPLETED, total, "; ", took, " of it is not accounted for"].concat()
        }
        Party::Unknown => [COMPLETED, total, "; no party took most of it beyond doubt"].concat(),
        Party::Client | Party::Network | Party::Kernel | Party::Proxy | Party::Service => {
            let name = slowest.name();
            let parts = [COMPLETED, total, "; the ", name, " took ", took, " of it"];
            parts.concat()
        }
    };
    Verdict::certain(slowest, Code::Completed, sentence)
}

/// Returns who took the most of the time, whatever is in doubt: what is not accounted for may be of the
/// next one, as may be what earlier attempts took; a request may have come
/// before this one and not have been told; a round trip may take some times as long as the handshake's did, and so may the proxy's own work,
/// of which no more is known than what is left over. So is that by which the clocks disagree.
fn leader(time: &TimeByParty, phases: &[Phase], evidence: &Evidence<'_>) -> Party {
    let doubt_ns: u64 = phases
        .iter()
        .map(|phase| match (phase.kind, phase.party) {
            (_, Party::Unknown)
            | (PhaseKind::FailedAttempts | PhaseKind::Backoff | PhaseKind::RequestWait, _)
            | (PhaseKind::Response, Party::Proxy) => phase.duration_ns,
            (PhaseKind::RoundTrip, _) => phase.duration_ns.saturating_mul(4),
            _ => 0,
        })
        .fold(phases::overlap_ns(evidence), u64::saturating_add);
    let mut known = Party::ALL;
    known.sort_by_key(|&party| Reverse(time.of(party)));
    let mut known = known.into_iter().filter(|&party| party != Party::Unknown);
    match (known.next(), known.next()) {
        (Some(first), Some(second))
            if time.of(first) > time.of(second).saturating_add(doubt_ns) =>
        {
            first
        }
        _ => Party::Unknown,
    }
}

/// Returns whether a phase may have been something else: it is told from incidents or attempts that may
/// have been another request's, or an answer was waited for, which may have been lost on its way. Only
/// the service's end of the connection knows of that, and sends it again.
fn is_concluded(kind: PhaseKind) -> bool {
    matches!(
        kind,
        PhaseKind::RequestLost
            | PhaseKind::Service
            | PhaseKind::Response
            | PhaseKind::FailedAttempts
    )
}

/// Names what a phase that took most of a slow request was spent on.
fn slow(phase: Phase, evidence: &Evidence<'_>) -> Option<(Code, &'static str)> {
    let resent = evidence
        .exclusive(IncidentKind::Retransmit, LinkKind::ReceivedOn)
        .is_some();
    Some(match phase.kind {
        PhaseKind::Handshake if phase.party == Party::Kernel => (
            Code::AcceptOverflow,
            "the accept queue was full while the client connected",
        ),
        PhaseKind::Handshake if phase.duration_ns >= LOST_SYN_NS => (
            Code::SynLost,
            "the client's handshake was not answered at first",
        ),
        PhaseKind::AcceptWait if phase.party == Party::Kernel => (
            Code::AcceptWait,
            "the connection waited for a worker to accept it",
        ),
        PhaseKind::RequestWait | PhaseKind::AcceptWait => (
            Code::SlowClient,
            "the connection waited for the client to send the request",
        ),
        PhaseKind::UpstreamHandshake if phase.duration_ns >= LOST_SYN_NS => (
            Code::ConnectSynLost,
            "the connect to the service was not answered at first",
        ),
        PhaseKind::FailedAttempts if phase.party == Party::Network => (
            Code::ConnectTimeout,
            "the connect of an earlier attempt was not answered",
        ),
        PhaseKind::PoolWait if phase.party == Party::Proxy => (
            Code::PoolWait,
            "the request waited in the proxy for a connection",
        ),
        PhaseKind::RequestLost => (
            Code::RequestRetransmitted,
            "the request was on its way to the service, and had to be sent again",
        ),
        PhaseKind::Service
            if phase.party == Party::Service
                && evidence.in_accept_queue_ns > phase.duration_ns / 2 =>
        {
            (
                Code::SlowService,
                "the proxy waited for the service, whose accept queue held the connection most of that time",
            )
        }
        PhaseKind::Service if phase.party == Party::Service => (
            Code::SlowService,
            "the proxy waited for the service to answer",
        ),
        PhaseKind::Response if phase.party == Party::Client => (
            Code::SlowClient,
            "the client did not take the answer, its window was closed",
        ),
        PhaseKind::Response if evidence.answer_resent_at.is_some() => (
            Code::ResponseRetransmitted,
            "the answer was on its way from the service, and had to be sent again",
        ),
        PhaseKind::Response if resent => (
            Code::ResponseRetransmitted,
            "the answer was on its way to the client, and had to be sent again",
        ),
        PhaseKind::Handshake
        | PhaseKind::Tls
        | PhaseKind::Head
        | PhaseKind::FailedAttempts
        | PhaseKind::Backoff
        | PhaseKind::PoolWait
        | PhaseKind::UpstreamHandshake
        | PhaseKind::RoundTrip
        | PhaseKind::Service
        | PhaseKind::Response
        | PhaseKind::Proxy
        | PhaseKind::Session
        | PhaseKind::Unreported
        | PhaseKind::Open => return None,
    })
}
