//! Whose a place among the sockets that are followed is, and until when.
//!
//! One word says both, so that one compare-and-exchange decides who takes the place. It is held until
//! the socket's end where that will be seen. Where it will not be, because only a tag is ordered, the
//! place is lent: it counts as free again once no handshake can still be under way.

/// Places for sockets; a power of two.
pub const LIVE_PLACES: u32 = 1 << PLACE_BITS;

const PLACE_BITS: u32 = 14;

/// Bits of a word that are not the socket's: as many as its place tells.
const MEANING_MASK: u64 = (1 << PLACE_BITS) - 1;

/// The place is taken.
const TAKEN: u64 = 1 << 0;

/// The place is lent: the bits above this one say since when.
const LENT: u64 = 1 << 1;

/// Where the time begins in a word.
const TIME_AT: u32 = 2;

/// The unit of time in a word: 2^34 ns, about 17 s.
const UNIT_SHIFT: u32 = 34;

/// The bits that are left for a time: it comes round after 19 hours.
const TIME_MASK: u64 = MEANING_MASK >> TIME_AT;

/// How long a place is lent at least: 2^37 ns, about 137 s, in units. Longer than the kernel tries to connect,
/// unless it is told to send the SYN more than six times.
const LENT_FOR: u64 = 1 << (37 - UNIT_SHIFT);

/// A socket, as far as its place matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its place, below [`LIVE_PLACES`].
    pub place: u32,
    /// What tells it from all others of the same place; above a word's meaning.
    name: u64,
}

impl Tenant {
    /// Returns the tenant of `key`, a number that no other socket has at the same time.
    #[inline(always)]
    #[must_use]
    pub const fn of(key: u64) -> Self {
        // Nothing is lost: the factor is odd, so that the upper and the lower bits together are the key.
        let spread = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self {
            place: (spread >> (u64::BITS - PLACE_BITS)) as u32,
            name: spread << PLACE_BITS,
        }
    }

    /// Returns whether the place is the tenant's, where `word` stands in it.
    #[inline(always)]
    #[must_use]
    pub const fn has(self, word: u64) -> bool {
        word & !(MEANING_MASK ^ TAKEN) == self.name | TAKEN
    }

    /// Returns the word of a place that is held until the socket's end.
    #[inline(always)]
    #[must_use]
    pub const fn holding(self) -> u64 {
        self.name | TAKEN
    }

    /// Returns the word of a place that is lent at boot time `now`, nanoseconds.
    #[inline(always)]
    #[must_use]
    pub const fn lent(self, now: u64) -> u64 {
        self.name | units(now) << TIME_AT | LENT | TAKEN
    }
}

/// Returns whether nobody needs the place any more at boot time `now`, nanoseconds, though `word` stands in it.
#[inline]
#[must_use]
pub const fn is_forgotten(word: u64, now: u64) -> bool {
    let since = (word & MEANING_MASK) >> TIME_AT;
    word & LENT != 0 && units(now).wrapping_sub(since) & TIME_MASK > LENT_FOR
}

#[inline(always)]
const fn units(ns: u64) -> u64 {
    (ns >> UNIT_SHIFT) & TIME_MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const NOW: u64 = 100_000 * SECOND;

    /// Sockets as the kernel lays them out: side by side, and on either side of the orders.
    fn tenants() -> impl Iterator<Item = Tenant> {
        let sizes = (1..300).map(|at: u64| at * 2432);
        sizes.flat_map(|size| [size, size.wrapping_neg()].map(Tenant::of))
    }

    #[test]
    fn a_place_is_of_one_tenant_whether_it_holds_or_borrows_it() {
        for tenant in tenants() {
            assert!(tenant.place < LIVE_PLACES);
            for word in [tenant.holding(), tenant.lent(NOW), tenant.lent(0)] {
                assert!(tenant.has(word));
                let others = tenants().filter(|other| *other != tenant);
                let mut of_the_place = others.filter(|other| other.place == tenant.place);
                assert!(of_the_place.all(|other| !other.has(word)));
            }
            assert!(!tenant.has(0));
        }
    }

    #[test]
    fn place_and_name_tell_all_of_a_key() {
        let (first, second) = (Tenant::of(4096), Tenant::of(4097));
        assert_ne!(first, second);
        for bit in 0..u64::BITS {
            assert_ne!(Tenant::of(4096 ^ 1 << bit), first, "{bit}");
        }
    }

    #[test]
    fn what_is_held_is_never_forgotten() {
        let word = Tenant::of(7).holding();
        for now in [0, NOW, u64::MAX] {
            assert!(!is_forgotten(word, now));
        }
        assert!(!is_forgotten(0, NOW));
    }

    #[test]
    fn what_is_lent_is_forgotten_when_no_handshake_can_be_under_way() {
        for since in [0, NOW, NOW + 7 * SECOND, u64::MAX - 50 * SECOND] {
            let word = Tenant::of(7).lent(since);
            for age in [0, 1, 60, 127, 137] {
                assert!(
                    !is_forgotten(word, since.wrapping_add(age * SECOND)),
                    "{age}"
                );
            }
            for age in [155, 600, 3_600, 18 * 3_600] {
                assert!(
                    is_forgotten(word, since.wrapping_add(age * SECOND)),
                    "{age}"
                );
            }
        }
    }
}
