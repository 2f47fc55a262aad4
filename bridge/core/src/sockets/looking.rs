//! Looks at connections before they are needed, and does nothing with them: see [`crate::looking`].

use std::hint::black_box;

use syntrace_model::ConnectionId;

use super::{Entry, Sockets, Sought, connection::Assigned, standing::AGE_SHIFT};
use crate::slab::Slot;

impl Sockets {
    /// Looks at the connections with these ends, of which there are `most` at most.
    pub(crate) fn look_for<'a>(&self, most: usize, sought: impl Iterator<Item = &'a Sought>) {
        let hashes = gathered(most, sought.map(|sought| sought.hash));
        let slots = hashes
            .into_iter()
            .filter_map(|hash| self.by_ends.slot(hash));
        self.look_at(&slots.collect::<Vec<_>>());
    }

    /// Looks at the connections with these ids, of which there are `most` at most.
    pub(crate) fn look_up(&self, most: usize, ids: impl Iterator<Item = ConnectionId>) {
        let hashes = gathered(most, ids.map(|id| self.by_id.hash(id)));
        let slots = hashes.into_iter().filter_map(|hash| self.by_id.slot(hash));
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
                    kernel.ends.found_by(&self.by_ends, kernel.opening),
                ),
                (&self.by_name, self.by_name.hash(kernel.minted)),
            ])
        });
        let hashes = gathered(3 * slots.len(), hashes.flatten());
        let entries = || slots.iter().filter_map(|&slot| self.entries.get(slot));
        let assigned = entries().filter_map(|entry| entry.assigned.as_deref());
        let numbers = assigned.filter_map(|assigned| assigned.number);
        let numbers = numbers.map(|number| (&self.by_number, self.by_number.hash(number)));
        let held = hashes
            .into_iter()
            .chain(numbers)
            .filter_map(|(index, hash)| index.slot(hash));
        black_box(held.fold(0, Slot::wrapping_add));
        // Whoever leaves a tick moves another one of it.
        let ages = entries().map(|entry| entry.began_at().0 >> AGE_SHIFT);
        let moved = gathered(slots.len(), ages.filter_map(|age| self.by_age.last_of(age)));
        let moved = moved.iter().filter_map(|&slot| self.entries.get(slot));
        black_box(moved.map(|entry| entry.age).fold(0, u32::wrapping_add));
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

/// Gathers what was computed, so that all of it is there before the first of it is looked up.
fn gathered<T>(most: usize, all: impl Iterator<Item = T>) -> Vec<T> {
    let mut gathered = Vec::with_capacity(most);
    gathered.extend(all);
    gathered
}
