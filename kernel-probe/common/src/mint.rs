//! Ids of connections: unguessable, unique, and recognisable under the mesh key.
//!
//! 8 bytes keyed hash of the identity (boot id and socket cookie), then 8 bytes MAC over those
//! and a coarse wall time. The MAC tells a receiver that the sender holds the key; the time
//! bounds how long a tag that was overheard can be borne again.

use crate::{config::Config, siphash::siphash24};

/// Length of a coarse tick: 2^36 ns, about 69 s.
const TICK_SHIFT: u32 = 36;

/// Returns the id of the socket `cookie`, minted at boot time `now` in nanoseconds.
#[inline]
#[must_use]
pub fn mint(config: &Config, cookie: u64, now: u64) -> [u8; 16] {
    let boot = u128::from_le_bytes(config.boot_id);
    let identity = siphash24(config.host_key, [boot as u64, (boot >> 64) as u64, cookie]);
    let mac = mac(config.mesh_key, identity, tick(config.unix_ns(now)));
    join(identity, mac)
}

/// Returns whether `id` was minted under `mesh_key` within one tick of `unix_ns`.
#[inline]
#[must_use]
pub fn verify(mesh_key: [u8; 16], id: [u8; 16], unix_ns: u64) -> bool {
    let id = u128::from_le_bytes(id);
    let (identity, found) = (id as u64, (id >> 64) as u64);
    let now = tick(unix_ns);
    // No early return: the time it takes tells nothing.
    let current = mac(mesh_key, identity, now) ^ found;
    let before = mac(mesh_key, identity, now.wrapping_sub(1)) ^ found;
    let after = mac(mesh_key, identity, now.wrapping_add(1)) ^ found;
    (current == 0) | (before == 0) | (after == 0)
}

#[inline]
fn mac(mesh_key: [u8; 16], identity: u64, tick: u64) -> u64 {
    siphash24(mesh_key, [identity, tick])
}

#[inline]
const fn tick(unix_ns: u64) -> u64 {
    unix_ns >> TICK_SHIFT
}

#[inline]
fn join(low: u64, high: u64) -> [u8; 16] {
    (u128::from(low) | u128::from(high) << 64).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK_NS: u64 = 1 << TICK_SHIFT;
    const NOW: u64 = 5 * TICK_NS;

    #[test]
    fn an_id_is_valid_in_its_tick_and_the_adjacent_ones() {
        let config = config();
        let id = mint(&config, 7, NOW);
        let unix = config.unix_ns(NOW);
        for valid_at in [unix - TICK_NS, unix, unix + TICK_NS] {
            assert!(verify(config.mesh_key, id, valid_at), "{valid_at}");
        }
        for stale_at in [unix - 2 * TICK_NS, unix + 2 * TICK_NS] {
            assert!(!verify(config.mesh_key, id, stale_at), "{stale_at}");
        }
    }

    #[test]
    fn an_id_is_not_valid_under_another_key_nor_with_a_bit_changed() {
        let config = config();
        let id = mint(&config, 7, NOW);
        let unix = config.unix_ns(NOW);
        assert!(!verify([9; 16], id, unix));
        for at in 0..16 {
            let mut forged = id;
            forged[at] ^= 0x80;
            assert!(!verify(config.mesh_key, forged, unix), "byte {at}");
        }
    }

    #[test]
    fn another_socket_or_boot_has_another_id() {
        let config = config();
        let rebooted = Config {
            boot_id: [4; 16],
            ..config
        };
        assert_ne!(mint(&config, 7, NOW), mint(&config, 8, NOW));
        assert_ne!(mint(&config, 7, NOW), mint(&rebooted, 7, NOW));
    }

    fn config() -> Config {
        Config {
            host_key: [1; 16],
            mesh_key: [2; 16],
            boot_id: [3; 16],
            wall_offset_ns: 1_700_000_000_000_000_000,
            ..Config::EMPTY
        }
    }
}
