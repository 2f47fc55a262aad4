//! Where the time went: cuts a record into phases that follow each other and sum exactly.
//!
//! A phase is measured (by the kernel's times, or by the lengths that the proxy reports) or is what is
//! left between two that are. What is left and could be of several parties is `unknown`. Lengths that
//! contradict each other are cut short; none becomes negative, because each is taken from what is left.

use syntrace_model::{BootNanos, Outcome};

use crate::{
    answer::{Party, TimeByParty},
    confidence::Confidence,
    evidence::Evidence,
    fact::{IncidentKind, Report, Snapshot},
    failure::cost_ns,
    join::{Interval, TIGHT_NS},
    record::{LinkKind, Phase, PhaseKind},
    sockets::Socket,
};

/// The most of an answered request that counts as the proxy's own work, nanoseconds: filters, routing,
/// and copying both ways. More than that may as well be a body that came or went slowly.
const OWN_WORK_NS: u64 = 1_000_000;

/// How long the proxy waits before a retry, as a rule: Envoy's base interval, jittered.
const BACKOFF_NS: u64 = 30_000_000;

/// Envoy's response flags that name the service as the one that was waited for: `UT`, `UMSDR`.
const SERVICE_WAS_SLOW: u64 = 1 << 2 | 1 << 19;

/// Phases under construction.
#[derive(Debug, Default)]
struct Cut {
    phases: Vec<Phase>,
    /// Where the next phase begins.
    at_ns: u64,
    /// What is left to be cut.
    left_ns: u64,
}

/// Cuts a request: what it waited for before the proxy saw it, then its own duration.
pub(crate) fn request(report: &Report, evidence: &Evidence<'_>) -> Vec<Phase> {
    let mut cut = Cut::default();
    if let Some((socket, ran)) = evidence.fresh.zip(evidence.ran) {
        cut.opening(socket, ran, report.tls_handshake_ns, evidence);
    }
    cut.left_ns = report.duration_ns;
    if let Some(ran) = evidence.ran {
        cut.earlier(report, evidence, ran);
    }
    cut.waiting(report, evidence);
    if report.http.tcp_session {
        cut.rest(PhaseKind::Session, Party::Unknown);
    } else if !report.was_sent() {
        cut.rest(PhaseKind::Proxy, Party::Proxy);
    } else {
        cut.answering(report, evidence);
    }
    cut.phases
}

/// Cuts the life of a socket.
pub(crate) fn connection(socket: &Snapshot) -> Vec<Phase> {
    let end = socket.closed_at.unwrap_or(socket.seen_at);
    let mut cut = Cut {
        left_ns: end.since_ns(socket.began_at()),
        ..Cut::default()
    };
    if let Some(syn_at) = socket.syn_at {
        let until = socket.established_at.unwrap_or(end);
        cut.take(PhaseKind::Handshake, Party::Network, until.since_ns(syn_at));
    }
    if let Some((established_at, accepted_at)) = socket.established_at.zip(socket.accepted_at) {
        let party = accept_party(socket.watch.accept_deferred);
        cut.take(
            PhaseKind::AcceptWait,
            party,
            accepted_at.since_ns(established_at),
        );
    }
    cut.rest(PhaseKind::Open, Party::Unknown);
    cut.phases
}

/// Adds phases up by party.
pub(crate) fn by_party(phases: &[Phase]) -> TimeByParty {
    let mut time = TimeByParty::default();
    for phase in phases {
        time.add(phase.party, phase.duration_ns);
    }
    time
}

/// Whoever lets the worker wait for data lets it wait for the client.
fn accept_party(deferred: bool) -> Party {
    if deferred {
        Party::Client
    } else {
        Party::Kernel
    }
}

/// From the SYN to the end of the handshake; 0 where either was not observed.
pub(crate) fn handshake_ns(socket: Socket<'_>) -> u64 {
    let ends = socket.syn_at().zip(socket.established_at());
    ends.map_or(0, |(syn_at, established_at)| {
        established_at.since_ns(syn_at)
    })
}

/// One round trip, by the handshake: a later measurement may come before or after a request settles.
///
/// A handshake whose SYN was lost tells none.
pub(crate) fn round_trip_ns(socket: Socket<'_>) -> u64 {
    Some(handshake_ns(socket))
        .filter(|&ns| ns < LOST_SYN_NS)
        .unwrap_or(0)
}

/// The first retransmission of a SYN comes after one second (RFC 6298).
pub(crate) const LOST_SYN_NS: u64 = 900_000_000;

// === impl Cut ===

impl Cut {
    /// Cuts off the next phase, as far as there is something left; none of no length.
    fn take(&mut self, kind: PhaseKind, party: Party, ns: u64) {
        let ns = ns.min(self.left_ns);
        self.left_ns -= ns;
        if ns > 0 {
            self.phases.push(Phase {
                kind,
                party,
                after_ns: self.at_ns,
                duration_ns: ns,
            });
            self.at_ns = self.at_ns.saturating_add(ns);
        }
    }

    /// Cuts off all that is left.
    fn rest(&mut self, kind: PhaseKind, party: Party) {
        self.take(kind, party, self.left_ns);
    }

    /// From the SYN to the request: what the client waited for before the proxy saw anything.
    fn opening(
        &mut self,
        socket: Socket<'_>,
        ran: Interval,
        tls_ns: Option<u64>,
        evidence: &Evidence<'_>,
    ) {
        let Some(syn_at) = socket.syn_at() else {
            return;
        };
        self.left_ns = ran.start.since_ns(syn_at);
        let mut at = syn_at;
        let mut until = |end: Option<BootNanos>| {
            let end = end.unwrap_or(at).max(at);
            let ns = end.since_ns(at);
            at = end;
            ns
        };
        let handshake_ns = until(socket.established_at());
        let accept_ns = until(socket.accepted_at());
        let tls_ns = tls_ns.unwrap_or(0);
        let party = accept_party(socket.accept_deferred());
        let handshake = if handshake_ns >= LOST_SYN_NS && evidence.listener_dropped() {
            Party::Kernel
        } else {
            Party::Network
        };
        self.take(PhaseKind::Handshake, handshake, handshake_ns);
        self.take(PhaseKind::AcceptWait, party, accept_ns);
        let travelling_ns = round_trip_ns(socket).min(tls_ns);
        self.take(PhaseKind::Tls, Party::Network, travelling_ns);
        self.take(PhaseKind::Tls, Party::Unknown, tls_ns - travelling_ns);
        self.rest(PhaseKind::RequestWait, Party::Client);
    }

    /// Earlier attempts: a connect that the request itself must have begun is the network's. Another one
    /// may have failed another request.
    fn earlier(&mut self, report: &Report, evidence: &Evidence<'_>, ran: Interval) {
        let attempts = report
            .upstream
            .as_ref()
            .map_or(0, |upstream| upstream.attempts);
        let all = evidence.earlier.len() + 1 == attempts as usize;
        let mut from = ran.start;
        let mut pause_ns = OWN_WORK_NS;
        for &(socket, confidence) in &evidence.earlier {
            let began_at = socket.began_at();
            let own = all
                && confidence == Confidence::Likely
                && from <= began_at.plus_ns(TIGHT_NS)
                && began_at <= from.plus_ns(pause_ns);
            let party = if own { Party::Network } else { Party::Unknown };
            self.take(PhaseKind::FailedAttempts, party, cost_ns(socket, ran));
            from = socket.closed_at().unwrap_or(began_at);
            pause_ns = BACKOFF_NS;
        }
    }

    /// Waiting for an upstream connection: its handshake is the network's, the rest the proxy's.
    fn waiting(&mut self, report: &Report, evidence: &Evidence<'_>) {
        let upstream = report.upstream.as_ref();
        let waited_ns = upstream
            .and_then(|upstream| upstream.pool_wait_ns)
            .unwrap_or(0);
        let handshake_ns = match (evidence.failed_by, evidence.opened, evidence.ran) {
            (Some((socket, _)), _, Some(ran)) => cost_ns(socket, ran),
            (None, Some(socket), _) => handshake_ns(socket),
            _ => 0,
        };
        // A failed connect that waited without being asked to is still what the request waited for.
        let handshake_ns = match evidence.failed_by {
            Some(_) if waited_ns == 0 => handshake_ns,
            _ => handshake_ns.min(waited_ns),
        };
        let party = match evidence.failed_by {
            Some((socket, _)) if !socket.outcome().is_failed_connect() => Party::Unknown,
            _ => Party::Network,
        };
        // Without the connection it cannot be told whether its handshake was waited for.
        let is_known = evidence.served_by.is_some() || !report.was_sent();
        let waiting = if is_known {
            Party::Proxy
        } else {
            Party::Unknown
        };
        self.take(
            PhaseKind::PoolWait,
            waiting,
            waited_ns.saturating_sub(handshake_ns),
        );
        self.take(PhaseKind::UpstreamHandshake, party, handshake_ns);
    }

    /// From the request's first byte towards the service to the end.
    fn answering(&mut self, report: &Report, evidence: &Evidence<'_>) {
        let upstream = report.upstream.as_ref();
        let details = upstream
            .filter(|upstream| upstream.pool_wait_ns.is_some() || upstream.first_byte_ns.is_some());
        let round_trip_ns = evidence.served_by.map_or(0, round_trip_ns);
        let Some(details) = details else {
            // The connection was there, and whatever took the time, a round trip was part of it.
            self.take(PhaseKind::RoundTrip, Party::Network, round_trip_ns);
            self.rest(PhaseKind::Unreported, Party::Unknown);
            return;
        };
        let answered_ns = details.first_byte_ns.unwrap_or(self.left_ns);
        let mut service = Self {
            phases: std::mem::take(&mut self.phases),
            at_ns: self.at_ns,
            left_ns: answered_ns.min(self.left_ns),
        };
        let after_ns = self.left_ns - service.left_ns;
        service.take(
            PhaseKind::RequestLost,
            Party::Network,
            lost_ns(evidence, after_ns + service.left_ns),
        );
        service.take(PhaseKind::RoundTrip, Party::Network, round_trip_ns);
        let waited_for_service = details.first_byte_ns.is_some() && evidence.served_by.is_some()
            || report.http.response_flags & SERVICE_WAS_SLOW != 0
            || evidence.reset_by_service;
        let party = if waited_for_service {
            Party::Service
        } else {
            Party::Unknown
        };
        service.rest(PhaseKind::Service, party);
        service.left_ns = after_ns;
        service.rest(PhaseKind::Response, response_party(evidence, after_ns));
        *self = service;
    }
}

/// From the moment at which the request was sent until its first segment that had to be sent again.
///
/// `left_ns` before the request's end it was sent, at the earliest.
fn lost_ns(evidence: &Evidence<'_>, left_ns: u64) -> u64 {
    let lost = evidence.exclusive(IncidentKind::Retransmit, LinkKind::ServedBy);
    let sent_at = evidence.ran.map(|ran| ran.end.minus_ns(left_ns));
    lost.zip(sent_at)
        .map_or(0, |(lost, sent_at)| lost.incident.at.since_ns(sent_at))
}

/// Whose the time is between the first byte of an answer and its end.
fn response_party(evidence: &Evidence<'_>, ns: u64) -> Party {
    let on_client = |kind| evidence.exclusive(kind, LinkKind::ReceivedOn).is_some();
    if ns <= OWN_WORK_NS {
        Party::Proxy
    } else if on_client(IncidentKind::ZeroWindow) {
        Party::Client
    } else if on_client(IncidentKind::Retransmit) {
        Party::Network
    } else {
        Party::Unknown
    }
}

/// Returns whether a request that began at `start` waited for this connection to be opened: by when the
/// proxy had it, but for a few round trips in which the client may have prepared the request.
pub(crate) fn is_fresh(socket: Socket<'_>, start: BootNanos, tls_ns: Option<u64>) -> bool {
    let Some(ready_at) = socket.accepted_at().or_else(|| socket.established_at()) else {
        return false;
    };
    let ready_at = ready_at.plus_ns(tls_ns.unwrap_or(0));
    let slack_ns = 3 * round_trip_ns(socket) + OWN_WORK_NS;
    socket.syn_at().is_some()
        && socket.outcome() != Outcome::Connecting
        && start <= ready_at.plus_ns(slack_ns)
}
