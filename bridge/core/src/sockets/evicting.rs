//! Which connection goes first when there are too many.
//!
//! Connections are of a few kinds, by what requests may still need of them. The kind of which there are the most
//! loses its oldest: so a flood of any kind pushes out itself, and another kind keeps at least the share that it
//! would have if all were alike. Old is what was longest not needed:
//!
//! | kind | is as old as |
//! |---|---|
//! | ended, accepted or dialled: each lingers for its own time | its end |
//! | seen by the proxy only | the end of its last request |
//! | open, without a request that settled | its begin |
//! | open, with some | the end of the one that began last |
//!
//! Of open ones without a request that began within a tick ([`AGE_SHIFT`](super::indexing::AGE_SHIFT)), the one that
//! was told first goes first, until one of that tick leaves.

use std::cmp::Reverse;

use super::{Entry, Sockets};
use crate::{
    calendar::{Calendar, Position},
    slab::Slot,
};

/// How many open connections with requests are compared to find one to give up: enough that it is, but for one
/// time in a million, among the older half of them.
const COMPARED: usize = 20;

/// How far the connections were searched, by age, for those to give up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Searched {
    /// All open ones before it have requests, but for a few of the same tick.
    pub(super) unused: Position,
    /// Where the next comparison begins.
    used: Position,
}

impl Sockets {
    /// Returns the connection that is to go first when there are too many.
    pub(crate) fn first_to_go(&mut self) -> Option<Slot> {
        let waiting = self.by_due.iter().max_by_key(|due| due.len())?;
        let ended: usize = self.by_due.iter().map(Calendar::len).sum();
        let open = self.len().saturating_sub(ended);
        let unused = open.saturating_sub(self.used);
        if waiting.len() >= unused.max(self.used) {
            waiting.first()
        } else if unused >= self.used {
            self.oldest_unused()
        } else {
            self.longest_not_used()
        }
    }

    /// Returns the open connection without requests that began first.
    fn oldest_unused(&mut self) -> Option<Slot> {
        let (at, slot) = self.next_open(self.searched.unused, Entry::is_unused)?;
        self.searched.unused = at;
        Some(slot)
    }

    /// Returns, of some open connections with requests, the one whose last request is longest ago. Each time
    /// others are compared, until all were.
    fn longest_not_used(&mut self) -> Option<Slot> {
        let mut longest = None;
        for _ in 0..COMPARED {
            let (at, slot) = self.next_open(self.searched.used, Entry::is_used)?;
            self.searched.used = (at.0, at.1 + 1);
            let last = self.entries.get(slot)?.last_request()?;
            let ended_at = last.started_at.plus_ns(last.duration_ns);
            longest = longest.max(Some((Reverse(ended_at), slot)));
        }
        longest.map(|(_, slot)| slot)
    }

    /// Returns the next connection of a kind, by age, and after the youngest the oldest.
    fn next_open(&self, from: Position, is: impl Fn(&Entry) -> bool) -> Option<(Position, Slot)> {
        let all = self.by_age.from(from).chain(self.by_age.from((0, 0)));
        all.into_iter()
            .find(|&(_, slot)| self.entries.get(slot).is_some_and(&is))
    }
}
