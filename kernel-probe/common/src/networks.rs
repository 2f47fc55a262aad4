//! Networks that are tagged, or believed: a short list, looked through from its head.
//!
//! Few are ordered, and a longest-prefix map costs ten times as much as a look at one of them.

use crate::wide::Wide;

/// Networks that one list holds at most.
pub const MAX_NETWORKS: usize = 32;

/// Length of [`Networks`], in bytes.
pub const NETWORKS_LEN: usize = MAX_NETWORKS * 32;

/// A list of networks, as the programs read it: each place holds the bits that count and their
/// values, in memory order. A place that holds nothing has no bits that count, and values.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Networks {
    places: [Place; MAX_NETWORKS],
}

/// One network, in two words each.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    mask: [u64; 2],
    values: [u64; 2],
}

// The sum of the fields equals the size: no implicit padding.
const _: () = assert!(size_of::<Networks>() == NETWORKS_LEN);

impl Networks {
    /// Holds none.
    pub const NONE: Self = Self {
        places: [Place::FREE; MAX_NETWORKS],
    };

    /// Puts the network of `address` and its first `prefix_len` bits, both in mapped form, in the
    /// place `at`; false where there is no such place.
    #[must_use]
    pub fn put(&mut self, at: usize, address: Wide, prefix_len: u32) -> bool {
        let Some(place) = self.places.get_mut(at) else {
            return false;
        };
        let mask = u128::MAX
            .checked_shl(u128::BITS.saturating_sub(prefix_len))
            .unwrap_or(0)
            .to_be_bytes();
        place.mask = Wide::from_bytes(mask).0;
        let (Wide(values), mask) = (address, place.mask);
        place.values = [values[0] & mask[0], values[1] & mask[1]];
        true
    }

    /// Returns whether `address`, in mapped form, is in one of them.
    #[inline(always)]
    #[must_use]
    pub fn have(&self, address: Wide) -> bool {
        let [first, ..] = &self.places;
        first.has(address) || self.others_have(address)
    }

    /// The same for all places but the first, which is often the only one that holds something.
    #[cold]
    #[inline(never)]
    fn others_have(&self, address: Wide) -> bool {
        let [_, others @ ..] = &self.places;
        for place in others {
            if place.has(address) {
                return true;
            }
            if place.is_free() {
                return false;
            }
        }
        false
    }

    /// Returns the map's value.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; NETWORKS_LEN] {
        let mut bytes = [0; NETWORKS_LEN];
        let words = self
            .places
            .iter()
            .flat_map(|place| place.mask.into_iter().chain(place.values));
        for (bytes, word) in bytes.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }
}

impl Place {
    /// No address has these values under this mask.
    const FREE: Self = Self {
        mask: [0; 2],
        values: [u64::MAX; 2],
    };

    #[inline(always)]
    const fn has(&self, address: Wide) -> bool {
        let Wide([first, second]) = address;
        let Self { mask, values } = self;
        first & mask[0] == values[0] && second & mask[1] == values[1]
    }

    #[inline(always)]
    const fn is_free(&self) -> bool {
        self.mask[0] | self.mask[1] == 0
    }
}

#[cfg(test)]
mod tests {
    use crate::address::MAPPED_BITS;

    use super::*;

    const TEN: Wide = ipv4([10, 0, 0, 0]);
    const DOC: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    const fn ipv4(address: [u8; 4]) -> Wide {
        Wide::mapped(u32::from_ne_bytes(address))
    }

    #[test]
    fn an_address_is_in_the_network_of_its_first_bits() {
        let mut networks = Networks::NONE;
        assert!(networks.put(0, TEN, MAPPED_BITS + 8));
        assert!(networks.put(1, Wide::from_bytes(DOC), 33));
        assert!(networks.have(ipv4([10, 255, 0, 1])));
        assert!(!networks.have(ipv4([11, 0, 0, 0])));
        let mut inside = DOC;
        inside[4] = 0x7f;
        assert!(networks.have(Wide::from_bytes(inside)));
        inside[4] = 0x80;
        assert!(!networks.have(Wide::from_bytes(inside)));
    }

    #[test]
    fn nothing_is_in_no_network() {
        for address in [Wide::ZERO, Wide([u64::MAX; 2]), TEN] {
            assert!(!Networks::NONE.have(address));
        }
    }

    #[test]
    fn everything_is_in_the_network_of_no_bits() {
        let mut networks = Networks::NONE;
        assert!(networks.put(0, TEN, 128));
        assert!(networks.put(1, Wide::ZERO, 0));
        assert!(networks.have(Wide::from_bytes(DOC)));
        assert!(networks.have(Wide([u64::MAX; 2])));
    }

    #[test]
    fn the_last_place_counts_and_there_is_none_behind_it() {
        let mut networks = Networks::NONE;
        for at in 0..MAX_NETWORKS {
            assert!(networks.put(at, ipv4([at as u8, 0, 0, 1]), 128));
        }
        assert!(networks.have(ipv4([MAX_NETWORKS as u8 - 1, 0, 0, 1])));
        assert!(!networks.put(MAX_NETWORKS, TEN, 104));
    }

    #[test]
    fn the_bytes_follow_the_layout() {
        let mut networks = Networks::NONE;
        assert!(networks.put(0, TEN, MAPPED_BITS + 8));
        let bytes = networks.to_bytes();
        assert_eq!(bytes[..13], [0xff; 13]);
        assert_eq!(bytes[13..16], [0; 3]);
        assert_eq!(bytes[16..32], TEN.to_bytes());
        assert_eq!(bytes[32..48], [0; 16]);
        assert_eq!(bytes[48..64], [0xff; 16]);
    }
}
