//! Where a connection stands in the indexes and calendars, and when it settles.

use syntrace_model::{BootNanos, Opening, TraceId};

use super::{Entry, Sockets, ended::End, ends::Ends};
use crate::{fact::TagState, join::DISORDER_NS, placing::SAMPLE_NS, slab::Slot};

/// Connections that began within 2^26 ns (67 ms) of each other share a tick.
pub(super) const AGE_SHIFT: u32 = 26;

/// Connections that settle within 2^22 ns (4 ms) of each other share a tick, and settle at its end.
pub(crate) const DUE_SHIFT: u32 = 22;

/// Where an entry stands in the indexes; compared before and after a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    age: Option<u64>,
    due: Option<u64>,
    ends: Option<(Ends, Opening)>,
    end: Option<End>,
    /// The kernel's id, the tag, and the trace of the first request where only the proxy saw it.
    names: [Option<TraceId>; 3],
}

impl Sockets {
    /// Returns the first tick at whose end a connection settles.
    pub(crate) fn first_due(&self) -> Option<u64> {
        self.by_due.first_tick()
    }

    /// Takes the connections out of the calendar that settle at the end of a tick, in order.
    pub(crate) fn take_due(&mut self, tick: u64) -> Vec<Slot> {
        let mut due = self.by_due.take(tick);
        due.sort_by_cached_key(|&slot| {
            let connection = self.at(slot)?;
            Some((self.due(connection.entry), connection.id()))
        });
        due
    }

    /// Returns the connection that is to go first when there are too many: one of those that would
    /// settle next, or else of the oldest.
    pub(crate) fn first_to_go(&self) -> Option<Slot> {
        self.by_due.first().or_else(|| self.by_age.first())
    }

    /// Returns when a connection settles: its requests settle first.
    ///
    /// What came in on a connection ends with it; what was sent on one may end later, when the client has
    /// read the answer or the last retry has failed.
    pub(super) fn due(&self, entry: &Entry) -> Option<BootNanos> {
        let ended_at = entry.ended_at()?;
        let Some(kernel) = &entry.kernel else {
            return Some(ended_at);
        };
        let linger_ns = match kernel.opening {
            Opening::Passive => 2 * DISORDER_NS + SAMPLE_NS,
            Opening::Active => self.limits.linger_ns,
        };
        Some(ended_at.plus_ns(self.limits.grace_ns).plus_ns(linger_ns))
    }

    pub(super) fn standing(&self, slot: Slot) -> Standing {
        let Some(entry) = self.entries.get(slot) else {
            return Standing::default();
        };
        let due = self.due(entry).map(tick_after);
        let age = entry.began_at().0 >> AGE_SHIFT;
        match (&entry.kernel, &entry.assigned) {
            (Some(kernel), _) => {
                let tag = kernel.tag();
                let tag = tag.filter(|tag| tag.state != TagState::Disbelieved);
                Standing {
                    age: Some(age),
                    due,
                    ends: kernel.has_ports().then_some((kernel.ends, kernel.opening)),
                    end: End::of(kernel, || self.at(slot)?.socket()),
                    names: [Some(kernel.minted), tag.map(|tag| tag.id), None],
                }
            }
            (None, Some(assigned)) => {
                let first = assigned.requests.front();
                Standing {
                    age: Some(age),
                    due,
                    ends: None,
                    end: None,
                    names: [None, None, first.map(|request| request.trace_id)],
                }
            }
            (None, None) => Standing::default(),
        }
    }

    /// Moves an entry in the indexes to where it stands after a change.
    pub(super) fn stand(&mut self, slot: Slot, before: Standing) {
        let after = self.standing(slot);
        if after != before {
            self.move_to(slot, before, after);
        }
    }

    pub(super) fn move_to(&mut self, slot: Slot, before: Standing, after: Standing) {
        if after.age != before.age {
            if let Some(age) = before.age {
                self.by_age
                    .remove(&mut self.entries, age, slot, |entry| &mut entry.age);
            }
            if let Some(age) = after.age {
                self.by_age
                    .insert(&mut self.entries, (age, ()), slot, |entry| &mut entry.age);
            }
        }
        if after.due != before.due {
            if let Some(due) = before.due {
                self.by_due
                    .remove(&mut self.entries, due, slot, |entry| &mut entry.due);
            }
            if let Some(due) = after.due {
                self.by_due
                    .insert(&mut self.entries, (due, ()), slot, |entry| &mut entry.due);
            }
        }
        if after.ends != before.ends {
            let hash = |(ends, opening): (Ends, _)| ends.found_by(&self.by_ends, opening);
            let (before, after) = (before.ends.map(hash), after.ends.map(hash));
            if let Some(before) = before {
                self.by_ends.remove(before, slot);
            }
            if let Some(after) = after {
                self.by_ends.insert(after, slot);
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
