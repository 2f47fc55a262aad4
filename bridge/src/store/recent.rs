//! The settled records that are in memory: those that are not stored yet, and those that the export is
//! about to take.
//!
//! Bounded by count: beyond, the record that settled first goes first.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    ops::Bound,
    sync::Arc,
};

use syntrace_core::record::{ConnectionRecord, RequestRecord};
use syntrace_model::UnixNanos;

use super::{Kept, Name, Record, Settled};

/// Settled records, without a gap between their numbers.
#[derive(Debug, Default)]
pub struct Recent {
    /// Number of the first in `order`.
    first: u64,
    order: VecDeque<Kept>,
    /// The requests among them.
    pub requests: Table<RequestRecord>,
    /// The connections among them.
    pub connections: Table<ConnectionRecord>,
}

/// Settled records of one kind.
#[derive(Debug)]
pub struct Table<R: Record> {
    records: HashMap<R::Id, (u64, Arc<R>)>,
    by_place: BTreeSet<(UnixNanos, R::Id)>,
    by_name: HashMap<Name, BTreeSet<R::Id>>,
}

// === impl Recent ===

impl Recent {
    /// Returns an empty collection whose first record will be that after `number`.
    #[must_use]
    pub fn after(number: u64) -> Self {
        Self {
            first: number + 1,
            ..Self::default()
        }
    }

    /// Keeps a record: the next one by its number; one that was there before is left out.
    pub fn push(&mut self, settled: Settled) {
        if settled.number < self.next() {
            return;
        }
        match &settled.record {
            Kept::Request(record) => self.requests.insert(settled.number, record),
            Kept::Connection(record) => self.connections.insert(settled.number, record),
        }
        self.order.push_back(settled.record);
    }

    /// Gives up the record with the lowest number.
    pub fn pop(&mut self) {
        let number = self.first;
        match self.order.pop_front() {
            Some(Kept::Request(record)) => self.requests.remove(number, &record),
            Some(Kept::Connection(record)) => self.connections.remove(number, &record),
            None => return,
        }
        self.first += 1;
    }

    /// Returns the lowest number that is here, or will be.
    #[must_use]
    pub const fn first(&self) -> u64 {
        self.first
    }

    /// Returns the number of the record that settles next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.first + self.order.len() as u64
    }

    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Returns at most `limit` records that settled after the one with this number; `None` if some of
    /// them are here no more.
    #[must_use]
    pub fn settled_after(&self, number: u64, limit: usize) -> Option<Vec<Settled>> {
        let skipped = (number + 1).checked_sub(self.first)?;
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        let found = self.order.iter().skip(skipped).take(limit);
        let numbered = (number + 1..).zip(found.cloned());
        Some(
            numbered
                .map(|(number, record)| Settled { number, record })
                .collect(),
        )
    }
}

// === impl Table ===

impl<R: Record> Default for Table<R> {
    fn default() -> Self {
        Self {
            records: HashMap::new(),
            by_place: BTreeSet::new(),
            by_name: HashMap::new(),
        }
    }
}

impl<R: Record> Table<R> {
    /// Keeps a record, in place of the one with the same id if there is one.
    fn insert(&mut self, number: u64, record: &Arc<R>) {
        let id = record.id();
        if let Some((_, known)) = self.records.insert(id, (number, Arc::clone(record))) {
            self.unname(&known);
        }
        self.by_place.insert(record.place());
        for name in record.names() {
            self.by_name.entry(name).or_default().insert(id);
        }
    }

    /// Removes a record, unless another has taken its place.
    fn remove(&mut self, number: u64, record: &R) {
        let id = record.id();
        if self
            .records
            .get(&id)
            .is_some_and(|(known, _)| *known == number)
        {
            self.records.remove(&id);
            self.unname(record);
        }
    }

    fn unname(&mut self, record: &R) {
        self.by_place.remove(&record.place());
        for name in record.names() {
            if let Some(ids) = self.by_name.get_mut(&name) {
                ids.remove(&record.id());
                if ids.is_empty() {
                    self.by_name.remove(&name);
                }
            }
        }
    }

    /// Returns a record by its id.
    #[must_use]
    pub fn get(&self, id: R::Id) -> Option<&Arc<R>> {
        self.records.get(&id).map(|(_, record)| record)
    }

    /// Returns the records with a name, in the order of their ids.
    pub fn named(&self, name: &Name) -> impl Iterator<Item = &Arc<R>> {
        let ids = self.by_name.get(name).into_iter().flatten();
        ids.filter_map(|&id| self.get(id))
    }

    /// Returns the records below `place`, or all without one, the newest first.
    pub fn newest(&self, below: Option<(UnixNanos, R::Id)>) -> impl Iterator<Item = &Arc<R>> {
        let end = below.map_or(Bound::Unbounded, Bound::Excluded);
        let places = self.by_place.range((Bound::Unbounded, end)).rev();
        places.filter_map(|&(_, id)| self.get(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Began at the first number, is named by the second.
    #[derive(Debug, PartialEq)]
    struct Fake(u64, u64);

    impl Record for Fake {
        type Id = u64;

        fn id(&self) -> u64 {
            self.1
        }

        fn began_at(&self) -> UnixNanos {
            UnixNanos(self.0)
        }

        fn names(&self) -> Vec<Name> {
            vec![name(self.1 % 2)]
        }
    }

    #[test]
    fn records_are_found_by_id_and_name_and_listed_the_newest_first() {
        let table = table(&[(30, 1), (10, 2), (20, 3)]);
        assert_eq!(**table.get(2).unwrap(), Fake(10, 2));
        assert_eq!(ids(table.named(&name(1))), [1, 3]);
        assert_eq!(ids(table.newest(None)), [1, 3, 2]);
        assert_eq!(ids(table.newest(Some((UnixNanos(20), 3)))), [2]);
    }

    #[test]
    fn a_record_goes_with_all_its_names() {
        let mut table = table(&[(30, 1), (10, 3), (20, 2)]);
        table.remove(0, &Fake(30, 1));
        assert!(table.get(1).is_none());
        assert_eq!(ids(table.named(&name(1))), [3]);
        assert_eq!(ids(table.newest(None)), [2, 3]);
    }

    #[test]
    fn a_record_that_comes_again_replaces_itself_and_outlives_its_predecessor() {
        let mut table = table(&[(30, 1), (10, 1), (20, 2)]);
        assert_eq!(ids(table.newest(None)), [2, 1]);
        table.remove(0, &Fake(30, 1));
        assert_eq!(**table.get(1).unwrap(), Fake(10, 1));
    }

    fn table(records: &[(u64, u64)]) -> Table<Fake> {
        let mut table = Table::default();
        for (number, &(began_at, id)) in (0..).zip(records) {
            table.insert(number, &Arc::new(Fake(began_at, id)));
        }
        table
    }

    fn ids<'a>(records: impl Iterator<Item = &'a Arc<Fake>>) -> Vec<u64> {
        records.map(|record| record.1).collect()
    }

    fn name(n: u64) -> Name {
        Name::RequestId(n.to_string().into())
    }
}
