//! Which failed connect failed a request.
//!
//! None is sought for a request of which Envoy does not say that a connect failed it, or of which it says that
//! nothing was dialled ([`crate::errno`]): whatever connects ended when it did, they were not the reason.
//!
//! For a connect that failed, Envoy names no local port. It does name the destination, the error, how long the
//! request had waited for a connection, and when it ended. Why that is enough:
//!
//! - A worker dials for its own requests alone, in its own thread, and has its own pools. So only connects of
//!   the thread count that the report came from, where both are known ([`crate::gateway`]); elsewhere, those of
//!   the process, or of the namespace.
//! - The first failed connect of a pool fails **all** requests that wait in that pool, at once. So the connect
//!   ended when the request did, after the request had begun to wait, and no other connect of the pool ended
//!   between. It may have begun long before the request, for another one.
//! - A worker that is busy, or gets no processor time, notices the end of a connect late: a request that began
//!   in between fails by it too. And it may end the request long after that.
//! - The error agrees with the words ([`crate::errno`]).
//! - A connection that carried a request, as far as is known, failed none by its connect.
//!
//! A connection that was established may fail a request too: in the TLS handshake, which the connect timeout
//! covers. The proxy closes it, and the kernel reports its end when the peer acknowledged the FIN, somewhat after
//! the request's end: `certain` only if that was at once, and nothing is missing that ended within a round trip, nor
//! may have been left out: for the kernel such a connection ends well, and a probe that samples reports only some.
//!
//! One such connect is `certain` if
//!
//! - that very thread dialled it: a connect that is not known to be another thread's may be any of several
//!   workers';
//! - everything that the kernel saw around the end of the request was reported, as numbers without a gap from
//!   before it to after it show. A pool may have several connects in flight, one of them opened ahead of need:
//!   a missing fact may be the end of the one that came first;
//! - it ended before the request did, as precisely as the clocks agree;
//! - no other one that agrees ended since the request began to wait, however long before: had the worker
//!   noticed that one in time, it would have ended the wait, so either it was of another pool or the worker was
//!   late;
//! - nothing says that the worker was late in ending the request;
//! - the proxy's error is known here.
//!
//! Otherwise, a single one is `likely`. So is the only one of several that ended while the request waited, if
//! the others had ended before and nothing says that the worker was late. Of several, even of that very thread,
//! any may be the one, because a thread has several pools towards one host (HTTP/1.1 and HTTP/2, two clusters):
//! `ambiguous`, with its candidates.
//!
//! A retry overwrites what the proxy says of the attempts before: not even their host is known. Their connects
//! are those of the thread that ended in vain between the request's start and its last wait; never better than
//! `likely`, and none are named where there are too many. Nor is it reported whether an attempt was made after
//! another or in parallel with it. One in parallel that is given up on HTTP/1.1 leaves a trace: the worker
//! closes its connection. On HTTP/2 it leaves none.

use syntrace_model::{BootNanos, ConnectionId, Outcome};

use crate::{
    confidence::Confidence,
    errno::Failure,
    fact::{Report, Upstream},
    gaps::Told,
    gateway::Gateway,
    join::{DISORDER_NS, Found, Interval, TIGHT_NS},
    record::{Join, LinkKind, Method},
    sockets::{Socket, Sockets},
};

/// As a rule, the proxy's connect timeout ends a TLS handshake that takes longer, nanoseconds.
const BRIEF_NS: u64 = 10_000_000_000;

/// How long a worker without processor time may take to notice that a connect has failed, nanoseconds.
const UNNOTICED_NS: u64 = 250_000_000;

/// How long the peer may take to acknowledge that the proxy closed a connection, nanoseconds: Linux'
/// `TCP_DELACK_MAX`, and a round trip.
const CLOSING_NS: u64 = 250_000_000;

/// For how much of that everything has to be told, nanoseconds: as much as can have been shown to be told when the
/// request settles. Round trips are shorter.
const CLOSING_TOLD_NS: u64 = 45_000_000;

/// Earlier attempts that a record names.
const EARLIER_MAX: usize = 8;

/// The failed connects of earlier attempts.
#[derive(Debug, Default)]
pub(crate) struct Earlier<'a> {
    /// One for each attempt, as far as there are any.
    pub(crate) found: Vec<Found<'a>>,
    /// All that they may be, in the order in which they ended.
    pub(crate) connects: Vec<Socket<'a>>,
    /// Connections that existed before the last attempt, and were closed while it ran.
    pub(crate) closed_beside: Vec<Socket<'a>>,
}

/// When a failed request ended, and the wait that ended it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    /// How the proxy says that the connect failed.
    failure: Failure,
    /// When its last attempt began to wait for a connection.
    waits_from: BootNanos,
    /// The earliest moment at which that wait may have ended.
    pub(crate) from: BootNanos,
    /// Until when the kernel view has to have told everything for the connect to be certain.
    pub(crate) told_until: BootNanos,
    /// Since when the connect may have begun, if it may be one that a probe that samples leaves out: it was
    /// established, and ended well as far as the kernel knows. Failed connects and resets are always reported.
    pub(crate) sampled_from: Option<BootNanos>,
    /// The request ended so much later than its wait that it is not known when the worker noticed.
    is_late: bool,
}

// === impl Ending ===

impl Ending {
    /// Returns when the wait of a request ended that ran then; `None` if no failed connect is sought for it.
    pub(crate) fn of(report: &Report, upstream: &Upstream, ran: Interval) -> Option<Self> {
        let failure = sought(report)?;
        let waits_from = waiting(upstream, ran).start;
        // What else the proxy did, it may have done after the wait: then the wait ended before the request.
        let beside_ns = match upstream.attempts {
            0 | 1 => waits_from
                .since_ns(ran.start)
                .saturating_sub(report.http.head_ns.unwrap_or(0)),
            _ => 0,
        };
        let ended_at = ran.end.minus_ns(beside_ns.min(DISORDER_NS));
        let closing_ns = if failure.is_closed_by_proxy() {
            CLOSING_TOLD_NS
        } else {
            0
        };
        Some(Self {
            failure,
            waits_from,
            from: ended_at.minus_ns(DISORDER_NS),
            told_until: ran.end.plus_ns(TIGHT_NS + closing_ns),
            sampled_from: failure
                .is_closed_by_proxy()
                .then(|| ended_at.minus_ns(BRIEF_NS)),
            is_late: beside_ns > DISORDER_NS,
        })
    }
}

/// Returns whether a failed connect is sought for a request that was sent to no service.
pub(crate) fn is_sought(report: &Report) -> bool {
    sought(report).is_some()
}

/// Returns how the connect failed that is sought.
fn sought(report: &Report) -> Option<Failure> {
    Failure::of(report).filter(|failure| *failure != Failure::NotDialled)
}

/// Finds the failed connect that failed the request.
///
/// `told` says whether the kernel view reported all connects that ended about when the wait did.
pub(crate) fn failed_by<'a>(
    sockets: &'a Sockets,
    gateway: Gateway,
    upstream: &Upstream,
    ran: Interval,
    ending: Ending,
    told: Told,
) -> Option<Found<'a>> {
    let Ending {
        failure,
        waits_from,
        ..
    } = ending;
    let until = ran.end.plus_ns(DISORDER_NS);
    let latest = match failure.is_closed_by_proxy() {
        true => until.plus_ns(CLOSING_NS),
        false => until,
    };
    let fits = |&socket: &Socket<'_>| {
        let outcome = socket.outcome();
        let is_possible = if outcome.is_failed_connect() {
            socket.closed_at() <= Some(until)
        } else {
            socket.established_at() <= Some(until) && !has_carried_any(socket)
        };
        is_possible
            && failure.agrees(outcome, is_silent(socket))
            && gateway.may_have_dialled(socket)
    };
    let ended = |from| -> Vec<_> {
        let ended = sockets.ended_towards(upstream.peer, from, latest);
        let mut fitting: Vec<_> = ended.filter(fits).collect();
        fitting.sort_unstable_by_key(|socket| (socket.closed_at(), socket.id()));
        fitting
    };
    let mut fitting = ended(ending.from);
    if fitting.is_empty() && told == Told::NotAll {
        // The right one is likely among the lost facts.
        return None;
    }
    let is_late = fitting.is_empty() || ending.is_late;
    if is_late {
        fitting = ended(ran.start.minus_ns(UNNOTICED_NS));
    }
    // The first that ended after the request began to wait ended the wait of all.
    let ended_before = |socket: &Socket<'_>| socket.closed_at() < Some(waits_from);
    let before = fitting.partition_point(ended_before);
    let first = *fitting.get(before).or_else(|| fitting.last())?;
    let tight = |socket: Socket<'_>| {
        socket
            .closed_at()
            .is_some_and(|closed_at| closed_at <= ran.end.plus_ns(TIGHT_NS))
    };
    // Of one that the proxy closed, the end may be known later.
    let may_be_tight = |socket: Socket<'_>| {
        let is_established = !socket.outcome().is_failed_connect();
        tight(socket) || is_established && failure.is_closed_by_proxy()
    };
    let within = |socket: &&Socket<'_>| {
        socket.closed_at() >= Some(waits_from.minus_ns(TIGHT_NS)) && may_be_tight(**socket)
    };
    let (first, is_only) = match fitting.iter().filter(within).collect::<Vec<_>>()[..] {
        [&only] if !is_late => (only, true),
        _ => (first, false),
    };
    let is_certain = |only: Socket<'_>| {
        let is_known = told == Told::All && !is_late && failure != Failure::Other;
        let is_alone = || ended(ending.from.min(waits_from.minus_ns(TIGHT_NS))).len() == 1;
        is_known && gateway.dialled(only) && tight(only) && is_alone()
    };
    let confidence = match fitting.as_slice() {
        [only] if is_certain(*only) => Confidence::Certain,
        [_] => Confidence::Likely,
        _ if is_only => Confidence::Likely,
        _ => Confidence::Ambiguous {
            candidates: u32::try_from(fitting.len()).unwrap_or(u32::MAX),
        },
    };
    // Where there are too many to list, those around the first.
    let unlisted = fitting.len().saturating_sub(Join::CANDIDATES_MAX);
    let from = before
        .saturating_sub(Join::CANDIDATES_MAX / 2)
        .min(unlisted);
    let candidates: Vec<ConnectionId> = match confidence {
        Confidence::Ambiguous { .. } => fitting
            .iter()
            .skip(from)
            .map(|socket| socket.id())
            .take(Join::CANDIDATES_MAX)
            .collect(),
        Confidence::Certain | Confidence::Likely => Vec::new(),
    };
    Some(Found {
        socket: first,
        method: Method::Failure,
        confidence,
        candidates,
    })
}

/// Finds the failed connects of earlier attempts, by the thread that dialled them, in order; `last` is the
/// connection of the last attempt, or the connect that failed it, if that is known.
pub(crate) fn earlier<'a>(
    sockets: &'a Sockets,
    gateway: Gateway,
    upstream: &Upstream,
    ran: Interval,
    last: Option<Socket<'a>>,
) -> Earlier<'a> {
    let attempts = upstream.attempts.saturating_sub(1) as usize;
    if attempts == 0 {
        return Earlier::default();
    }
    let is_last = |socket: Socket<'_>| last.is_some_and(|last| last.id() == socket.id());
    let last_from = last_from(upstream, ran);
    let ended = |from, until| {
        let ended = sockets.ended_by_thread(gateway.tid, from, until);
        ended.filter(move |&socket| gateway.dialled(socket) && !is_last(socket))
    };
    let by_then = last_from.plus_ns(TIGHT_NS);
    let was_over = |socket: Socket<'_>| {
        let is_closing = is_silent(socket) && socket.established_at() <= Some(by_then);
        is_closing || socket.closed_at() <= Some(by_then)
    };
    let mut connects: Vec<_> = ended(ran.start, by_then.plus_ns(CLOSING_NS))
        .filter(|&socket| is_in_vain(socket) && was_over(socket))
        .take(Join::CANDIDATES_MAX + 1)
        .collect();
    connects.sort_by_key(|&socket| given_up_from(socket));
    if connects.len() > Join::CANDIDATES_MAX {
        return Earlier::default();
    }
    let confidence = if connects.len() <= attempts {
        Confidence::Likely
    } else {
        Confidence::Ambiguous {
            candidates: u32::try_from(connects.len()).unwrap_or(u32::MAX),
        }
    };
    let ids: Vec<_> = connects.iter().map(|socket| socket.id()).collect();
    let found = |&socket: &Socket<'a>| Found {
        socket,
        method: Method::Failure,
        confidence,
        candidates: match confidence {
            Confidence::Ambiguous { .. } => ids.clone(),
            Confidence::Certain | Confidence::Likely => Vec::new(),
        },
    };
    let named = connects.iter().take(attempts.min(EARLIER_MAX));
    let closed_beside = ended(last_from.minus_ns(TIGHT_NS), ran.end.plus_ns(DISORDER_NS));
    Earlier {
        found: named.map(found).collect(),
        closed_beside: closed_beside
            .filter(|socket| {
                let outcome = socket.outcome();
                let was_there = socket.established_at() <= Some(last_from.plus_ns(TIGHT_NS));
                was_there && !outcome.is_failed_connect() && outcome != Outcome::ResetByPeer
            })
            .collect(),
        connects,
    }
}

/// Returns when the last attempt began: to wait for a connection, or for its answer where only that is
/// reported.
pub(crate) fn last_from(upstream: &Upstream, ran: Interval) -> BootNanos {
    let answered_ns = upstream.first_byte_ns.unwrap_or(0);
    waiting(upstream, ran).start.minus_ns(answered_ns)
}

/// Returns whether the connection never carried a request, as far as is known: its handshake failed, or
/// what came after did.
fn is_in_vain(socket: Socket<'_>) -> bool {
    let established_for = socket.established_at().zip(socket.closed_at());
    let is_brief = established_for.is_some_and(|(from, until)| until.since_ns(from) <= BRIEF_NS);
    socket.outcome().is_failed_connect() || is_brief && !has_carried_any(socket)
}

/// Returns whether the connection carried a request that is known.
fn has_carried_any(socket: Socket<'_>) -> bool {
    let mut requests = socket.connection().requests();
    requests.any(|request| request.kind == LinkKind::ServedBy)
}

/// Returns whether the peer took the connection, and never sent a byte on it.
fn is_silent(socket: Socket<'_>) -> bool {
    socket.established_at().is_some() && socket.counters().bytes_received == 0
}

/// Returns when the proxy ended a connect, or the earliest moment at which it may have, where the kernel
/// reports the end later.
fn given_up_from(socket: Socket<'_>) -> Option<BootNanos> {
    let established_at = socket.established_at().filter(|_| is_silent(socket));
    established_at.or_else(|| socket.closed_at())
}

/// Returns how long a service let the request wait for its part of a TLS handshake: its kernel acknowledged what
/// was sent, and nobody answered until the proxy's connect timeout. `None` for a connect that failed otherwise.
pub(crate) fn unanswered_ns(
    report: &Report,
    socket: Socket<'_>,
    ran: Option<Interval>,
) -> Option<u64> {
    let ran = ran.filter(|_| Failure::of(report) == Some(Failure::Timeout))?;
    let is_acknowledged = socket.counters().bytes_acked > 0;
    let from = socket
        .established_at()
        .filter(|_| is_acknowledged && is_silent(socket))?;
    let until = socket.closed_at()?.min(ran.end);
    Some(until.since_ns(from.max(ran.start)))
}

/// When the last attempt waited for a connection: it ended when the request did, unless it was answered.
fn waiting(upstream: &Upstream, ran: Interval) -> Interval {
    let start = match upstream.pool_wait_ns {
        Some(waited_ns) => ran.end.minus_ns(waited_ns).max(ran.start),
        None => ran.start,
    };
    Interval {
        start,
        end: ran.end,
    }
}

/// Returns how long a connect kept the request waiting: it may have begun before the request.
pub(crate) fn cost_ns(socket: Socket<'_>, ran: Interval) -> u64 {
    let Some(closed_at) = socket.closed_at() else {
        return 0;
    };
    let from: BootNanos = socket.began_at().max(ran.start);
    closed_at.min(ran.end).since_ns(from)
}
