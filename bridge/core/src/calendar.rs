//! Slots by time, in ticks.
//!
//! Inserting and removing take the same time however many there are: a tick is found by its hash, and a value
//! keeps its position within its tick. Only a tick that is new, or has become empty, touches the ordered set of
//! ticks. Slots within a tick are in no order until it is taken; then they come in the order of their keys.

use std::collections::BTreeSet;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, hash_map::Entry};

use crate::slab::{Slab, Slot};

/// A tick of at most so many slots leaves its memory to the next new one when it is taken.
const SPARE_MAX: usize = 1024;

/// A tick, and a position within it.
pub(crate) type Position = (u64, usize);

/// Slots by tick, each with the key that orders it within its tick.
#[derive(Debug)]
pub(crate) struct Calendar<K = ()> {
    /// No tick is empty.
    ticks: HashMap<u64, Vec<(K, Slot)>, FixedState>,
    /// The same ticks, in order.
    order: BTreeSet<u64>,
    /// The memory of the tick that was taken last.
    spare: Vec<(K, Slot)>,
    len: usize,
}

// === impl Calendar ===

impl<K> Calendar<K> {
    /// Returns an empty calendar. Results do not depend on `seed`.
    pub(crate) const fn new(seed: u64) -> Self {
        Self {
            ticks: HashMap::with_hasher(FixedState::with_seed(seed)),
            order: BTreeSet::new(),
            spare: Vec::new(),
            len: 0,
        }
    }

    /// Returns how many slots there are.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Returns the first tick that holds anything.
    pub(crate) fn first_tick(&self) -> Option<u64> {
        self.order.first().copied()
    }

    /// Returns a slot of the first tick that holds any.
    pub(crate) fn first(&self) -> Option<Slot> {
        self.last_of(self.first_tick()?)
    }

    /// Returns the slot that moves to the position of whichever leaves the tick next.
    pub(crate) fn last_of(&self, tick: u64) -> Option<Slot> {
        self.ticks.get(&tick)?.last().map(|&(_, slot)| slot)
    }

    /// Returns the slots at or behind a position, by tick, each with its own position.
    pub(crate) fn from(&self, from: Position) -> impl Iterator<Item = (Position, Slot)> {
        let ticks = self.order.range(from.0..);
        ticks.flat_map(move |&tick| {
            let before = if tick == from.0 { from.1 } else { 0 };
            let held = self.ticks.get(&tick).into_iter().flatten();
            let held = held.enumerate().skip(before);
            held.map(move |(at, &(_, slot))| ((tick, at), slot))
        })
    }

    /// Returns the slots of the ticks at or before `tick`, the latest tick first.
    pub(crate) fn until(&self, tick: u64) -> impl Iterator<Item = impl Iterator<Item = Slot>> {
        let ticks = self.order.range(..=tick).rev();
        let held = ticks.filter_map(|tick| self.ticks.get(tick));
        held.map(|held| held.iter().map(|&(_, slot)| slot))
    }
}

impl<K: Ord> Calendar<K> {
    /// Inserts a slot; `place` is where its value keeps its position within the tick.
    pub(crate) fn insert<T>(
        &mut self,
        slab: &mut Slab<T>,
        (tick, key): (u64, K),
        slot: Slot,
        place: impl Fn(&mut T) -> &mut u32,
    ) {
        let held = self.ticks.entry(tick).or_insert_with(|| {
            self.order.insert(tick);
            std::mem::take(&mut self.spare)
        });
        if let Some(value) = slab.get_mut(slot) {
            *place(value) = held.len() as u32;
        }
        held.push((key, slot));
        self.len += 1;
    }

    /// Removes a slot that was inserted at `tick`, unless the tick was taken as a whole.
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
        let is_there = |&at: &usize| held.get().get(at).is_some_and(|&(_, there)| there == slot);
        let Some(at) = at.filter(is_there) else {
            return;
        };
        held.get_mut().swap_remove(at);
        self.len -= 1;
        if held.get().is_empty() {
            held.remove();
            self.order.remove(&tick);
        } else if let Some(&(_, moved)) = held.get().get(at)
            && let Some(moved) = slab.get_mut(moved)
        {
            *place(moved) = at as u32;
        }
    }

    /// Removes a tick; returns its slots, in order.
    pub(crate) fn take(&mut self, tick: u64) -> Vec<Slot> {
        self.order.remove(&tick);
        let Some(mut held) = self.ticks.remove(&tick) else {
            return Vec::new();
        };
        self.len -= held.len();
        held.sort_unstable();
        let slots = held.iter().map(|&(_, slot)| slot).collect();
        if held.capacity() <= SPARE_MAX {
            held.clear();
            self.spare = held;
        }
        slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(calendar: &mut Calendar, slab: &mut Slab<u32>, tick: u64) -> Slot {
        let slot = slab.insert(u32::MAX);
        calendar.insert(slab, (tick, ()), slot, |place| place);
        slot
    }

    #[test]
    fn slots_leave_from_the_beginning_the_middle_and_the_end() {
        for leaving in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
            let (mut slab, mut calendar) = (Slab::default(), Calendar::new(7));
            let mut left: Vec<_> = (0..3).map(|_| enter(&mut calendar, &mut slab, 7)).collect();
            for slot in leaving {
                let mut held: Vec<_> = calendar.until(7).flatten().collect();
                held.sort_unstable();
                assert_eq!(held, left);
                calendar.remove(&mut slab, 7, slot, |place| place);
                left.retain(|&other| other != slot);
            }
            assert_eq!((calendar.first_tick(), calendar.len()), (None, 0));
        }
    }

    #[test]
    fn ticks_are_given_in_order() {
        let (mut slab, mut calendar) = (Slab::default(), Calendar::new(7));
        let slots = [30, 10, 20].map(|tick| enter(&mut calendar, &mut slab, tick));
        assert_eq!(calendar.first_tick(), Some(10));
        assert_eq!(calendar.first(), Some(slots[1]));
        let until: Vec<_> = calendar.until(25).flatten().collect();
        assert_eq!(until, [slots[2], slots[1]]);
    }

    #[test]
    fn slots_are_given_from_a_position_on() {
        let (mut slab, mut calendar) = (Slab::default(), Calendar::new(7));
        let slots = [10, 20, 20, 30].map(|tick| enter(&mut calendar, &mut slab, tick));
        assert_eq!(calendar.len(), slots.len());
        let places = [(10, 0), (20, 0), (20, 1), (30, 0)];
        let all: Vec<_> = places.into_iter().zip(slots).collect();
        let froms = [(0, 5), (15, 1), (20, 1), (20, 2), (30, 1)];
        for (from, skipped) in froms.into_iter().zip([0, 1, 2, 3, 4]) {
            assert!(
                calendar.from(from).eq(all[skipped..].iter().copied()),
                "{from:?}"
            );
        }
    }

    #[test]
    fn a_tick_is_taken_in_the_order_of_its_keys() {
        let (mut slab, mut calendar) = (Slab::default(), Calendar::new(7));
        let slots = [30, 10, 20].map(|key| {
            let slot = slab.insert(u32::MAX);
            calendar.insert(&mut slab, (7, key), slot, |place| place);
            slot
        });
        assert_eq!(calendar.take(7), [slots[1], slots[2], slots[0]]);
        assert_eq!((calendar.first_tick(), calendar.len()), (None, 0));
    }

    #[test]
    fn who_leaves_after_the_tick_was_taken_disturbs_nobody() {
        let (mut slab, mut calendar) = (Slab::default(), Calendar::new(7));
        let taken = [0; 2].map(|_| enter(&mut calendar, &mut slab, 7));
        assert_eq!(calendar.take(7), taken);
        // Fewer than before: the place of the second one is beyond the end.
        let other = enter(&mut calendar, &mut slab, 7);
        for slot in taken {
            calendar.remove(&mut slab, 7, slot, |place| place);
        }
        assert_eq!(calendar.take(7), [other]);
    }

    #[test]
    fn the_memory_of_a_long_tick_is_given_back() {
        let (mut slab, mut calendar) = (Slab::default(), Calendar::new(7));
        let kept_after = |n: usize, calendar: &mut Calendar, slab: &mut Slab<u32>| {
            (0..n).for_each(|_| _ = enter(calendar, slab, 7));
            assert_eq!(calendar.take(7).len(), n);
            calendar.spare.capacity()
        };
        let kept = kept_after(SPARE_MAX, &mut calendar, &mut slab);
        assert!((1..=SPARE_MAX).contains(&kept));
        assert_eq!(kept_after(2 * SPARE_MAX, &mut calendar, &mut slab), 0);
    }
}
