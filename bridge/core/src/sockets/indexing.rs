//! Under which keys a connection is held in the indexes and calendars, and when it settles.

use syntrace_model::{BootNanos, Opening, TraceId};

use super::{Entry, Sockets, ended::End, tuple::Tuple};
use crate::{
    calendar::Calendar,
    due::{SAMPLE_NS, settles_at},
    fact::TagState,
    join::DISORDER_NS,
    slab::Slot,
};

/// Connections that began within 2^26 ns (67 ms) of each other share a tick.
pub(super) const AGE_SHIFT: u32 = 26;

/// Connections that settle within 2^22 ns (4 ms) of each other share a tick, and settle at its end.
pub(crate) const DUE_SHIFT: u32 = 22;

/// What ended: each kind lingers for a time of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Socket(Opening),
    /// Only the proxy saw it.
    Idle,
}

/// The keys of an entry in the indexes and calendars; compared before and after a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct IndexKeys {
    age: Option<u64>,
    due: Option<(Ending, u64)>,
    /// It is open, and has requests.
    used: bool,
    tuple: Option<(Tuple, Opening)>,
    end: Option<End>,
    /// The kernel's id, the tag, and the trace of the first request where only the proxy saw it.
    names: [Option<TraceId>; 3],
}

impl Ending {
    const fn of(self, by_due: &mut [Calendar; 3]) -> &mut Calendar {
        let [accepted, dialled, idle] = by_due;
        match self {
            Self::Socket(Opening::Passive) => accepted,
            Self::Socket(Opening::Active) => dialled,
            Self::Idle => idle,
        }
    }
}

impl Sockets {
    /// Returns the first tick at whose end a connection settles.
    pub(crate) fn first_due(&self) -> Option<u64> {
        self.by_due.iter().filter_map(Calendar::first_tick).min()
    }

    /// Takes the connections out of the calendar that settle at the end of a tick, in order.
    pub(crate) fn take_due(&mut self, tick: u64) -> Vec<Slot> {
        let mut due = Vec::new();
        for ended in &mut self.by_due {
            due.append(&mut ended.take(tick));
        }
        due.sort_by_cached_key(|&slot| {
            let connection = self.at(slot)?;
            Some((self.due(connection.entry), connection.id()))
        });
        due
    }

    /// Returns when a connection settles: its requests settle first.
    ///
    /// What came in on a connection ends with it; what was sent on one may end later, when the client has
    /// read the answer or the last retry has failed. So may what came in last on one that only the proxy saw:
    /// its end is supposed.
    pub(super) fn due(&self, entry: &Entry) -> Option<BootNanos> {
        let ended_at = entry.ended_at()?;
        let Some(kernel) = &entry.kernel else {
            let settles_at = settles_at(ended_at, self.limits.grace_ns);
            return Some(settles_at.plus_ns(self.limits.linger_ns));
        };
        let linger_ns = match kernel.opening {
            Opening::Passive => 2 * DISORDER_NS + SAMPLE_NS,
            Opening::Active => self.limits.linger_ns,
        };
        Some(ended_at.plus_ns(self.limits.grace_ns).plus_ns(linger_ns))
    }

    /// Returns the keys of an entry as it is now.
    pub(super) fn index_keys(&self, slot: Slot) -> IndexKeys {
        let Some(entry) = self.entries.get(slot) else {
            return IndexKeys::default();
        };
        let due = self.due(entry).map(|due| {
            let kernel = entry.kernel.as_ref();
            let ending = kernel.map_or(Ending::Idle, |kernel| Ending::Socket(kernel.opening));
            (ending, tick_after(due))
        });
        let age = entry.began_at().0 >> AGE_SHIFT;
        match (&entry.kernel, &entry.assigned) {
            (Some(kernel), _) => {
                let tag = kernel.tag();
                let tag = tag.filter(|tag| tag.state != TagState::Disbelieved);
                IndexKeys {
                    age: Some(age),
                    due,
                    used: due.is_none() && entry.last_request().is_some(),
                    tuple: kernel.has_ports().then_some((kernel.tuple, kernel.opening)),
                    end: End::of(kernel, || self.at(slot)?.socket()),
                    names: [Some(kernel.minted), tag.map(|tag| tag.id), None],
                }
            }
            (None, Some(assigned)) => {
                let first = assigned.requests.front();
                IndexKeys {
                    age: Some(age),
                    due,
                    used: false,
                    tuple: None,
                    end: None,
                    names: [None, None, first.map(|request| request.trace_id)],
                }
            }
            (None, None) => IndexKeys::default(),
        }
    }

    /// Updates the indexes after a change of an entry that had these keys `before`.
    pub(super) fn reindex(&mut self, slot: Slot, before: IndexKeys) {
        let after = self.index_keys(slot);
        if after != before {
            self.move_keys(slot, before, after);
        }
    }

    /// Moves an entry from its keys `before` to those `after`.
    pub(super) fn move_keys(&mut self, slot: Slot, before: IndexKeys, after: IndexKeys) {
        if after.age != before.age {
            if let Some(age) = before.age {
                self.by_age
                    .remove(&mut self.entries, age, slot, |entry| &mut entry.age);
            }
            if let Some(age) = after.age {
                if age < self.searched.unused.0 {
                    self.searched.unused = (age, 0);
                }
                self.by_age
                    .insert(&mut self.entries, (age, ()), slot, |entry| &mut entry.age);
            }
        }
        if after.due != before.due {
            if let Some((ending, due)) = before.due {
                let ended = ending.of(&mut self.by_due);
                ended.remove(&mut self.entries, due, slot, |entry| &mut entry.due);
            }
            if let Some((ending, due)) = after.due {
                let ended = ending.of(&mut self.by_due);
                ended.insert(&mut self.entries, (due, ()), slot, |entry| &mut entry.due);
            }
        }
        self.used += usize::from(after.used);
        self.used -= usize::from(before.used);
        if after.tuple != before.tuple {
            let hash = |(tuple, opening): (Tuple, _)| tuple.found_by(&self.by_tuple, opening);
            let (before, after) = (before.tuple.map(hash), after.tuple.map(hash));
            if let Some(before) = before {
                self.by_tuple.remove(before, slot);
            }
            if let Some(after) = after {
                self.by_tuple.insert(after, slot);
            }
        }
        if after.end != before.end {
            if let Some(end) = before.end {
                self.ended.remove(end);
            }
            if let Some(end) = after.end {
                self.ended.insert(end);
            }
        }
        for (before, after) in before.names.into_iter().zip(after.names) {
            if before != after {
                if let Some(before) = before {
                    self.by_name.remove(self.by_name.hash(before), slot);
                }
                if let Some(after) = after {
                    self.by_name.insert(self.by_name.hash(after), slot);
                }
            }
        }
    }
}

/// Returns the tick at whose end a moment has passed.
pub(crate) const fn tick_after(at: BootNanos) -> u64 {
    at.0.saturating_add((1 << DUE_SHIFT) - 1) >> DUE_SHIFT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_passed_at_the_end_of_its_tick() {
        let ticks =
            [0, 1, 1 << DUE_SHIFT, (1 << DUE_SHIFT) + 1].map(|at| tick_after(BootNanos(at)));
        assert_eq!(ticks, [0, 1, 1, 2]);
    }
}
