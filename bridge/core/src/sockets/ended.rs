//! The dialled sockets that ended, by the far end and by the thread that dialled; both by when they ended.
//!
//! Few connections are in here. Keeps and finds; what fits a request is decided in
//! [`crate::failure`].

use std::collections::BTreeSet;

use syntrace_model::{BootId, BootNanos, ConnectionId, Endpoint, Opening};

use super::{Kernel, Socket};

/// Below and above every id, for ranges.
const LOWEST: ConnectionId = ConnectionId::Socket {
    boot: BootId([0; 16]),
    cookie: 0,
};
const HIGHEST: ConnectionId = ConnectionId::Proxy {
    epoch: u64::MAX,
    connection: u64::MAX,
};

/// How a dialled socket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    peer: Endpoint,
    tid: u32,
    closed_at: BootNanos,
    id: ConnectionId,
}

/// The live connections that were dialled and have ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    by_peer: BTreeSet<(Endpoint, BootNanos, ConnectionId)>,
    by_thread: BTreeSet<(u32, BootNanos, ConnectionId)>,
}

// === impl End ===

impl End {
    /// Returns how a socket ended, if it was dialled and has; `socket` reads it.
    pub(super) fn of<'a>(
        kernel: &Kernel,
        socket: impl FnOnce() -> Option<Socket<'a>>,
    ) -> Option<Self> {
        if kernel.opening == Opening::Passive || !kernel.outcome.is_final() {
            return None;
        }
        let socket = socket()?;
        Some(Self {
            peer: socket.key().peer,
            tid: socket.owner_tid(),
            closed_at: socket.closed_at()?,
            id: socket.id(),
        })
    }
}

// === impl Ended ===

impl Ended {
    /// Enters a socket.
    pub(super) fn insert(&mut self, end: End) {
        self.by_peer.insert((end.peer, end.closed_at, end.id));
        self.by_thread.insert((end.tid, end.closed_at, end.id));
    }

    /// Takes a socket out again, as it was entered.
    pub(super) fn remove(&mut self, end: End) {
        self.by_peer.remove(&(end.peer, end.closed_at, end.id));
        self.by_thread.remove(&(end.tid, end.closed_at, end.id));
    }

    /// Returns the sockets towards `peer` that ended within the interval, in order.
    pub(super) fn towards(
        &self,
        peer: Endpoint,
        from: BootNanos,
        until: BootNanos,
    ) -> impl Iterator<Item = ConnectionId> {
        let range = (peer, from, LOWEST)..=(peer, until.max(from), HIGHEST);
        self.by_peer.range(range).map(|&(_, _, id)| id)
    }

    /// Returns the sockets that this thread dialled and that ended within the interval, in order.
    pub(super) fn by_thread(
        &self,
        tid: u32,
        from: BootNanos,
        until: BootNanos,
    ) -> impl Iterator<Item = ConnectionId> {
        let range = (tid, from, LOWEST)..=(tid, until.max(from), HIGHEST);
        self.by_thread.range(range).map(|&(_, _, id)| id)
    }
}
