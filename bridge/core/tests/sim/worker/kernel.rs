//! What the probe tells of the worker's sockets.

use syntrace_core::fact::{Counters, Fact, Origin, Snapshot, Watch};
use syntrace_model::{BootNanos, ConnKey, Endpoint, Opening, Outcome, TraceId};

use super::{Arrival, BOOT, Seen, US, Up, Worker};

impl Worker<'_> {
    pub(super) fn tell(&mut self, at: u64, mut snapshot: Snapshot) {
        let jitter = self.random.below(3 * US);
        snapshot.seen_at = BootNanos(at + jitter);
        self.kernel.push(Seen {
            at: at + jitter,
            fact: Fact::Connection(snapshot),
        });
    }

    pub(super) fn downstream_socket(&self, down: usize, closed_at: Option<u64>) -> Snapshot {
        let known = &self.downs[down];
        let arrival = known.coming.arrival;
        let watched = !matches!(arrival, Arrival::Backfilled | Arrival::Polled);
        let when = |at: u64| watched.then_some(BootNanos(at));
        Snapshot {
            cookie: known.cookie,
            key: known.coming.socket,
            opening: Opening::Passive,
            outcome: if closed_at.is_some() {
                Outcome::Closed
            } else {
                Outcome::Established
            },
            syn_at: when(known.syn_at),
            syn_ack_at: when(known.syn_at + 2 * US),
            established_at: when(known.established_at),
            accepted_at: when(known.accepted_at),
            closed_at: closed_at.map(BootNanos),
            watch: Watch {
                origin: match arrival {
                    Arrival::Backfilled => Origin::Backfilled,
                    Arrival::Polled => Origin::Polled,
                    _ => Origin::Watched,
                },
                ..Watch::default()
            },
            owner_tid: if watched { self.place.tid } else { 0 },
            ..self.any_socket(known.cookie)
        }
    }

    pub(super) fn upstream_socket(
        &self,
        up: &Up,
        outcome: Outcome,
        closed_at: Option<u64>,
    ) -> Snapshot {
        let errno = match outcome {
            Outcome::Refused => 111,
            Outcome::Unanswered => 110,
            Outcome::Unreachable => 113,
            _ => 0,
        };
        Snapshot {
            key: up.key,
            opening: Opening::Active,
            outcome,
            syn_at: Some(BootNanos(up.syn_at)),
            syn_ack_at: up.established_at.map(BootNanos),
            established_at: up.established_at.map(BootNanos),
            closed_at: closed_at.map(BootNanos),
            errno,
            counters: Counters {
                syn_retransmits: up.syns,
                ..Counters::default()
            },
            ..self.any_socket(up.cookie)
        }
    }

    pub(super) fn any_socket(&self, cookie: u64) -> Snapshot {
        Snapshot {
            boot: BOOT,
            cookie,
            seen_at: BootNanos(0),
            netns: self.place.netns,
            key: ConnKey {
                local: Endpoint::new(self.place.address, 1),
                peer: Endpoint::new(self.place.address, 1),
            },
            opening: Opening::Active,
            outcome: Outcome::Unknown,
            syn_at: None,
            syn_ack_at: None,
            established_at: None,
            accepted_at: None,
            closed_at: None,
            minted: TraceId::new((0xeb_u128 << 120 | u128::from(cookie)).to_be_bytes()).unwrap(),
            tag: None,
            errno: 0,
            owner_pid: self.place.pid,
            owner_tid: self.place.tid,
            counters: Counters::default(),
            watch: Watch::default(),
        }
    }
}
