//! What is known at one moment: the live records, the settled ones in memory, and those in the database.
//!
//! The fold writes, queries read. A query never holds a lock while it reads the disk. A record moves from live to memory
//! to the database, and queries look in the same order, so that none is missed on its way. A query by id looks at the
//! settled records first, too: that waits for nothing.

mod flow;
mod lookup;
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
    Coverage,
    record::{ConnectionRecord, RequestRecord},
};
use syntrace_model::{BootNanos, ConnectionId, SpanId, UnixNanos};
use tokio::sync::watch;

pub use self::{
    flow::Rebuild,
    page::{Ask, Page},
};
use crate::{
    fold::Folder,
    store::{Database, DatabaseStatus, Hole, Name, Present, ReadError, Recent, Settled},
};

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
    /// What may be left out.
    pub hole: Option<Hole>,
}

/// The records of one host.
#[derive(Debug)]
struct View {
    live: RwLock<Folder>,
    recent: RwLock<Recent>,
    /// What may be in `recent`.
    present: Arc<Present>,
    database: Option<Arc<Database>>,
    /// Records that memory holds at most.
    most: usize,
    /// Highest number that was exported; all, if nothing is.
    exported: AtomicU64,
    /// Records that memory could not hold, and that are nowhere else.
    evicted: AtomicU64,
    settled: watch::Sender<u64>,
    due: watch::Sender<Option<BootNanos>>,
    /// How far the fold has come with what an earlier run left.
    rebuild: watch::Sender<Rebuild>,
    writer: OnceLock<Thread>,
    closed: watch::Sender<bool>,
}

// === impl SharedView ===

impl SharedView {
    /// Returns a view of a fold over nothing, which will hold `most` settled records in memory.
    ///
    /// With a database there may be an earlier run, which is to be folded first.
    #[must_use]
    pub fn new(folder: Folder, most: usize, database: Option<Arc<Database>>) -> Self {
        let settled = folder.settled();
        let present = Arc::default();
        let rebuild = match &database {
            Some(_) => Rebuild::BEGUN,
            None => Rebuild::Done { folded: 0, settled },
        };
        Self(Arc::new(View {
            live: RwLock::new(folder),
            recent: RwLock::new(Recent::after(settled, &present)),
            present,
            database,
            most,
            exported: AtomicU64::new(u64::MAX),
            evicted: AtomicU64::new(0),
            settled: watch::Sender::new(settled),
            due: watch::Sender::new(None),
            rebuild: watch::Sender::new(rebuild),
            writer: OnceLock::new(),
            closed: watch::Sender::new(false),
        }))
    }

    /// Returns one connection.
    ///
    /// # Errors
    ///
    /// [`ReadError::Database`] if it is not in memory, and the database cannot be read; so do all queries
    /// below. [`ReadError::Hole`] if it may be one of the records that are being rebuilt.
    pub fn connection(&self, id: ConnectionId) -> Result<Option<Arc<ConnectionRecord>>, ReadError> {
        lookup::by_id(self, id)
    }

    /// Returns one request.
    ///
    /// # Errors
    ///
    /// As [`Self::connection`].
    pub fn request(&self, id: SpanId) -> Result<Option<Arc<RequestRecord>>, ReadError> {
        lookup::by_id(self, id)
    }

    /// Returns a page of connections, the newest first.
    ///
    /// # Errors
    ///
    /// As [`Self::connection`].
    pub fn connections(
        &self,
        ask: &Ask<ConnectionId>,
        keep: impl Fn(&ConnectionRecord) -> bool,
    ) -> Result<Page<ConnectionRecord>, ReadError> {
        page::page(self, ask, false, &keep)
    }

    /// Returns a page of requests, the newest first.
    ///
    /// # Errors
    ///
    /// As [`Self::connection`].
    pub fn requests(
        &self,
        ask: &Ask<SpanId>,
        keep: impl Fn(&RequestRecord) -> bool,
    ) -> Result<Page<RequestRecord>, ReadError> {
        page::page(self, ask, false, &keep)
    }

    /// Returns a page of the requests that failed, the newest first.
    ///
    /// # Errors
    ///
    /// As [`Self::connection`].
    pub fn failed_requests(
        &self,
        ask: &Ask<SpanId>,
        keep: impl Fn(&RequestRecord) -> bool,
    ) -> Result<Page<RequestRecord>, ReadError> {
        page::page(self, ask, true, &keep)
    }

    /// Returns a page of the connections that failed, the newest first.
    ///
    /// # Errors
    ///
    /// As [`Self::connection`].
    pub fn failed_connections(
        &self,
        ask: &Ask<ConnectionId>,
        keep: impl Fn(&ConnectionRecord) -> bool,
    ) -> Result<Page<ConnectionRecord>, ReadError> {
        page::page(self, ask, true, &keep)
    }

    /// Counts the requests that began since, of one cluster or of all.
    ///
    /// # Errors
    ///
    /// As [`Self::connection`].
    pub fn count_requests(
        &self,
        since: UnixNanos,
        cluster: Option<&str>,
    ) -> Result<u64, ReadError> {
        page::count_requests(self, since, cluster)
    }

    /// Returns everything under one name; at most `limit` of each kind have it themselves.
    ///
    /// # Errors
    ///
    /// As [`Self::connection`].
    pub fn trace(&self, name: &Name, limit: usize) -> Result<Trace, ReadError> {
        let connections = self.connections(&Ask::named(name.clone(), limit), |_| true)?;
        let requests = self.requests(&Ask::named(name.clone(), limit), |_| true)?;
        let mut trace = Trace {
            hole: connections.hole.or(requests.hole),
            ..Trace::default()
        };
        for connection in connections.records {
            for listed in &connection.requests {
                if !trace.requests.contains_key(&listed.span_id)
                    && let Some(request) = known(self.request(listed.span_id), &mut trace.hole)?
                {
                    trace.requests.insert(listed.span_id, request);
                }
            }
            trace.connections.insert(connection.id, connection);
        }
        for request in requests.records {
            for id in joined(&request) {
                if !trace.connections.contains_key(&id)
                    && let Some(connection) = known(self.connection(id), &mut trace.hole)?
                {
                    trace.connections.insert(id, connection);
                }
            }
            trace.requests.insert(request.report.span_id, request);
        }
        Ok(trace)
    }

    /// Returns the settled records that are being rebuilt from the log, if there are any.
    #[must_use]
    pub fn hole(&self) -> Option<Hole> {
        let seam = self.recent().seam();
        self.database()
            .and_then(|database| seam.hole(database.stored()))
    }

    /// Adds to settled connections how many facts about them came since: the fold knows that of those that
    /// settled last, and is waited for.
    pub fn add_late<'a>(&self, records: impl Iterator<Item = &'a mut Arc<ConnectionRecord>>) {
        let folder = self.live();
        for record in records {
            let late = folder.reconciler().late(record.id);
            if late > record.coverage.late {
                Arc::make_mut(record).coverage.late = late;
            }
        }
    }

    /// Returns what was seen, joined and lost so far.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        self.live().reconciler().coverage()
    }

    /// Returns the database's state; `None` without one.
    #[must_use]
    pub fn database_status(&self) -> Option<DatabaseStatus> {
        self.database().map(Database::status)
    }

    /// Returns how many settled records were given up because memory could not hold them.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.0.evicted.load(Relaxed)
    }

    /// Returns a channel with the number of the record that settled last.
    #[must_use]
    pub fn settled(&self) -> watch::Receiver<u64> {
        self.0.settled.subscribe()
    }

    /// Returns the number of the record that settled last.
    #[must_use]
    pub fn settled_number(&self) -> u64 {
        *self.0.settled.borrow()
    }

    /// Returns a channel with the time at which the next record is due.
    #[must_use]
    pub fn due(&self) -> watch::Receiver<Option<BootNanos>> {
        self.0.due.subscribe()
    }

    /// Returns at most `limit` records that settled after the one with this number, in order; less those
    /// that are kept no more.
    ///
    /// # Errors
    ///
    /// As [`Self::connection`]; [`ReadError::Hole`] if the next of them are being rebuilt.
    pub fn settled_after(&self, number: u64, limit: usize) -> Result<Vec<Settled>, ReadError> {
        if let Some(recent) = self.recent_after(number, limit) {
            return Ok(recent);
        }
        let hole = self.hole();
        let stored = self
            .database()
            .map_or_else(|| Ok(Vec::new()), |all| all.settled_after(number, limit))?;
        match hole {
            _ if !stored.is_empty() => Ok(stored),
            Some(hole) => Err(ReadError::Hole(hole)),
            None => Ok(self.recent_all(limit)),
        }
    }

    /// Returns the highest number that is stored; without a database, that of all.
    #[must_use]
    pub fn stored_number(&self) -> u64 {
        self.database().map_or(u64::MAX, Database::stored)
    }

    /// Returns the database, for its writer.
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

/// Returns what was found; notes where it may be one of the records that are being rebuilt.
pub(crate) fn known<T>(
    found: Result<Option<T>, ReadError>,
    hole: &mut Option<Hole>,
) -> Result<Option<T>, ReadError> {
    match found {
        Err(ReadError::Hole(found)) => {
            *hole = Some(found);
            Ok(None)
        }
        found => found,
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
