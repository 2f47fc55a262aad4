//! What the probe tells of the worker's sockets.

use syntrace_core::fact::{Counters, Fact, Incident, IncidentKind, Origin, Snapshot, Watch};
use syntrace_model::{BootNanos, ConnKey, Endpoint, Opening, Outcome, TraceId};

use super::{Arrival, BOOT, MS, Mishap, Seen, US, Up, Worker};

impl Worker<'_> {
    /// Something happens to the connection that a request runs on, because of that request.
    pub(super) fn mishap(
        &mut self,
        ask: usize,
        mishap: Mishap,
        cookie: u64,
        key: ConnKey,
        at: u64,
    ) {
        self.asks[ask].mishap = Some((mishap, cookie, at));
        let kind = match mishap {
            Mishap::WindowClosed => IncidentKind::ZeroWindow,
            _ => IncidentKind::Retransmit,
        };
        self.incident(kind, cookie, key.local, Some(key.peer), at);
    }

    pub(super) fn incident(
        &mut self,
        kind: IncidentKind,
        cookie: u64,
        local: Endpoint,
        peer: Option<Endpoint>,
        at: u64,
    ) {
        self.kernel.push(Seen {
            at,
            fact: Fact::Incident(Incident {
                at: BootNanos(at),
                boot: BOOT,
                cookie,
                netns: self.place.netns,
                local,
                peer,
                kind,
                count: 1,
                queue: None,
            }),
        });
    }

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
            counters: Counters {
                // The first SYN-ACK is sent again after a second.
                syn_ack_retransmits: u32::from(
                    watched && known.established_at - known.syn_at >= 1_000 * MS,
                ),
                ..Counters::default()
            },
            ..self.any_socket(known.cookie)
        }
    }

    /// The client's own end of a downstream connection whose first SYN was dropped.
    pub(super) fn client_socket(
        &self,
        down: usize,
        cookie: u64,
        closed_at: Option<u64>,
    ) -> Snapshot {
        let known = &self.downs[down];
        Snapshot {
            key: known.coming.socket.mirrored(),
            opening: Opening::Active,
            outcome: closed_at.map_or(Outcome::Established, |_| Outcome::Closed),
            syn_at: Some(BootNanos(known.coming.at)),
            syn_ack_at: Some(BootNanos(known.established_at)),
            established_at: Some(BootNanos(known.established_at)),
            closed_at: closed_at.map(BootNanos),
            netns: 99,
            owner_pid: 900,
            owner_tid: 900,
            counters: Counters {
                syn_retransmits: 1,
                ..Counters::default()
            },
            ..self.any_socket(cookie)
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
                bytes_acked: if up.established_at.is_some() { 517 } else { 0 },
                bytes_received: if up.established_at.is_some() {
                    2_000
                } else {
                    0
                },
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
