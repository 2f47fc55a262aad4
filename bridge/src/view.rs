//! What is known at one moment: the live records, the settled ones in memory, and those in the database.
//!
//! The fold writes, questions read. A question never holds a lock while it reads the disk. A record moves
//! from live to memory to the database, and questions look in the same order: none is missed on its way.

mod page;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::Thread,
};

use syntrace_core::{
    Coverage, Output,
    fact::Batch,
    record::{ConnectionRecord, RequestRecord},
};
use syntrace_model::{BootId, BootNanos, ConnectionId, SpanId, UnixNanos};
use tokio::sync::watch;

pub use self::page::{Ask, Page};
use crate::{
    fold::Folder,
    store::{Database, DatabaseStatus, Kept, Name, Recent, Settled},
};

/// Records that stay in memory for the export although they are stored.
const RECENT_MAX: usize = 16_384;

/// Failed records that are counted one by one.
const FAILED_MAX: usize = 100_000;

/// A view that one task writes and many read.
#[derive(Clone, Debug)]
pub struct SharedView(Arc<View>);

/// A view that may be gone.
#[derive(Clone, Debug)]
pub struct WeakView(Weak<View>);

/// Everything under one name.
#[derive(Debug, Default)]
pub struct Trace {
    /// The connections that have the name, and those of the requests that have it.
    pub connections: BTreeMap<ConnectionId, Arc<ConnectionRecord>>,
    /// The requests that have the name, and those of the connections that have it.
    pub requests: BTreeMap<SpanId, Arc<RequestRecord>>,
}

/// The records of one host.
#[derive(Debug)]
struct View {
    live: RwLock<Folder>,
    recent: RwLock<Recent>,
    database: Option<Arc<Database>>,
    /// Records that memory holds at most.
    most: usize,
    /// Highest number that was exported; all, if nothing is.
    exported: AtomicU64,
    /// Records that memory could not hold, and that are nowhere else.
    evicted: AtomicU64,
    settled: watch::Sender<u64>,
    due: watch::Sender<Option<BootNanos>>,
    keeper: OnceLock<Thread>,
    closed: watch::Sender<bool>,
}

// === impl SharedView ===

impl SharedView {
    /// Returns a view of what a fold came to, which will hold `most` settled records in memory.
    #[must_use]
    pub fn new(folder: Folder, most: usize, database: Option<Arc<Database>>) -> Self {
        let settled = folder.settled();
        let due = folder.reconciler().poll_timeout();
        Self(Arc::new(View {
            live: RwLock::new(folder),
            recent: RwLock::new(Recent::after(settled)),
            database,
            most,
            exported: AtomicU64::new(u64::MAX),
            evicted: AtomicU64::new(0),
            settled: watch::Sender::new(settled),
            due: watch::Sender::new(due),
            keeper: OnceLock::new(),
            closed: watch::Sender::new(false),
        }))
    }

    /// Returns a view of what a fold came to, with the last records that it settled.
    #[must_use]
    pub fn after(
        folder: Folder,
        most: usize,
        database: Arc<Database>,
        settled: Vec<(u64, Output)>,
    ) -> Self {
        let view = Self::new(folder, most, Some(database));
        let first = settled.first().map(|(number, _)| number.saturating_sub(1));
        if let Some(before) = first {
            *view.recent_mut() = Recent::after(before);
        }
        let mut keep = view.keep(|_| ());
        settled
            .into_iter()
            .for_each(|(number, output)| keep(number, output));
        drop(keep);
        view
    }

    /// Returns one connection.
    #[must_use]
    pub fn connection(&self, id: ConnectionId) -> Option<Arc<ConnectionRecord>> {
        let live = self.live().reconciler().connection(id).map(Arc::new);
        live.or_else(|| self.recent().connections.get(id).cloned())
            .or_else(|| self.database()?.get(id))
    }

    /// Returns one request.
    #[must_use]
    pub fn request(&self, id: SpanId) -> Option<Arc<RequestRecord>> {
        let live = self.live().reconciler().request(id).map(Arc::new);
        live.or_else(|| self.recent().requests.get(id).cloned())
            .or_else(|| self.database()?.get(id))
    }

    /// Returns a page of connections, the newest first.
    pub fn connections(
        &self,
        ask: &Ask<ConnectionId>,
        keep: impl Fn(&ConnectionRecord) -> bool,
    ) -> Page<ConnectionRecord> {
        page::connections(self, ask, keep)
    }

    /// Returns a page of requests, the newest first.
    pub fn requests(
        &self,
        ask: &Ask<SpanId>,
        keep: impl Fn(&RequestRecord) -> bool,
    ) -> Page<RequestRecord> {
        page::requests(self, ask, keep)
    }

    /// Returns everything under one name; at most `limit` of each kind have it themselves.
    #[must_use]
    pub fn trace(&self, name: &Name, limit: usize) -> Trace {
        let connections = self.connections(&Ask::named(name.clone(), limit), |_| true);
        let requests = self.requests(&Ask::named(name.clone(), limit), |_| true);
        let mut trace = Trace::default();
        for connection in connections.records {
            for listed in &connection.requests {
                if !trace.requests.contains_key(&listed.span_id)
                    && let Some(request) = self.request(listed.span_id)
                {
                    trace.requests.insert(listed.span_id, request);
                }
            }
            trace.connections.insert(connection.id, connection);
        }
        for request in requests.records {
            for id in joined(&request) {
                if !trace.connections.contains_key(&id)
                    && let Some(connection) = self.connection(id)
                {
                    trace.connections.insert(id, connection);
                }
            }
            trace.requests.insert(request.report.span_id, request);
        }
        trace
    }

    /// Counts the requests that began since, of one cluster or of all.
    #[must_use]
    pub fn count_requests(&self, since: UnixNanos, cluster: Option<&str>) -> u64 {
        page::count_requests(self, since, cluster)
    }

    /// Returns the requests that began since and failed, the newest first, up to a bound.
    #[must_use]
    pub fn failed_requests(
        &self,
        since: UnixNanos,
        keep: impl Fn(&RequestRecord) -> bool,
    ) -> Vec<Arc<RequestRecord>> {
        page::failed_requests(self, since, FAILED_MAX, keep)
    }

    /// Returns the connections that began since and failed, the newest first, up to a bound.
    #[must_use]
    pub fn failed_connections(
        &self,
        since: UnixNanos,
        keep: impl Fn(&ConnectionRecord) -> bool,
    ) -> Vec<Arc<ConnectionRecord>> {
        page::failed_connections(self, since, FAILED_MAX, keep)
    }

    /// Returns what was seen, joined and lost so far.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        self.live().reconciler().coverage()
    }

    /// Returns how the database fares; `None` without one.
    #[must_use]
    pub fn database_status(&self) -> Option<DatabaseStatus> {
        self.database().map(Database::status)
    }

    /// Returns how many settled records were given up because memory could not hold them.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.0.evicted.load(Relaxed)
    }

    /// Returns a channel that tells the number of the record that settled last.
    #[must_use]
    pub fn settled(&self) -> watch::Receiver<u64> {
        self.0.settled.subscribe()
    }

    /// Returns the number of the record that settled last.
    #[must_use]
    pub fn settled_number(&self) -> u64 {
        *self.0.settled.borrow()
    }

    /// Returns a channel that tells when the next record is due.
    #[must_use]
    pub fn due(&self) -> watch::Receiver<Option<BootNanos>> {
        self.0.due.subscribe()
    }

    /// Returns at most `limit` records that settled after the one with this number, in order.
    #[must_use]
    pub fn settled_after(&self, number: u64, limit: usize) -> Vec<Settled> {
        if let Some(recent) = self.recent_after(number, limit) {
            return recent;
        }
        let stored = self
            .database()
            .map(|database| database.settled_after(number, limit));
        match stored {
            Some(stored) if !stored.is_empty() => stored,
            Some(_) | None => {
                let recent = self.recent();
                let first = recent.first().saturating_sub(1).max(number);
                recent.settled_after(first, limit).unwrap_or_default()
            }
        }
    }

    /// Returns connections among at most `limit` records that settled after the one with this number.
    #[must_use]
    pub fn connections_after(
        &self,
        number: u64,
        limit: usize,
    ) -> Vec<(u64, Arc<ConnectionRecord>)> {
        let settled = self.settled_after(number, limit).into_iter();
        let connections = settled.filter_map(|settled| match settled.record {
            Kept::Connection(record) => Some((settled.number, record)),
            Kept::Request(_) => None,
        });
        connections.collect()
    }

    /// Returns requests among at most `limit` records that settled after the one with this number.
    #[must_use]
    pub fn requests_after(&self, number: u64, limit: usize) -> Vec<(u64, Arc<RequestRecord>)> {
        let settled = self.settled_after(number, limit).into_iter();
        let requests = settled.filter_map(|settled| match settled.record {
            Kept::Request(record) => Some((settled.number, record)),
            Kept::Connection(_) => None,
        });
        requests.collect()
    }

    // What the fold, the keeper and the export say.

    /// Folds one entry; `count` sees what settles.
    pub fn fold(&self, boot: BootId, at: BootNanos, batch: Batch, count: impl Fn(&Output)) {
        let folder = &mut *self.live_mut();
        folder.handle(boot, at, batch, &mut self.keep(count));
        self.folded(folder);
    }

    /// Settles everything that is live.
    pub fn drain(&self, count: impl Fn(&Output)) {
        let folder = &mut *self.live_mut();
        folder.drain(&mut self.keep(count));
        self.folded(folder);
    }

    fn keep(&self, count: impl Fn(&Output)) -> impl FnMut(u64, Output) {
        move |number, output| {
            count(&output);
            let record = Kept::from(output);
            let mut recent = self.recent_mut();
            recent.push(Settled { number, record });
            self.trim(&mut recent);
        }
    }

    fn folded(&self, folder: &Folder) {
        let settled = folder.settled();
        self.0
            .settled
            .send_if_modified(|known| std::mem::replace(known, settled) != settled);
        let due = folder.reconciler().poll_timeout();
        self.0
            .due
            .send_if_modified(|known| std::mem::replace(known, due) != due);
        if let Some(keeper) = self.0.keeper.get() {
            keeper.unpark();
        }
    }

    /// Says that all up to this number was exported.
    pub fn exported(&self, number: u64) {
        self.0.exported.store(number, Relaxed);
        self.trim(&mut self.recent_mut());
    }

    /// Says that all up to this number was stored.
    pub(crate) fn stored(&self, _number: u64) {
        self.trim(&mut self.recent_mut());
    }

    /// Returns up to which number all is stored and exported.
    pub(crate) fn handed_on(&self) -> u64 {
        self.stored_number().min(self.0.exported.load(Relaxed))
    }

    /// Looks at everything that the log came to.
    pub(crate) fn with_folder<T>(&self, look: impl FnOnce(&Folder) -> T) -> T {
        look(&self.live())
    }

    /// Returns what is in memory after a number; `None` if some of it is there no more.
    pub(crate) fn recent_after(&self, number: u64, limit: usize) -> Option<Vec<Settled>> {
        self.recent().settled_after(number, limit)
    }

    /// Returns the lowest number in memory.
    pub(crate) fn recent_first(&self) -> u64 {
        self.recent().first()
    }

    /// Names the thread that stores.
    pub(crate) fn set_keeper(&self, keeper: Thread) {
        // There is one.
        drop(self.0.keeper.set(keeper));
    }

    /// Says that nothing is folded any more.
    pub(crate) fn close(&self) {
        self.0.closed.send_replace(true);
        if let Some(keeper) = self.0.keeper.get() {
            keeper.unpark();
        }
    }

    /// Returns a channel that tells that nothing is folded any more.
    pub(crate) fn closed(&self) -> watch::Receiver<bool> {
        self.0.closed.subscribe()
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.0.closed.borrow()
    }

    /// Returns a view that does not keep itself.
    pub(crate) fn downgrade(&self) -> WeakView {
        WeakView(Arc::downgrade(&self.0))
    }

    fn trim(&self, recent: &mut Recent) {
        let stored = self.stored_number();
        let exported = self.0.exported.load(Relaxed);
        while !recent.is_empty()
            && recent.first() <= stored
            && (recent.first() <= exported || recent.len() > RECENT_MAX)
            && self.database().is_some()
        {
            recent.pop();
        }
        while recent.len() > self.0.most {
            recent.pop();
            // What has a database can be made anew from the log.
            self.0
                .evicted
                .fetch_add(u64::from(self.database().is_none()), Relaxed);
        }
    }

    /// Returns the highest number that is stored; without a database, that of all.
    #[must_use]
    pub fn stored_number(&self) -> u64 {
        self.database().map_or(u64::MAX, Database::stored)
    }

    /// Returns the database, for who stores.
    pub(crate) fn database_shared(&self) -> Option<Arc<Database>> {
        self.0.database.clone()
    }

    fn database(&self) -> Option<&Database> {
        self.0.database.as_deref()
    }

    fn live(&self) -> RwLockReadGuard<'_, Folder> {
        self.0.live.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn live_mut(&self) -> RwLockWriteGuard<'_, Folder> {
        self.0.live.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent(&self) -> RwLockReadGuard<'_, Recent> {
        self.0.recent.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent_mut(&self) -> RwLockWriteGuard<'_, Recent> {
        let recent = self.0.recent.write();
        recent.unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl WeakView ===

impl WeakView {
    /// Returns the view, if anybody has it.
    #[must_use]
    pub fn upgrade(&self) -> Option<SharedView> {
        self.0.upgrade().map(SharedView)
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
