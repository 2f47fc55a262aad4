//! What user space orders, in the one slot of the `CONFIG` map.
//!
//! User space renews [`Config::lease_until`]; when it stops, the programs stop tagging by
//! themselves and go on observing.

use crate::wide::Wide;

/// The orders, as the programs read them.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Keys the hash of a socket's number: makes ids unguessable, the same for one boot.
    pub host_key: Wide,
    /// Keys the MAC in a tag: the same on all hosts of a mesh. The first signs; under either a
    /// tag is believed, so that keys can be changed host by host.
    pub mesh_keys: [Wide; 2],
    /// `CLOCK_REALTIME` minus `CLOCK_BOOTTIME`, nanoseconds.
    pub wall_offset_ns: u64,
    /// `CLOCK_BOOTTIME` minus `CLOCK_MONOTONIC`, nanoseconds: how long the host was suspended.
    pub boot_offset_ns: u64,
    /// `CLOCK_BOOTTIME` until which tagging is ordered, nanoseconds.
    pub lease_until: u64,
    /// What is ordered.
    pub flags: Flags,
    /// One of how many connections that end well is reported; 0 and 1 mean all.
    pub one_in: u32,
}

/// What is ordered, one bit each.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u32);

/// Length of the map's value, in bytes.
pub const CONFIG_LEN: usize = 3 * 16 + 3 * 8 + 2 * 4;

// The sum of the fields equals the size: no implicit padding.
const _: () = assert!(size_of::<Config>() == CONFIG_LEN);

// === impl Config ===

impl Config {
    /// Orders nothing.
    pub const EMPTY: Self = Self {
        host_key: Wide::ZERO,
        mesh_keys: [Wide::ZERO; 2],
        wall_offset_ns: 0,
        boot_offset_ns: 0,
        lease_until: 0,
        flags: Flags(0),
        one_in: 1,
    };

    /// Returns whether `flag` is ordered.
    #[inline]
    #[must_use]
    pub const fn orders(&self, flag: Flags) -> bool {
        self.flags.0 & flag.0 != 0
    }

    /// Returns whether `flag`, which writes into segments, is ordered and the lease valid at `now`.
    #[inline]
    #[must_use]
    pub const fn may_write(&self, flag: Flags, now: u64) -> bool {
        self.orders(flag) && now < self.lease_until
    }

    /// Returns the wall clock at boot time `now`, both in nanoseconds.
    #[inline]
    #[must_use]
    pub const fn unix_ns(&self, now: u64) -> u64 {
        now.wrapping_add(self.wall_offset_ns)
    }

    /// Returns whether the connection of the socket `cookie` is reported even if it ends well.
    #[inline]
    #[must_use]
    pub const fn samples(&self, cookie: u64) -> bool {
        // Cookies follow each other: spread them, so that no pattern of use is preferred.
        let spread = (cookie.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32;
        self.one_in <= 1 || spread.is_multiple_of(self.one_in)
    }

    /// Returns the map's value.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; CONFIG_LEN] {
        let mut bytes = [0; CONFIG_LEN];
        let fields = self
            .host_key
            .to_bytes()
            .into_iter()
            .chain(self.mesh_keys.into_iter().flat_map(Wide::to_bytes))
            .chain(self.wall_offset_ns.to_ne_bytes())
            .chain(self.boot_offset_ns.to_ne_bytes())
            .chain(self.lease_until.to_ne_bytes())
            .chain(self.flags.0.to_ne_bytes())
            .chain(self.one_in.to_ne_bytes());
        for (byte, field) in bytes.iter_mut().zip(fields) {
            *byte = field;
        }
        bytes
    }
}

/// Keys stay out of logs.
impl core::fmt::Debug for Config {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Config")
            .field("wall_offset_ns", &self.wall_offset_ns)
            .field("boot_offset_ns", &self.boot_offset_ns)
            .field("lease_until", &self.lease_until)
            .field("flags", &self.flags)
            .field("one_in", &self.one_in)
            .finish_non_exhaustive()
    }
}

// === impl Flags ===

impl Flags {
    /// Follow connections, and emit snapshots of them.
    pub const OBSERVE: Self = Self(1 << 0);
    /// Tag SYNs towards the networks in `TAG_TO`.
    pub const TAG: Self = Self(1 << 1);
    /// Believe, and answer, tags from the networks in `BELIEVE_FROM`.
    pub const BELIEVE: Self = Self(1 << 2);
    /// `mesh_keys` were configured: a tag without a valid MAC is not believed.
    pub const MESH_KEYED: Self = Self(1 << 3);
    /// Note when and by whom a connection is accepted.
    pub const ACCEPT_WAIT: Self = Self(1 << 4);
    /// Emit incidents.
    pub const INCIDENTS: Self = Self(1 << 5);
    /// The program that sees RSTs leave is attached: a snapshot waits for the reason.
    pub const RESET_REASON: Self = Self(1 << 6);

    /// Returns the flags of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use core::mem::offset_of;

    use super::*;

    #[test]
    fn the_bytes_follow_the_layout() {
        let config = Config {
            host_key: Wide::from_bytes([1; 16]),
            mesh_keys: [Wide::from_bytes([2; 16]), Wide::from_bytes([3; 16])],
            wall_offset_ns: 4,
            boot_offset_ns: 7,
            lease_until: 5,
            flags: Flags::TAG,
            one_in: 6,
        };
        let bytes = config.to_bytes();
        let at = |offset: usize, len: usize| &bytes[offset..][..len];
        assert_eq!(at(offset_of!(Config, host_key), 16), [1; 16]);
        assert_eq!(at(offset_of!(Config, mesh_keys), 16), [2; 16]);
        assert_eq!(at(offset_of!(Config, mesh_keys) + 16, 16), [3; 16]);
        assert_eq!(
            at(offset_of!(Config, wall_offset_ns), 8),
            4_u64.to_ne_bytes()
        );
        assert_eq!(
            at(offset_of!(Config, boot_offset_ns), 8),
            7_u64.to_ne_bytes()
        );
        assert_eq!(at(offset_of!(Config, lease_until), 8), 5_u64.to_ne_bytes());
        assert_eq!(at(offset_of!(Config, flags), 4), 2_u32.to_ne_bytes());
        assert_eq!(at(offset_of!(Config, one_in), 4), 6_u32.to_ne_bytes());
    }

    #[test]
    fn writing_ends_with_the_lease() {
        let config = Config {
            lease_until: 10,
            flags: Flags::TAG,
            ..Config::EMPTY
        };
        assert!(config.may_write(Flags::TAG, 9));
        assert!(!config.may_write(Flags::TAG, 10));
        assert!(!config.may_write(Flags::BELIEVE, 9));
    }

    #[test]
    fn a_sample_is_as_large_as_ordered() {
        let sampled = |one_in| {
            let config = Config {
                one_in,
                ..Config::EMPTY
            };
            (0..100_000)
                .filter(|&cookie| config.samples(cookie))
                .count()
        };
        assert_eq!((sampled(0), sampled(1)), (100_000, 100_000));
        assert!((9_900..10_100).contains(&sampled(10)), "{}", sampled(10));
    }
}
