//! What settled requests leave in the connections that they were joined to.

use syntrace_model::{BootNanos, ConnectionId, TraceId, UnixNanos};

use super::{Context, Entry, Sockets, connection::Assigned, indexing::IndexKeys};
use crate::{
    fact::Report,
    record::{LinkKind, Role},
    slab::Slot,
};

impl Sockets {
    /// Enters a request into the record of a connection that it was joined to.
    pub(crate) fn assign(&mut self, slot: Slot, report: &Report, kind: LinkKind, role: Role) {
        let most = self.limits.requests_per_connection;
        let before = self.proxy_index_keys(slot);
        self.enter_requests(slot, role, |assigned| assigned.add(report, kind, most));
        if let Some(before) = before {
            self.reindex(slot, before);
        }
    }

    /// Enters requests into the record of a connection, and counts it if it is open and had none.
    fn enter_requests(&mut self, slot: Slot, role: Role, enter: impl FnOnce(&mut Assigned)) {
        let Some(entry) = self.entries.get_mut(slot) else {
            return;
        };
        entry.role = entry.role.or(Some(role));
        let was_used = entry.is_used();
        enter(entry.assigned.get_or_insert_default());
        self.used += usize::from(entry.is_used() && !was_used);
    }

    /// Notes the id that the filter minted for a connection.
    pub(crate) fn mint(&mut self, slot: Slot, started_at: UnixNanos, minted: TraceId) {
        let Some(entry) = self.entries.get_mut(slot) else {
            return;
        };
        let assigned = entry.assigned.get_or_insert_default();
        let before = assigned.minted();
        assigned.mint(started_at, minted);
        let after = assigned.minted();
        if before == after {
            return;
        }
        for id in before.into_iter().flatten() {
            self.by_name.remove(self.by_name.hash(id), slot);
        }
        for id in after.into_iter().flatten() {
            self.by_name.insert(self.by_name.hash(id), slot);
        }
    }

    /// Notes what a certain join, or the end of a request, says of a connection.
    pub(crate) fn learn(
        &mut self,
        slot: Slot,
        ended_at: Option<BootNanos>,
        number: Option<(u64, u64)>,
    ) {
        let Some(entry) = self.entries.get_mut(slot) else {
            return;
        };
        let assigned = entry.assigned.get_or_insert_default();
        let known = assigned.first_end.into_iter();
        assigned.first_end = known.chain(ended_at).min();
        if let Some(number) = number.filter(|_| assigned.number.is_none()) {
            assigned.number = Some(number);
            self.by_number.insert(self.by_number.hash(number), slot);
            self.absorb(slot, number);
        }
    }

    /// Moves what was assigned to a connection that only the proxy saw to the socket that it turned out
    /// to be: a connection has one record.
    pub(super) fn absorb(&mut self, slot: Slot, (epoch, connection): (u64, u64)) {
        let Some(proxy) = self.find(ConnectionId::Proxy { epoch, connection }) else {
            return;
        };
        let assigned = self.entries.get_mut(proxy).and_then(|entry| {
            let assigned = entry.assigned.as_ref()?;
            let ids = assigned.minted.clone();
            let requests: Vec<_> = assigned.requests.iter().copied().collect();
            Some((ids, requests, assigned.requests_evicted, assigned.first_end))
        });
        self.remove(proxy);
        let Some((ids, requests, evicted, first_end)) = assigned else {
            return;
        };
        for (started_at, id) in ids {
            self.mint(slot, started_at, id);
        }
        let most = self.limits.requests_per_connection;
        self.enter_requests(slot, Role::Downstream, |known| {
            known.requests_evicted += evicted;
            known.first_end = known.first_end.into_iter().chain(first_end).min();
            for request in requests {
                known.enter(request, most);
            }
        });
    }

    /// Makes sure that a connection that only the proxy saw is known, from its request.
    pub(crate) fn proxy_only(
        &mut self,
        id: ConnectionId,
        began_at: BootNanos,
        idle_at: BootNanos,
    ) -> Option<Slot> {
        let ConnectionId::Proxy { epoch, connection } = id else {
            return None;
        };
        let slot = self.find(id).unwrap_or_else(|| {
            let context = self.contexts.share(Context::proxy(epoch));
            let slot = self.entries.insert(Entry::new(connection, context));
            self.by_id.insert(self.by_id.hash(id), slot);
            slot
        });
        let before = self.index_keys(slot);
        if let Some(entry) = self.entries.get_mut(slot) {
            let assigned = entry.assigned.get_or_insert_default();
            assigned.began_at = match assigned.idle_at {
                Some(_) => assigned.began_at.min(began_at),
                None => began_at,
            };
            assigned.idle_at = assigned.idle_at.max(Some(idle_at));
        }
        self.reindex(slot, before);
        Some(slot)
    }

    /// Returns the keys of a connection that only the proxy saw; what is assigned to a socket changes none of
    /// those by which it is held.
    pub(super) fn proxy_index_keys(&self, slot: Slot) -> Option<IndexKeys> {
        let is_proxy = self.entries.get(slot)?.kernel.is_none();
        is_proxy.then(|| self.index_keys(slot))
    }
}
