//! Slots by time, in ticks: a list for each tick, chained through the values themselves.
//!
//! Entering and leaving cost the same however many there are, and nothing is allocated for a slot. The
//! order within a tick means nothing: who needs one sorts what a tick holds.

use std::collections::BTreeMap;

use crate::slab::{Slab, Slot};

/// No slot.
const NONE: Slot = Slot::MAX;

/// Where a value stands in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Links {
    previous: Slot,
    next: Slot,
}

/// Which of a value's links a calendar uses.
pub(crate) trait Lane<T> {
    /// Returns them.
    fn links(value: &mut T) -> &mut Links;
    /// Returns them to be read.
    fn peek(value: &T) -> Links;
}

/// Slots by tick.
#[derive(Debug, Default)]
pub(crate) struct Calendar {
    first: BTreeMap<u64, Slot>,
}

// === impl Links ===

impl Links {
    /// Of a value that stands in no list.
    pub(crate) const LOOSE: Self = Self {
        previous: NONE,
        next: NONE,
    };
}

// === impl Calendar ===

impl Calendar {
    /// Enters a slot that is loose.
    pub(crate) fn insert<T, L: Lane<T>>(&mut self, slab: &mut Slab<T>, tick: u64, slot: Slot) {
        let next = self.first.insert(tick, slot).unwrap_or(NONE);
        if let Some(value) = slab.get_mut(next) {
            L::links(value).previous = slot;
        }
        if let Some(value) = slab.get_mut(slot) {
            *L::links(value) = Links {
                previous: NONE,
                next,
            };
        }
    }

    /// Takes a slot out that was entered at `tick`.
    pub(crate) fn remove<T, L: Lane<T>>(&mut self, slab: &mut Slab<T>, tick: u64, slot: Slot) {
        let Some(value) = slab.get_mut(slot) else {
            return;
        };
        let Links { previous, next } = std::mem::replace(L::links(value), Links::LOOSE);
        if let Some(value) = slab.get_mut(next) {
            L::links(value).previous = previous;
        }
        if let Some(value) = slab.get_mut(previous) {
            L::links(value).next = next;
        } else if next == NONE {
            self.first.remove(&tick);
        } else {
            self.first.insert(tick, next);
        }
    }

    /// Returns the first tick that holds anything.
    pub(crate) fn first_tick(&self) -> Option<u64> {
        self.first.first_key_value().map(|(&tick, _)| tick)
    }

    /// Returns what a tick holds.
    pub(crate) fn at<T, L: Lane<T>>(
        &self,
        slab: &Slab<T>,
        tick: u64,
    ) -> impl Iterator<Item = Slot> {
        let first = self.first.get(&tick).copied();
        std::iter::successors(first, |&slot| {
            let next = L::peek(slab.get(slot)?).next;
            (next != NONE).then_some(next)
        })
    }

    /// Returns the ticks that hold anything at or before `tick`, the latest first.
    pub(crate) fn ticks_until(&self, tick: u64) -> impl Iterator<Item = u64> {
        self.first.range(..=tick).rev().map(|(&tick, _)| tick)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Only;

    impl Lane<Links> for Only {
        fn links(value: &mut Links) -> &mut Links {
            value
        }
        fn peek(value: &Links) -> Links {
            *value
        }
    }

    fn held(calendar: &Calendar, slab: &Slab<Links>, tick: u64) -> Vec<Slot> {
        let mut slots: Vec<_> = calendar.at::<_, Only>(slab, tick).collect();
        slots.sort_unstable();
        slots
    }

    #[test]
    fn slots_leave_from_the_beginning_the_middle_and_the_end() {
        for leaving in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
            let (mut slab, mut calendar) = (Slab::default(), Calendar::default());
            for _ in 0..3 {
                let slot = slab.insert(Links::LOOSE);
                calendar.insert::<_, Only>(&mut slab, 7, slot);
            }
            let mut left = vec![0, 1, 2];
            for slot in leaving {
                assert_eq!(held(&calendar, &slab, 7), left);
                calendar.remove::<_, Only>(&mut slab, 7, slot);
                left.retain(|&other| other != slot);
                assert_eq!(slab.get(slot), Some(&Links::LOOSE));
            }
            assert_eq!(calendar.first_tick(), None);
        }
    }

    #[test]
    fn ticks_are_given_in_order() {
        let (mut slab, mut calendar) = (Slab::default(), Calendar::default());
        for tick in [30, 10, 20] {
            let slot = slab.insert(Links::LOOSE);
            calendar.insert::<_, Only>(&mut slab, tick, slot);
        }
        assert_eq!(calendar.first_tick(), Some(10));
        assert_eq!(calendar.ticks_until(25).collect::<Vec<_>>(), [20, 10]);
    }
}
