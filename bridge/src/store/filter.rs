//! Which names a chunk may have: a Bloom filter over its keys.
//!
//! Without it a query by name would look into each chunk, and into all but one in vain. A filter has no false negatives,
//! and about one percent false positives. It does not say where a record is.
//!
//! Keys are added before their record is stored, so a stored record is never denied.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use super::names::Key;

/// Bytes for each record. A request has three names of its own, a connection four or five; where they have more, "maybe"
/// is said more often.
const BYTES: u64 = 5;

/// Bytes of a filter at most.
const BYTES_MAX: u64 = 16 << 20;

/// Bits that each key sets.
const SET: u64 = 4;

/// The keys of a chunk, and others.
#[derive(Debug)]
pub(super) struct Filter(Box<[AtomicU8]>);

// === impl Filter ===

impl Filter {
    /// Returns a filter without keys, for those of so many records.
    pub(super) fn for_records(records: u64) -> Self {
        let bytes = records.saturating_mul(BYTES).clamp(64, BYTES_MAX);
        Self((0..bytes).map(|_| AtomicU8::new(0)).collect())
    }

    /// Adds a key.
    pub(super) fn add(&self, key: Key) {
        for (byte, bit) in places(key, self.0.len()) {
            if let Some(byte) = self.0.get(byte)
                && byte.load(Relaxed) & bit == 0
            {
                byte.fetch_or(bit, Relaxed);
            }
        }
    }

    /// Returns whether a key may be one of them.
    pub(super) fn may_have(&self, key: Key) -> bool {
        let is_set = |(byte, bit)| {
            let byte = self.0.get::<usize>(byte);
            byte.is_none_or(|byte| byte.load(Relaxed) & bit != 0)
        };
        places(key, self.0.len()).all(is_set)
    }

    /// Returns the filter as bytes, and their CRC-32.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<_> = self.0.iter().map(|byte| byte.load(Relaxed)).collect();
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// Reads a filter; `None` if the checksum does not fit: what is damaged must not say "no".
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (filter, checksum) = bytes.split_last_chunk()?;
        let fits = crc32fast::hash(filter) == u32::from_le_bytes(*checksum);
        (fits && !filter.is_empty())
            .then(|| Self(filter.iter().copied().map(AtomicU8::new).collect()))
    }
}

/// Returns the bits of a key in a filter of so many bytes: each byte's place, and the bit in it.
///
/// The two halves of a key, which is a hash, stand for two hashes (Kirsch and Mitzenmacher, 2006).
fn places(key: Key, bytes: usize) -> impl Iterator<Item = (usize, u8)> {
    let first = key.hash();
    let second = first.rotate_left(32) | 1;
    let bits = bytes as u128 * 8;
    (0..SET).map(move |n| {
        let hash = first.wrapping_add(n.wrapping_mul(second));
        // Less than `bits`.
        let place = ((u128::from(hash) * bits) >> 64) as usize;
        (place / 8, 1 << (place % 8))
    })
}

#[cfg(test)]
mod tests {
    use syntrace_core::record::RequestRecord;
    use syntrace_model::SpanId;

    use super::*;

    #[test]
    fn it_has_every_key_that_it_was_made_of() {
        for records in [0, 100, 3_000] {
            let keys = keys(0..10_000);
            let filter = filter(records, &keys);
            assert!(keys.iter().all(|key| filter.may_have(*key)));
        }
    }

    #[test]
    fn of_other_keys_it_has_one_in_a_hundred_at_most() {
        let filter = filter(2_500, &keys(0..10_000));
        let others = keys(10_000..110_000);
        let had = others.iter().filter(|key| filter.may_have(**key)).count();
        assert!((1..=2_000).contains(&had), "{had}");
    }

    #[test]
    fn one_of_nothing_has_nothing() {
        let filter = Filter::for_records(0);
        assert!(!keys(0..100).into_iter().any(|key| filter.may_have(key)));
    }

    #[test]
    fn it_is_read_as_it_was_written_unless_a_bit_is_damaged() {
        let mut bytes = filter(25, &keys(0..100)).to_bytes();
        assert_eq!(Filter::from_bytes(&bytes).unwrap().to_bytes(), bytes);
        bytes[7] ^= 1;
        assert!(Filter::from_bytes(&bytes).is_none());
        assert!(Filter::from_bytes(&[]).is_none());
        assert!(Filter::from_bytes(&Filter(Box::default()).to_bytes()).is_none());
    }

    fn filter(records: u64, keys: &[Key]) -> Filter {
        let filter = Filter::for_records(records);
        keys.iter().for_each(|key| filter.add(*key));
        filter
    }

    fn keys(ids: std::ops::Range<u64>) -> Vec<Key> {
        let id = |n: u64| SpanId::new((n + 1).to_be_bytes()).unwrap();
        ids.map(|n| Key::of_id::<RequestRecord>(&id(n))).collect()
    }
}
