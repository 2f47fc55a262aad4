//! Where the time went: cuts a record into phases that follow each other and sum exactly.
//!
//! A phase is measured (by the kernel's times, or by the durations that the proxy reports) or is what is left
//! between two that are. Time left over that could be several parties' is `unknown`. Durations that contradict
//! each other are cut short; none becomes negative, because each is taken from what is left.
//!
//! What is left of a whole request is the proxy's own work, if nobody else can have been waited for: see
//! [`Cut::own_work`].

mod answering;
mod attempts;

use syntrace_model::{BootNanos, Outcome};

use self::answering::is_sent_at_once;
use crate::{
    answer::{Party, TimeByParty},
    errno::Failure,
    evidence::Evidence,
    fact::{Report, Snapshot},
    failure::{self, cost_ns},
    join::Interval,
    limit::{Awaited, Limit},
    record::{Phase, PhaseKind, Phases},
    sockets::Socket,
};

/// What counts as the proxy's own work whatever else is known, nanoseconds: filters, routing, and copying
/// both ways. More than that may just as well be somebody else's.
const OWN_WORK_NS: u64 = 1_000_000;

/// Phases under construction.
#[derive(Debug, Default)]
struct Cut {
    phases: Phases,
    /// Where the next phase starts.
    at_ns: u64,
    /// What is left to be cut.
    left_ns: u64,
}

/// Cuts a request: what it waited for before the proxy saw it, then its own duration.
pub(crate) fn request(report: &Report, evidence: &Evidence<'_>) -> Phases {
    let mut cut = Cut::default();
    if let Some((socket, ran)) = evidence.fresh.zip(evidence.ran) {
        cut.opening(socket, ran, report.tls_handshake_ns, evidence);
    }
    cut.left_ns = report.duration_ns;
    cut.head(report, evidence);
    let explained = cut.earlier(report, evidence);
    cut.waiting(report, evidence);
    if report.http.tcp_session {
        cut.rest(PhaseKind::Session, Party::Unknown);
    } else if Limit::of(report).is_some_and(|limit| limit.awaited(report) == Awaited::Client) {
        // What the client sends in one go waits for nobody; of a longer request, the service may not have read.
        let party = if is_sent_at_once(report) {
            Party::Client
        } else {
            Party::Unknown
        };
        cut.rest(PhaseKind::Unreported, party);
    } else if may_have_waited(report, evidence) {
        cut.rest(PhaseKind::Unreported, Party::Unknown);
    } else if !report.was_sent() {
        cut.own_work(PhaseKind::Proxy, report, explained);
    } else {
        cut.answering(report, evidence, explained);
    }
    cut.phases
}

/// Cuts the life of a socket; `syn_dropped` says whether a listener on this host kept its connect from an answer.
pub(crate) fn connection(socket: &Snapshot, syn_dropped: bool) -> Phases {
    let end = socket.closed_at.unwrap_or(socket.seen_at);
    let mut cut = Cut {
        left_ns: end.since_ns(socket.began_at()),
        ..Cut::default()
    };
    if let Some(syn_at) = socket.syn_at {
        let until = socket.established_at.unwrap_or(end);
        let party = if syn_dropped {
            Party::Kernel
        } else {
            Party::Network
        };
        cut.take(PhaseKind::Handshake, party, until.since_ns(syn_at));
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

/// Returns whether the client let nobody wait for the request, as far as is reported: neither for its head nor for its
/// body.
pub(crate) fn came_at_once(report: &Report) -> bool {
    let head_ns = report.http.head_ns;
    head_ns.is_some_and(|ns| ns <= OWN_WORK_NS) && is_sent_at_once(report)
}

/// Returns whether the request had a connection to the service as soon as its first attempt began, and it is known
/// that it made no other attempt.
pub(crate) fn was_given_at_once(report: &Report) -> bool {
    let upstream = report.upstream.as_ref();
    upstream.is_some_and(|upstream| {
        upstream.attempts <= 1 && upstream.pool_wait_ns.is_some_and(|ns| ns <= OWN_WORK_NS)
    })
}

/// Adds phases up by party.
pub(crate) fn by_party(phases: &[Phase]) -> TimeByParty {
    let mut time = TimeByParty::default();
    for phase in phases {
        time.add(phase.party, phase.duration_ns);
    }
    time
}

/// Returns how much of a request other phases measure: the wait for a connection, and for the answer.
fn measured_ns(report: &Report, evidence: &Evidence<'_>) -> u64 {
    let upstream = report.upstream.as_ref();
    let waited_ns = upstream
        .and_then(|upstream| upstream.pool_wait_ns)
        .filter(|&waited_ns| waited_ns > 0)
        .or_else(|| Some(cost_ns(evidence.failed_by?.0, evidence.ran?)));
    let answered_ns = upstream.and_then(|upstream| upstream.first_byte_ns);
    waited_ns
        .unwrap_or(0)
        .saturating_add(answered_ns.unwrap_or(0))
}

/// Returns whether a request that was not sent may have waited for a connection, and nothing says how long.
fn may_have_waited(report: &Report, evidence: &Evidence<'_>) -> bool {
    let is_unreported = report
        .upstream
        .as_ref()
        .is_some_and(|upstream| upstream.local.is_none() && upstream.pool_wait_ns.is_none());
    is_unreported
        && evidence.failed_by.is_none()
        && Failure::of(report) != Some(Failure::NotDialled)
}

/// Returns whose time the wait for the accept is: a listener that defers it until data arrive waits for the client.
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
/// A handshake of which a segment was sent again gives none: nothing says which one was answered (RFC 6298, 3).
pub(crate) fn round_trip_ns(socket: Socket<'_>) -> u64 {
    match is_handshake_resent(socket) {
        true => 0,
        false => handshake_ns(socket),
    }
}

/// Returns whether the socket sent its SYN or SYN-ACK again.
pub(crate) fn is_handshake_resent(socket: Socket<'_>) -> bool {
    let counters = socket.counters();
    counters.syn_retransmits > 0 || counters.syn_ack_retransmits > 0
}

// === impl Cut ===

impl Cut {
    /// Cuts off the next phase, as far as time is left; an empty one is left out.
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

    /// From the SYN to the request: what the client waited for before the proxy saw anything. Only the client's
    /// own end knows of a SYN that was dropped.
    fn opening(
        &mut self,
        socket: Socket<'_>,
        ran: Interval,
        tls_ns: Option<u64>,
        evidence: &Evidence<'_>,
    ) {
        let Some(came_at) = socket.syn_at() else {
            return;
        };
        let sent_at = evidence.client_s.and_then(Socket::syn_at);
        let syn_at = sent_at.map_or(came_at, |sent_at| sent_at.min(came_at));
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
        let handshake = match evidence.client_syn_resent() {
            true if evidence.dropped().is_some() => Party::Kernel,
            true if evidence.incidents_evicted > 0 => Party::Unknown,
            _ => Party::Network,
        };
        self.take(PhaseKind::Handshake, handshake, handshake_ns);
        self.take(PhaseKind::AcceptWait, party, accept_ns);
        let travelling_ns = round_trip_ns(socket).min(tls_ns);
        self.take(PhaseKind::Tls, Party::Network, travelling_ns);
        self.take(PhaseKind::Tls, Party::Unknown, tls_ns - travelling_ns);
        self.rest(PhaseKind::RequestWait, Party::Client);
    }

    /// The request's head, if it took longer to come than the proxy may take to read it: in pieces, from the
    /// client; or all at once, to a worker that got no processor time.
    fn head(&mut self, report: &Report, evidence: &Evidence<'_>) {
        let head_ns = report.http.head_ns.unwrap_or(0);
        if head_ns > OWN_WORK_NS {
            let spare_ns = self.left_ns.saturating_sub(measured_ns(report, evidence));
            self.take(PhaseKind::Head, Party::Unknown, head_ns.min(spare_ns));
        }
    }

    /// All that is left: the proxy's, unless somebody else may have been waited for.
    ///
    /// - The client, for the rest of the head, unless the proxy reports when that was there; and for the rest
    ///   of a body that it does not send in one go. A filter may keep the body, or read it and answer.
    /// - The client, for the answer: only where it is an HTTP/2 stream with a body, whose window the
    ///   client opens. On HTTP/1 the proxy is done when it has written the answer, and when it cannot
    ///   write, it does not read from the service.
    /// - The service or the network, in attempts before the last, unless these are `explained`.
    ///
    /// What is left is the proxy's: its filters, its event loop, and processor time that it did not get.
    fn own_work(&mut self, kind: PhaseKind, report: &Report, explained: bool) {
        let http = &report.http;
        let is_bodiless = http.response_bytes == 0 && !http.response_details.is_empty();
        let is_taken = !http.is_multiplexed() || is_bodiless;
        let is_come = http.head_ns.is_some() && is_sent_at_once(report);
        let is_alone = is_come && is_taken && explained;
        let party = if is_alone || self.left_ns <= OWN_WORK_NS {
            Party::Proxy
        } else {
            Party::Unknown
        };
        self.rest(kind, party);
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
        // Where no wait is reported, the connect that failed the request is still what it waited for.
        let handshake_ns = match evidence.failed_by {
            Some(_) if waited_ns == 0 => handshake_ns,
            _ => handshake_ns.min(waited_ns),
        };
        let party = match evidence.failed_by {
            Some((socket, _)) if !socket.outcome().is_failed_connect() => Party::Unknown,
            Some(_) if evidence.syn_dropped => Party::Kernel,
            Some(_) if evidence.incidents_evicted > 0 => Party::Unknown,
            _ => Party::Network,
        };
        let unanswered_ns = evidence
            .failed_by
            .and_then(|(socket, _)| failure::unanswered_ns(report, socket, evidence.ran));
        // Without the connection it is not known whether its handshake was waited for.
        let is_known = evidence.served_by.is_some()
            || evidence.failed_by.is_some()
            || waited_ns <= OWN_WORK_NS;
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
        let Some(unanswered_ns) = unanswered_ns else {
            self.take(PhaseKind::UpstreamHandshake, party, handshake_ns);
            return;
        };
        let established_ns = handshake_ns.saturating_sub(unanswered_ns);
        self.take(PhaseKind::UpstreamHandshake, Party::Network, established_ns);
        let unanswered_ns = handshake_ns - established_ns;
        self.take(PhaseKind::UpstreamHandshake, Party::Service, unanswered_ns);
    }
}

/// Returns by how much a request began before its connection was ready, by clocks that disagree.
pub(crate) fn overlap_ns(evidence: &Evidence<'_>) -> u64 {
    let ready = evidence.fresh.and_then(Socket::accepted_at);
    let overlap = ready.zip(evidence.ran);
    overlap.map_or(0, |(ready_at, ran)| ready_at.since_ns(ran.start))
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
