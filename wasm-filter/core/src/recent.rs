//! A bounded table that forgets what was not used for longest, in two generations.
//!
//! No list of uses is kept: what is used moves to the young generation, and when that is full the
//! old one is forgotten as a whole. Between half of the capacity and all of it is remembered.
//!
//! The hash is fast and not keyed: no client chooses the keys.

use std::{collections::HashMap, hash::Hash, mem};

use foldhash::fast::FixedState;

/// The values of the keys that were used most recently.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V, FixedState>,
    old: HashMap<K, V, FixedState>,
    generation: usize,
    greatest_forgotten: Option<K>,
}

// === impl Recent ===

impl<K: Copy + Ord + Hash, V> Recent<K, V> {
    /// Returns an empty table for at most `capacity` keys, and at least two.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            young: HashMap::default(),
            old: HashMap::default(),
            generation: (capacity / 2).max(1),
            greatest_forgotten: None,
        }
    }

    /// Returns the value of `key`, made by `make` where there is none.
    pub(crate) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        self.recall(key);
        if !self.young.contains_key(&key) {
            self.make_room();
        }
        self.young.entry(key).or_insert_with(make)
    }

    /// Returns the value of `key`, which counts as used.
    pub(crate) fn get(&mut self, key: K) -> Option<&mut V> {
        self.recall(key);
        self.young.get_mut(&key)
    }

    /// Remembers a value.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        if !self.young.contains_key(&key) {
            self.make_room();
        }
        self.young.insert(key, value);
    }

    /// Remembers `capacity` keys from now on, and at least two; takes the memory for them, where it can be had.
    pub(crate) fn resize(&mut self, capacity: usize) {
        self.generation = (capacity / 2).max(1);
        for table in [&mut self.young, &mut self.old] {
            let missing = self.generation.saturating_sub(table.len());
            table.try_reserve(missing).unwrap_or_default();
        }
    }

    /// Returns the greatest key that was ever forgotten.
    pub(crate) const fn greatest_forgotten(&self) -> Option<&K> {
        self.greatest_forgotten.as_ref()
    }

    /// Moves a key that is used again to the young generation.
    fn recall(&mut self, key: K) {
        if let Some(value) = self.old.remove(&key) {
            self.insert(key, value);
        }
    }

    fn make_room(&mut self) {
        if self.young.len() < self.generation {
            return;
        }
        let greatest = self.old.keys().max().copied();
        self.greatest_forgotten = self.greatest_forgotten.max(greatest);
        self.old.clear();
        mem::swap(&mut self.young, &mut self.old);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(recent: &mut Recent<u32, ()>, key: u32) -> bool {
        let known = recent.get(key).is_some();
        recent.insert(key, ());
        known
    }

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let mut recent = Recent::new(4);
        for key in 0..100 {
            assert!(!touch(&mut recent, key));
            touch(&mut recent, 0);
            assert!(recent.young.len() + recent.old.len() <= 4);
        }
        assert!(touch(&mut recent, 0));
        assert!(touch(&mut recent, 99));
        assert!(!touch(&mut recent, 1));
        assert!(recent.greatest_forgotten() >= Some(&90));
    }
}
