//! The requests that are not settled, found by span id and by when they are due.
//!
//! They stay for about the grace period, so there are few of them beside connections; rare queries (by trace,
//! newest first) scan them all.

use std::{cmp::Reverse, collections::BinaryHeap, hint::black_box, sync::Arc};

use syntrace_model::{BootNanos, ConnKey, Opening, SpanId, TraceId, UnixNanos};

use crate::{
    calendar::Calendar,
    checkpoint::RequestState,
    fact::{Report, SenderId},
    index::Index,
    slab::{Slab, Slot},
    sockets::{HashedTuple, Sockets, tick_after},
};

/// The tick of requests for which there is no clock yet to place them by.
const UNPLACED: u64 = u64::MAX;

/// Stands for the hash of a request that was not sent: no hash is odd.
const NOT_SENT: u32 = 1;

/// A request that is not settled.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) sender: SenderId,
    pub(crate) report: Arc<Report>,
    /// The report's, to be found without it.
    span_id: SpanId,
    /// How far time had passed on its arrival.
    pub(crate) arrived_at: BootNanos,
    /// What its connections are found by.
    pub(crate) sides: Sides,
    /// Where it stands among all.
    pub(crate) place: Place,
    /// Another report has the same span id.
    pub(crate) repeated: bool,
    /// Hashes of its trace id and its `x-request-id`.
    names: [u32; 2],
    /// Its place among those that settle at the end of the same tick.
    due: u32,
}

/// Where a request stands among all, as far as the clock is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// When it settles, once there is a clock to place it by.
    pub(crate) due: Option<BootNanos>,
    /// It came after the grace period.
    pub(crate) late: bool,
    /// What is wrong with its time.
    pub(crate) wrong: Option<&'static str>,
}

/// What a request's connections are found by, as far as the proxy names their ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sides {
    /// The one that it came in on: the TCP connection itself, where the proxy distinguishes it.
    pub(crate) received_on: Option<HashedTuple>,
    /// The one that carried it to the service.
    pub(crate) served_by: Option<HashedTuple>,
}

/// All requests that are not settled.
#[derive(Debug)]
pub(crate) struct Requests {
    pending: Slab<Pending>,
    by_span: Index,
    /// In order of when they settle, then of their ids.
    by_due: Calendar<(Option<BootNanos>, SpanId)>,
    /// The hash of the upstream tuple, or [`NOT_SENT`], by slot: small enough to be read in whole.
    upstreams: Vec<u32>,
    /// How many have a wrong time, as far as the clock is known.
    wrong: usize,
}

// === impl Requests ===

impl Requests {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            pending: Slab::default(),
            by_span: Index::new(seed),
            by_due: Calendar::new(seed),
            upstreams: Vec::new(),
            wrong: 0,
        }
    }

    /// Keeps a request at its place. Returns whether another one had its span id: then the lower of both
    /// stays, whichever came first.
    pub(crate) fn insert(
        &mut self,
        sender: &SenderId,
        report: Arc<Report>,
        arrived_at: BootNanos,
        sides: Sides,
        place: Place,
    ) -> bool {
        let id = report.span_id;
        let known = self.slot(id);
        if let Some(slot) = known
            && let Some(known) = self.pending.get_mut(slot)
        {
            known.repeated = true;
            if rank(&known.sender, &known.report) <= rank(sender, &report) {
                return true;
            }
            self.leave(slot);
            self.remove(slot);
        }
        let names = [
            self.by_span.hash(report.trace_id),
            self.by_span.hash(&*report.http.request_id),
        ];
        self.enter(Pending {
            sender: sender.clone(),
            span_id: id,
            report,
            arrived_at,
            sides,
            place,
            repeated: known.is_some(),
            names,
            due: 0,
        });
        known.is_some()
    }

    /// Moves all requests to the places that `place` says.
    pub(crate) fn replace(&mut self, place: impl Fn(&Pending) -> Place) {
        let all = self.pending.iter().map(|(slot, _)| slot);
        self.replace_those(all.collect(), place);
    }

    /// Moves the requests with a wrong time to the places that `place` says: as a rule there are none.
    pub(crate) fn replace_wrong(&mut self, place: impl Fn(&Pending) -> Place) {
        if self.wrong == 0 {
            return;
        }
        let all = self.pending.iter();
        let wrong = all.filter(|(_, pending)| pending.place.wrong.is_some());
        self.replace_those(wrong.map(|(slot, _)| slot).collect(), place);
    }

    fn replace_those(&mut self, slots: Vec<Slot>, place: impl Fn(&Pending) -> Place) {
        for slot in slots {
            let Some(pending) = self.pending.get_mut(slot) else {
                continue;
            };
            let before = pending.place.tick();
            self.wrong -= usize::from(pending.place.wrong.is_some());
            pending.place = place(pending);
            self.wrong += usize::from(pending.place.wrong.is_some());
            let after = pending.calendar_key();
            self.by_due
                .remove(&mut self.pending, before, slot, |pending| &mut pending.due);
            self.by_due
                .insert(&mut self.pending, after, slot, |pending| &mut pending.due);
        }
    }

    fn enter(&mut self, pending: Pending) {
        let (id, key) = (pending.span_id, pending.calendar_key());
        let upstream = pending.sides.served_by.map_or(NOT_SENT, HashedTuple::hash);
        self.wrong += usize::from(pending.place.wrong.is_some());
        let slot = self.pending.insert(pending);
        match self.upstreams.get_mut(slot as usize) {
            Some(known) => *known = upstream,
            None => self.upstreams.push(upstream),
        }
        self.by_span.insert(self.by_span.hash(id), slot);
        self.by_due
            .insert(&mut self.pending, key, slot, |pending| &mut pending.due);
    }

    /// Removes a request that is no longer in the calendar.
    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Pending> {
        let id = self.pending.get(slot)?.span_id;
        self.by_span.remove(self.by_span.hash(id), slot);
        if let Some(upstream) = self.upstreams.get_mut(slot as usize) {
            *upstream = NOT_SENT;
        }
        let removed = self.pending.remove(slot)?;
        self.wrong -= usize::from(removed.place.wrong.is_some());
        Some(removed)
    }

    /// Removes a request from the calendar.
    fn leave(&mut self, slot: Slot) {
        if let Some(tick) = self.at(slot).map(|pending| pending.place.tick()) {
            self.by_due
                .remove(&mut self.pending, tick, slot, |pending| &mut pending.due);
        }
    }

    /// Reads where the index holds these requests: see [`crate::prefetch`].
    pub(crate) fn prefetch(&self, slots: &[Slot]) {
        let spans = slots
            .iter()
            .filter_map(|&slot| Some(self.at(slot)?.span_id));
        let held = spans.filter_map(|id| self.by_span.slot(self.by_span.hash(id)));
        black_box(held.fold(0, Slot::wrapping_add));
    }

    /// Returns what is kept at a place.
    pub(crate) fn at(&self, slot: Slot) -> Option<&Pending> {
        self.pending.get(slot)
    }

    /// Returns a request.
    pub(crate) fn get(&self, id: SpanId) -> Option<&Pending> {
        self.pending.get(self.slot(id)?)
    }

    /// Returns how many there are.
    pub(crate) const fn len(&self) -> usize {
        self.pending.len()
    }

    /// Returns all, in no order that means anything.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Pending> {
        self.pending.iter().map(|(_, pending)| pending)
    }

    /// Returns those that were sent on a tuple, or on one with its hash, by the sender with this epoch, and settle
    /// by `due`, in no order that means anything.
    pub(crate) fn sent_on(
        &self,
        tuple: HashedTuple,
        epoch: u64,
        due: BootNanos,
    ) -> impl Iterator<Item = &Pending> {
        let sent = self.upstreams.iter().enumerate();
        let sent = sent.filter(move |&(_, &upstream)| upstream == tuple.hash());
        let sent = sent.filter_map(|(slot, _)| self.at(slot as Slot));
        sent.filter(move |pending| {
            pending.sender.epoch == epoch && pending.place.due.is_some_and(|at| at <= due)
        })
    }

    /// Returns the requests that began before a place among all, the latest first.
    pub(crate) fn newest(
        &self,
        below: Option<(UnixNanos, SpanId)>,
    ) -> impl Iterator<Item = &Pending> {
        let place = |pending: &Pending| (pending.report.started_at, pending.report.span_id);
        let all = self.pending.iter();
        let all = all.map(move |(slot, pending)| (place(pending), slot));
        let fitting = all.filter(|(place, _)| below.is_none_or(|below| *place < below));
        let mut fitting: BinaryHeap<_> = fitting.collect();
        std::iter::from_fn(move || fitting.pop()).filter_map(|(_, slot)| self.pending.get(slot))
    }

    /// Returns the requests of a trace, in the order of their ids.
    pub(crate) fn of_trace(&self, id: TraceId) -> Vec<SpanId> {
        let hash = self.by_span.hash(id);
        self.named(0, hash, |report| report.trace_id == id)
    }

    /// Returns the requests with an `x-request-id`, in the order of their ids.
    pub(crate) fn with_request_id(&self, id: &str) -> Vec<SpanId> {
        let hash = self.by_span.hash(id);
        self.named(1, hash, |report| &*report.http.request_id == id)
    }

    /// Returns all, to go on from, in the order of their ids.
    pub(crate) fn checkpoint(&self) -> Vec<RequestState> {
        let states = self.all().map(|pending| RequestState {
            sender: pending.sender.clone(),
            report: Arc::clone(&pending.report),
            arrived_at: pending.arrived_at,
            due: pending.place.due,
            late: pending.place.late,
            wrong: pending.place.wrong,
            repeated: pending.repeated,
        });
        let mut states: Vec<_> = states.collect();
        states.sort_unstable_by_key(|state| state.report.span_id);
        states
    }

    /// Restores what was known before, at its place.
    pub(crate) fn restore(&mut self, state: RequestState, sides: Sides) {
        let id = state.report.span_id;
        let place = Place {
            due: state.due,
            late: state.late,
            wrong: state.wrong,
        };
        self.insert(&state.sender, state.report, state.arrived_at, sides, place);
        if let Some(pending) = self.slot(id).and_then(|slot| self.pending.get_mut(slot)) {
            pending.repeated = state.repeated;
        }
    }

    /// Returns the first tick at whose end a request settles.
    pub(crate) fn first_due(&self) -> Option<u64> {
        self.by_due.first_tick().filter(|&tick| tick != UNPLACED)
    }

    /// Takes the requests out of the calendar that settle at the end of a tick; returns where they are
    /// kept, in order.
    pub(crate) fn take_due(&mut self, tick: u64) -> Vec<Slot> {
        self.by_due.take(tick)
    }

    /// Takes the requests out of the calendar that wait for a clock, in the same way.
    pub(crate) fn take_unplaced(&mut self) -> Vec<Slot> {
        self.take_due(UNPLACED)
    }

    /// Takes the request out of the calendar that is to go first when there are too many: one of those that
    /// would settle next.
    pub(crate) fn take_first(&mut self) -> Option<Slot> {
        let first = self.by_due.first()?;
        self.leave(first);
        Some(first)
    }

    fn named(&self, name: usize, hash: u32, is: impl Fn(&Report) -> bool) -> Vec<SpanId> {
        let perhaps = self
            .all()
            .filter(|pending| pending.names.get(name) == Some(&hash));
        let named = perhaps.filter(|pending| is(&pending.report));
        let mut ids: Vec<_> = named.map(|pending| pending.report.span_id).collect();
        ids.sort_unstable();
        ids
    }

    fn slot(&self, id: SpanId) -> Option<Slot> {
        let is = |slot: &Slot| {
            let pending = self.pending.get(*slot);
            pending.is_some_and(|pending| pending.span_id == id)
        };
        self.by_span.slots(self.by_span.hash(id)).find(is)
    }
}

/// Orders reports with one span id.
fn rank<'a>(sender: &'a SenderId, report: &Report) -> impl Ord + use<'a> {
    (
        sender,
        report.started_at,
        Reverse(report.duration_ns),
        report.trace_id,
        report.downstream_connection,
    )
}

// === impl Sides ===

impl Sides {
    /// Returns what the connections of a request are found by among these sockets.
    pub(crate) fn of(report: &Report, sockets: &Sockets) -> Self {
        let accepted = report.direct.or(report.downstream);
        let dialled = report.upstream.as_ref().and_then(|upstream| {
            let (local, peer) = (upstream.local?, upstream.peer);
            Some(ConnKey { local, peer })
        });
        Self {
            received_on: accepted.map(|key| sockets.hashed(Opening::Passive, key)),
            served_by: dialled.map(|key| sockets.hashed(Opening::Active, key)),
        }
    }
}

// === impl Pending ===

impl Pending {
    /// Returns the tick at whose end it settles, and its place in the order of those that do.
    fn calendar_key(&self) -> (u64, (Option<BootNanos>, SpanId)) {
        (self.place.tick(), (self.place.due, self.span_id))
    }
}

// === impl Place ===

impl Place {
    fn tick(self) -> u64 {
        self.due.map_or(UNPLACED, tick_after)
    }
}
