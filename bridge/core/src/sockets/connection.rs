//! One live connection: as it is kept, and as it is read.

use std::collections::VecDeque;

use smallvec::SmallVec;
use syntrace_model::{BootNanos, ConnectionId, TraceId, UnixNanos};

use super::{Context, Contradictions, Incidents, Kernel, Socket};
use crate::{
    fact::Report,
    record::{ConnectionIncident, LinkKind, RequestRef, Role},
    slab::Slot,
};

/// Different ids that filters may claim to have minted for one connection; an honest one mints one.
const MINTED_MAX: usize = 4;

/// One live connection, as it is kept.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The socket's cookie, or Envoy's number.
    pub(super) number: u64,
    /// What it shares with others.
    pub(super) context: Slot,
    /// What the gateway used it for.
    pub(super) role: Option<Role>,
    pub(super) contradictions: Contradictions,
    pub(super) evicted: bool,
    /// What the kernel says of it; absent if only the proxy saw it.
    pub(super) kernel: Option<Kernel>,
    /// What was assigned to it; absent before the first request settled.
    pub(super) assigned: Option<Box<Assigned>>,
    /// What happened to it, if anything did.
    pub(super) incidents: Option<Box<Incidents>>,
    /// Its place among those that began in the same tick.
    pub(super) age: u32,
    /// Its place among those that settle at the end of the same tick.
    pub(super) due: u32,
}

/// What was assigned to a connection.
#[derive(Debug, Default)]
pub(crate) struct Assigned {
    /// Ids that the filter minted for it, each by the start of a request that says so; of an honest one it lies
    /// here.
    pub(super) minted: SmallVec<[(UnixNanos, TraceId); 1]>,
    /// Its requests, by start; the first one names a connection that has no other id.
    pub(super) requests: VecDeque<RequestRef>,
    /// Requests that the bound left out.
    pub(super) requests_evicted: u64,
    /// The filter's epoch and the proxy's number of it, by the first join that is certain.
    pub(super) number: Option<(u64, u64)>,
    /// When the first of its requests ended.
    pub(super) first_end: Option<BootNanos>,
    /// When its first request began, on the kernel's clock, if only the proxy saw it.
    pub(super) began_at: BootNanos,
    /// When it counts as closed, if only the proxy saw it.
    pub(super) idle_at: Option<BootNanos>,
}

/// One live connection, read in place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection<'a> {
    pub(super) slot: Slot,
    pub(super) entry: &'a Entry,
    pub(super) context: &'a Context,
    /// Its probe still watches.
    pub(super) watched: bool,
    /// Its probe ended without goodbye.
    pub(super) left_silently: bool,
}

// Most of what an open connection weighs.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Entry>() == 184);

// === impl Entry ===

impl Entry {
    /// Returns a connection of which nothing is known but its name.
    pub(super) const fn new(number: u64, context: Slot) -> Self {
        Self {
            number,
            context,
            role: None,
            contradictions: Contradictions::NONE,
            evicted: false,
            kernel: None,
            assigned: None,
            incidents: None,
            age: 0,
            due: 0,
        }
    }

    /// Reads a little of everything: see [`crate::prefetch`].
    pub(super) fn touch(&self) -> u64 {
        let kernel = self.kernel.as_ref().map_or(0, Kernel::touch);
        self.number ^ kernel ^ u64::from(self.age)
    }

    /// Returns the first moment at which it is known to have existed.
    pub(super) fn began_at(&self) -> BootNanos {
        let assigned = self.assigned.as_ref();
        let proxy = assigned.map_or_else(BootNanos::default, |assigned| assigned.began_at);
        self.kernel.as_ref().map_or(proxy, Kernel::began_at)
    }

    /// Returns when it ended: closed, or idle for long where only the proxy saw it.
    pub(super) fn ended_at(&self) -> Option<BootNanos> {
        match &self.kernel {
            Some(kernel) => kernel.closed_at().filter(|_| kernel.outcome.is_final()),
            None => self.assigned.as_ref()?.idle_at,
        }
    }

    /// Returns how many incidents are kept beyond what there is always room for.
    pub(super) fn incidents_beyond(&self) -> usize {
        let incidents = self.incidents.as_ref();
        incidents.map_or(0, |incidents| incidents.beyond())
    }

    /// Returns, of its requests, the one that began last.
    pub(super) fn last_request(&self) -> Option<&RequestRef> {
        self.assigned.as_ref()?.requests.back()
    }

    /// Returns whether it is open and has requests.
    pub(super) fn is_used(&self) -> bool {
        self.ended_at().is_none() && self.last_request().is_some()
    }

    /// Returns whether it is open and has no requests.
    pub(super) fn is_unused(&self) -> bool {
        self.ended_at().is_none() && self.last_request().is_none()
    }
}

// === impl Assigned ===

impl Assigned {
    /// Reads a little of everything: see [`crate::prefetch`].
    pub(super) fn touch(&self) -> u64 {
        let minted = self.minted.first().map_or(0, |(at, _)| at.0);
        let latest = self.requests.back();
        let number = self.number.map_or(0, |(_, connection)| connection);
        let first_end = self.first_end.map_or(0, |at| at.0);
        minted ^ number ^ first_end ^ latest.map_or(0, |request| request.duration_ns)
    }

    /// Enters a request, at most `most` of them: the oldest are left out.
    pub(super) fn add(&mut self, report: &Report, kind: LinkKind, most: usize) {
        let request = RequestRef {
            started_at: report.started_at,
            span_id: report.span_id,
            trace_id: report.trace_id,
            kind,
            duration_ns: report.duration_ns,
        };
        self.enter(request, most);
    }

    /// Enters a request as it is listed.
    pub(super) fn enter(&mut self, request: RequestRef, most: usize) {
        // As a rule the latest comes last.
        if self.requests.back().is_none_or(|last| *last < request) {
            self.requests.push_back(request);
            self.keep_latest(most);
            return;
        }
        let after = self
            .requests
            .iter()
            .rev()
            .take_while(|known| **known > request);
        let place = self.requests.len() - after.count();
        let before = place
            .checked_sub(1)
            .and_then(|before| self.requests.get(before));
        if before == Some(&request) {
            return;
        }
        self.requests.insert(place, request);
        self.keep_latest(most);
    }

    fn keep_latest(&mut self, most: usize) {
        if self.requests.len() > most {
            self.requests.pop_front();
            self.requests_evicted += 1;
        }
    }

    /// Returns the ids that the filter minted, the earliest first.
    pub(super) fn minted(&self) -> [Option<TraceId>; MINTED_MAX] {
        std::array::from_fn(|n| self.minted.get(n).map(|&(_, id)| id))
    }

    /// Notes the id that the filter minted, by the earliest request that says so.
    pub(super) fn mint(&mut self, started_at: UnixNanos, id: TraceId) {
        match self.minted.iter_mut().find(|(_, known)| *known == id) {
            Some((known_at, _)) => *known_at = started_at.min(*known_at),
            None => self.minted.push((started_at, id)),
        }
        self.minted.sort_unstable();
        self.minted.truncate(MINTED_MAX);
    }
}

// === impl Connection ===

impl<'a> Connection<'a> {
    /// Returns the first moment at which it is known to have existed.
    pub(crate) fn began_at(self) -> BootNanos {
        self.entry.began_at()
    }

    /// Returns where it is kept.
    pub(crate) const fn slot(self) -> Slot {
        self.slot
    }

    /// Returns what names it.
    pub(crate) fn id(self) -> ConnectionId {
        self.context.id(self.entry.number)
    }

    /// Returns what the kernel says of it; `None` if only the proxy saw it.
    pub(crate) fn socket(self) -> Option<Socket<'a>> {
        let kernel = self.entry.kernel.as_ref()?;
        Some(Socket {
            kernel,
            connection: self,
        })
    }

    /// Returns what the gateway used it for.
    pub(crate) const fn role(self) -> Option<Role> {
        self.entry.role
    }

    /// Returns the ids that the filter minted for it, the earliest first.
    pub(crate) fn minted(self) -> impl Iterator<Item = TraceId> + 'a {
        let assigned = self.entry.assigned.iter();
        assigned.flat_map(|assigned| assigned.minted.iter().map(|&(_, id)| id))
    }

    /// Returns its requests, by start.
    pub(crate) fn requests(self) -> impl ExactSizeIterator<Item = &'a RequestRef> + Clone {
        static NONE: VecDeque<RequestRef> = VecDeque::new();
        let assigned = self.entry.assigned.as_ref();
        assigned.map_or(&NONE, |assigned| &assigned.requests).iter()
    }

    /// Returns how many requests the bound left out.
    pub(crate) fn requests_evicted(self) -> u64 {
        let assigned = self.entry.assigned.as_ref();
        assigned.map_or(0, |assigned| assigned.requests_evicted)
    }

    /// Returns the filter's epoch and the proxy's number of it, by the first join that is certain.
    pub(crate) fn number(self) -> Option<(u64, u64)> {
        self.entry.assigned.as_ref()?.number
    }

    /// Returns when the first of its requests ended.
    pub(crate) fn first_end(self) -> Option<BootNanos> {
        self.entry.assigned.as_ref()?.first_end
    }

    /// Returns what happened to it, by time.
    pub(crate) fn incidents(self) -> &'a [ConnectionIncident] {
        let incidents = self.entry.incidents.as_ref();
        incidents.map_or(&[], |incidents| incidents.newest())
    }

    /// Returns how many incidents the bound left out.
    pub(crate) fn incidents_evicted(self) -> u64 {
        let incidents = self.entry.incidents.as_ref();
        incidents.map_or(0, |incidents| incidents.evicted())
    }

    /// Returns the same, if any of them happened at that moment or later.
    pub(crate) fn incidents_evicted_since(self, from: BootNanos) -> u64 {
        let incidents = self.entry.incidents.as_ref();
        incidents.map_or(0, |incidents| incidents.evicted_since(from))
    }

    /// Returns which kinds of facts about it contradict each other, in order.
    pub(crate) fn contradictions(self) -> Contradictions {
        let kernel = self.entry.kernel.as_ref();
        let own = kernel.map_or(Contradictions::NONE, Kernel::contradictions);
        self.entry.contradictions.and(own)
    }

    /// Returns the kinds that were not counted yet: those that only the end shows.
    pub(crate) fn contradictions_at_end(self) -> Contradictions {
        self.contradictions().without(self.entry.contradictions)
    }

    /// Returns whether its end is known: a close without a final outcome is none.
    pub(crate) fn has_ended(self) -> bool {
        self.entry.ended_at().is_some()
    }

    /// Returns whether it is a socket whose end was not reported.
    pub(crate) fn is_unseen(self) -> bool {
        !self.has_ended() && !self.entry.evicted
    }

    /// Returns whether the bound on live connections ends its record early.
    pub(crate) const fn evicted(self) -> bool {
        self.entry.evicted
    }

    /// Returns whether the probe that reported it ended without saying goodbye.
    pub(crate) const fn left_silently(self) -> bool {
        self.left_silently
    }
}
