//! Which connection a request belongs to. **Here the join is decided.**
//!
//! # What identifies a connection
//!
//! The kernel names a socket by a cookie that it never gives twice. The proxy does not know the
//! cookie: it knows both ends of the connection and when a request ran. Both ends alone name nothing,
//! because ports are reused; but **at any moment, within one network namespace, at most one socket
//! has a given pair of ends**. So ends *and* time name a socket, as far as the two clocks agree:
//! the time of a request lies within the life of the socket that carried it.
//!
//! # Why each method is sound
//!
//! - [`Method::Exact`]: both ends are equal and the times fit. One candidate is certain. Several have
//!   to be in different namespaces, or to follow each other more closely than [`DISORDER_NS`]; then
//!   the request is certain of none: `likely` if its time lies wholly within just one of them,
//!   `ambiguous` otherwise.
//! - [`Method::Peer`]: the gateway's end was rewritten (REDIRECT, TPROXY), so only the client's end is
//!   equal. A client uses one port for one connection to one destination at a time, but it may use it
//!   towards two destinations: never better than `likely`.
//! - [`Method::Failure`]: of a connect that failed, Envoy names no local port. What it names is the
//!   destination, the error, and a time: the connect lies within the life of the request that waited
//!   for it, in the namespace of the connection that the request came in on. One such connect is
//!   certain; of several, any may be the one: `ambiguous`.
//!
//! A join rests only on what had happened when the request ended: later facts may arrive before the
//! request settles, or after, and must not make a difference.
//!
//! # Where it cannot be known
//!
//! Without a kernel view; where the proxy names no address (pipes, internal listeners); behind a proxy
//! that speaks PROXY protocol, unless the direct addresses are reported; for facts that were lost.
//! Then the request says so, and joins nothing.

use std::collections::BTreeSet;

use syntrace_model::{BootNanos, ConnKey, Opening, Outcome};

use crate::{
    confidence::Confidence,
    fact::{Report, Snapshot, Upstream},
    record::Method,
    sockets::Sockets,
};

/// How far two sources may disagree about the order of two events.
///
/// Envoy stamps a stream with its event loop's cached time, which lags by one loop iteration; the
/// offset between the clocks is measured to some microseconds.
pub const DISORDER_NS: u64 = 5_000_000;

/// A connection that fits, and how well.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The connection.
    pub socket: &'a Snapshot,
    /// By which evidence.
    pub method: Method,
    /// How sure.
    pub confidence: Confidence,
}

/// When a request ran, on the kernel's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// Its first moment.
    pub start: BootNanos,
    /// Its last moment.
    pub end: BootNanos,
}

/// Finds the connection that the request came in on.
pub(crate) fn received_on<'a>(
    sockets: &'a Sockets,
    key: ConnKey,
    ran: Interval,
) -> Option<Found<'a>> {
    let accepted =
        |socket: &&Snapshot| socket.opening == Opening::Passive && ran.lies_within(socket);
    let until = ran.start.plus_ns(DISORDER_NS);
    let exact = not_succeeded(sockets.between(key, ran.start))
        .chain(began_after(sockets.between(key, until), ran.start))
        .filter(accepted);
    choose(exact, Method::Exact, |socket| {
        ran.lies_wholly_within(socket)
    })
    .or_else(|| {
        // The listener's own address is the one that a redirection replaced: the port is the client's.
        let peer = sockets
            .towards(key.peer, BootNanos(0), until)
            .filter(accepted);
        choose(peer, Method::Peer, |socket| ran.lies_wholly_within(socket)).map(|found| Found {
            confidence: at_best_likely(found.confidence),
            ..found
        })
    })
}

/// Finds the connection that carried the request to the service.
pub(crate) fn served_by<'a>(
    sockets: &'a Sockets,
    upstream: &Upstream,
    ran: Interval,
) -> Option<Found<'a>> {
    let key = ConnKey {
        local: upstream.local?,
        peer: upstream.peer,
    };
    let dialled = |socket: &&Snapshot| {
        socket.opening == Opening::Active && ran.follows_handshake(socket) && ran.meets(socket)
    };
    let exact = sockets
        .between(key, ran.end.plus_ns(DISORDER_NS))
        .filter(dialled);
    choose(exact, Method::Exact, |socket| {
        ran.lies_wholly_within(socket)
    })
}

/// Finds the failed connect that failed the request; `netns` is where the gateway runs, if known.
pub(crate) fn failed_by<'a>(
    sockets: &'a Sockets,
    upstream: &Upstream,
    ran: Interval,
    netns: Option<u64>,
) -> Option<Found<'a>> {
    let from = ran.start.minus_ns(DISORDER_NS);
    let until = ran.end.plus_ns(DISORDER_NS);
    let failed = sockets
        .towards(upstream.peer, from, until)
        .filter(|socket| {
            socket.opening == Opening::Active
                && socket.outcome.is_failed_connect()
                && socket.closed_at.is_some_and(|closed_at| closed_at <= until)
                && netns.is_none_or(|netns| socket.netns == 0 || socket.netns == netns)
                && agrees(socket, &upstream.failure)
        });
    choose(failed, Method::Failure, |_| false)
}

/// Returns whether the request waited for this connection's handshake.
///
/// The handshake lies within the wait, and lengths are measured well: only when it was is uncertain.
pub(crate) fn waited_for(socket: &Snapshot, report: &Report, ran: Interval) -> bool {
    let waited_ns = report
        .upstream
        .as_ref()
        .and_then(|upstream| upstream.pool_wait_ns)
        .unwrap_or(0);
    let (Some(syn_at), Some(established_at)) = (socket.syn_at, socket.established_at) else {
        return false;
    };
    syn_at.plus_ns(DISORDER_NS) >= ran.start
        && established_at <= ran.end.plus_ns(DISORDER_NS)
        && established_at.since_ns(syn_at) <= waited_ns
}

/// Leaves out a socket whose close was never told, where a younger one in its namespace has its ends:
/// two cannot be there at once. Takes the youngest first.
fn not_succeeded<'a>(
    sockets: impl Iterator<Item = &'a Snapshot>,
) -> impl Iterator<Item = &'a Snapshot> {
    let mut succeeded = BTreeSet::new();
    sockets.filter(move |socket| succeeded.insert(socket.netns) || socket.closed_at.is_some())
}

/// Takes the sockets that began after `start`, the youngest first.
fn began_after<'a>(
    sockets: impl Iterator<Item = &'a Snapshot>,
    start: BootNanos,
) -> impl Iterator<Item = &'a Snapshot> {
    sockets.take_while(move |socket| socket.began_at() > start)
}

/// Returns whether the peer's RST ended the connection while the request ran.
pub(crate) fn reset_during(socket: &Snapshot, ran: Interval) -> bool {
    let until = ran.end.plus_ns(DISORDER_NS);
    socket.outcome == Outcome::ResetByPeer
        && socket.closed_at.is_some_and(|closed_at| closed_at <= until)
}

/// Chooses among the sockets that fit; `better` tells one that fits beyond the sources' disorder.
fn choose<'a>(
    candidates: impl Iterator<Item = &'a Snapshot>,
    method: Method,
    better: impl Fn(&Snapshot) -> bool,
) -> Option<Found<'a>> {
    let mut candidates: Vec<_> = candidates.collect();
    candidates.sort_by_key(|socket| (socket.began_at(), socket.cookie));
    let found = |socket, confidence| {
        Some(Found {
            socket,
            method,
            confidence,
        })
    };
    let [first, rest @ ..] = candidates.as_slice() else {
        return None;
    };
    if rest.is_empty() {
        return found(first, Confidence::Certain);
    }
    let mut best = candidates.iter().filter(|socket| better(socket));
    match (best.next(), best.next()) {
        (Some(socket), None) => found(socket, Confidence::Likely),
        _ => {
            let candidates = u32::try_from(candidates.len()).unwrap_or(u32::MAX);
            found(first, Confidence::Ambiguous { candidates })
        }
    }
}

fn at_best_likely(confidence: Confidence) -> Confidence {
    match confidence {
        Confidence::Certain => Confidence::Likely,
        Confidence::Likely | Confidence::Ambiguous { .. } => confidence,
    }
}

/// Returns whether Envoy's words for a failed connect agree with how the kernel's ended.
///
/// Words that name no error known here rule nothing out.
fn agrees(socket: &Snapshot, failure: &str) -> bool {
    let refused = socket.outcome == Outcome::Refused;
    let unreachable = socket.outcome == Outcome::Unreachable;
    match errno(failure) {
        Some(ECONNREFUSED) => refused,
        Some(ENETUNREACH | EHOSTUNREACH) => unreachable,
        Some(_) => !refused && !unreachable,
        None => true,
    }
}

const ENETUNREACH: u32 = 101;
const ETIMEDOUT: u32 = 110;
const ECONNREFUSED: u32 = 111;
const EHOSTUNREACH: u32 = 113;

/// Returns the errno that Envoy's failure text names.
///
/// Some versions write the number (`delayed connect error: 111`), others the words (`delayed connect
/// error: Connection refused`); in response code details, blanks are underscores.
fn errno(failure: &str) -> Option<u32> {
    let (_, error) = failure.split_once("connect")?;
    let (_, error) = error.split_once(':')?;
    let error = error.trim_start_matches([' ', '_']);
    let digits = error
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap_or_default();
    let is = |words: &str| error.replace('_', " ").starts_with(words);
    match digits.parse() {
        Ok(errno) => Some(errno),
        Err(_) if is("Connection refused") => Some(ECONNREFUSED),
        Err(_) if is("No route to host") => Some(EHOSTUNREACH),
        Err(_) if is("Network is unreachable") => Some(ENETUNREACH),
        Err(_) if is("Connection timed out") => Some(ETIMEDOUT),
        Err(_) => None,
    }
}

// === impl Interval ===

impl Interval {
    /// Returns whether this fits into the life of the socket, but for disorder between the sources.
    fn lies_within(self, socket: &Snapshot) -> bool {
        socket.began_at() <= self.start.plus_ns(DISORDER_NS)
            && socket
                .closed_at
                .is_none_or(|closed_at| self.end <= closed_at.plus_ns(DISORDER_NS))
    }

    /// Returns whether this fits into the life of the socket to the nanosecond.
    fn lies_wholly_within(self, socket: &Snapshot) -> bool {
        socket.began_at() <= self.start
            && socket
                .closed_at
                .is_none_or(|closed_at| self.end <= closed_at)
    }

    /// Returns whether the handshake was done before this ended: no other socket can carry a request,
    /// and of no other socket is it sure that it is known by then.
    fn follows_handshake(self, socket: &Snapshot) -> bool {
        socket
            .established_at
            .is_some_and(|established_at| established_at <= self.end.plus_ns(DISORDER_NS))
    }

    /// Returns whether this and the life of the socket have a moment in common.
    fn meets(self, socket: &Snapshot) -> bool {
        socket.began_at() <= self.end.plus_ns(DISORDER_NS)
            && socket
                .closed_at
                .is_none_or(|closed_at| self.start <= closed_at.plus_ns(DISORDER_NS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_errno_is_read_from_every_version_s_words() {
        let spellings = [
            ("delayed connect error: 111", Some(ECONNREFUSED)),
            (
                "delayed connect error: Connection refused",
                Some(ECONNREFUSED),
            ),
            (
                "upstream_reset_before_response_started{connection_failure,delayed_connect_error:_111}",
                Some(111),
            ),
            (
                "immediate connect error: Network is unreachable",
                Some(ENETUNREACH),
            ),
            ("remote address:10.0.0.111", None),
            ("connection timeout", None),
            ("", None),
        ];
        for (text, expected) in spellings {
            assert_eq!(errno(text), expected, "{text}");
        }
    }
}
