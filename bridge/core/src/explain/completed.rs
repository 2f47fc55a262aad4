//! Who took most of the time of a request that nothing failed.

use super::{SLOW_NS, Verdict};
use crate::{
    answer::{Code, Most, Party, Sentence, TimeByParty},
    confidence::Confidence,
    evidence::Evidence,
    fact::{IncidentKind, Report},
    phases,
    record::{LinkKind, Phase, PhaseKind},
    words::duration,
};

/// Nothing failed: who took most of the time, and why, if it was long.
pub(super) fn completed(
    report: &Report,
    evidence: &Evidence<'_>,
    phases: &[Phase],
    time: &TimeByParty,
) -> Verdict {
    let total_ns = time.total_ns();
    let longest = phases.iter().max_by_key(|phase| phase.duration_ns);
    if let Some(&longest) = longest
        && longest.duration_ns >= SLOW_NS
        && longest.duration_ns > total_ns / 2
        && let Some((code, why)) = slow(longest, evidence)
    {
        let (total, took) = (duration(total_ns), duration(longest.duration_ns));
        let sentence = format!("Completed in {total}; for {took} of it {why}").into();
        return Verdict {
            party: longest.party,
            code,
            sentence,
            confidence: code.confidence(if is_concluded(longest.kind) {
                Confidence::Likely
            } else {
                Confidence::Certain
            }),
        };
    }
    let slowest = leader(time, phases, evidence);
    let unreported = phases
        .iter()
        .all(|phase| matches!(phase.kind, PhaseKind::Unreported | PhaseKind::RoundTrip));
    let most = match slowest {
        Party::Unknown if report.http.tcp_session => {
            let words = format!("The session ended after {}", duration(total_ns));
            return Verdict::certain(slowest, Code::Completed, words);
        }
        Party::Unknown if unreported => Most::Unreported,
        Party::Unknown if time.unknown_ns > total_ns / 2 => Most::Unaccounted {
            ns: time.unknown_ns,
        },
        Party::Unknown => Most::Doubtful,
        Party::Client | Party::Network | Party::Kernel | Party::Proxy | Party::Service => {
            Most::Of {
                party: slowest,
                ns: time.of(slowest),
            }
        }
    };
    Verdict {
        party: slowest,
        code: Code::Completed,
        sentence: Sentence::Completed { total_ns, most },
        confidence: Confidence::Certain,
    }
}

/// Returns the party with most of the time, if no uncertainty could change the ranking: unaccounted time,
/// earlier attempts, an unreported previous request, a longer round trip, the proxy's own work, clock error.
/// Otherwise `Unknown`.
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
    let (mut first, mut first_ns, mut second_ns) = (Party::Unknown, 0, 0);
    let [known @ .., _unknown] = Party::ALL;
    for party in known {
        let ns = time.of(party);
        if ns > first_ns {
            (first, first_ns, second_ns) = (party, ns, first_ns);
        } else {
            second_ns = second_ns.max(ns);
        }
    }
    if first_ns > second_ns.saturating_add(doubt_ns) {
        first
    } else {
        Party::Unknown
    }
}

/// Returns whether a phase is an inference: from incidents or attempts that may have been another request's, or
/// from waiting for an answer that may have been lost on its way, which only the service's end of the
/// connection knows.
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
pub(super) fn slow(phase: Phase, evidence: &Evidence<'_>) -> Option<(Code, &'static str)> {
    let resent = evidence
        .exclusive(IncidentKind::Retransmit, LinkKind::ReceivedOn)
        .is_some();
    Some(match phase.kind {
        PhaseKind::Handshake if phase.party == Party::Kernel => (
            Code::AcceptOverflow,
            if evidence.dropped() == Some(IncidentKind::SynOverflow) {
                "a SYN or SYN-ACK of the client's handshake was not answered, and the listener's SYN queue was full about that time"
            } else {
                "a SYN or SYN-ACK of the client's handshake was not answered, and the listener's accept queue was full about that time"
            },
        ),
        PhaseKind::Handshake if evidence.client_syn_resent() => (
            Code::SynLost,
            "a SYN or SYN-ACK of the client's handshake had to be sent again",
        ),
        PhaseKind::AcceptWait if phase.party == Party::Kernel => (
            Code::AcceptWait,
            "the connection waited for a worker to accept it",
        ),
        PhaseKind::RequestWait | PhaseKind::AcceptWait => (
            Code::SlowClient,
            "the connection waited for the client to send the request",
        ),
        PhaseKind::UpstreamHandshake if evidence.connect_syn_resent() => (
            Code::ConnectSynLost,
            "the SYN to the service had to be sent again",
        ),
        PhaseKind::FailedAttempts if phase.party == Party::Network => (
            Code::ConnectTimeout,
            "an earlier attempt to connect to the service failed",
        ),
        PhaseKind::PoolWait if phase.party == Party::Proxy => (
            Code::PoolWait,
            "the request waited in the proxy for an upstream connection",
        ),
        PhaseKind::RequestLost => (
            Code::RequestRetransmitted,
            "the request was being retransmitted to the service",
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
            "the response waited for the client, whose receive window was closed",
        ),
        PhaseKind::Response if evidence.answer_resent_at.is_some() => (
            Code::ResponseRetransmitted,
            "the response was being retransmitted by the service",
        ),
        PhaseKind::Response if resent => (
            Code::ResponseRetransmitted,
            "the response was being retransmitted to the client",
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
