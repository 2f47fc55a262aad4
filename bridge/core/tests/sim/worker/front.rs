//! A proxy in front of the gateway, on its host and observed too, that speaks PROXY protocol to it.

use syntrace_core::fact::Snapshot;
use syntrace_model::{BootNanos, Opening, Outcome};

use super::{US, Worker};

/// The process.
const PID: u32 = 700;

/// From the client's SYN until the proxy dials the gateway.
const DIALS_AFTER: u64 = 400 * US;
/// From the end of the connection to the gateway to that of the client's.
const CLOSES_AFTER: u64 = 60 * US;

impl Worker<'_> {
    /// The proxy in front accepts the client's connection, and dials the gateway.
    pub(super) fn come_through_front(&mut self, down: usize) {
        let front = [self.cookie(), self.cookie()];
        self.downs[down].front = Some(front);
        let [accepted, dialled] = self.front_sockets(down, front, None);
        self.tell(self.downs[down].syn_at - DIALS_AFTER / 2, accepted);
        self.tell(self.downs[down].established_at, dialled);
    }

    pub(super) fn close_front(&mut self, down: usize, now: u64) {
        if let Some(front) = self.downs[down].front {
            let [accepted, dialled] = self.front_sockets(down, front, Some(now));
            self.tell(now, dialled);
            self.tell(now + CLOSES_AFTER, accepted);
        }
    }

    /// Both connections of the proxy in front; the first has the ends that it names to the gateway.
    fn front_sockets(&self, down: usize, front: [u64; 2], closed_at: Option<u64>) -> [Snapshot; 2] {
        let known = &self.downs[down];
        let came_at = known.syn_at - DIALS_AFTER;
        let socket = |cookie, closed_at: Option<u64>| Snapshot {
            outcome: closed_at.map_or(Outcome::Established, |_| Outcome::Closed),
            closed_at: closed_at.map(BootNanos),
            owner_pid: PID,
            owner_tid: PID,
            ..self.any_socket(cookie)
        };
        let shaken_at = Some(BootNanos(came_at + DIALS_AFTER / 4));
        let accepted = Snapshot {
            key: known.coming.named,
            opening: Opening::Passive,
            syn_at: Some(BootNanos(came_at)),
            syn_ack_at: Some(BootNanos(came_at)),
            established_at: shaken_at,
            accepted_at: shaken_at,
            ..socket(front[0], closed_at.map(|at| at + CLOSES_AFTER))
        };
        let established_at = Some(BootNanos(known.established_at));
        let dialled = Snapshot {
            key: known.coming.socket.mirrored(),
            opening: Opening::Active,
            syn_at: Some(BootNanos(known.syn_at)),
            syn_ack_at: established_at,
            established_at,
            ..socket(front[1], closed_at)
        };
        [accepted, dialled]
    }
}
