//! Which names a chunk may have: a Bloom filter over the keys of a chunk that is full.
//!
//! A question by name would otherwise look into each chunk, and all but one of them for nothing. A filter says "no"
//! only where it is so, and "maybe" for two in a hundred names that are not there. It does not say where a record is.

use super::names::Key;

/// Bits for each key.
const BITS: usize = 8;

/// Bits that each key sets.
const SET: u64 = 4;

/// The keys of a chunk, and others.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Filter(Box<[u8]>);

// === impl Filter ===

impl Filter {
    /// Returns a filter of keys, each of which is counted once.
    pub(super) fn of(keys: &[Key]) -> Self {
        let mut bytes = vec![0; (keys.len() * BITS).div_ceil(8).max(1)];
        for key in keys {
            for (byte, bit) in places(*key, bytes.len()) {
                if let Some(byte) = bytes.get_mut(byte) {
                    *byte |= bit;
                }
            }
        }
        Self(bytes.into())
    }

    /// Returns whether a key may be one of them.
    pub(super) fn may_have(&self, key: Key) -> bool {
        let is_set = |(byte, bit)| self.0.get::<usize>(byte).is_none_or(|byte| byte & bit != 0);
        places(key, self.0.len()).all(is_set)
    }

    /// Returns the filter as bytes, and their CRC-32.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let checksum = crc32fast::hash(&self.0).to_le_bytes();
        [&*self.0, &checksum].concat()
    }

    /// Reads a filter; `None` if the checksum does not fit: what is damaged must not say "no".
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (filter, checksum) = bytes.split_last_chunk()?;
        let fits = crc32fast::hash(filter) == u32::from_le_bytes(*checksum);
        (fits && !filter.is_empty()).then(|| Self(filter.into()))
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
        let keys = keys(0..10_000);
        let filter = Filter::of(&keys);
        assert!(keys.iter().all(|key| filter.may_have(*key)));
    }

    #[test]
    fn of_other_keys_it_has_three_in_a_hundred_at_most() {
        let filter = Filter::of(&keys(0..10_000));
        let others = keys(10_000..110_000);
        let had = others.iter().filter(|key| filter.may_have(**key)).count();
        assert!((1..=3_000).contains(&had), "{had}");
    }

    #[test]
    fn one_of_nothing_has_nothing() {
        let filter = Filter::of(&[]);
        assert!(!keys(0..100).into_iter().any(|key| filter.may_have(key)));
    }

    #[test]
    fn it_is_read_as_it_was_written_unless_a_bit_is_damaged() {
        let filter = Filter::of(&keys(0..100));
        let mut bytes = filter.to_bytes();
        assert_eq!(Filter::from_bytes(&bytes), Some(filter));
        bytes[7] ^= 1;
        assert_eq!(Filter::from_bytes(&bytes), None);
        assert_eq!(Filter::from_bytes(&[]), None);
        assert_eq!(Filter::from_bytes(&Filter(Box::default()).to_bytes()), None);
    }

    fn keys(ids: std::ops::Range<u64>) -> Vec<Key> {
        let id = |n: u64| SpanId::new((n + 1).to_be_bytes()).unwrap();
        ids.map(|n| Key::of_id::<RequestRecord>(&id(n))).collect()
    }
}
