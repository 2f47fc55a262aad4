//! The live connections, found by id, by both ends, by the far end, by any of their trace ids; in the order in
//! which they began, and in that in which they settle.
//!
//! Keeps and finds; what fits a request is decided in [`crate::join`]. Each connection is one entry of fixed
//! size; what few have is kept apart, what many share is kept once. Nothing depends on the order of a hash
//! table: where several connections are returned, they are sorted.

mod assigning;
mod checkpoint;
mod connection;
mod context;
mod contradictions;
mod ended;
mod evicting;
mod finding;
mod incidents;
mod indexing;
mod kernel;
mod prefetch;
mod socket;
mod tuple;

use syntrace_model::{BootNanos, ConnectionId};

pub use self::socket::Socket;
pub(crate) use self::{
    connection::{Connection, Entry},
    context::{Context, Contexts, Space},
    contradictions::Contradictions,
    finding::Fitting,
    incidents::{Elsewhere, Incidents, Room},
    indexing::{DUE_SHIFT, tick_after},
    kernel::Kernel,
    tuple::HashedTuple,
};
use self::{ended::Ended, evicting::Searched, indexing::IndexKeys};
use crate::{
    calendar::Calendar,
    checkpoint::Checkpoint,
    fact::{Incident, SenderId, Snapshot},
    index::Index,
    limits::Limits,
    probes::{ProbeId, Probes},
    slab::{Slab, Slot},
};

/// All live connections.
#[derive(Debug)]
pub(crate) struct Sockets {
    entries: Slab<Entry>,
    contexts: Contexts,
    probes: Probes,
    by_id: Index,
    by_tuple: Index,
    by_name: Index,
    /// By the proxy's number, where a certain join showed it.
    by_number: Index,
    by_age: Calendar,
    /// Those that have ended, by [`Ending`](self::indexing::Ending): within each, in the order of their ends.
    by_due: [Calendar; 3],
    /// How many open ones have requests.
    used: usize,
    searched: Searched,
    ended: Ended,
    elsewhere: Elsewhere,
    /// Incidents that connections keep beyond what there is always room for.
    incidents_beyond: usize,
    limits: Limits,
}

// === impl Sockets ===

impl Sockets {
    pub(crate) fn new(limits: Limits) -> Self {
        let index = || Index::new(limits.hash_seed);
        Self {
            entries: Slab::default(),
            contexts: Contexts::new(limits.hash_seed),
            probes: Probes::default(),
            by_id: index(),
            by_tuple: index(),
            by_name: index(),
            by_number: index(),
            by_age: Calendar::new(limits.hash_seed),
            by_due: std::array::from_fn(|_| Calendar::new(limits.hash_seed)),
            used: 0,
            searched: Searched::default(),
            ended: Ended::default(),
            elsewhere: Elsewhere::default(),
            incidents_beyond: 0,
            limits,
        }
    }

    /// Merges what the kernel says of a socket, in whatever order it arrives; `known` is the socket's slot.
    /// Returns the contradictions of kinds that were not seen on this socket before.
    pub(crate) fn observe(
        &mut self,
        known: Option<Slot>,
        told: &Snapshot,
        probe: ProbeId,
    ) -> Contradictions {
        let slot = known.unwrap_or_else(|| self.enter(told, probe));
        let before = self.index_keys(slot);
        // As a rule a socket has one id of the kernel view.
        let minted = self
            .entries
            .get(slot)
            .and_then(|entry| entry.kernel.as_ref());
        let is_another = minted.is_some_and(|kernel| kernel.minted != told.minted);
        if is_another {
            self.forget_shown(slot);
        }
        let found = self.merge(slot, told, probe);
        if is_another {
            self.index_shown(slot);
        }
        self.reindex(slot, before);
        found
    }

    fn merge(&mut self, slot: Slot, told: &Snapshot, probe: ProbeId) -> Contradictions {
        let Some(entry) = self.entries.get_mut(slot) else {
            return Contradictions::NONE;
        };
        let Some(context) = self.contexts.get(entry.context).copied() else {
            return Contradictions::NONE;
        };
        let newer = Context::of(told, probe);
        let known = entry.contradictions;
        let next = match &mut entry.kernel {
            None => {
                entry.kernel = Some(Kernel::new(told));
                newer
            }
            Some(kernel) if !kernel.is_placed_as(told) => {
                entry.contradictions = known.and(Contradictions::OTHER_ENDS);
                if kernel.place() <= (told.key, told.opening) {
                    context
                } else {
                    *kernel = Kernel::new(told);
                    newer
                }
            }
            Some(kernel) => {
                let mut merged = context;
                let found = kernel.merge(told, &mut merged, newer);
                entry.contradictions = known.and(found);
                let watches = self.probes.watches(probe);
                let probe = if watches { probe } else { context.probe };
                Context { probe, ..merged }
            }
        };
        let found = entry.contradictions.without(known);
        if next != context {
            self.put_in_context(slot, next);
        }
        found
    }

    fn index_shown(&mut self, slot: Slot) {
        let entry = self.entries.get(slot);
        let kernel = entry.and_then(|entry| entry.kernel.as_ref());
        let Some(kernel) = kernel else { return };
        // The one that counts is among its keys.
        for id in kernel.shown().iter().filter(|id| **id != kernel.minted) {
            self.by_name.insert(self.by_name.hash(id), slot);
        }
    }

    fn forget_shown(&mut self, slot: Slot) {
        let entry = self.entries.get(slot);
        let kernel = entry.and_then(|entry| entry.kernel.as_ref());
        let Some(kernel) = kernel else { return };
        // The one that counts is among its keys.
        for id in kernel.shown().iter().filter(|id| **id != kernel.minted) {
            self.by_name.remove(self.by_name.hash(id), slot);
        }
    }

    /// Adds what happened to a socket or a listener.
    pub(crate) fn happen(&mut self, incident: &Incident) {
        let id = incident.id();
        if incident.peer.is_none() {
            self.elsewhere.listener(incident, &self.limits);
        } else if let Some(entry) = self.find(id).and_then(|slot| self.entries.get_mut(slot)) {
            let kept = entry.incidents.get_or_insert_default();
            self.incidents_beyond -= kept.beyond();
            let room = Room::of_connection(&self.limits, self.incidents_beyond);
            self.elsewhere.count_evicted(kept.add(incident, room));
            self.incidents_beyond += kept.beyond();
        } else {
            self.elsewhere.untold(id, incident, &self.limits);
        }
    }

    /// Marks a connection as ended early by the bound.
    pub(crate) fn evict(&mut self, slot: Slot) {
        if let Some(entry) = self.entries.get_mut(slot) {
            entry.evicted = true;
        }
    }

    /// Removes a connection.
    pub(crate) fn remove(&mut self, slot: Slot) {
        let Some(id) = self.at(slot).map(Connection::id) else {
            return;
        };
        self.by_id.remove(self.by_id.hash(id), slot);
        let before = self.index_keys(slot);
        self.move_keys(slot, before, IndexKeys::default());
        self.forget_shown(slot);
        let Some(entry) = self.entries.remove(slot) else {
            return;
        };
        self.incidents_beyond -= entry.incidents_beyond();
        for (_, id) in entry.assigned.iter().flat_map(|assigned| &assigned.minted) {
            self.by_name.remove(self.by_name.hash(id), slot);
        }
        if let Some(number) = entry.assigned.as_ref().and_then(|assigned| assigned.number) {
            self.by_number.remove(self.by_number.hash(number), slot);
        }
        if let Some(context) = self.contexts.get(entry.context) {
            self.probes.lose(context.probe);
        }
        self.contexts.give_back(entry.context);
    }

    /// Returns where a connection is kept.
    pub(crate) fn find(&self, id: ConnectionId) -> Option<Slot> {
        let is = |slot: &Slot| {
            self.entries.get(*slot).is_some_and(|entry| {
                let context = self.contexts.get(entry.context);
                context.is_some_and(|context| context.id(entry.number) == id)
            })
        };
        self.by_id.slots(self.by_id.hash(id)).find(is)
    }

    /// Returns what is kept at a place.
    pub(crate) fn at(&self, slot: Slot) -> Option<Connection<'_>> {
        let entry = self.entries.get(slot)?;
        let context = self.contexts.get(entry.context)?;
        let probe = match self.probes.watches(context.probe) {
            true => context.probe,
            false => self.probes.follower(context.probe, context.origin),
        };
        Some(Connection {
            slot,
            entry,
            context,
            watched: self.probes.watches(probe),
            left_silently: self.probes.left_silently(probe),
        })
    }

    /// Returns a connection.
    pub(crate) fn get(&self, id: ConnectionId) -> Option<Connection<'_>> {
        self.at(self.find(id)?)
    }

    /// Returns how many there are.
    pub(crate) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns where all are kept, in the order of their ids.
    pub(crate) fn in_order(&self) -> Vec<Slot> {
        let all = self.entries.iter();
        let all = all.filter_map(|(slot, _)| Some((self.at(slot)?.id(), slot)));
        let mut all: Vec<_> = all.collect();
        all.sort_unstable();
        all.into_iter().map(|(_, slot)| slot).collect()
    }

    /// Returns all, in no order that means anything.
    pub(crate) fn all(&self) -> impl Iterator<Item = Connection<'_>> {
        self.entries.iter().filter_map(|(slot, _)| self.at(slot))
    }

    /// Returns how many incidents the bounds left out.
    pub(crate) const fn incidents_evicted(&self) -> u64 {
        self.elsewhere.evicted()
    }

    /// Returns the place of a sender that reports sockets, in a batch that was closed then.
    pub(crate) fn probe(&mut self, sender: &SenderId, told_until: Option<BootNanos>) -> ProbeId {
        self.probes.place(sender, told_until)
    }

    /// Notes that a sender was heard, and when it had closed its batch.
    pub(crate) fn hear(&mut self, sender: &SenderId, goodbye: bool, told_until: Option<BootNanos>) {
        self.probes.hear(sender, goodbye, told_until);
    }

    /// Notes in which map the hooks of a probe keep the sockets that they follow.
    pub(crate) fn follow(&mut self, sender: &SenderId, sockets_map_id: u32) {
        self.probes.follow(sender, sockets_map_id);
    }

    /// Notes that what was heard lately was heard by `now`.
    pub(crate) fn heard_by(&mut self, now: BootNanos) {
        self.probes.heard_by(now);
    }

    /// Returns up to when the probe that is furthest behind has reported, if one is behind.
    pub(crate) fn behind(&self) -> Option<BootNanos> {
        self.probes.behind()
    }

    /// Returns whether a sender is a probe that does not watch any more.
    pub(crate) fn is_gone(&self, sender: &SenderId) -> bool {
        self.probes.is_gone(sender)
    }

    /// Lets time pass for the probes; returns the open sockets of those that are presumed gone, in order. Those that
    /// another run follows on become that one's.
    pub(crate) fn pass(&mut self, now: BootNanos) -> Vec<Slot> {
        let gone = self.probes.pass(now);
        if gone.is_empty() {
            return Vec::new();
        }
        let mut open = self.in_order();
        open.retain(|&slot| {
            let connection = self.at(slot).filter(|connection| connection.is_unseen());
            let Some(&context) = connection.map(|connection| connection.context) else {
                return false;
            };
            let probe = self.probes.follower(context.probe, context.origin);
            let is_gone = gone.contains(&context.probe);
            if is_gone && probe != context.probe {
                self.put_in_context(slot, Context { probe, ..context });
            }
            is_gone && probe == context.probe
        });
        open
    }

    fn put_in_context(&mut self, slot: Slot, next: Context) {
        let Some(entry) = self.entries.get_mut(slot) else {
            return;
        };
        let before = self.contexts.get(entry.context).map(|known| known.probe);
        let old = std::mem::replace(&mut entry.context, self.contexts.share(next));
        self.contexts.give_back(old);
        if let Some(before) = before {
            self.probes.lose(before);
        }
        self.probes.gain(next.probe);
    }

    /// Puts all that is known into a checkpoint.
    pub(crate) fn checkpoint(&self, checkpoint: &mut Checkpoint) {
        let mut connections: Vec<_> = self.all().map(Connection::checkpoint).collect();
        connections.sort_unstable_by_key(|connection| connection.id);
        checkpoint.connections = connections;
        checkpoint.probes = self.probes.all().to_vec();
        self.elsewhere.checkpoint(checkpoint);
    }

    /// Restores what was known before.
    pub(crate) fn restore(&mut self, from: &Checkpoint) {
        self.probes.restore(&from.probes);
        self.elsewhere.restore(from);
        for state in &from.connections {
            let probe = ProbeId(state.probe);
            let context = match (state.id, &state.socket) {
                (ConnectionId::Socket { .. }, Some(socket)) => Context::of(socket, probe),
                (ConnectionId::Proxy { epoch, .. }, _) => Context::proxy(epoch),
                (ConnectionId::Socket { .. }, None) => continue,
            };
            self.probes.gain(context.probe);
            let context = self.contexts.share(context);
            let entry = Entry::restore(state, context);
            self.incidents_beyond += entry.incidents_beyond();
            let slot = self.entries.insert(entry);
            self.by_id.insert(self.by_id.hash(state.id), slot);
            self.reindex(slot, IndexKeys::default());
            self.index_shown(slot);
            let minted = state.assigned.iter().flat_map(|assigned| &assigned.minted);
            for (_, id) in minted {
                self.by_name.insert(self.by_name.hash(id), slot);
            }
            let number = state.assigned.as_ref().and_then(|assigned| assigned.number);
            if let Some(number) = number {
                self.by_number.insert(self.by_number.hash(number), slot);
            }
        }
    }

    /// Makes an entry for a socket that was not reported before.
    fn enter(&mut self, told: &Snapshot, probe: ProbeId) -> Slot {
        let id = told.id();
        let context = self.contexts.share(Context::of(told, probe));
        self.probes.gain(probe);
        let mut entry = Entry::new(told.cookie, context);
        entry.incidents = self.elsewhere.take(id).map(Box::new);
        self.incidents_beyond += entry.incidents_beyond();
        let slot = self.entries.insert(entry);
        self.by_id.insert(self.by_id.hash(id), slot);
        slot
    }
}
