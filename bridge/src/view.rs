//! What is known at one moment: the live records beside the settled ones.
//!
//! The fold writes, questions read; a question holds the lock only while it collects, and never while
//! it waits.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use syntrace_core::{
    Limits, Reconciler,
    record::{ConnectionRecord, RequestRecord},
};
use syntrace_model::{ConnectionId, SpanId, UnixNanos};

use crate::store::{Name, Record, Store, Table};

/// The records of one host.
#[derive(Debug)]
pub struct View {
    /// What is not settled.
    pub reconciler: Reconciler,
    /// What is settled.
    pub store: Store,
}

/// A view that one task writes and many read.
#[derive(Clone, Debug)]
pub struct SharedView(Arc<RwLock<View>>);

/// Records that a question asked for, and where to go on.
#[derive(Debug)]
pub struct Page<R: Record> {
    /// The newest first.
    pub records: Vec<Arc<R>>,
    /// The place of the last, if there may be more.
    pub next: Option<(UnixNanos, R::Id)>,
}

/// Everything under one name.
#[derive(Debug, Default)]
pub struct Trace {
    /// The connections that have the name, and those of the requests that have it.
    pub connections: BTreeMap<ConnectionId, Arc<ConnectionRecord>>,
    /// The requests that have the name, and those of the connections that have it.
    pub requests: BTreeMap<SpanId, Arc<RequestRecord>>,
}

// === impl SharedView ===

impl SharedView {
    /// Returns a view that is empty, and will keep `most` settled records of each kind.
    #[must_use]
    pub fn new(limits: Limits, most: usize) -> Self {
        Self(Arc::new(RwLock::new(View {
            reconciler: Reconciler::new(limits),
            store: Store::new(most),
        })))
    }

    /// Waits for the writer, and keeps it out until the guard is dropped.
    pub fn read(&self) -> RwLockReadGuard<'_, View> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for everyone, and keeps everyone out until the guard is dropped.
    pub fn write(&self) -> RwLockWriteGuard<'_, View> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl View ===

impl View {
    /// Returns one connection.
    #[must_use]
    pub fn connection(&self, id: ConnectionId) -> Option<Arc<ConnectionRecord>> {
        let settled = self.store.connections.get(id).cloned();
        settled.or_else(|| self.reconciler.connection(id).map(Arc::new))
    }

    /// Returns one request.
    #[must_use]
    pub fn request(&self, id: SpanId) -> Option<Arc<RequestRecord>> {
        let settled = self.store.requests.get(id).cloned();
        settled.or_else(|| self.reconciler.request(id).map(Arc::new))
    }

    /// Returns the newest connections below a place; of all, or of those with a name.
    pub fn connections(
        &self,
        name: Option<&Name>,
        below: Option<(UnixNanos, ConnectionId)>,
        limit: usize,
        keep: impl Fn(&ConnectionRecord) -> bool,
    ) -> Page<ConnectionRecord> {
        let live = self.reconciler.connections();
        page(live, &self.store.connections, name, below, limit, keep)
    }

    /// Returns the newest requests below a place.
    pub fn requests(
        &self,
        below: Option<(UnixNanos, SpanId)>,
        limit: usize,
        keep: impl Fn(&RequestRecord) -> bool,
    ) -> Page<RequestRecord> {
        let live = self.reconciler.requests();
        page(live, &self.store.requests, None, below, limit, keep)
    }

    /// Returns everything under one name; at most `limit` of each kind have it themselves.
    #[must_use]
    pub fn trace(&self, name: &Name, limit: usize) -> Trace {
        let mut trace = Trace::default();
        let connections = self.connections(Some(name), None, limit, |_| true);
        let live = self.reconciler.requests();
        let requests = page(
            live,
            &self.store.requests,
            Some(name),
            None,
            limit,
            |_: &RequestRecord| true,
        );
        for connection in &connections.records {
            let listed = connection.requests.iter();
            let listed = listed.filter_map(|request| self.request(request.span_id));
            trace
                .requests
                .extend(listed.map(|request| (request.id(), request)));
        }
        for request in &requests.records {
            let joined = joined(request).filter_map(|id| self.connection(id));
            trace
                .connections
                .extend(joined.map(|connection| (connection.id, connection)));
        }
        let named = connections.records.into_iter();
        trace
            .connections
            .extend(named.map(|connection| (connection.id, connection)));
        let named = requests.records.into_iter();
        trace
            .requests
            .extend(named.map(|request| (request.id(), request)));
        trace
    }
}

/// Returns the connections that a request was joined to.
pub fn joined(request: &RequestRecord) -> impl Iterator<Item = ConnectionId> + '_ {
    let joins = [
        Some(&request.received_on),
        request.opened.as_ref(),
        request.served_by.as_ref(),
    ];
    joins
        .into_iter()
        .flatten()
        .filter_map(|join| join.connection())
}

/// Merges the live records with the settled ones, the newest first.
fn page<R: Record>(
    live: impl Iterator<Item = R>,
    settled: &Table<R>,
    name: Option<&Name>,
    below: Option<(UnixNanos, R::Id)>,
    limit: usize,
    keep: impl Fn(&R) -> bool,
) -> Page<R> {
    let fits = |record: &R| {
        below.is_none_or(|below| record.place() < below)
            && name.is_none_or(|name| record.names().contains(name))
            && keep(record)
    };
    let live = live.filter(|record| fits(record)).map(Arc::new);
    // One more than the page holds tells whether there is a next one.
    let more = limit.saturating_add(1);
    let mut records: Vec<_> = match name {
        Some(name) => {
            let named = settled.named(name).filter(|record| fits(record));
            live.chain(named.cloned()).collect()
        }
        None => {
            let newest = settled.newest(below).filter(|record| fits(record));
            live.chain(newest.take(more).cloned()).collect()
        }
    };
    records.sort_unstable_by_key(|record| std::cmp::Reverse(record.place()));
    let has_more = records.len() > limit;
    records.truncate(limit);
    let last = records.last().filter(|_| has_more);
    Page {
        next: last.map(|record| record.place()),
        records,
    }
}
