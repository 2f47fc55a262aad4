//! The connections settled last, to tell a late fact from a new connection, and how many came late.

use std::collections::VecDeque;

use syntrace_model::ConnectionId;

use crate::index::Index;

/// The connections settled last.
#[derive(Debug)]
pub(crate) struct Remembered {
    /// Each by its number among all that were ever remembered, cut to 32 bits.
    index: Index,
    /// Each with the facts about it that came later.
    ids: VecDeque<(ConnectionId, u64)>,
    forgotten: u64,
}

// === impl Remembered ===

impl Remembered {
    pub(crate) const fn new(seed: u64) -> Self {
        Self {
            index: Index::new(seed),
            ids: VecDeque::new(),
            forgotten: 0,
        }
    }

    /// Returns whether a connection was settled lately.
    pub(crate) fn contains(&self, id: ConnectionId) -> bool {
        self.place(id).is_some()
    }

    /// Returns how many facts about a connection came after it was settled.
    pub(crate) fn late(&self, id: ConnectionId) -> u64 {
        let known = self.place(id).and_then(|place| self.ids.get(place));
        known.map_or(0, |&(_, late)| late)
    }

    /// Counts a fact about a connection that came after it was settled; returns whether it was.
    pub(crate) fn count_late(&mut self, id: ConnectionId) -> bool {
        let known = self.place(id).and_then(|place| self.ids.get_mut(place));
        known.map(|(_, late)| *late += 1).is_some()
    }

    /// Remembers a connection, at most `most` of them.
    pub(crate) fn add(&mut self, id: ConnectionId, most: usize) {
        self.restore((id, 0), most);
    }

    /// Takes back what was known of a connection before.
    pub(crate) fn restore(&mut self, (id, late): (ConnectionId, u64), most: usize) {
        if self.contains(id) {
            return;
        }
        let number = self.forgotten.wrapping_add(self.ids.len() as u64) as u32;
        self.index.insert(self.index.hash(id), number);
        self.ids.push_back((id, late));
        while self.ids.len() > most
            && let Some((oldest, _)) = self.ids.pop_front()
        {
            let number = self.forgotten as u32;
            self.index.remove(self.index.hash(oldest), number);
            self.forgotten += 1;
        }
    }

    /// Returns all, in the order in which they are forgotten, and how many facts about each came late.
    pub(crate) fn all(&self) -> impl Iterator<Item = (ConnectionId, u64)> {
        self.ids.iter().copied()
    }

    fn place(&self, id: ConnectionId) -> Option<usize> {
        let mut places = self.index.slots(self.index.hash(id)).map(|number| {
            // The difference of what was cut is the place.
            number.wrapping_sub(self.forgotten as u32) as usize
        });
        places.find(|&place| self.ids.get(place).is_some_and(|&(known, _)| known == id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(connection: u64) -> ConnectionId {
        ConnectionId::Proxy {
            epoch: 1,
            connection,
        }
    }

    #[test]
    fn the_last_are_remembered_and_each_once() {
        let mut remembered = Remembered::new(7);
        for n in 0..1_000 {
            remembered.add(id(n), 10);
            remembered.add(id(n), 10);
            assert!(remembered.contains(id(n)));
            assert!(n < 10 || !remembered.contains(id(n - 10)));
        }
        assert_eq!(remembered.all().count(), 10);
        assert!(remembered.contains(id(990)) && !remembered.contains(id(989)));
    }

    #[test]
    fn facts_that_come_late_are_counted_as_long_as_their_connection_is_remembered() {
        let mut remembered = Remembered::new(7);
        for n in 0..5 {
            remembered.add(id(n), 3);
        }
        assert!(!remembered.count_late(id(1)) && !remembered.count_late(id(5)));
        assert!(remembered.count_late(id(3)) && remembered.count_late(id(3)));
        let late = [1, 2, 3, 4, 5].map(|n| remembered.late(id(n)));
        assert_eq!(late, [0, 0, 2, 0, 0]);
    }
}
