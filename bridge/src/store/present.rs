//! Which records may be in memory: counts by their ids, which are read without a lock.
//!
//! The records in memory are locked for each one that settles or is removed. A query for a record that was stored long
//! ago would wait for that in vain. A count has no false negatives.

use std::sync::atomic::{
    AtomicU8,
    Ordering::{Acquire, Relaxed, Release},
};

use super::names::Key;

/// Counts: some for each record that waits to be stored in a bridge that keeps up.
const COUNTS: usize = 1 << 17;

/// How many ids of records in memory share a place, by place. Who changes memory holds its lock.
#[derive(Debug)]
pub(crate) struct Present(Box<[AtomicU8]>);

// === impl Present ===

impl Default for Present {
    fn default() -> Self {
        Self((0..COUNTS).map(|_| AtomicU8::new(0)).collect())
    }
}

impl Present {
    /// Counts the key of an id; before its record can be found.
    pub(super) fn add(&self, key: Key) {
        self.change(key, |count| count.checked_add(1));
    }

    /// Counts it no more; after its record could be found last.
    pub(super) fn remove(&self, key: Key) {
        // A count that is full may have left some out, and stays.
        self.change(key, |count| match count {
            u8::MAX => None,
            count => count.checked_sub(1),
        });
    }

    /// Returns whether a record with this id may be in memory. If it was there and is not, all that happened until
    /// it went is seen from here on.
    pub(crate) fn may_have(&self, key: Key) -> bool {
        self.place(key).is_none_or(|count| count.load(Acquire) != 0)
    }

    fn change(&self, key: Key, to: impl Fn(u8) -> Option<u8>) {
        if let Some(count) = self.place(key)
            && let Some(changed) = to(count.load(Relaxed))
        {
            count.store(changed, Release);
        }
    }

    fn place(&self, key: Key) -> Option<&AtomicU8> {
        // Less than what it is divided by.
        self.0.get((key.hash() % COUNTS as u64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use syntrace_core::record::RequestRecord;
    use syntrace_model::SpanId;

    use super::*;

    #[test]
    fn what_was_counted_is_there_until_it_was_counted_out_as_often() {
        let present = Present::default();
        present.add(key(1));
        present.add(key(1));
        present.remove(key(1));
        assert!(present.may_have(key(1)) && !present.may_have(key(2)));
        present.remove(key(1));
        assert!(!present.may_have(key(1)));
    }

    #[test]
    fn a_count_that_was_full_says_maybe_from_then_on() {
        let present = Present::default();
        for _ in 0..300 {
            present.add(key(1));
        }
        for _ in 0..300 {
            present.remove(key(1));
        }
        assert!(present.may_have(key(1)));
    }

    fn key(id: u64) -> Key {
        Key::of_id::<RequestRecord>(&SpanId::new(id.to_be_bytes()).unwrap())
    }
}
