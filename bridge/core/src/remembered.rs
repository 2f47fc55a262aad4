//! The connections settled last, to tell a late fact from a new connection.

use std::collections::VecDeque;

use syntrace_model::ConnectionId;

use crate::index::Index;

/// The connections settled last.
#[derive(Debug)]
pub(crate) struct Remembered {
    /// Each by its number among all that were ever remembered, cut to 32 bits.
    index: Index,
    ids: VecDeque<ConnectionId>,
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
        let mut places = self.index.slots(self.index.hash(id));
        places.any(|number| {
            let place = number.wrapping_sub(self.forgotten as u32);
            self.ids.get(place as usize) == Some(&id)
        })
    }

    /// Remembers a connection, at most `most` of them.
    pub(crate) fn add(&mut self, id: ConnectionId, most: usize) {
        if self.contains(id) {
            return;
        }
        let number = self.forgotten.wrapping_add(self.ids.len() as u64) as u32;
        self.index.insert(self.index.hash(id), number);
        self.ids.push_back(id);
        while self.ids.len() > most
            && let Some(oldest) = self.ids.pop_front()
        {
            let number = self.forgotten as u32;
            self.index.remove(self.index.hash(oldest), number);
            self.forgotten += 1;
        }
    }

    /// Returns all, in the order in which they are forgotten.
    pub(crate) fn all(&self) -> impl Iterator<Item = ConnectionId> {
        self.ids.iter().copied()
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
}
