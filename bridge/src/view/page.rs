//! Merges what is live, what is in memory and what is in the database into one list, the newest first.

use std::{cmp::Reverse, collections::HashSet, sync::Arc};

use syntrace_core::{
    LiveConnection, LiveRequest,
    record::{ConnectionRecord, RequestRecord},
};
use syntrace_model::{ConnectionId, SpanId, UnixNanos};

use super::SharedView;
use crate::store::{
    Hole, Name, ReadError, Recent, Record, Table, database::Scan, names::Key, row::Row,
};

/// Live records that one query may look at: nothing is folded meanwhile.
const LIVE_MAX: usize = 8_192;

/// Which records are listed.
#[derive(Clone, Debug)]
pub struct Ask<Id> {
    /// Only those with this name.
    pub name: Option<Name>,
    /// Only those that began then or later.
    pub since: UnixNanos,
    /// Only those below this place: where the page before ended.
    pub below: Option<(UnixNanos, Id)>,
    /// At most so many.
    pub limit: usize,
}

/// The records of one query, and where to resume.
#[derive(Debug)]
pub struct Page<R: Record> {
    /// The newest first.
    pub records: Vec<Arc<R>>,
    /// Where the next page begins, if there may be one. A page also ends after so many rows were looked
    /// at, with fewer records than asked for.
    pub next: Option<(UnixNanos, R::Id)>,
    /// What may be left out between the newest that was asked for and the last that is here.
    pub hole: Option<Hole>,
}

/// One kind of record in all three places.
pub(super) trait Kind: Row + Sized {
    fn live(
        view: &SharedView,
        ask: &Ask<<Self as Record>::Id>,
        keep: &dyn Fn(&Self) -> bool,
    ) -> Scan<Self>;

    fn live_one(view: &SharedView, id: Self::Id) -> Option<Self>;

    fn recent(recent: &Recent) -> &Table<Self>;
}

// === impl Ask ===

impl<Id> Ask<Id> {
    /// Asks for the newest of all.
    #[must_use]
    pub const fn newest(limit: usize) -> Self {
        Self {
            name: None,
            since: UnixNanos(0),
            below: None,
            limit,
        }
    }

    /// Asks for the newest with a name.
    #[must_use]
    pub const fn named(name: Name, limit: usize) -> Self {
        Self {
            name: Some(name),
            since: UnixNanos(0),
            below: None,
            limit,
        }
    }
}

pub(super) fn count_requests(
    view: &SharedView,
    since: UnixNanos,
    cluster: Option<&str>,
) -> Result<u64, ReadError> {
    let of_cluster = |record: &RequestRecord| {
        record.began_at() >= since && (cluster.is_none() || record.cluster() == cluster)
    };
    let ask = Ask {
        since,
        ..Ask::newest(usize::MAX)
    };
    let live = RequestRecord::live(view, &ask, &of_cluster).records.len() as u64;
    let (recent, first) = {
        let recent = view.recent();
        let found = recent.requests.newest(None);
        let count = found.filter(|record| of_cluster(record)).count() as u64;
        (count, recent.first())
    };
    let stored = view.database().map_or(Ok(0), |database| {
        database.count_requests(since, cluster, first.saturating_sub(1))
    });
    Ok(live + recent + stored?)
}

/// Returns one page, of everything or of what failed.
pub(super) fn page<R: Kind>(
    view: &SharedView,
    ask: &Ask<R::Id>,
    failed: bool,
    keep: &dyn Fn(&R) -> bool,
) -> Result<Page<R>, ReadError> {
    let fits = |record: &R| {
        record.began_at() >= ask.since
            && ask.below.is_none_or(|below| record.place() < below)
            && (!failed || record.has_failed())
            && ask
                .name
                .as_ref()
                .is_none_or(|name| record.names().contains(name))
            && keep(record)
    };
    // One more than the page holds, to know whether there is a next one.
    let more = ask.limit.saturating_add(1);
    let live = R::live(view, ask, &fits);
    let (recent, seam): (Vec<_>, _) = {
        let recent = view.recent();
        let table = R::recent(&recent);
        let found = match &ask.name {
            Some(name) => {
                let named = table.named(name).filter(|record| fits(record));
                named.cloned().collect()
            }
            None => {
                let newest = table.newest(ask.below);
                let newest = newest.take_while(|record| record.began_at() >= ask.since);
                let newest = newest.filter(|record| fits(record));
                newest.take(more).cloned().collect()
            }
        };
        (found, recent.seam())
    };
    // Before the database is looked at: all that is stored by now is found there.
    let hole = view
        .database()
        .and_then(|database| seam.hole(database.stored()));
    let key = match &ask.name {
        Some(name) => Key::of_name::<R>(name),
        None if failed => Key::of_failed::<R>(),
        None => Key::of_all::<R>(),
    };
    let stored = view.database().map_or_else(
        || Ok(Scan::default()),
        |database| database.newest(key, ask.below, ask.since, more, fits),
    )?;
    let horizon = stored.horizon.max(live.horizon);
    let mut seen = HashSet::new();
    // A record that was on its way is found twice.
    let mut records: Vec<_> = live
        .records
        .into_iter()
        .chain(recent)
        .chain(stored.records)
        .collect();
    records.retain(|record| seen.insert(record.id()));
    records.retain(|record| horizon.is_none_or(|horizon| record.place() > horizon));
    records.sort_unstable_by_key(|record| Reverse(record.place()));
    let has_more = records.len() > ask.limit;
    records.truncate(ask.limit);
    let last = records.last().filter(|_| has_more);
    let next = last.map(|record| record.place()).or(horizon);
    let since = next.map_or(ask.since, |(at, _)| at);
    let until = ask.below.map_or(UnixNanos(u64::MAX), |(at, _)| at);
    Ok(Page {
        next,
        records,
        hole: hole.filter(|hole| hole.touches(since, until)),
    })
}

impl Kind for ConnectionRecord {
    fn live(
        view: &SharedView,
        ask: &Ask<ConnectionId>,
        keep: &dyn Fn(&Self) -> bool,
    ) -> Scan<Self> {
        let folder = view.live();
        let live = folder.reconciler();
        if let Some(Name::Trace(id)) = ask.name {
            let ids = live.connections_known_as(id).into_iter();
            return Scan::of(ids.filter_map(|id| live.connection(id)), keep);
        }
        let newest = live.connections_newest(ask.below);
        let newest = newest.filter(|live| match ask.name {
            Some(Name::End(end)) => live
                .key()
                .is_some_and(|key| key.local == end || key.peer == end),
            Some(Name::Trace(_) | Name::RequestId(_)) | None => true,
        });
        let newest = newest.filter_map(LiveConnection::record);
        Scan::newest(newest, ask, keep)
    }

    fn live_one(view: &SharedView, id: ConnectionId) -> Option<Self> {
        view.live().reconciler().connection(id)
    }

    fn recent(recent: &Recent) -> &Table<Self> {
        &recent.connections
    }
}

impl Kind for RequestRecord {
    fn live(view: &SharedView, ask: &Ask<SpanId>, keep: &dyn Fn(&Self) -> bool) -> Scan<Self> {
        let folder = view.live();
        let live = folder.reconciler();
        let ids = match &ask.name {
            Some(Name::Trace(id)) => live.requests_of_trace(*id),
            Some(Name::RequestId(id)) => live.requests_with_request_id(id),
            Some(Name::End(_)) => Vec::new(),
            None => {
                let newest = live.requests_newest(ask.below).map(LiveRequest::record);
                return Scan::newest(newest, ask, keep);
            }
        };
        let ids = ids.into_iter();
        Scan::of(ids.filter_map(|id| live.request(id)), keep)
    }

    fn live_one(view: &SharedView, id: SpanId) -> Option<Self> {
        view.live().reconciler().request(id)
    }

    fn recent(recent: &Recent) -> &Table<Self> {
        &recent.requests
    }
}

// === impl Scan ===

impl<R: Row> Scan<R> {
    /// Looks at all.
    fn of(records: impl Iterator<Item = R>, keep: &dyn Fn(&R) -> bool) -> Self {
        let records = records.filter(|record| keep(record));
        Self {
            records: records.map(Arc::new).collect(),
            horizon: None,
        }
    }

    /// Looks at the newest, until there are enough, or too many to look at while nothing is folded.
    fn newest(
        newest: impl Iterator<Item = R>,
        ask: &Ask<R::Id>,
        keep: &dyn Fn(&R) -> bool,
    ) -> Self {
        let mut scan = Self::default();
        for (looked_at, record) in newest.enumerate() {
            if record.began_at() < ask.since || scan.records.len() > ask.limit {
                break;
            }
            if looked_at >= LIVE_MAX {
                scan.horizon = Some(record.place());
                break;
            }
            if keep(&record) {
                scan.records.push(Arc::new(record));
            }
        }
        scan
    }
}
