//! Reads connections before they are needed, and does nothing with them: see [`crate::prefetch`].

use std::hint::black_box;

use syntrace_model::ConnectionId;

use super::{Entry, HashedTuple, Sockets, connection::Assigned, indexing::AGE_SHIFT};
use crate::slab::Slot;

impl Sockets {
    /// Reads the connections with these ends, of which there are `most` at most.
    pub(crate) fn prefetch_by_tuple<'a>(
        &self,
        most: usize,
        tuples: impl Iterator<Item = &'a HashedTuple>,
    ) {
        let hashes = gathered(most, tuples.map(|tuple| tuple.hash));
        let slots = hashes
            .into_iter()
            .filter_map(|hash| self.by_tuple.slot(hash));
        self.touch(&slots.collect::<Vec<_>>());
    }

    /// Reads the connections with these ids, of which there are `most` at most.
    pub(crate) fn prefetch_by_id(&self, most: usize, ids: impl Iterator<Item = ConnectionId>) {
        let hashes = gathered(most, ids.map(|id| self.by_id.hash(id)));
        let slots = hashes.into_iter().filter_map(|hash| self.by_id.slot(hash));
        self.touch(&slots.collect::<Vec<_>>());
    }

    /// Reads what settling these connections needs: them, and where the indexes hold them.
    pub(crate) fn prefetch_due(&self, slots: &[Slot]) {
        self.touch(slots);
        let connections = slots.iter().filter_map(|&slot| self.at(slot));
        let hashes = connections.filter_map(|connection| {
            let kernel = connection.entry.kernel.as_ref()?;
            Some([
                (&self.by_id, self.by_id.hash(connection.id())),
                (
                    &self.by_tuple,
                    kernel.tuple.found_by(&self.by_tuple, kernel.opening),
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
        // Whichever leaves a tick moves another one within it.
        let ages = entries().map(|entry| entry.began_at().0 >> AGE_SHIFT);
        let moved = gathered(slots.len(), ages.filter_map(|age| self.by_age.last_of(age)));
        let moved = moved.iter().filter_map(|&slot| self.entries.get(slot));
        black_box(moved.map(|entry| entry.age).fold(0, u32::wrapping_add));
    }

    /// Reads a little of each connection.
    pub(crate) fn touch(&self, slots: &[Slot]) {
        let entries = || slots.iter().filter_map(|&slot| self.entries.get(slot));
        let sum = entries().map(Entry::touch).fold(0, u64::wrapping_add);
        let assigned = entries().filter_map(|entry| entry.assigned.as_deref());
        let sum = assigned.map(Assigned::touch).fold(sum, u64::wrapping_add);
        black_box(sum);
    }
}

/// Gathers what was computed, so that all of it is there before the first of it is looked up.
fn gathered<T>(most: usize, all: impl Iterator<Item = T>) -> Vec<T> {
    let mut gathered = Vec::with_capacity(most);
    gathered.extend(all);
    gathered
}
