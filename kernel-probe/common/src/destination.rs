//! Which destinations pass the option, so that none is harmed twice.
//!
//! A middlebox may drop what it does not know. Until a destination has answered one tagged SYN,
//! at most one SYN under way to it carries the tag; a retransmitted SYN goes out without it, and
//! the destination stays untagged for a while.

/// How long one tagged SYN may be under way before the next may try: longer than the first
/// retransmission (RFC 6298: 1 s), which would have told.
const TRIAL_NS: u64 = 3_000_000_000;

/// How long a destination stays untagged after a tagged SYN led to no connection at once.
const RETREAT_NS: u64 = 600_000_000_000;

/// What is known of one destination: until when (`CLOCK_BOOTTIME`, ns) no SYN may be tagged.
///
/// 0 once a tagged SYN was answered.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    untagged_until: u64,
}

/// Whether a SYN may carry the tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// It may.
    Granted,
    /// Only the one that claims the trial may.
    Trial,
    /// It may not.
    Withheld,
}

impl Destination {
    /// A destination that has answered a tagged SYN.
    pub const PROVEN: Self = Self { untagged_until: 0 };

    /// Returns a destination to which a tagged SYN leaves at `now`.
    #[inline]
    #[must_use]
    pub const fn on_trial(now: u64) -> Self {
        Self {
            untagged_until: now.saturating_add(TRIAL_NS),
        }
    }

    /// Returns a destination to which a tagged SYN had to be sent again, or in vain, at `now`.
    #[inline]
    #[must_use]
    pub const fn in_retreat(now: u64) -> Self {
        Self {
            untagged_until: now.saturating_add(RETREAT_NS),
        }
    }

    /// Returns whether a SYN may carry the tag at `now`.
    #[inline]
    #[must_use]
    pub const fn permit(self, now: u64) -> Permit {
        if self.untagged_until == 0 {
            Permit::Granted
        } else if now >= self.untagged_until {
            Permit::Trial
        } else {
            Permit::Withheld
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proven_destination_is_tagged_for_ever() {
        assert_eq!(Destination::PROVEN.permit(0), Permit::Granted);
        assert_eq!(Destination::PROVEN.permit(u64::MAX), Permit::Granted);
    }

    #[test]
    fn no_second_syn_is_tagged_during_a_trial() {
        let destination = Destination::on_trial(100);
        assert_eq!(destination.permit(100), Permit::Withheld);
        assert_eq!(destination.permit(99 + TRIAL_NS), Permit::Withheld);
        assert_eq!(destination.permit(100 + TRIAL_NS), Permit::Trial);
    }

    #[test]
    fn a_retreat_ends_with_a_trial() {
        let destination = Destination::in_retreat(100);
        assert_eq!(destination.permit(99 + RETREAT_NS), Permit::Withheld);
        assert_eq!(destination.permit(100 + RETREAT_NS), Permit::Trial);
    }
}
