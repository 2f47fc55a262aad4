//! The settled records that are in memory: those that are not stored yet, and those that the export is
//! about to take.
//!
//! Bounded by count: beyond, the record that settled first is removed first.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Bound,
    sync::Arc,
};

use syntrace_core::record::{ConnectionRecord, RequestRecord};
use syntrace_model::UnixNanos;

use super::{Kept, Name, Present, Seam, Settled, hole::GivenUp, names::Key, row::Row};

/// Settled records, without a gap between their numbers.
#[derive(Debug)]
pub(crate) struct Recent {
    /// Number of the first in `order`.
    first: u64,
    order: VecDeque<Kept>,
    /// What went although it may not be stored.
    given_up: Option<GivenUp>,
    /// The requests among them.
    pub(crate) requests: Table<RequestRecord>,
    /// The connections among them.
    pub(crate) connections: Table<ConnectionRecord>,
}

/// Settled records of one kind.
#[derive(Debug)]
pub(crate) struct Table<R: Row> {
    /// By number.
    records: BTreeMap<u64, Arc<R>>,
    by_place: BTreeMap<(UnixNanos, R::Id), u64>,
    /// Their names, each with the number of a record that has it.
    names: BTreeSet<(Key, u64)>,
    /// Their ids, for who does not wait.
    present: Arc<Present>,
}

// === impl Recent ===

impl Recent {
    /// Returns an empty collection whose first record will be that after `number`; `present` will say what is in it.
    pub(crate) fn after(number: u64, present: &Arc<Present>) -> Self {
        Self {
            first: number + 1,
            order: VecDeque::new(),
            given_up: None,
            requests: Table::new(present),
            connections: Table::new(present),
        }
    }

    /// Keeps a record: the next one by its number; one that was there before is left out.
    pub(crate) fn push(&mut self, settled: Settled) {
        if settled.number < self.next() {
            return;
        }
        match &settled.record {
            Kept::Request(record) => self.requests.insert(settled.number, record),
            Kept::Connection(record) => self.connections.insert(settled.number, record),
        }
        self.order.push_back(settled.record);
    }

    /// Removes the record with the lowest number, which is stored, and returns it.
    pub(crate) fn pop(&mut self) -> Option<Kept> {
        let number = self.first;
        let record = self.order.pop_front()?;
        match record {
            Kept::Request(_) => self.requests.remove(number),
            Kept::Connection(_) => self.connections.remove(number),
        }
        self.first += 1;
        Some(record)
    }

    /// Removes the record with the lowest number, stored or not, and returns it.
    pub(crate) fn give_up(&mut self) -> Option<Kept> {
        let number = self.first;
        let record = self.pop()?;
        self.given_up = Some(GivenUp::after(self.given_up, number, record.began_at()));
        Some(record)
    }

    /// Returns where memory begins.
    pub(crate) const fn seam(&self) -> Seam {
        Seam {
            first: self.first,
            given_up: self.given_up,
        }
    }

    /// Returns the lowest number that is here, or will be.
    pub(crate) const fn first(&self) -> u64 {
        self.first
    }

    /// Returns the number of the record that settles next.
    pub(crate) fn next(&self) -> u64 {
        self.first + self.order.len() as u64
    }

    /// Returns how many there are.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// Returns at most `limit` records that settled after the one with this number; `None` if some of
    /// them are here no more.
    pub(crate) fn settled_after(&self, number: u64, limit: usize) -> Option<Vec<Settled>> {
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

impl<R: Row> Table<R> {
    fn new(present: &Arc<Present>) -> Self {
        Self {
            records: BTreeMap::new(),
            by_place: BTreeMap::new(),
            names: BTreeSet::new(),
            present: Arc::clone(present),
        }
    }

    /// Keeps a record, in place of the one with the same id if there is one.
    fn insert(&mut self, number: u64, record: &Arc<R>) {
        let id = Key::of_id::<R>(&record.id());
        if let Some(known) = self.number_of(id, record.id()) {
            self.remove(known);
        }
        self.present.add(id);
        self.records.insert(number, Arc::clone(record));
        self.by_place.insert(record.place(), number);
        let names = Key::all_of(&**record);
        self.names.extend(names.map(|key| (key, number)));
    }

    /// Removes a record, if no other has taken its place.
    fn remove(&mut self, number: u64) {
        if let Some(record) = self.records.remove(&number) {
            self.by_place.remove(&record.place());
            for key in Key::all_of(&*record) {
                self.names.remove(&(key, number));
            }
            self.present.remove(Key::of_id::<R>(&record.id()));
        }
    }

    /// Returns a record by its id.
    pub(crate) fn get(&self, id: R::Id) -> Option<&Arc<R>> {
        let number = self.number_of(Key::of_id::<R>(&id), id)?;
        self.records.get(&number)
    }

    /// Returns the records with a name, in the order in which they settled, and others whose name has
    /// the same key.
    pub(crate) fn named(&self, name: &Name) -> impl Iterator<Item = &Arc<R>> {
        let numbers = self.numbers(Key::of_name::<R>(name));
        numbers.filter_map(|number| self.records.get(&number))
    }

    /// Returns the records below `place`, or all without one, the newest first.
    pub(crate) fn newest(
        &self,
        below: Option<(UnixNanos, R::Id)>,
    ) -> impl Iterator<Item = &Arc<R>> {
        let end = below.map_or(Bound::Unbounded, Bound::Excluded);
        let places = self.by_place.range((Bound::Unbounded, end)).rev();
        places.filter_map(|(_, number)| self.records.get(number))
    }

    fn number_of(&self, key: Key, id: R::Id) -> Option<u64> {
        let has_id = |number: &u64| {
            let record = self.records.get(number);
            record.is_some_and(|record| record.id() == id)
        };
        self.numbers(key).find(has_id)
    }

    fn numbers(&self, key: Key) -> impl Iterator<Item = u64> {
        let named = self.names.range((key, 0)..=(key, u64::MAX));
        named.map(|(_, number)| *number)
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Statement;

    use super::*;
    use crate::store::{
        Record,
        codec::{Code, fields},
    };

    /// Named by whether its id is even.
    #[derive(Debug, PartialEq)]
    struct Fake {
        began_at: u64,
        id: u64,
    }

    impl Row for Fake {
        const TABLE: &'static str = "fakes";
        const KIND: u8 = 2;
        const INSERT: &'static str = "";

        fn insert(&self, _: i64, _: &[u8], _: &mut Statement<'_>) -> rusqlite::Result<()> {
            Ok(())
        }

        fn has_failed(&self) -> bool {
            false
        }

        fn cluster(&self) -> Option<&str> {
            None
        }
    }

    fields! { Fake { began_at, id } }

    impl Record for Fake {
        type Id = u64;

        fn id(&self) -> u64 {
            self.id
        }

        fn began_at(&self) -> UnixNanos {
            UnixNanos(self.began_at)
        }

        fn names(&self) -> Vec<Name> {
            vec![name(self.id % 2)]
        }
    }

    #[test]
    fn records_are_found_by_id_and_name_and_listed_the_newest_first() {
        let table = table(&[(30, 1), (10, 2), (20, 3)]);
        assert_eq!(**table.get(2).unwrap(), fake(10, 2));
        assert_eq!(ids(table.named(&name(1))), [1, 3]);
        assert_eq!(ids(table.newest(None)), [1, 3, 2]);
        assert_eq!(ids(table.newest(Some((UnixNanos(20), 3)))), [2]);
    }

    #[test]
    fn a_record_goes_with_all_its_names() {
        let mut table = table(&[(30, 1), (10, 3), (20, 2)]);
        table.remove(0);
        assert!(table.get(1).is_none());
        let may_have = |id| table.present.may_have(Key::of_id::<Fake>(&id));
        assert_eq!([1, 2, 3].map(may_have), [false, true, true]);
        assert_eq!(ids(table.named(&name(1))), [3]);
        assert_eq!(ids(table.newest(None)), [2, 3]);
    }

    #[test]
    fn a_record_that_comes_again_replaces_itself_and_outlives_its_predecessor() {
        let mut table = table(&[(30, 1), (10, 1), (20, 2)]);
        assert_eq!(ids(table.newest(None)), [2, 1]);
        table.remove(0);
        assert_eq!(**table.get(1).unwrap(), fake(10, 1));
        assert!(table.present.may_have(Key::of_id::<Fake>(&1)));
    }

    fn table(records: &[(u64, u64)]) -> Table<Fake> {
        let mut table = Table::new(&Arc::default());
        for (number, &(began_at, id)) in (0..).zip(records) {
            table.insert(number, &Arc::new(fake(began_at, id)));
        }
        table
    }

    fn fake(began_at: u64, id: u64) -> Fake {
        Fake { began_at, id }
    }

    fn ids<'a>(records: impl Iterator<Item = &'a Arc<Fake>>) -> Vec<u64> {
        records.map(|record| record.id).collect()
    }

    fn name(n: u64) -> Name {
        Name::RequestId(n.to_string().into())
    }
}
