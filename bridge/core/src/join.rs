//! Which connection a request belongs to. **Here the join is decided.**
//!
//! # What identifies a connection
//!
//! The kernel names a socket by a cookie that it never reuses. The proxy does not know the cookie: it knows
//! both ends of the connection, and when a request ran. Both ends alone identify nothing, because ports are
//! reused; but **at any moment, within one network namespace, at most one socket has a given pair of ends**. So
//! ends *and* time identify a socket, as far as the two clocks agree: a request runs within the life of the
//! socket that carries it.
//!
//! Two more things identify a gateway's sockets; they are used beside ends and time, never instead of them. The
//! **process and thread** behind a report are learnt from joins that are certain (`crate::gateway`): they
//! distinguish equal ends in several namespaces, and processes that share a port (`SO_REUSEPORT`). And the
//! proxy's own **number of a downstream connection** belongs to one socket: once a join is certain, no other
//! number is joined to that socket, and later requests under that number are listed in that socket's record
//! even if they name no address that fits.
//!
//! # Why each method is sound
//!
//! - [`Method::Exact`]: both ends are equal, and the times fit. `certain` if only one socket fits, and fits to
//!   within [`TIGHT_NS`]: an unreported socket with the same ends, just before or after, cannot have carried the
//!   request. `likely` if it fits only to within [`DISORDER_NS`], or if of several only one fits tightly;
//!   `ambiguous` otherwise. That the ends are equal shows only that the report names this socket, and PROXY
//!   protocol lets a proxy name another's: that of the proxy in front, which may be on this host and observed
//!   too. So it is certain only where the ends are known to be the TCP connection's own (the direct addresses,
//!   which the shipped configurations report), or the socket to be the gateway's: of its process, or by its
//!   number. Otherwise it is `likely`; and if the socket is known to be another process's, nothing is joined.
//! - [`Method::Peer`]: the gateway's end was rewritten (REDIRECT, original destination) and the proxy does not
//!   report the direct addresses, so only the client's end is equal. A client may use one port towards two
//!   destinations, and equal addresses exist in other namespaces: only sockets of the gateway's own process
//!   count, and the join is never better than `likely`. If the process is not known, nothing is joined. (TPROXY
//!   rewrites nothing that the socket does not show too: that is exact.)
//! - [`Method::Failure`]: for a connect that failed, Envoy names no local port. See `crate::failure`.
//!
//! A join rests only on what had happened when the request ended: later facts may arrive before the request
//! settles, or after, and must make no difference. What was learnt rests on the requests that ended before:
//! requests settle in the order in which they ended, so the result is the same in whatever order their facts
//! arrived.
//!
//! Nothing is certain where a source may be wrong: around a step of the wall clock that makes a time ambiguous,
//! for a socket with contradictory facts, after a probe went silent, and for two sockets of one namespace that had
//! the same ends at once, by what was reported of them.
//!
//! Nor is a join certain, on either side of the gateway, to a socket whose end was not seen, if its close and the
//! start of another socket with the same ends may both be lost: if, between the moment at which it was last seen
//! and that at which the request came to it, two or more consecutive facts are missing, or the probe counts, from
//! one batch to the next, two or more that it lost before they had a number. Downstream this concerns the first join under a number: the number says
//! the rest. A socket that tables of `sock_diag` no longer show, and whose end nobody saw, ended before the moment
//! that is reported, and before another one with its ends began. (If the two facts are lost separately, and so are
//! all reports of requests on the first socket, this goes unnoticed.)
//!
//! A probe that samples tells nothing of some connections that end well. Where one may have begun meanwhile, one lost
//! fact is enough for that doubt. And a socket that was left out may live on, unknown, in another namespace with the
//! same addresses: from then on a join by ends alone is `likely`, until something shows the gateway's process. A connect
//! that a request waited for, while all was reported, does.
//!
//! # Where it cannot be known
//!
//! Without a kernel view; before the two clocks were compared; where the proxy names no address (pipes,
//! internal listeners); behind a proxy that speaks PROXY protocol, unless the direct addresses are reported;
//! under interception before the gateway's process is known; where facts were lost; where the socket with these
//! ends lived at another time, or is known under another number. The request then says so, and joins nothing.

mod choosing;
mod succession;

use syntrace_model::{BootNanos, ConnectionId, Outcome};

use self::{
    choosing::{choose, choose_own},
    succession::{contested, leave_out_succeeded, unless_contested},
};
use crate::{
    confidence::Confidence,
    fact::{Report, Upstream},
    gateway::Gateway,
    record::{Method, Missing},
    sockets::{HashedTuple, Socket, Sockets},
};

/// How far two sources may disagree about the order of two events, nanoseconds.
///
/// Envoy stamps a stream with its event loop's cached time, which lags by one loop iteration.
pub const DISORDER_NS: u64 = 5_000_000;

/// How far they usually disagree, nanoseconds: the offset between the clocks is measured to a few microseconds.
pub const TIGHT_NS: u64 = 300_000;

/// A connection that fits, and how well.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// The connection.
    pub socket: Socket<'a>,
    /// By which evidence.
    pub method: Method,
    /// How sure.
    pub confidence: Confidence,
    /// All that fit, if that is ambiguous; see [`Join::CANDIDATES_MAX`](crate::record::Join::CANDIDATES_MAX).
    pub candidates: Vec<ConnectionId>,
}

/// When a request ran, on the kernel's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Its first moment.
    pub start: BootNanos,
    /// Its last moment.
    pub end: BootNanos,
}

/// Finds the connection that the request came in on, by its ends, or says why there is none.
pub(crate) fn received_on<'a>(
    sockets: &'a Sockets,
    gateway: Gateway,
    epoch: u64,
    report: &Report,
    tuple: Option<HashedTuple>,
    ran: Interval,
) -> Result<Found<'a>, Missing> {
    let Some(tuple) = tuple else {
        return Err(Missing::NoAddress);
    };
    let number = (epoch, report.downstream_connection);
    let accepted =
        |socket: &Socket<'_>| ran.lies_within(*socket) && may_be_numbered(*socket, number);
    let mut exact = sockets.accepted(tuple);
    let contested = contested(&exact);
    leave_out_succeeded(&mut exact, ran.start);
    exact.retain(|socket| accepted(socket));
    let is_others = !exact.is_empty() && !exact.iter().any(|&socket| gateway.may_own(socket));
    if is_others && report.direct.is_none() {
        // A proxy in front reported its own client, whose connection it accepted itself.
        return Err(Missing::AddressHidden);
    }
    if let Some(found) = choose_own(exact, gateway, |socket| {
        is_numbered(socket, number) || ran.lies_tightly_within(socket)
    }) {
        let names_its_own = report.direct.is_some()
            || gateway.owns(found.socket)
            || is_numbered(found.socket, number);
        let found = unless_contested(found, &contested);
        return Ok(match names_its_own {
            true => found,
            false => at_best_likely(found),
        });
    }
    if report.direct.is_some() {
        let why = why_unfit(&sockets.accepted(tuple), gateway, number, ran);
        return Err(why.unwrap_or(Missing::NoConnection));
    }
    let with_peer = sockets.accepted_from(tuple);
    let mut fitting = with_peer.clone();
    fitting.retain(|socket| accepted(socket) && gateway.may_own(*socket));
    if fitting.is_empty() {
        let why = why_unfit(&with_peer, gateway, number, ran);
        return Err(why.unwrap_or(Missing::AddressHidden));
    }
    fitting.retain(|socket| gateway.owns(*socket));
    let found = choose(fitting, Method::Peer, |socket| {
        ran.lies_tightly_within(socket)
    });
    found.map(at_best_likely).ok_or(Missing::ProcessUnknown)
}

/// Says what speaks against the sockets that have the request's ends, where none of them fits; `None` if none that
/// may be the gateway's was there by the end of the request.
fn why_unfit(
    with_ends: &[Socket<'_>],
    gateway: Gateway,
    number: (u64, u64),
    ran: Interval,
) -> Option<Missing> {
    let mut own = with_ends
        .iter()
        .filter(|&&socket| gateway.may_own(socket) && ran.follows_handshake(socket));
    let is_numbered_otherwise =
        |&socket: &Socket<'_>| ran.lies_within(socket) && !may_be_numbered(socket, number);
    own.clone().next()?;
    Some(if own.any(is_numbered_otherwise) {
        Missing::NumberDiffers
    } else {
        Missing::TimeDiffers
    })
}

/// Returns when the request was handed to the connection that carried it to the service: after it had waited for
/// one, and before the proxy waited for the answer.
pub(crate) fn given(upstream: &Upstream, ran: Interval) -> Interval {
    let waited_ns = upstream.pool_wait_ns.unwrap_or(0);
    let answered_ns = upstream.first_byte_ns.unwrap_or(0);
    Interval {
        start: ran.start.plus_ns(waited_ns).min(ran.end),
        end: ran.end.minus_ns(answered_ns).max(ran.start),
    }
}

/// Finds the connection that carried the request to the service, by its ends: when the request was handed to it,
/// within `given`, it existed.
pub(crate) fn served_by<'a>(
    sockets: &'a Sockets,
    gateway: Gateway,
    report: &Report,
    tuple: HashedTuple,
    ran: Interval,
    given: Interval,
) -> Option<Found<'a>> {
    let answered_ns = report
        .upstream
        .as_ref()
        .and_then(|upstream| upstream.first_byte_ns);
    let answered_ns = answered_ns.unwrap_or(0);
    let dialled = |socket: &Socket<'_>| {
        given.follows_handshake(*socket) && ends_after(*socket, given.start.minus_ns(DISORDER_NS))
    };
    let mut exact = sockets.dialled(tuple);
    let contested = contested(&exact);
    exact.retain(|socket| dialled(socket));
    let found = choose_own(exact, gateway, |socket| {
        let is_ready =
            |by: BootNanos| ready_at(socket).is_some_and(|at| at <= by.plus_ns(TIGHT_NS));
        (is_ready(given.start) || is_ready(given.end) && waited_for(socket, report, ran))
            && ends_after(
                socket,
                given.start.plus_ns(answered_ns).minus_ns(DISORDER_NS),
            )
    })?;
    Some(unless_contested(found, &contested))
}

/// Returns whether the request waited for the handshake of this connection, which served it.
///
/// The handshake lies within the wait, which began after the request did and ended before it was handed on.
/// Durations are measured well; only the moment is uncertain.
pub(crate) fn waited_for(socket: Socket<'_>, report: &Report, ran: Interval) -> bool {
    let Some(upstream) = &report.upstream else {
        return false;
    };
    let (Some(syn_at), Some(established_at)) = (socket.syn_at(), socket.established_at()) else {
        return false;
    };
    let waited_ns = upstream.pool_wait_ns.unwrap_or(0);
    syn_at.plus_ns(DISORDER_NS) >= ran.start
        && established_at <= given(upstream, ran).end.plus_ns(DISORDER_NS)
        && established_at.since_ns(syn_at) <= waited_ns
}

/// Returns whether this handshake, which the request may have waited for, cannot have started before the wait,
/// as precisely as the clocks agree. When a retry started to wait is not reported.
pub(crate) fn surely_waited_for(socket: Socket<'_>, report: &Report, ran: Interval) -> bool {
    let waits_from = ran.start.plus_ns(report.http.head_ns.unwrap_or(0));
    let attempts = report.upstream.as_ref().map(|upstream| upstream.attempts);
    attempts.is_some_and(|attempts| attempts <= 1)
        && socket
            .syn_at()
            .is_some_and(|syn_at| syn_at.plus_ns(TIGHT_NS) >= waits_from)
}

/// Returns whether the peer's RST ended the connection while the request ran.
pub(crate) fn reset_during(socket: Socket<'_>, ran: Interval) -> bool {
    let until = ran.end.plus_ns(DISORDER_NS);
    socket.outcome() == Outcome::ResetByPeer
        && socket
            .closed_at()
            .is_some_and(|closed_at| closed_at <= until)
}

/// Returns whether a dialled and an accepted socket may be the two ends of one connection, by their handshakes:
/// a SYN arrives after it was first sent, and is answered after it arrived.
pub(crate) fn are_ends_of_one(dialled: Socket<'_>, accepted: Socket<'_>) -> bool {
    let came_at = accepted.began_at().plus_ns(TIGHT_NS);
    dialled.began_at() <= came_at
        && dialled
            .established_at()
            .is_none_or(|answered_at| accepted.began_at() <= answered_at.plus_ns(TIGHT_NS))
}

/// Returns whether the socket is known to be the connection that the proxy gave this number.
pub(crate) fn is_numbered(socket: Socket<'_>, number: (u64, u64)) -> bool {
    socket.connection().number() == Some(number)
}

/// Returns whether the socket is not known to have another number. Each epoch has its own numbers.
fn may_be_numbered(socket: Socket<'_>, number: (u64, u64)) -> bool {
    socket
        .connection()
        .number()
        .is_none_or(|known| known.0 != number.0 || known.1 == number.1)
}

pub(crate) fn at_best_likely(found: Found<'_>) -> Found<'_> {
    let confidence = match found.confidence {
        Confidence::Certain => Confidence::Likely,
        Confidence::Likely | Confidence::Ambiguous { .. } => found.confidence,
    };
    Found {
        confidence,
        ..found
    }
}

/// Returns whether the socket was watched from its start.
fn knows_start(socket: Socket<'_>) -> bool {
    socket.syn_at().is_some() || socket.established_at().is_some()
}

/// Returns by when the socket could carry a request; `None` if it never could, as far as is known.
fn ready_at(socket: Socket<'_>) -> Option<BootNanos> {
    let found_at = (!knows_start(socket)).then(|| socket.began_at());
    socket.established_at().or(found_at)
}

fn ends_after(socket: Socket<'_>, moment: BootNanos) -> bool {
    socket
        .closed_at()
        .is_none_or(|closed_at| closed_at >= moment)
}

// === impl Found ===

impl Found<'_> {
    /// Returns whether nothing else fits.
    pub(crate) fn is_certain(&self) -> bool {
        self.confidence == Confidence::Certain
    }
}

// === impl Interval ===

impl Interval {
    /// Returns whether this lies within the life of the socket, up to the disorder between the sources.
    ///
    /// A socket whose handshake was not observed may be older than its first sighting.
    fn lies_within(self, socket: Socket<'_>) -> bool {
        let start = if knows_start(socket) {
            self.start
        } else {
            self.end
        };
        socket.began_at() <= start.plus_ns(DISORDER_NS)
            && ends_after(socket, self.end.minus_ns(DISORDER_NS))
    }

    /// Returns whether this started within the life of the socket, as precisely as the clocks agree. The proxy
    /// may notice the end of a connection later than the kernel.
    fn lies_tightly_within(self, socket: Socket<'_>) -> bool {
        socket.began_at() <= self.start.plus_ns(TIGHT_NS)
            && ends_after(socket, self.start.minus_ns(TIGHT_NS))
            && socket
                .established_at()
                .is_none_or(|established_at| established_at <= self.end.plus_ns(TIGHT_NS))
    }

    /// Returns whether the handshake was done before this ended. Only then can the socket carry a request, and
    /// only then is it sure to be known.
    fn follows_handshake(self, socket: Socket<'_>) -> bool {
        ready_at(socket).is_some_and(|ready_at| ready_at <= self.end.plus_ns(DISORDER_NS))
    }
}
