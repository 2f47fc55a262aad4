//! Finds slots by a hash of what they are called.
//!
//! Holds hashes and slots only, no names: whoever asks compares. So a lookup touches one table, growing
//! touches nothing else, and a slot may have several names in one index. Names that share a hash, be it
//! because they are equal, share an ordered set beside the table, found by that hash: however many are
//! alike, each costs the same.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, Hash},
};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::slab::Slot;

/// Slots by the hashes of their names.
#[derive(Debug)]
pub(crate) struct Index {
    /// The first slot with each hash.
    table: HashTable<(u32, Slot)>,
    /// All further slots with those hashes; no set is empty.
    alike: HashTable<(u32, BTreeSet<Slot>)>,
    state: FixedState,
}

// === impl Index ===

impl Index {
    /// Returns an empty index. Results do not depend on `seed`, which keeps strangers from choosing
    /// names that are alike.
    pub(crate) const fn new(seed: u64) -> Self {
        Self {
            table: HashTable::new(),
            alike: HashTable::new(),
            state: FixedState::with_seed(seed),
        }
    }

    /// Returns the hash of a name.
    pub(crate) fn hash(&self, name: impl Hash) -> u32 {
        (self.state.hash_one(name) >> 32) as u32
    }

    /// Enters a slot under a hash.
    pub(crate) fn insert(&mut self, hash: u32, slot: Slot) {
        if self.first(hash).is_none() {
            self.table
                .insert_unique(spread(hash), (hash, slot), |&(hash, _)| spread(hash));
            return;
        }
        let alike = self.alike.entry(
            spread(hash),
            |known| known.0 == hash,
            |&(hash, _)| spread(hash),
        );
        let mut alike = alike.or_insert_with(|| (hash, BTreeSet::new()));
        alike.get_mut().1.insert(slot);
    }

    /// Takes a slot out from under a hash.
    pub(crate) fn remove(&mut self, hash: u32, slot: Slot) {
        let entry = self
            .table
            .find_entry(spread(hash), |&known| known == (hash, slot));
        let alike = self.alike.find_entry(spread(hash), |known| known.0 == hash);
        let Ok(mut alike) = alike else {
            if let Ok(entry) = entry {
                entry.remove();
            }
            return;
        };
        let slots = &mut alike.get_mut().1;
        match entry {
            Ok(mut entry) => {
                if let Some(next) = slots.pop_first() {
                    entry.get_mut().1 = next;
                }
            }
            Err(_) => {
                slots.remove(&slot);
            }
        }
        if slots.is_empty() {
            alike.remove();
        }
    }

    /// Returns all slots under a hash, in no order that means anything.
    pub(crate) fn slots(&self, hash: u32) -> impl Iterator<Item = Slot> + '_ {
        let alike = self.alike.find(spread(hash), |known| known.0 == hash);
        let rest = alike.into_iter().flat_map(|(_, slots)| slots);
        self.first(hash).into_iter().chain(rest.copied())
    }

    fn first(&self, hash: u32) -> Option<Slot> {
        let found = self.table.find(spread(hash), |known| known.0 == hash);
        found.map(|&(_, slot)| slot)
    }
}

/// Spreads 32 bits over the 64 that the table looks at, most of all at both ends.
const fn spread(hash: u32) -> u64 {
    (hash as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
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
}
