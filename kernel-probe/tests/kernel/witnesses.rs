//! Holds records against what others saw of the same connections: a packet capture, `ss` when the
//! kernel destroys the socket, and the process whose calls they were.

use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;
use syntrace_proto::{Connection, Endpoint, Opening, Origin, Outcome};

use crate::{
    capture::End,
    cases::Except,
    conversation::{Conversations, Sent},
    ss::{Destroyed, Socket},
};

/// How far a time may lie from the capture's, nanoseconds. Both are read within one run of the
/// kernel's receive path, but the machine under this one may take the processor away between.
const TOLERANCE_NS: u64 = 50_000_000;

/// How far beyond it lies the end of a connection that is older than the hooks: news of destroyed
/// sockets are read this often.
const NEWS_EVERY_NS: u64 = 100_000_000;

/// The lower bytes of a record's cookie are the socket's, the highest counts its earlier attempts.
const COOKIE: u64 = u64::MAX >> 8;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// With the capture.
    SegmentsOut,
    SegmentsIn,
    Acknowledged,
    Received,
    Again,
    Handshake,
    ResetOut,
    ResetIn,
    SynAt,
    SynAckAt,
    EstablishedAt,
    ClosedAt,
    /// With the calls.
    ConnectedWithin,
    AcceptedWithin,
    /// With `ss`.
    SsGone,
    SsEmptied,
    SsSegmentsOut,
    SsSegmentsIn,
    SsAcknowledged,
    SsReceived,
    SsAgain,
    SsRtt,
    SsMinRtt,
}

/// When calls began and returned, nanoseconds of `CLOCK_BOOTTIME`.
#[derive(Debug)]
pub(crate) struct Calls {
    connects: Vec<(u64, u64)>,
    accepts: Vec<(u64, u64)>,
}

/// All of one case.
pub(crate) struct Witnesses {
    pub(crate) conversations: Conversations,
    pub(crate) destroyed: Destroyed,
    pub(crate) calls: Calls,
    /// How far a time was apart from the capture's at most.
    pub(crate) furthest_ns: u64,
}

// === impl Calls ===

impl Calls {
    pub(crate) fn of(said: &Value) -> Self {
        let pairs = |name: &str| serde_json::from_value(said[name].clone()).unwrap();
        Self {
            connects: pairs("connect"),
            accepts: pairs("accept"),
        }
    }
}

// === impl Witnesses ===

impl Witnesses {
    /// Returns where they disagree with `ends`, `except` for what is said there.
    pub(crate) fn disagree(&mut self, ends: &[Connection], except: &[Except]) -> Vec<String> {
        let mut wrong = Vec::new();
        for (at, end) in ends.iter().enumerate() {
            let own = self.sent(ends, at, true);
            let peer = self.sent(ends, at, false);
            let mut rows = counts(end, &own, &peer);
            rows.extend(self.times(end, &own, &peer));
            rows.extend(self.ss(ends, at, &own, &peer));
            for (what, told, seen) in rows {
                let excepted = except
                    .iter()
                    .find(|(of, field, ..)| (*of, *field) == (at, what));
                let more = excepted.map_or(0, |(_, _, more, _)| *more);
                if told as i64 - seen as i64 != more {
                    wrong.push(format!("{what:?} of record {at}: told {told}, seen {seen}"));
                }
            }
        }
        wrong
    }

    /// Returns what the connection's own end sent, or its peer's.
    fn sent(&self, ends: &[Connection], at: usize, is_own: bool) -> Sent {
        let pair = |end: &Connection| (named(&end.local), named(&end.peer));
        let ours = pair(&ends[at]);
        let earlier = ends[..at].iter().filter(|end| pair(end) == ours).count();
        let (local, peer) = ours;
        let key = if is_own { (local, peer) } else { (peer, local) };
        let all = self.conversations.get(&key);
        all.and_then(|all| all.get(earlier))
            .cloned()
            .unwrap_or_default()
    }

    fn times(&mut self, end: &Connection, own: &Sent, peer: &Sent) -> Vec<(What, u64, u64)> {
        let offset = wall_offset_ns();
        let is_active = end.opening() == Opening::Active;
        let (syns, syn_acks) = if is_active {
            (&own.syns, &peer.syn_acks)
        } else {
            (&peer.syns, &own.syn_acks)
        };
        // SYNs that crossed are established by an ACK.
        let established = if is_active {
            [&syn_acks[..], &peer.others].concat()
        } else {
            peer.others.clone()
        };
        let closed = [&own.others[..], &peer.others].concat();
        let mut rows = Vec::new();
        let by_capture = [
            (What::SynAt, end.syn_at_ns, syns),
            (What::SynAckAt, end.syn_ack_at_ns, syn_acks),
            (What::EstablishedAt, end.established_at_ns, &established),
            (What::ClosedAt, end.closed_at_ns, &closed),
        ];
        let has_failed = is_active && end.established_at_ns == 0 && end.syn_at_ns != 0;
        let tolerance = match end.origin() {
            Origin::Watched => TOLERANCE_NS,
            Origin::Backfilled | Origin::Polled => TOLERANCE_NS + NEWS_EVERY_NS,
        };
        for (what, told, seen) in by_capture {
            // When a connect failed, the call tells.
            if told == 0 || (has_failed && what == What::ClosedAt) {
                continue;
            }
            let apart = seen.iter().map(|at| at.abs_diff(told + offset)).min();
            let apart = apart.unwrap_or(u64::MAX);
            if end.origin() == Origin::Watched && apart <= tolerance {
                self.furthest_ns = self.furthest_ns.max(apart);
            }
            rows.push((what, u64::from(apart > tolerance), 0));
        }
        let is_within = |calls: &[(u64, u64)], at: u64, after: u64| {
            let mut calls = calls.iter();
            u64::from(calls.any(|(began, ended)| (*began..=ended + after).contains(&at)))
        };
        if is_active && end.syn_at_ns != 0 {
            rows.push((
                What::ConnectedWithin,
                1,
                is_within(&self.calls.connects, end.syn_at_ns, 0),
            ));
        }
        if has_failed {
            let failed = is_within(&self.calls.connects, end.closed_at_ns, TOLERANCE_NS);
            rows.push((What::ClosedAt, 1, failed));
        }
        if end.accepted_at_ns != 0 {
            rows.push((
                What::AcceptedWithin,
                1,
                is_within(&self.calls.accepts, end.accepted_at_ns, 0),
            ));
        }
        rows
    }

    fn ss(
        &mut self,
        ends: &[Connection],
        at: usize,
        own: &Sent,
        peer: &Sent,
    ) -> Vec<(What, u64, u64)> {
        let end = &ends[at];
        let cookie = |end: &Connection| end.socket_cookie & COOKIE;
        // A socket that connects again counts anew.
        if ends[at + 1..]
            .iter()
            .any(|later| cookie(later) == cookie(end))
        {
            return Vec::new();
        }
        let Some(socket) = self.destroyed.socket(cookie(end)) else {
            return vec![(What::SsGone, 0, 1)];
        };
        // Nobody has a connection without a segment.
        if socket.number("segs_out") + socket.number("segs_in") == 0 {
            return vec![(What::SsEmptied, 0, 1)];
        }
        by_ss(end, &socket, own, peer)
    }
}

/// What the capture counted.
fn counts(end: &Connection, own: &Sent, peer: &Sent) -> Vec<(What, u64, u64)> {
    let is_active = end.opening() == Opening::Active;
    let began = if is_active {
        own.syns.len()
    } else {
        own.syn_acks.len()
    };
    let is_reset = matches!(end.outcome(), Outcome::ResetByPeer | Outcome::Refused);
    let again = end.syn_retransmits + end.syn_ack_retransmits;
    let any = |count: u32| u64::from(count > 0);
    vec![
        (
            What::SegmentsOut,
            end.segments_out.into(),
            own.segments.into(),
        ),
        (
            What::SegmentsIn,
            end.segments_in.into(),
            peer.segments.into(),
        ),
        (
            What::Acknowledged,
            end.bytes_acked,
            own.bytes_acknowledged_by(peer),
        ),
        (
            What::Received,
            end.bytes_received,
            peer.bytes_acknowledged_by(own),
        ),
        (What::Again, end.retransmits.into(), own.again.into()),
        (What::Handshake, u64::from(again) + 1, began as u64),
        (
            What::ResetOut,
            u64::from(!end.reset_reason.is_empty()),
            any(own.resets),
        ),
        (What::ResetIn, u64::from(is_reset), any(peer.resets)),
    ]
}

/// What the kernel counted, whose bytes include SYN and FIN, but no SYN of a passive open.
fn by_ss(end: &Connection, socket: &Socket, own: &Sent, peer: &Sent) -> Vec<(What, u64, u64)> {
    let is_active = end.opening() == Opening::Active;
    let was_observed = end.origin() == Origin::Watched;
    let handshake = end.syn_retransmits.max(end.syn_ack_retransmits);
    let syn_acks = if is_active || !was_observed {
        0
    } else {
        1 + end.syn_ack_retransmits
    };
    let syn = u64::from(is_active && (end.established_at_ns != 0 || !was_observed));
    let acknowledged = end.bytes_acked + syn + own.fin_acknowledged_by(peer);
    let received = end.bytes_received + peer.fin_acknowledged_by(own);
    let again = end.retransmits + handshake;
    let out = end.segments_out.saturating_sub(syn_acks);
    vec![
        (What::SsSegmentsOut, out.into(), socket.number("segs_out")),
        (
            What::SsSegmentsIn,
            end.segments_in.into(),
            socket.number("segs_in"),
        ),
        (
            What::SsAcknowledged,
            acknowledged,
            socket.number("bytes_acked"),
        ),
        (What::SsReceived, received, socket.number("bytes_received")),
        (What::SsAgain, again.into(), socket.retransmits()),
        (What::SsRtt, end.srtt_us.into(), socket.micros("rtt")),
        (
            What::SsMinRtt,
            end.min_rtt_us.into(),
            socket.micros("minrtt"),
        ),
    ]
}

fn named(end: &Option<Endpoint>) -> End {
    let end = end.clone().unwrap();
    (end.address, end.port as u16)
}

/// Returns `CLOCK_REALTIME` minus `CLOCK_BOOTTIME`, nanoseconds.
fn wall_offset_ns() -> u64 {
    let now = |clock| {
        let time = clock_gettime(clock);
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    };
    now(ClockId::Realtime) - now(ClockId::Boottime)
}
