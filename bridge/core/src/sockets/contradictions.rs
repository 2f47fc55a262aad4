//! Contradictions between the facts about one socket, as bits: most sockets have none.

/// What a snapshot contradicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contradictions(u8);

impl Contradictions {
    /// Nothing.
    pub(crate) const NONE: Self = Self(0);
    /// The same cookie, with other ends or opened from the other side.
    pub(crate) const OTHER_ENDS: Self = Self(1);
    /// A moment that happens once, reported differently.
    pub(crate) const OTHER_TIMES: Self = Self(1 << 1);
    /// It ended before it began.
    pub(crate) const ENDED_BEFORE_BEGUN: Self = Self(1 << 2);
    /// An end has no port.
    pub(crate) const NO_PORT: Self = Self(1 << 3);
    /// It ended after the moment of the snapshot that says so.
    pub(crate) const FROM_THE_FUTURE: Self = Self(1 << 4);
    /// A step of the handshake was done before the one that it follows.
    pub(crate) const OUT_OF_ORDER: Self = Self(1 << 5);

    const NAMES: [&'static str; 6] = [
        "other_ends",
        "other_times",
        "ended_before_begun",
        "no_port",
        "from_the_future",
        "out_of_order",
    ];

    /// Returns it as bits.
    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    /// Returns what the bits say; those without a meaning are left out.
    pub(crate) const fn from_bits(bits: u8) -> Self {
        Self(bits & ((1 << Self::NAMES.len()) - 1))
    }

    /// Returns what either says.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns what this says and `other` does not.
    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns whether nothing is contradicted.
    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the names that records and the coverage show, in order.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        let all = Self::NAMES.into_iter().enumerate();
        all.filter(move |&(bit, _)| self.0 & 1 << bit != 0)
            .map(|(_, name)| name)
    }

    pub(super) const fn when(self, holds: bool) -> Self {
        if holds { self } else { Self::NONE }
    }
}
