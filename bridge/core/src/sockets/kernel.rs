//! What the kernel says of one socket, in few bytes: what [`Snapshot`] says, without what many share.
//!
//! What most open sockets do not have (a tag, losses, more bytes than fit) is kept apart, and only where it
//! exists.

mod merging;

use syntrace_model::{BootNanos, ConnKey, Opening, Outcome, TraceId};

use self::merging::Earlier;
use super::{Context, Contradictions, tuple::Tuple};
use crate::fact::{Counters, Snapshot, Tag};

/// What the kernel says of one socket.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(super) tuple: Tuple,
    pub(super) minted: TraceId,
    first_seen_at: BootNanos,
    seen_at: BootNanos,
    syn_at: Moment,
    syn_ack_at: Moment,
    established_at: Moment,
    accepted_at: Moment,
    closed_at: Moment,
    srtt_us: u32,
    min_rtt_us: u32,
    segments_out: u32,
    segments_in: u32,
    /// Bytes of the application, where so many fit; 0 otherwise.
    bytes_acked: u32,
    bytes_received: u32,
    pub(super) opening: Opening,
    pub(super) outcome: Outcome,
    /// Contradictions within it.
    own: Contradictions,
    rare: Option<Box<Rare>>,
}

/// What most open sockets do not have.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rare {
    tag: Option<Tag>,
    errno: u32,
    /// Those that [`Kernel`] has no place for; the others are 0 here.
    counters: Counters,
    reset_reason: Box<str>,
    earlier: Option<Box<Earlier>>,
}

/// Moments that happen once: SYN, SYN-ACK, end of the handshake, close.
type Once = [Moment; 4];

/// A moment that may be unknown: [`u64::MAX`] stands for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moment(BootNanos);

// === impl Kernel ===

impl Kernel {
    /// Returns what a snapshot says.
    pub(super) fn new(told: &Snapshot) -> Self {
        let mut kernel = Self {
            tuple: told.key.into(),
            minted: told.minted,
            first_seen_at: told.watch.first_seen_at.unwrap_or(told.seen_at),
            seen_at: told.seen_at,
            syn_at: told.syn_at.into(),
            syn_ack_at: told.syn_ack_at.into(),
            established_at: told.established_at.into(),
            accepted_at: told.accepted_at.into(),
            closed_at: told.closed_at.into(),
            srtt_us: 0,
            min_rtt_us: 0,
            segments_out: 0,
            segments_in: 0,
            bytes_acked: 0,
            bytes_received: 0,
            opening: told.opening,
            outcome: told.outcome,
            own: Contradictions::NONE,
            rare: None,
        };
        kernel.take_latest(told);
        kernel.own = kernel.own_contradictions();
        kernel
    }

    /// Reads a little of everything: see [`crate::prefetch`].
    pub(super) fn touch(&self) -> u64 {
        let [local, peer] = self.tuple.ports();
        let ports = local ^ peer;
        let times = self.seen_at.0 ^ self.syn_at.0.0 ^ self.closed_at.0.0;
        times ^ u64::from(self.segments_in) ^ u64::from(ports)
    }

    /// Returns both ends.
    pub(super) const fn key(&self) -> ConnKey {
        self.tuple.key()
    }

    /// Returns both ends and who opened it: what no snapshot of the same socket may say differently.
    pub(super) fn place(&self) -> (ConnKey, Opening) {
        (self.key(), self.opening)
    }

    /// Returns whether a snapshot says the same of both.
    pub(super) fn is_placed_as(&self, told: &Snapshot) -> bool {
        self.opening == told.opening && self.tuple == told.key.into()
    }

    /// Takes what the latest snapshot says.
    fn take_latest(&mut self, told: &Snapshot) {
        let counters = &told.counters;
        self.srtt_us = counters.srtt_us;
        self.min_rtt_us = counters.min_rtt_us;
        self.segments_out = counters.segments_out;
        self.segments_in = counters.segments_in;
        let bytes = [counters.bytes_acked, counters.bytes_received];
        let [acked, received] = bytes.map(|bytes| u32::try_from(bytes).unwrap_or(0));
        (self.bytes_acked, self.bytes_received) = (acked, received);
        let reset_reason = &told.watch.reset_reason;
        let rest = Counters {
            srtt_us: 0,
            min_rtt_us: 0,
            segments_out: 0,
            segments_in: 0,
            bytes_acked: counters.bytes_acked - u64::from(acked),
            bytes_received: counters.bytes_received - u64::from(received),
            ..*counters
        };
        let is_bare = told.tag.is_none()
            && told.errno == 0
            && reset_reason.is_empty()
            && rest == Counters::default();
        if is_bare && self.rare.is_none() {
            return;
        }
        let rare = self.rare.get_or_insert_default();
        rare.tag = rare.tag.or(told.tag);
        rare.errno = told.errno;
        rare.counters = merging::grown(rest, &rare.counters);
        if rare.reset_reason != *reset_reason {
            rare.reset_reason.clone_from(reset_reason);
        }
        self.drop_bare();
    }

    /// Returns whether both ends can be those of a connection.
    pub(super) fn has_ports(&self) -> bool {
        !self.tuple.ports().contains(&0)
    }

    /// Returns the contradictions within it.
    pub(super) const fn contradictions(&self) -> Contradictions {
        self.own
    }

    /// Returns the moments that happen once, as a snapshot tells them.
    const fn once_of(told: &Snapshot) -> [Option<BootNanos>; 4] {
        [
            told.syn_at,
            told.syn_ack_at,
            told.established_at,
            told.closed_at,
        ]
    }

    /// Returns the same to be changed, as they are known.
    const fn once_mut(&mut self) -> [&mut Moment; 4] {
        [
            &mut self.syn_at,
            &mut self.syn_ack_at,
            &mut self.established_at,
            &mut self.closed_at,
        ]
    }

    /// Returns the same, as they are known.
    const fn once(&self) -> Once {
        [
            self.syn_at,
            self.syn_ack_at,
            self.established_at,
            self.closed_at,
        ]
    }

    fn own_contradictions(&self) -> Contradictions {
        let end = self.closed_at();
        let ends_before = |begin: Moment| {
            let begin = begin.known();
            end.zip(begin).is_some_and(|(end, begin)| end < begin)
        };
        let future = end.is_some_and(|end| end > self.seen_at);
        let mut latest = BootNanos(0);
        let mut out_of_order = false;
        let steps = [
            self.syn_at,
            self.syn_ack_at,
            self.established_at,
            self.accepted_at,
        ];
        for step in steps {
            if let Some(at) = step.known() {
                out_of_order |= at < latest;
                latest = latest.max(at);
            }
        }
        Contradictions::ENDED_BEFORE_BEGUN
            .when(ends_before(self.syn_at) || ends_before(self.established_at))
            .and(Contradictions::NO_PORT.when(!self.has_ports()))
            .and(Contradictions::FROM_THE_FUTURE.when(future))
            .and(Contradictions::OUT_OF_ORDER.when(out_of_order))
    }

    /// Returns all that is known, as a value of its own.
    pub(super) fn snapshot(&self, cookie: u64, context: &Context) -> Snapshot {
        let mut watch = context.watch();
        watch.first_seen_at = Some(self.first_seen_at);
        if let Some(rare) = &self.rare {
            watch.reset_reason.clone_from(&rare.reset_reason);
        }
        let boot = match context.space {
            super::Space::Boot(boot) => boot,
            super::Space::Filter(_) => syntrace_model::BootId([0; 16]),
        };
        Snapshot {
            boot,
            cookie,
            seen_at: self.seen_at,
            netns: context.netns,
            key: self.key(),
            opening: self.opening,
            outcome: self.outcome,
            syn_at: self.syn_at(),
            syn_ack_at: self.syn_ack_at(),
            established_at: self.established_at(),
            accepted_at: self.accepted_at(),
            closed_at: self.closed_at(),
            minted: self.minted,
            tag: self.tag(),
            errno: self.rare.as_ref().map_or(0, |rare| rare.errno),
            owner_pid: context.owner_pid,
            owner_tid: context.owner_tid,
            counters: self.counters(),
            watch,
        }
    }

    /// Returns what was counted.
    pub(super) fn counters(&self) -> Counters {
        let rare = self.rare.as_ref();
        let rare = rare.map_or_else(Counters::default, |rare| rare.counters);
        Counters {
            srtt_us: self.srtt_us,
            min_rtt_us: self.min_rtt_us,
            segments_out: self.segments_out,
            segments_in: self.segments_in,
            bytes_acked: rare.bytes_acked + u64::from(self.bytes_acked),
            bytes_received: rare.bytes_received + u64::from(self.bytes_received),
            ..rare
        }
    }

    pub(super) fn tag(&self) -> Option<Tag> {
        self.rare.as_ref()?.tag
    }

    pub(super) const fn seen_at(&self) -> BootNanos {
        self.seen_at
    }

    pub(super) fn syn_at(&self) -> Option<BootNanos> {
        self.syn_at.known()
    }

    pub(super) fn syn_ack_at(&self) -> Option<BootNanos> {
        self.syn_ack_at.known()
    }

    pub(super) fn established_at(&self) -> Option<BootNanos> {
        self.established_at.known()
    }

    pub(super) fn accepted_at(&self) -> Option<BootNanos> {
        self.accepted_at.known()
    }

    pub(super) fn closed_at(&self) -> Option<BootNanos> {
        self.closed_at.known()
    }

    /// Returns the first moment at which the socket is known to have been there.
    pub(super) fn began_at(&self) -> BootNanos {
        self.syn_at()
            .or_else(|| self.established_at())
            .unwrap_or(self.first_seen_at)
    }
}

// === impl Moment ===

impl From<Option<BootNanos>> for Moment {
    fn from(moment: Option<BootNanos>) -> Self {
        moment.map_or(Self::NONE, Self)
    }
}

impl Moment {
    const NONE: Self = Self(BootNanos(u64::MAX));

    fn known(self) -> Option<BootNanos> {
        (self != Self::NONE).then_some(self.0)
    }

    /// Takes the earlier of both; returns whether both are known and differ.
    fn earliest(&mut self, told: Option<BootNanos>) -> bool {
        let differ = self.known().is_some() && told.is_some_and(|told| told != self.0);
        if let Some(told) = told {
            self.0 = self.0.min(told);
        }
        differ
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[test]
    fn bytes_are_told_as_they_were_counted_however_many() {
        let fits = u64::from(u32::MAX);
        let counts = [0, fits, fits + 1, u64::MAX];
        for (bytes_acked, bytes_received) in counts.into_iter().zip(counts.into_iter().rev()) {
            let counters = Counters {
                bytes_acked,
                bytes_received,
                ..Counters::default()
            };
            assert_eq!(Kernel::new(&told(counters)).counters(), counters);
        }
    }

    #[test]
    fn a_socket_that_only_counts_has_nothing_apart() {
        let counters = Counters {
            srtt_us: 300,
            min_rtt_us: 200,
            segments_out: 4,
            segments_in: 3,
            ..Counters::default()
        };
        assert_eq!(Kernel::new(&told(counters)).rare, None);
    }

    fn told(counters: Counters) -> Snapshot {
        Snapshot {
            counters,
            ..example::socket()
        }
    }
}
