//! The connections settled last, to tell a late fact from a new connection.

use std::collections::{BTreeSet, VecDeque};

use syntrace_model::ConnectionId;

/// The connections settled last.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    ids: BTreeSet<ConnectionId>,
    order: VecDeque<ConnectionId>,
}

impl Remembered {
    /// Returns whether a connection was settled lately.
    pub(crate) fn contains(&self, id: ConnectionId) -> bool {
        self.ids.contains(&id)
    }

    /// Remembers a connection, at most `most` of them.
    pub(crate) fn add(&mut self, id: ConnectionId, most: usize) {
        if self.ids.insert(id) {
            self.order.push_back(id);
        }
        while self.order.len() > most {
            if let Some(oldest) = self.order.pop_front() {
                self.ids.remove(&oldest);
            }
        }
    }
}
