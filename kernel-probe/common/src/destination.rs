//! Which destinations pass the option, so that none is harmed twice.
//!
//! A middlebox may drop what it does not know. Until a destination has answered one tagged SYN,
//! at most one SYN under way to it carries the tag; a retransmitted SYN goes out without it, and
//! the destination stays untagged for a while.
//!
//! What is known of a destination is one word, at a place that follows from its address, so that
//! one compare-and-exchange decides who may try. Destinations that share a place share one word:
//! the later one waits, untagged, while the earlier one is on trial or in retreat.

use crate::wide::Wide;

/// Places for destinations; a power of two.
pub const PLACES: u32 = 1 << PLACE_BITS;

const PLACE_BITS: u32 = 14;

/// How long one tagged SYN may be under way before the next may try: longer than the first
/// retransmission (RFC 6298: 1 s), which would have told.
const TRIAL_NS: u64 = 3_000_000_000;

/// How long a destination stays untagged after a tagged SYN led to no connection at once.
const RETREAT_NS: u64 = 600_000_000_000;

/// Length of the unit of time in a word: 2^20 ns, about a millisecond.
const UNIT_SHIFT: u32 = 20;

/// Bits of a word that hold a time: 36 years.
const TIME_BITS: u32 = 40;

const TIME_MASK: u64 = (1 << TIME_BITS) - 1;

/// An address, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Where its word stands, below [`PLACES`].
    pub place: u32,
    /// Tells it from others of the same place; the bits above a word's time, never 0.
    fingerprint: u64,
}

/// Whether a SYN may carry the tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// It may.
    Granted,
    /// Only the one that puts [`Destination::on_trial`] in the place of this word may.
    Trial,
    /// It may not.
    Withheld,
}

impl Destination {
    /// Returns the destination of this address.
    #[inline]
    #[must_use]
    pub const fn of(address: Wide) -> Self {
        let [first, second] = address.0;
        let folded = first.rotate_left(32) ^ second;
        let mixed = folded.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        Self {
            place: (mixed >> (64 - PLACE_BITS)) as u32,
            fingerprint: (mixed | 1) << TIME_BITS,
        }
    }

    /// Returns whether a SYN may carry the tag at `now`, where `word` stands in the place.
    #[inline]
    #[must_use]
    pub const fn permit(self, word: u64, now: u64) -> Permit {
        let until = word & TIME_MASK;
        let is_ours = word & !TIME_MASK == self.fingerprint;
        if is_ours && until == 0 {
            Permit::Granted
        } else if unit(now) >= until {
            Permit::Trial
        } else {
            Permit::Withheld
        }
    }

    /// Returns the word of a destination to which a tagged SYN leaves at `now`.
    #[inline]
    #[must_use]
    pub const fn on_trial(self, now: u64) -> u64 {
        self.fingerprint | unit(now.saturating_add(TRIAL_NS))
    }

    /// Returns the word to put in the place of `word`, after a tagged SYN was answered.
    #[inline]
    #[must_use]
    pub const fn proven(self, word: u64, now: u64) -> Option<u64> {
        self.replaces(word, now, self.fingerprint)
    }

    /// Returns the word to put in the place of `word`, after a tagged SYN had to be sent again, or
    /// was in vain, at `now`.
    #[inline]
    #[must_use]
    pub const fn in_retreat(self, word: u64, now: u64) -> Option<u64> {
        let retreat = self.fingerprint | unit(now.saturating_add(RETREAT_NS));
        self.replaces(word, now, retreat)
    }

    /// Returns `by` unless `word` holds another destination back.
    #[inline]
    const fn replaces(self, word: u64, now: u64, by: u64) -> Option<u64> {
        let is_ours = word & !TIME_MASK == self.fingerprint;
        if is_ours || unit(now) >= word & TIME_MASK {
            Some(by)
        } else {
            None
        }
    }
}

#[inline]
const fn unit(ns: u64) -> u64 {
    (ns >> UNIT_SHIFT) & TIME_MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 100_000_000_000;
    const MILLISECOND: u64 = 1 << UNIT_SHIFT;
    const OURS: Destination = Destination::of(Wide([7; 2]));
    const OTHER: Destination = Destination {
        place: OURS.place,
        fingerprint: OURS.fingerprint ^ 2 << TIME_BITS,
    };

    #[test]
    fn an_unknown_destination_is_tried_first() {
        assert_eq!(OURS.permit(0, NOW), Permit::Trial);
        assert_eq!(OURS.permit(0, 0), Permit::Trial);
    }

    #[test]
    fn a_proven_destination_is_tagged_for_ever() {
        let word = OURS.proven(OURS.on_trial(NOW), NOW).unwrap();
        assert_eq!(OURS.permit(word, 0), Permit::Granted);
        assert_eq!(OURS.permit(word, u64::MAX), Permit::Granted);
        assert_eq!(OTHER.permit(word, NOW), Permit::Trial);
    }

    #[test]
    fn no_second_syn_is_tagged_during_a_trial() {
        let word = OURS.on_trial(NOW);
        for destination in [OURS, OTHER] {
            assert_eq!(destination.permit(word, NOW), Permit::Withheld);
            assert_eq!(
                destination.permit(word, NOW + TRIAL_NS - MILLISECOND),
                Permit::Withheld
            );
            assert_eq!(destination.permit(word, NOW + TRIAL_NS), Permit::Trial);
        }
    }

    #[test]
    fn a_retreat_ends_with_a_trial() {
        let word = OURS.in_retreat(OURS.on_trial(NOW), NOW).unwrap();
        let end = NOW + RETREAT_NS;
        assert_eq!(OURS.permit(word, end - MILLISECOND), Permit::Withheld);
        assert_eq!(OURS.permit(word, end), Permit::Trial);
    }

    #[test]
    fn nobody_ends_the_trial_or_the_retreat_of_another() {
        for held in [OURS.on_trial(NOW), OURS.in_retreat(0, NOW).unwrap()] {
            assert_eq!(OTHER.proven(held, NOW), None);
            assert_eq!(OTHER.in_retreat(held, NOW), None);
        }
        let proven = OURS.proven(0, NOW).unwrap();
        assert!(OTHER.in_retreat(proven, NOW).is_some());
    }

    #[test]
    fn neighbouring_addresses_have_different_places() {
        let mut places = [0_u32; 256];
        for (last, place) in places.iter_mut().enumerate() {
            let [.., end] = &mut [0_u8; 16];
            *end = last as u8;
            let mut address = [0; 16];
            address[15] = last as u8;
            *place = Destination::of(Wide::from_bytes(address)).place;
            assert!(*place < PLACES);
        }
        places.sort_unstable();
        let repeated = places.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert!(repeated < 8, "{repeated}");
    }
}
