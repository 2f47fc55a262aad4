//! Ids of connections: unguessable, unique, and recognisable under a mesh key.
//!
//! A tag is 8 bytes keyed hash of when and on which processor its SYN left, of which the first two count
//! tags instead; then 8 bytes MAC over those and a coarse wall time. The MAC tells a receiver that the
//! sender holds a key; the time bounds how long a tag that was overheard can be borne again; the
//! count lets the receiver remember tags that follow each other side by side. Without a mesh key
//! nobody checks the second half: then the hash stands there, and all of the first but its count follows from
//! it. Where no tag is sent, an id is a hash of the socket's number alone.

use crate::{
    config::{Config, Flags},
    siphash::{siphash13, siphash24},
    wide::Wide,
};

/// Length of a coarse tick: 2^36 ns, about 69 s.
const TICK_SHIFT: u32 = 36;

/// What the second half of an id is a hash of, beside the socket, where it is no MAC.
const UNTAGGED: u64 = 1;

/// The golden ratio's part of 2^64: small multiples of it lie far from each other, and a number's multiple
/// depends on all of its bits.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// What a tag is minted of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagOrigin {
    /// When its SYN was sent, `CLOCK_BOOTTIME` in nanoseconds.
    pub syn_at: u64,
    /// The processor that mints it.
    pub processor: u32,
    /// How many tags that has minted before: exact or nearly so.
    pub before: u32,
}

impl TagOrigin {
    /// Returns a number that no other tag of the host is minted of: no processor sends two SYNs at once,
    /// and of two among a thousand the same number comes at times that lie three months apart.
    #[inline]
    const fn moment(&self) -> u64 {
        self.syn_at
            .wrapping_add((self.processor as u64).wrapping_mul(SPREAD))
    }
}

/// Returns the tag of a SYN, signed where there is a mesh key.
#[inline(always)]
#[must_use]
pub fn mint_tag(config: &Config, of: TagOrigin) -> Wide {
    let count = count(config.host_key, of);
    let origin = [of.moment()];
    if !config.orders(Flags::MESH_KEYED) {
        let hash = siphash13(config.host_key, origin);
        return join(counted(hash.wrapping_mul(SPREAD), count), hash);
    }
    let identity = counted(siphash24(config.host_key, origin), count);
    let [key, _] = config.mesh_keys;
    let tick = tick(config.unix_ns(of.syn_at));
    join(identity, mac(key, identity, tick))
}

/// Returns the count in `tag`: of neighbours in time from one processor, neighbours.
#[inline]
pub(crate) const fn count_of(tag: Wide) -> u16 {
    let [first, _] = tag.0;
    u64::from_le(first) as u16
}

/// Returns the id of the socket `cookie` where no tag was sent.
#[inline]
#[must_use]
pub fn mint_untagged(host_key: Wide, cookie: u64) -> Wide {
    let identity = siphash24(host_key, [cookie]);
    join(identity, siphash24(host_key, [cookie, UNTAGGED]))
}

/// Returns the tick in which `id` was signed, under a key of `config`, within one tick of
/// `unix_ns`; `None` if it was not.
#[inline]
#[must_use]
pub fn verify(config: &Config, id: Wide, unix_ns: u64) -> Option<u64> {
    let [identity, found] = id.0.map(u64::from_le);
    let now = tick(unix_ns);
    // The most likely first. How long it takes tells only which tick and which key it was.
    for key in config.mesh_keys {
        for tick in [now, now.wrapping_sub(1), now.wrapping_add(1)] {
            if mac(key, identity, tick) == found {
                return Some(tick);
            }
        }
    }
    None
}

/// Returns the coarse tick of `unix_ns`.
#[inline]
#[must_use]
pub const fn tick(unix_ns: u64) -> u64 {
    unix_ns >> TICK_SHIFT
}

/// Returns the count for a tag. Each host and each processor begins elsewhere, so that few tags of
/// different ones have the same.
#[inline]
const fn count(host_key: Wide, of: TagOrigin) -> u16 {
    let [host, _] = host_key.0;
    let processor = of.processor.wrapping_mul(0x9e37_79b9) >> 16;
    (u64::from_le(host) as u32)
        .wrapping_add(processor)
        .wrapping_add(of.before) as u16
}

/// Returns `identity` with `count` in its first two bytes.
#[inline]
const fn counted(identity: u64, count: u16) -> u64 {
    identity & !(u16::MAX as u64) | count as u64
}

#[inline]
fn mac(mesh_key: Wide, identity: u64, tick: u64) -> u64 {
    siphash24(mesh_key, [identity, tick])
}

#[inline]
fn join(low: u64, high: u64) -> Wide {
    Wide([low.to_le(), high.to_le()])
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK_NS: u64 = 1 << TICK_SHIFT;
    const NOW: u64 = 5 * TICK_NS;
    const OF: TagOrigin = TagOrigin {
        syn_at: NOW,
        processor: 0,
        before: 0,
    };

    #[test]
    fn a_tag_is_valid_in_its_tick_and_the_adjacent_ones() {
        let config = config();
        let id = mint_tag(&config, OF);
        let unix = config.unix_ns(NOW);
        for valid_at in [unix - TICK_NS, unix, unix + TICK_NS] {
            assert_eq!(
                verify(&config, id, valid_at),
                Some(tick(unix)),
                "{valid_at}"
            );
        }
        for stale_at in [unix - 2 * TICK_NS, unix + 2 * TICK_NS] {
            assert_eq!(verify(&config, id, stale_at), None, "{stale_at}");
        }
    }

    #[test]
    fn a_tag_is_not_valid_under_another_key_nor_with_a_bit_changed() {
        let config = config();
        let id = mint_tag(&config, OF);
        let unix = config.unix_ns(NOW);
        let other = Config {
            mesh_keys: [Wide([9; 2]), Wide([8; 2])],
            ..config
        };
        assert_eq!(verify(&other, id, unix), None);
        for at in 0..16 {
            let mut forged = id.to_bytes();
            forged[at] ^= 0x80;
            assert_eq!(
                verify(&config, Wide::from_bytes(forged), unix),
                None,
                "byte {at}"
            );
        }
    }

    #[test]
    fn while_keys_change_tags_of_both_are_valid() {
        let old = config();
        let new = Config {
            mesh_keys: [Wide([5; 2]), old.mesh_keys[0]],
            ..old
        };
        let unix = old.unix_ns(NOW);
        assert!(verify(&new, mint_tag(&old, OF), unix).is_some());
        assert!(verify(&new, mint_tag(&new, OF), unix).is_some());
        assert_eq!(verify(&old, mint_tag(&new, OF), unix), None);
    }

    #[test]
    fn another_moment_processor_or_host_has_another_id() {
        let config = config();
        let other = Config {
            host_key: Wide([4; 2]),
            ..config
        };
        let others = [
            TagOrigin { processor: 1, ..OF },
            TagOrigin {
                syn_at: NOW + 1,
                ..OF
            },
        ];
        assert_ne!(mint_tag(&config, OF), mint_tag(&other, OF));
        let unsigned = Config {
            flags: Flags::default(),
            ..config
        };
        for other in others {
            for config in [config, unsigned] {
                let [tag, other] = [OF, other].map(|of| mint_tag(&config, of).0);
                // The count is of the processor, too.
                assert_ne!(tag[0] >> 16, other[0] >> 16);
                assert_ne!(tag[1], other[1]);
            }
        }
        let untagged = |key, cookie| mint_untagged(key, cookie);
        assert_ne!(untagged(Wide([1; 2]), 7), untagged(Wide([1; 2]), 8));
        assert_ne!(untagged(Wide([1; 2]), 7), untagged(Wide([4; 2]), 7));
    }

    #[test]
    fn tags_of_one_processor_are_counted_in_their_first_bytes() {
        let unsigned = Config {
            flags: Flags::default(),
            ..config()
        };
        for config in [config(), unsigned] {
            let count = |before| count_of(mint_tag(&config, TagOrigin { before, ..OF }));
            for before in [0, 1, 0xffff, u32::MAX] {
                assert_eq!(count(before.wrapping_add(1)), count(before).wrapping_add(1));
            }
            let elsewhere = TagOrigin { processor: 1, ..OF };
            let apart = count_of(mint_tag(&config, elsewhere)).wrapping_sub(count(0));
            assert!((0x1000..0xf000).contains(&apart), "{apart}");
        }
    }

    #[test]
    fn tags_that_count_the_same_differ_in_all_other_bytes() {
        let (first, second) = (
            mint_tag(&config(), OF),
            mint_tag(
                &config(),
                TagOrigin {
                    syn_at: NOW + 1,
                    ..OF
                },
            ),
        );
        assert_eq!(first.to_bytes()[..2], second.to_bytes()[..2]);
        for (first, second) in first.0.iter().zip(second.0) {
            assert!((first ^ second).count_ones() > 12);
        }
    }

    fn config() -> Config {
        Config {
            host_key: Wide([1; 2]),
            mesh_keys: [Wide([2; 2]), Wide([3; 2])],
            wall_offset_ns: 1_700_000_000_000_000_000,
            flags: Flags::MESH_KEYED,
            ..Config::EMPTY
        }
    }
}
