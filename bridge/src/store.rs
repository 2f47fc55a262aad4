//! The settled records, found by every name under which someone may ask for them.
//!
//! Bounded by count: the record that settled first goes first, and is counted. What is not settled is
//! the reconciler's; a question that concerns both is asked of [`crate::view`].

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Bound,
    sync::Arc,
};

use syntrace_core::record::{ConnectionRecord, RequestRecord};
use syntrace_model::{ConnectionId, Endpoint, SpanId, TraceId, UnixNanos};

/// What can be asked for.
pub trait Record {
    /// What names the record alone.
    type Id: Copy + Ord;

    /// Returns its id.
    fn id(&self) -> Self::Id;

    /// Returns when it began; records are listed by that, the newest first.
    fn began_at(&self) -> UnixNanos;

    /// Returns the other names under which it is found.
    fn names(&self) -> Vec<Name>;

    /// Returns its place among the records that are listed.
    fn place(&self) -> (UnixNanos, Self::Id) {
        (self.began_at(), self.id())
    }
}

/// A name that several records may share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// A trace id or an alias.
    Trace(TraceId),
    /// An `x-request-id`.
    RequestId(Box<str>),
    /// One end of a connection.
    End(Endpoint),
}

/// Settled records of one kind.
#[derive(Debug)]
pub struct Table<R: Record> {
    records: BTreeMap<R::Id, Arc<R>>,
    /// In the order in which they settled.
    order: VecDeque<R::Id>,
    by_place: BTreeSet<(UnixNanos, R::Id)>,
    by_name: BTreeMap<Name, BTreeSet<R::Id>>,
    most: usize,
    evicted: u64,
}

/// All settled records.
#[derive(Debug)]
pub struct Store {
    /// The connections.
    pub connections: Table<ConnectionRecord>,
    /// The requests.
    pub requests: Table<RequestRecord>,
}

// === impl Store ===

impl Store {
    /// Returns an empty store for `most` records of each kind.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self {
            connections: Table::new(most),
            requests: Table::new(most),
        }
    }
}

// === impl Table ===

impl<R: Record> Table<R> {
    const fn new(most: usize) -> Self {
        Self {
            records: BTreeMap::new(),
            order: VecDeque::new(),
            by_place: BTreeSet::new(),
            by_name: BTreeMap::new(),
            most,
            evicted: 0,
        }
    }

    /// Keeps a record, in place of the one with the same id if there is one.
    pub fn insert(&mut self, record: R) {
        let id = record.id();
        if !self.remove(id) {
            self.order.push_back(id);
        }
        self.by_place.insert(record.place());
        for name in record.names() {
            self.by_name.entry(name).or_default().insert(id);
        }
        self.records.insert(id, Arc::new(record));
        while self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.remove(oldest);
            self.evicted += 1;
        }
    }

    /// Returns a record by its id.
    #[must_use]
    pub fn get(&self, id: R::Id) -> Option<&Arc<R>> {
        self.records.get(&id)
    }

    /// Returns the records with a name, in the order of their ids.
    pub fn named(&self, name: &Name) -> impl Iterator<Item = &Arc<R>> {
        let ids = self.by_name.get(name).into_iter().flatten();
        ids.filter_map(|id| self.records.get(id))
    }

    /// Returns the records below `place`, or all without one, the newest first.
    pub fn newest(&self, below: Option<(UnixNanos, R::Id)>) -> impl Iterator<Item = &Arc<R>> {
        let end = below.map_or(Bound::Unbounded, Bound::Excluded);
        let places = self.by_place.range((Bound::Unbounded, end)).rev();
        places.filter_map(|(_, id)| self.records.get(id))
    }

    /// Returns how many records were given up for newer ones.
    #[must_use]
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }

    fn remove(&mut self, id: R::Id) -> bool {
        let Some(record) = self.records.remove(&id) else {
            return false;
        };
        self.by_place.remove(&record.place());
        for name in record.names() {
            if let Some(ids) = self.by_name.get_mut(&name) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.by_name.remove(&name);
                }
            }
        }
        true
    }
}

// === impl Record ===

impl Record for ConnectionRecord {
    type Id = ConnectionId;

    fn id(&self) -> ConnectionId {
        self.id
    }

    fn began_at(&self) -> UnixNanos {
        let socket = self.socket.as_ref();
        let kernel = socket.and_then(|socket| self.to_unix(socket.began_at()));
        let proxy = self.requests.first().map(|request| request.started_at);
        kernel.or(proxy).unwrap_or_default()
    }

    fn names(&self) -> Vec<Name> {
        let ids = std::iter::once(self.trace_id).chain(self.aliases.iter().copied());
        let ends = self.socket.iter();
        let ends = ends.flat_map(|socket| [socket.key.local, socket.key.peer]);
        ids.map(Name::Trace).chain(ends.map(Name::End)).collect()
    }
}

impl Record for RequestRecord {
    type Id = SpanId;

    fn id(&self) -> SpanId {
        self.report.span_id
    }

    fn began_at(&self) -> UnixNanos {
        self.report.started_at
    }

    fn names(&self) -> Vec<Name> {
        let mut names = vec![Name::Trace(self.report.trace_id)];
        if !self.report.http.request_id.is_empty() {
            names.push(Name::RequestId(self.report.http.request_id.clone()));
        }
        names
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
        let table = table(10, &[(30, 1), (10, 2), (20, 3)]);
        assert_eq!(**table.get(2).unwrap(), Fake(10, 2));
        assert_eq!(ids(table.named(&name(1))), [1, 3]);
        assert_eq!(ids(table.newest(None)), [1, 3, 2]);
        assert_eq!(ids(table.newest(Some((UnixNanos(20), 3)))), [2]);
    }

    #[test]
    fn beyond_the_bound_the_first_that_settled_goes_with_all_its_names() {
        let table = table(2, &[(30, 1), (10, 3), (20, 2)]);
        assert!(table.get(1).is_none());
        assert_eq!(ids(table.named(&name(1))), [3]);
        assert_eq!(ids(table.newest(None)), [2, 3]);
        assert_eq!(table.evicted(), 1);
    }

    #[test]
    fn a_record_that_comes_again_replaces_itself() {
        let table = table(2, &[(30, 1), (10, 1), (20, 2)]);
        assert_eq!(ids(table.newest(None)), [2, 1]);
        assert_eq!(table.evicted(), 0);
    }

    fn table(most: usize, records: &[(u64, u64)]) -> Table<Fake> {
        let mut table = Table::new(most);
        for &(began_at, id) in records {
            table.insert(Fake(began_at, id));
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
