//! The live connections, found by id, by both ends, or by the far end.
//!
//! Keeps and finds; what fits a request is decided in [`crate::join`].

use std::collections::{BTreeMap, BTreeSet};

use syntrace_model::{BootNanos, ConnKey, ConnectionId, Endpoint, TraceId, UnixNanos};

use crate::{
    fact::{Report, Snapshot, Watch},
    record::{LinkKind, RequestRef, Role},
};

/// Different ids that filters may claim to have minted for one connection; an honest one mints one.
const MINTED_MAX: usize = 4;

/// One live connection and what was assigned to it.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    /// The kernel's latest word; absent if only the proxy saw it.
    pub(crate) socket: Option<Snapshot>,
    /// What the gateway used it for.
    pub(crate) role: Option<Role>,
    /// Ids that the filter minted for it, each by the start of a request that says so.
    pub(crate) minted: BTreeSet<(UnixNanos, TraceId)>,
    /// Ids of its requests; the first one names a connection that has no other id.
    pub(crate) requests: BTreeSet<RequestRef>,
    /// Requests that the bound left out.
    pub(crate) requests_evicted: u64,
    /// When it counts as closed, if only the proxy saw it.
    pub(crate) idle_at: Option<BootNanos>,
}

/// All live connections.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    connections: BTreeMap<ConnectionId, Connection>,
    by_key: BTreeSet<(ConnKey, BootNanos, ConnectionId)>,
    by_peer: BTreeSet<(Endpoint, BootNanos, ConnectionId)>,
}

/// Why a snapshot was not taken over as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contradiction {
    /// The same cookie, with other ends: the first known ends stay.
    OtherEnds,
}

impl Contradiction {
    /// Returns the name that the coverage shows.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::OtherEnds => "other_ends",
        }
    }
}

// === impl Connection ===

impl Connection {
    /// Enters a request, at most `most` of them: the oldest are left out.
    pub(crate) fn assign(&mut self, report: &Report, kind: LinkKind, role: Role, most: usize) {
        self.role = self.role.or(Some(role));
        self.requests.insert(RequestRef {
            started_at: report.started_at,
            span_id: report.span_id,
            trace_id: report.trace_id,
            kind,
        });
        if self.requests.len() > most {
            self.requests.pop_first();
            self.requests_evicted += 1;
        }
    }

    /// Notes the id that the filter minted, by the earliest request that says so.
    pub(crate) fn mint(&mut self, started_at: UnixNanos, id: TraceId) {
        let known = self.minted.iter().find(|&&(_, known)| known == id).copied();
        match known {
            Some((earlier, _)) if earlier <= started_at => {}
            Some(later) => {
                self.minted.remove(&later);
                self.minted.insert((started_at, id));
            }
            None => {
                self.minted.insert((started_at, id));
            }
        }
        while self.minted.len() > MINTED_MAX {
            self.minted.pop_last();
        }
    }
}

// === impl Sockets ===

impl Sockets {
    /// Takes over what the kernel says of a socket, whatever order it says it in.
    pub(crate) fn observe(&mut self, snapshot: Snapshot) -> Result<(), Contradiction> {
        let id = snapshot.id();
        let connection = self.connections.entry(id).or_default();
        let known = connection
            .socket
            .as_ref()
            .map(|known| (known.key, known.began_at()));
        let merged = match connection.socket.take() {
            Some(known) if known.key != snapshot.key => {
                connection.socket = Some(known);
                return Err(Contradiction::OtherEnds);
            }
            Some(known) => merge(known, snapshot),
            None => snapshot,
        };
        let (key, began_at) = (merged.key, merged.began_at());
        connection.socket = Some(merged);
        if known != Some((key, began_at)) {
            if let Some((key, began_at)) = known {
                self.unindex(key, began_at, id);
            }
            self.by_key.insert((key, began_at, id));
            self.by_peer.insert((key.peer, began_at, id));
        }
        Ok(())
    }

    /// Returns a connection.
    pub(crate) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.connections.get(&id)
    }

    /// Returns a connection to assign something to.
    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.get_mut(&id)
    }

    /// Returns a connection that only the proxy saw; makes it if need be.
    pub(crate) fn proxy_only(&mut self, id: ConnectionId) -> &mut Connection {
        self.connections.entry(id).or_default()
    }

    /// Removes and returns a connection.
    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<Connection> {
        let connection = self.connections.remove(&id)?;
        if let Some(socket) = &connection.socket {
            self.unindex(socket.key, socket.began_at(), id);
        }
        Some(connection)
    }

    /// Returns the connection with the lowest id: the lowest cookie, which is about the oldest.
    pub(crate) fn first(&self) -> Option<ConnectionId> {
        self.connections.first_key_value().map(|(id, _)| *id)
    }

    /// Returns all ids, in order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = ConnectionId> + '_ {
        self.connections.keys().copied()
    }

    /// Returns how many there are.
    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    /// Returns the sockets with these ends that began at or before `until`, the youngest first.
    pub(crate) fn between(
        &self,
        key: ConnKey,
        until: BootNanos,
    ) -> impl Iterator<Item = &Snapshot> {
        self.by_key
            .range((key, BootNanos(0), LOWEST)..=(key, until, HIGHEST))
            .rev()
            .filter_map(|(_, _, id)| self.connections.get(id)?.socket.as_ref())
    }

    /// Returns the sockets towards `peer` that began within the interval, the youngest first.
    pub(crate) fn towards(
        &self,
        peer: Endpoint,
        from: BootNanos,
        until: BootNanos,
    ) -> impl Iterator<Item = &Snapshot> {
        let range = if from <= until {
            from..=until
        } else {
            from..=from
        };
        self.by_peer
            .range((peer, *range.start(), LOWEST)..=(peer, *range.end(), HIGHEST))
            .rev()
            .filter_map(|(_, _, id)| self.connections.get(id)?.socket.as_ref())
    }

    fn unindex(&mut self, key: ConnKey, began_at: BootNanos, id: ConnectionId) {
        self.by_key.remove(&(key, began_at, id));
        self.by_peer.remove(&(key.peer, began_at, id));
    }
}

/// Below and above every id, for ranges.
const LOWEST: ConnectionId = ConnectionId::Socket {
    boot: syntrace_model::BootId([0; 16]),
    cookie: 0,
};
const HIGHEST: ConnectionId = ConnectionId::Proxy {
    epoch: u64::MAX,
    connection: u64::MAX,
};

/// Returns what both snapshots of one socket say: the later one, completed by the earlier.
///
/// A final outcome is later than any other, because two processors may take their snapshots within
/// the same nanosecond.
fn merge(a: Snapshot, b: Snapshot) -> Snapshot {
    let rank = |snapshot: &Snapshot| (snapshot.outcome.is_final(), snapshot.seen_at);
    let (old, new) = if rank(&a) <= rank(&b) { (a, b) } else { (b, a) };
    Snapshot {
        syn_at: earliest(old.syn_at, new.syn_at),
        syn_ack_at: earliest(old.syn_ack_at, new.syn_ack_at),
        established_at: earliest(old.established_at, new.established_at),
        accepted_at: earliest(old.accepted_at, new.accepted_at),
        closed_at: earliest(old.closed_at, new.closed_at),
        tag: new.tag.or(old.tag),
        owner_pid: if new.owner_pid == 0 {
            old.owner_pid
        } else {
            new.owner_pid
        },
        owner_tid: if new.owner_tid == 0 {
            old.owner_tid
        } else {
            new.owner_tid
        },
        watch: Watch {
            origin: old.watch.origin.min(new.watch.origin),
            ..new.watch
        },
        ..new
    }
}

fn earliest(a: Option<BootNanos>, b: Option<BootNanos>) -> Option<BootNanos> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
