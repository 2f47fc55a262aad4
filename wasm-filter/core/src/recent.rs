//! A bounded table that forgets what was not used for longest, in two generations.
//!
//! No list of uses is kept: what is used moves to the young generation, and when that is full the
//! old one is forgotten as a whole. Between half of the capacity and all of it is remembered.

use std::{collections::HashMap, hash::Hash, mem};

/// The values of the keys that were used most recently.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    generation: usize,
    greatest_forgotten: Option<K>,
}

// === impl Recent ===

impl<K: Copy + Ord + Hash, V> Recent<K, V> {
    /// Returns an empty table for at most `capacity` keys, and at least two.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            generation: (capacity / 2).max(1),
            greatest_forgotten: None,
        }
    }

    /// Returns the value of `key`, made by `make` where there is none.
    pub(crate) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        if !self.young.contains_key(&key) && self.young.len() >= self.generation {
            self.forget_old();
        }
        let old = &mut self.old;
        self.young
            .entry(key)
            .or_insert_with(|| old.remove(&key).unwrap_or_else(make))
    }

    /// Returns whether `key` was there; it is now.
    pub(crate) fn touch(&mut self, key: K, value: V) -> bool {
        let mut known = true;
        self.get_or_insert_with(key, || {
            known = false;
            value
        });
        known
    }

    /// Returns the greatest key that was ever forgotten.
    pub(crate) const fn greatest_forgotten(&self) -> Option<&K> {
        self.greatest_forgotten.as_ref()
    }

    fn forget_old(&mut self) {
        let greatest = self.old.keys().max().copied();
        self.greatest_forgotten = self.greatest_forgotten.max(greatest);
        self.old.clear();
        mem::swap(&mut self.young, &mut self.old);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let mut recent = Recent::new(4);
        for key in 0..100 {
            assert!(!recent.touch(key, ()));
            recent.touch(0, ());
            assert!(recent.young.len() + recent.old.len() <= 4);
        }
        assert!(recent.touch(0, ()));
        assert!(recent.touch(99, ()));
        assert!(!recent.touch(1, ()));
        assert!(recent.greatest_forgotten() >= Some(&90));
    }
}
