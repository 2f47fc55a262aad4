//! Ids of connections: unguessable, unique, and recognisable under a mesh key.
//!
//! 8 bytes keyed hash of the socket's number; then, in a tag, 8 bytes MAC over those and a coarse
//! wall time. The MAC tells a receiver that the sender holds a key; the time bounds how long a tag
//! that was overheard can be borne again. Without a mesh key, or where no tag is sent, nobody
//! checks the second half: it is another hash of the socket's number.

use crate::{
    config::{Config, Flags},
    siphash::{siphash24, siphash24_wide},
    wide::Wide,
};

/// Length of a coarse tick: 2^36 ns, about 69 s.
const TICK_SHIFT: u32 = 36;

/// What the second half of an id is a hash of, beside the socket, where it is no MAC.
const UNTAGGED: u64 = 1;

/// Returns the tag of the socket `cookie`, signed at boot time `now` in nanoseconds where there is a
/// mesh key.
#[inline]
#[must_use]
pub fn mint_tag(config: &Config, cookie: u64, now: u64) -> Wide {
    if !config.orders(Flags::MESH_KEYED) {
        let [low, high] = siphash24_wide(config.host_key, [cookie]);
        return join(low, high);
    }
    let identity = siphash24(config.host_key, [cookie]);
    let [key, _] = config.mesh_keys;
    join(identity, mac(key, identity, tick(config.unix_ns(now))))
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

    #[test]
    fn a_tag_is_valid_in_its_tick_and_the_adjacent_ones() {
        let config = config();
        let id = mint_tag(&config, 7, NOW);
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
        let id = mint_tag(&config, 7, NOW);
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
        assert!(verify(&new, mint_tag(&old, 7, NOW), unix).is_some());
        assert!(verify(&new, mint_tag(&new, 7, NOW), unix).is_some());
        assert_eq!(verify(&old, mint_tag(&new, 7, NOW), unix), None);
    }

    #[test]
    fn another_socket_or_host_has_another_id() {
        let config = config();
        let other = Config {
            host_key: Wide([4; 2]),
            ..config
        };
        assert_ne!(mint_tag(&config, 7, NOW), mint_tag(&config, 8, NOW));
        assert_ne!(mint_tag(&config, 7, NOW), mint_tag(&other, 7, NOW));
        let unsigned = Config {
            flags: Flags::default(),
            ..config
        };
        assert_ne!(mint_tag(&unsigned, 7, NOW), mint_tag(&unsigned, 8, NOW));
        let untagged = |key, cookie| mint_untagged(key, cookie);
        assert_ne!(untagged(Wide([1; 2]), 7), untagged(Wide([1; 2]), 8));
        assert_ne!(untagged(Wide([1; 2]), 7), untagged(Wide([4; 2]), 7));
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
