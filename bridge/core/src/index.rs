//! Finds slots by the hash of a name.
//!
//! Holds hashes and slots only, no names: the caller compares. So a lookup touches one table, growing touches
//! nothing else, and a slot may have several names in one index. Slots that share a hash, whether or not their
//! names are equal, share an ordered set beside the table, found by that hash: each costs the same however many
//! they are.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, Hash},
};

use foldhash::fast::FixedState;
use hashbrown::{HashTable, hash_table::Entry};

use crate::slab::Slot;

/// Flag next to the hash in a table entry: more slots share this hash.
const SHARED: u32 = 1;

/// Slots by the hashes of their names.
#[derive(Debug)]
pub(crate) struct Index {
    /// The first slot with each hash.
    table: HashTable<First>,
    /// All further slots with those hashes; no set is empty.
    alike: HashTable<(u32, BTreeSet<Slot>)>,
    state: FixedState,
}

/// The first slot with a hash.
#[derive(Clone, Copy, Debug)]
struct First {
    /// The hash, which is even, or with [`SHARED`].
    hash: u32,
    slot: Slot,
}

// === impl Index ===

impl Index {
    /// Returns an empty index. Results do not depend on `seed`; a secret one prevents collision attacks.
    pub(crate) const fn new(seed: u64) -> Self {
        Self {
            table: HashTable::new(),
            alike: HashTable::new(),
            state: FixedState::with_seed(seed),
        }
    }

    /// Returns the hash of a name; it is even.
    pub(crate) fn hash(&self, name: impl Hash) -> u32 {
        (self.state.hash_one(name) >> 32) as u32 & !SHARED
    }

    /// Inserts a slot under a hash.
    pub(crate) fn insert(&mut self, hash: u32, slot: Slot) {
        let is = |first: &First| first.is(hash);
        match self.table.entry(spread(hash), is, First::spread) {
            Entry::Vacant(place) => {
                place.insert(First { hash, slot });
            }
            Entry::Occupied(mut first) => {
                first.get_mut().hash |= SHARED;
                let is = |known: &(u32, _)| known.0 == hash;
                let alike = self
                    .alike
                    .entry(spread(hash), is, |&(hash, _)| spread(hash));
                let mut alike = alike.or_insert_with(|| (hash, BTreeSet::new()));
                alike.get_mut().1.insert(slot);
            }
        }
    }

    /// Removes a slot from under a hash.
    pub(crate) fn remove(&mut self, hash: u32, slot: Slot) {
        let found = self.table.find_entry(spread(hash), |first| first.is(hash));
        let Ok(mut entry) = found else { return };
        let first = entry.get_mut();
        if first.hash != hash {
            let alike = self.alike.find_entry(spread(hash), |known| known.0 == hash);
            let Ok(mut alike) = alike else { return };
            let slots = &mut alike.get_mut().1;
            if first.slot != slot {
                slots.remove(&slot);
            } else if let Some(next) = slots.pop_first() {
                first.slot = next;
            }
            if slots.is_empty() {
                alike.remove();
                first.hash = hash;
            }
        } else if first.slot == slot {
            entry.remove();
        }
    }

    /// Returns all slots under a hash, in no order that means anything.
    pub(crate) fn slots(&self, hash: u32) -> impl Iterator<Item = Slot> + '_ {
        let first = self.table.find(spread(hash), |first| first.is(hash));
        let shared = first.filter(|first| first.hash != hash);
        let alike = shared.and_then(|_| self.alike.find(spread(hash), |known| known.0 == hash));
        let rest = alike.into_iter().flat_map(|(_, slots)| slots);
        let first = first.map(|first| first.slot);
        first.into_iter().chain(rest.copied())
    }

    /// Returns one of the slots under a hash.
    pub(crate) fn slot(&self, hash: u32) -> Option<Slot> {
        let first = self.table.find(spread(hash), |first| first.is(hash));
        first.map(|first| first.slot)
    }
}

// === impl First ===

impl First {
    const fn is(self, hash: u32) -> bool {
        self.hash & !SHARED == hash
    }

    const fn spread(&self) -> u64 {
        spread(self.hash)
    }
}

/// Spreads the 31 bits of a hash over the 64 that the table uses, most of all at both ends.
const fn spread(hash: u32) -> u64 {
    ((hash >> 1) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_is_found_under_its_hash_until_it_is_taken_out() {
        let mut index = Index::new(7);
        for slot in 0..1_000 {
            index.insert(index.hash(slot), slot);
            index.insert(42, slot);
        }
        assert_eq!(index.slots(42).count(), 1_000);
        for slot in 0..1_000 {
            assert!(index.slots(index.hash(slot)).any(|known| known == slot));
            index.remove(index.hash(slot), slot);
            index.remove(42, slot);
            assert!(index.slots(index.hash(slot)).all(|known| known != slot));
            assert_eq!(index.slots(42).count(), 999 - slot as usize);
        }
        assert!(index.table.is_empty() && index.alike.is_empty());
    }

    #[test]
    fn a_slot_that_is_not_there_is_not_taken_out() {
        let mut index = Index::new(7);
        index.insert(42, 1);
        index.remove(42, 2);
        index.remove(44, 1);
        assert!(index.slots(42).eq([1]));
    }
}
