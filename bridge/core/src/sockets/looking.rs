//! Looks at connections before they are needed, and does nothing with them: see [`crate::looking`].

use std::hint::black_box;

use syntrace_model::{ConnKey, ConnectionId, Opening};

use super::{Entry, Sockets, connection::Assigned, standing::ends};
use crate::slab::Slot;

impl Sockets {
    /// Looks at the connections with these ends.
    pub(crate) fn look_for(&self, keys: impl Iterator<Item = (Opening, ConnKey)>) {
        let hashes: Vec<_> = keys
            .map(|(opening, key)| ends(&self.by_ends, opening, key))
            .collect();
        let slots = hashes
            .into_iter()
            .filter_map(|hash| self.by_ends.slots(hash).next());
        self.look_at(&slots.collect::<Vec<_>>());
    }

    /// Looks at the connections with these ids.
    pub(crate) fn look_up(&self, ids: impl Iterator<Item = ConnectionId>) {
        let hashes: Vec<_> = ids.map(|id| self.by_id.hash(id)).collect();
        let slots = hashes
            .into_iter()
            .filter_map(|hash| self.by_id.slots(hash).next());
        self.look_at(&slots.collect::<Vec<_>>());
    }

    /// Looks at connections, and at where the indexes hold them.
    pub(crate) fn look_all_over(&self, slots: &[Slot]) {
        self.look_at(slots);
        let connections = slots.iter().filter_map(|&slot| self.at(slot));
        let hashes = connections.filter_map(|connection| {
            let kernel = connection.entry.kernel.as_ref()?;
            Some([
                (&self.by_id, self.by_id.hash(connection.id())),
                (
                    &self.by_ends,
                    ends(&self.by_ends, kernel.opening, kernel.key()),
                ),
                (&self.by_name, self.by_name.hash(kernel.minted)),
            ])
        });
        let hashes: Vec<_> = hashes.flatten().collect();
        let held = hashes
            .into_iter()
            .filter_map(|(index, hash)| index.slots(hash).next());
        black_box(held.fold(0, Slot::wrapping_add));
    }

    /// Looks at connections.
    pub(crate) fn look_at(&self, slots: &[Slot]) {
        let entries = || slots.iter().filter_map(|&slot| self.entries.get(slot));
        let looks = entries().map(Entry::look).fold(0, u64::wrapping_add);
        let assigned = entries().filter_map(|entry| entry.assigned.as_deref());
        let looks = assigned.map(Assigned::look).fold(looks, u64::wrapping_add);
        black_box(looks);
    }
}
