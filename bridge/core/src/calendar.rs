//! Slots by time, in ticks: those of one tick side by side.
//!
//! Entering and leaving cost the same however many there are: a value keeps its place within its tick. The
//! order within a tick means nothing: who needs one sorts what a tick holds.

use std::collections::{BTreeMap, btree_map::Entry};

use crate::slab::{Slab, Slot};

/// Slots by tick.
#[derive(Debug, Default)]
pub(crate) struct Calendar {
    /// No tick is empty.
    ticks: BTreeMap<u64, Vec<Slot>>,
}

// === impl Calendar ===

impl Calendar {
    /// Enters a slot; `place` is where its value keeps its place within the tick.
    pub(crate) fn insert<T>(
        &mut self,
        slab: &mut Slab<T>,
        tick: u64,
        slot: Slot,
        place: impl Fn(&mut T) -> &mut u32,
    ) {
        let held = self.ticks.entry(tick).or_default();
        if let Some(value) = slab.get_mut(slot) {
            *place(value) = held.len() as u32;
        }
        held.push(slot);
    }

    /// Takes a slot out that was entered at `tick`, unless the tick was taken as a whole.
    pub(crate) fn remove<T>(
        &mut self,
        slab: &mut Slab<T>,
        tick: u64,
        slot: Slot,
        place: impl Fn(&mut T) -> &mut u32,
    ) {
        let Entry::Occupied(mut held) = self.ticks.entry(tick) else {
            return;
        };
        let at = slab.get_mut(slot).map(|value| *place(value) as usize);
        let Some(at) = at.filter(|&at| held.get().get(at) == Some(&slot)) else {
            return;
        };
        held.get_mut().swap_remove(at);
        if held.get().is_empty() {
            held.remove();
        } else if let Some(moved) = held.get().get(at).and_then(|&moved| slab.get_mut(moved)) {
            *place(moved) = at as u32;
        }
    }

    /// Takes a tick out; returns what it held.
    pub(crate) fn take(&mut self, tick: u64) -> Vec<Slot> {
        self.ticks.remove(&tick).unwrap_or_default()
    }

    /// Returns the first tick that holds anything.
    pub(crate) fn first_tick(&self) -> Option<u64> {
        self.ticks.first_key_value().map(|(&tick, _)| tick)
    }

    /// Returns a slot of the first tick that holds any.
    pub(crate) fn first(&self) -> Option<Slot> {
        self.ticks.first_key_value()?.1.last().copied()
    }

    /// Returns what the ticks hold at or before `tick`, the latest tick first.
    pub(crate) fn until(&self, tick: u64) -> impl Iterator<Item = &[Slot]> {
        self.ticks.range(..=tick).rev().map(|(_, held)| &**held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(calendar: &mut Calendar, slab: &mut Slab<u32>, tick: u64) -> Slot {
        let slot = slab.insert(u32::MAX);
        calendar.insert(slab, tick, slot, |place| place);
        slot
    }

    #[test]
    fn slots_leave_from_the_beginning_the_middle_and_the_end() {
        for leaving in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
            let (mut slab, mut calendar) = (Slab::default(), Calendar::default());
            let mut left: Vec<_> = (0..3).map(|_| enter(&mut calendar, &mut slab, 7)).collect();
            for slot in leaving {
                let mut held: Vec<_> = calendar.until(7).flatten().copied().collect();
                held.sort_unstable();
                assert_eq!(held, left);
                calendar.remove(&mut slab, 7, slot, |place| place);
                left.retain(|&other| other != slot);
            }
            assert_eq!(calendar.first_tick(), None);
        }
    }

    #[test]
    fn ticks_are_given_in_order() {
        let (mut slab, mut calendar) = (Slab::default(), Calendar::default());
        let slots = [30, 10, 20].map(|tick| enter(&mut calendar, &mut slab, tick));
        assert_eq!(calendar.first_tick(), Some(10));
        assert_eq!(calendar.first(), Some(slots[1]));
        let until: Vec<_> = calendar.until(25).collect();
        assert_eq!(until, [[slots[2]], [slots[1]]]);
    }

    #[test]
    fn who_leaves_after_the_tick_was_taken_disturbs_nobody() {
        let (mut slab, mut calendar) = (Slab::default(), Calendar::default());
        let taken = enter(&mut calendar, &mut slab, 7);
        assert_eq!(calendar.take(7), [taken]);
        let other = enter(&mut calendar, &mut slab, 7);
        calendar.remove(&mut slab, 7, taken, |place| place);
        assert_eq!(calendar.take(7), [other]);
    }
}
