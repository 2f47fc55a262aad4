//! From the request's first byte towards the service to the end.
//!
//! The proxy reports one duration, up to the last byte of the answer; any delay of the answer lies within it: a
//! client that does not take the answer keeps the proxy from reading it.

use syntrace_model::BootNanos;

use crate::{
    answer::Party,
    evidence::Evidence,
    fact::{IncidentKind, Report},
    flag,
    join::{DISORDER_NS, TIGHT_NS},
    limit::{Awaited, Limit},
    phases::{Cut, round_trip_ns},
    record::{ChargedIncident, LinkKind, PhaseKind},
};

/// Longest request body that a client sends in one go, bytes: Linux' initial congestion window of ten segments.
/// For a longer one, the client may have been waited for.
const REQUEST_AT_ONCE_BYTES: u64 = 14_600;

/// Shortest time after which Linux retransmits the last segment of a request or an answer, nanoseconds:
/// `TCP_RTO_MIN`. The segment had been on its way at least as long.
const RESENT_AFTER_NS: u64 = 200_000_000;

/// By how much Linux may retransmit later than it is due, nanoseconds: a tick, and a kernel that is busy.
const RESENT_LATE_NS: u64 = 50_000_000;

/// Longest answer that the proxy can buffer without the client reading, bytes: a lower bound of socket and
/// proxy buffers. For a longer one, the client may have been waited for.
const ANSWER_AT_ONCE_BYTES: u64 = 65_536;

// === impl Cut ===

impl Cut {
    /// Cuts off all that is left of a request that was sent.
    pub(super) fn answering(&mut self, report: &Report, evidence: &Evidence<'_>, explained: bool) {
        let upstream = report.upstream.as_ref();
        let details = upstream
            .filter(|upstream| upstream.pool_wait_ns.is_some() || upstream.first_byte_ns.is_some());
        let round_trip_ns = evidence.served_by.map_or(0, round_trip_ns);
        let Some(details) = details else {
            // The connection was open, and whatever took the time, a round trip was part of it.
            self.take(PhaseKind::RoundTrip, Party::Network, round_trip_ns);
            self.rest(PhaseKind::Unreported, Party::Unknown);
            return;
        };
        let answered_ns = details.first_byte_ns.unwrap_or(self.left_ns);
        let answered_ns = answered_ns.min(self.left_ns);
        let after_ns = self.left_ns - answered_ns;
        let since_sent_ns = |at: BootNanos| {
            let sent_at = evidence.ran?.end.minus_ns(after_ns + answered_ns);
            Some(at.since_ns(sent_at))
        };
        self.left_ns = answered_ns;
        // What is retransmitted sooner was another request's, or held this one up for a round trip.
        let is_late = |at: BootNanos| since_sent_ns(at).is_some_and(|ns| ns >= RESENT_AFTER_NS);
        let resent = evidence.incidents.iter().rfind(|charged| {
            charged.is(IncidentKind::Retransmit, LinkKind::ServedBy) && is_late(charged.incident.at)
        });
        let lost = resent.filter(|charged| charged.is_exclusive() && is_sent_at_once(report));
        let lost_at = lost.map(|charged| charged.incident.at);
        let lost_ns = lost_at.and_then(since_sent_ns).unwrap_or(0);
        self.take(PhaseKind::RequestLost, Party::Network, lost_ns);
        self.take(PhaseKind::RoundTrip, Party::Network, round_trip_ns);
        let came_at = evidence.ran.map(|ran| ran.end.minus_ns(after_ns));
        let answer_resent = came_at
            .zip(evidence.answer_resent_at)
            .filter(|&(came_at, resent_at)| resent_at <= came_at.plus_ns(TIGHT_NS));
        let lost_answer = answer_resent.and_then(|(came_at, resent_at)| {
            let sent_at = came_at.minus_ns(answered_ns);
            // What was retransmitted was this answer only if the answer then arrived.
            let arrived = came_at.since_ns(resent_at) <= round_trip_ns.saturating_add(DISORDER_NS);
            let lost_at = resent_at.minus_ns(RESENT_AFTER_NS);
            arrived.then(|| (Party::Network, lost_at.since_ns(sent_at)))
        });
        let held_up = lost_answer.or_else(|| {
            let (party, charged) = held_up(report, evidence)?;
            Some((party, since_sent_ns(charged.incident.at)?))
        });
        // The retransmission may be among the lost facts, or those that a bound left out.
        let lacks_any = evidence.facts_lost || evidence.incidents_evicted > 0;
        let is_untold = lacks_any && answered_ns >= RESENT_AFTER_NS;
        // Without its duration, earlier attempts cannot be told from the service's time; nor can the
        // time before a segment was lost, nor that of a segment which may have been another request's.
        let service = match details.first_byte_ns {
            None if !explained => Party::Unknown,
            None if self.left_ns <= unacknowledged_ns(lost_ns, round_trip_ns)
                && !was_reset(report, evidence) =>
            {
                Party::Unknown
            }
            _ if is_untold
                || answer_resent.is_some()
                || last_resent(evidence).filter(|&at| is_late(at)) > lost_at =>
            {
                Party::Unknown
            }
            _ => service_party(report, evidence),
        };
        if let Some((party, since_ns)) = held_up {
            let taken_ns = answered_ns - self.left_ns;
            self.take(
                PhaseKind::Service,
                service,
                since_ns.saturating_sub(taken_ns),
            );
            self.rest(PhaseKind::Response, party);
        } else {
            self.rest(PhaseKind::Service, service);
        }
        self.left_ns = after_ns;
        self.own_work(PhaseKind::Response, report, explained);
    }
}

/// Returns within which time a segment of a request that was not answered may still be on its way, or lost, without
/// being sent again, nanoseconds; `lost_ns` is how long it had been on its way when it was sent again last.
///
/// The first retransmission comes after a round trip and four times its variation, at least `TCP_RTO_MIN`; on a new
/// connection, three round trips in all. Each further one comes after twice the time of the one before: three times as
/// long after the segment was first sent.
fn unacknowledged_ns(lost_ns: u64, round_trip_ns: u64) -> u64 {
    let first_ns = RESENT_AFTER_NS.saturating_add(round_trip_ns.saturating_mul(3));
    let next_ns = lost_ns.saturating_mul(2);
    first_ns.max(next_ns).saturating_add(RESENT_LATE_NS)
}

/// Returns when data was last retransmitted to the service by the request's end, up to the sources' disorder:
/// what is reported of the end may lag behind it, and whose data it was is another question.
fn last_resent(evidence: &Evidence<'_>) -> Option<BootNanos> {
    let until = evidence.ran?.end.plus_ns(DISORDER_NS);
    let incidents = evidence.served_by?.connection().incidents();
    let mut resent = incidents.iter().rev();
    let last =
        resent.find(|incident| incident.kind == IncidentKind::Retransmit && incident.at <= until);
    Some(last?.at)
}

/// Returns whether the client sends the request's body in one go: then it was not waited for.
pub(super) fn is_sent_at_once(report: &Report) -> bool {
    report.http.request_bytes <= REQUEST_AT_ONCE_BYTES
}

/// Returns whether the service's RST ended the request: one that comes after the proxy has ended it says nothing.
fn was_reset(report: &Report, evidence: &Evidence<'_>) -> bool {
    const BY_PEER: u64 = flag::UPSTREAM_REMOTE_RESET | flag::UPSTREAM_TERMINATION;
    evidence.reset_by_service && report.http.response_flags & BY_PEER != 0
}

/// Returns whose time the proxy's wait for the answer was. Without the connection nobody knows what of it was lost on
/// its way.
fn service_party(report: &Report, evidence: &Evidence<'_>) -> Party {
    let is_answered = report
        .upstream
        .as_ref()
        .is_some_and(|upstream| upstream.first_byte_ns.is_some());
    let is_awaited =
        || Limit::of(report).is_some_and(|limit| limit.awaited(report) == Awaited::Service);
    let is_alone = is_sent_at_once(report) && report.http.response_bytes <= ANSWER_AT_ONCE_BYTES;
    let is_known = evidence.served_by.is_some() && is_alone;
    if is_known && (is_answered || is_awaited() || was_reset(report, evidence)) {
        Party::Service
    } else {
        Party::Unknown
    }
}

/// Returns who kept the proxy from handing a long answer on, and the incident that started it.
fn held_up<'a>(
    report: &Report,
    evidence: &'a Evidence<'_>,
) -> Option<(Party, &'a ChargedIncident)> {
    let on_client = |kind| evidence.exclusive(kind, LinkKind::ReceivedOn);
    if report.http.response_bytes <= ANSWER_AT_ONCE_BYTES {
        return None;
    }
    let closed = on_client(IncidentKind::ZeroWindow).map(|incident| (Party::Client, incident));
    closed.or_else(|| Some((Party::Network, on_client(IncidentKind::Retransmit)?)))
}
