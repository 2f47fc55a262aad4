//! The fold: takes facts in, lets time pass, gives records out.
//!
//! A record is a function of the *set* of facts about it, made when it settles: a request a grace
//! period after its end, a connection a grace period after its close. Facts only add to what is
//! known, so neither their order nor their repetition matters as long as they arrive within the
//! grace period. What comes later is counted, and told of the record that it belonged to
//! ([`Reconciler::late`]).

use std::{collections::VecDeque, sync::Arc};

use syntrace_model::{BootNanos, ClockSample, ConnectionId};

use crate::{
    assemble::{Assembled, Known},
    checkpoint::RequestState,
    clock::Clock,
    fact::{Batch, Fact, Incident, Report, SenderId, Snapshot},
    gaps::Gaps,
    gateway::Bindings,
    ledger::{Coverage, Ledger},
    limits::Limits,
    placing::place,
    record::{ConnectionRecord, Join, LinkKind, RequestRecord, Role},
    remembered::Remembered,
    requests::{Place, Requests},
    slab::Slot,
    sockets::{Connection, DUE_SHIFT, Sockets},
    tellers::TellerId,
};

/// How long a probe that is behind is waited for. It may be so busy as to be a queue's length behind; what
/// it tells then would come to records that were given out without it.
const PATIENCE_NS: u64 = 30_000_000_000;

/// How long a connection that only the proxy saw stays open without a request: it names no end.
const PROXY_IDLE_NS: u64 = 60_000_000_000;

/// A record of which nothing more is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A request; it comes before the connections that it was joined to.
    Request(RequestRecord),
    /// A connection.
    Connection(ConnectionRecord),
}

/// Gives each connection one trace id from what the kernel and the proxy saw.
///
/// Performs no IO and reads no clock. `handle_*` feed an input, `poll_*` return what the caller must
/// do next. The timeline is `CLOCK_BOOTTIME` of this host; reports are moved to it by [`ClockSample`]s,
/// and wait until there is one.
#[derive(Debug)]
pub struct Reconciler {
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) ledger: Ledger,
    pub(crate) gaps: Gaps,
    pub(crate) coverage: Coverage,
    pub(crate) bindings: Bindings,
    /// Who reported the rung.
    pub(crate) probe: Option<SenderId>,
    pub(crate) sockets: Sockets,
    pub(crate) requests: Requests,
    pub(crate) settled: Remembered,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) now: BootNanos,
}

// === impl Reconciler ===

impl Reconciler {
    /// Returns a reconciler that knows nothing yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            clock: Clock::default(),
            ledger: Ledger::default(),
            gaps: Gaps::default(),
            coverage: Coverage::default(),
            bindings: Bindings::default(),
            probe: None,
            sockets: Sockets::new(limits),
            requests: Requests::new(limits.hash_seed),
            settled: Remembered::new(limits.hash_seed),
            outputs: VecDeque::new(),
            now: BootNanos(0),
        }
    }

    /// Feeds what a sender saw; facts that came before are counted and have no effect.
    pub fn handle_batch(&mut self, batch: Batch) {
        let new = self.ledger.note(&batch);
        let sender = batch.sender;
        let told_until = batch.facts.iter().rev().find_map(|fact| {
            let Fact::Clock(sample) = fact else {
                return None;
            };
            Some(sample.boot)
        });
        self.sockets.hear(&sender, batch.goodbye, told_until);
        self.look_over(&batch.facts);
        let mut teller = None;
        // In place: most of what a fact takes up is not looked at.
        for (place, fact) in batch.facts.iter().enumerate() {
            if !new.contains(place) {
                self.coverage.duplicates += 1;
                continue;
            }
            let seq = batch.first_seq.saturating_add(place as u64);
            self.gaps.note(&sender, seq, fact);
            match fact {
                Fact::Clock(sample) => self.handle_clock(*sample),
                Fact::Connection(snapshot) => {
                    let teller = *teller.get_or_insert_with(|| self.sockets.teller(&sender));
                    self.handle_snapshot(teller, snapshot);
                }
                Fact::Request(report) => self.handle_report(&sender, Arc::clone(report)),
                Fact::Incident(incident) => self.handle_incident(incident),
                Fact::Rung(rung) => {
                    self.sockets.teller(&sender);
                    self.coverage.rung = Some(rung.clone());
                    self.probe = Some(sender.clone());
                }
                Fact::Refused(field) => {
                    *self.coverage.refused.entry(*field).or_default() += 1;
                }
            }
        }
        if batch.goodbye && self.probe.as_ref() == Some(&sender) {
            self.coverage.rung = None;
        }
    }

    /// Settles everything that is due at `now`; what a probe that is behind may still tell of waits for it.
    pub fn handle_timeout(&mut self, now: BootNanos) {
        self.now = self.now.max(now);
        self.sockets.heard_by(self.now);
        let waits_from = self.now.minus_ns(PATIENCE_NS);
        let passed = self
            .told_of()
            .map_or(self.now, |told| self.now.min(told.max(waits_from)));
        let passed = passed.0 >> DUE_SHIFT;
        while let Some(tick) = self.first_due().filter(|&tick| tick <= passed) {
            let due = self.requests.take_due(tick);
            self.look_ahead(&due);
            for slot in due {
                self.settle_request(slot, false);
            }
            let due = self.sockets.take_due(tick);
            self.sockets.look_all_over(&due);
            for slot in due {
                self.settle_connection(slot);
            }
        }
        for slot in self.sockets.pass(self.now) {
            self.coverage.connections_unseen += 1;
            self.settle_connection(slot);
        }
        if self
            .probe
            .as_ref()
            .is_some_and(|probe| self.sockets.is_gone(probe))
        {
            self.coverage.rung = None;
        }
    }

    /// Settles everything at once: the caller ends.
    pub fn drain(&mut self) {
        while let Some(tick) = self.requests.first_due() {
            for slot in self.requests.take_due(tick) {
                self.settle_request(slot, false);
            }
        }
        for slot in self.requests.take_unplaced() {
            self.settle_request(slot, false);
        }
        for slot in self.sockets.in_order() {
            self.settle_connection(slot);
        }
    }

    /// Returns when [`Self::handle_timeout`] must next be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<BootNanos> {
        let tick = self.first_due()?;
        let due = BootNanos(tick.saturating_mul(1 << DUE_SHIFT));
        let waits = self.told_of().is_some_and(|told| told < due);
        Some(due.plus_ns(if waits { PATIENCE_NS } else { 0 }))
    }

    /// Returns the next settled record, or `None` when all are taken.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns how many facts about a connection came after its record was given out, which does not hold
    /// them; known of the connections settled last, see [`Limits::remembered`].
    #[must_use]
    pub fn late(&self, id: ConnectionId) -> u64 {
        self.settled.late(id)
    }

    /// Returns what was seen, joined and lost so far.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        Coverage {
            senders: self.ledger.senders(),
            connections_live: self.sockets.len(),
            requests_live: self.requests.len(),
            incidents_evicted: self.sockets.incidents_evicted(),
            ..self.coverage.clone()
        }
    }

    pub(crate) fn known(&self) -> Known<'_> {
        Known {
            clock: &self.clock,
            ledger: &self.ledger,
            gaps: &self.gaps,
            sockets: &self.sockets,
            bindings: &self.bindings,
            rung: self.coverage.rung.as_ref(),
        }
    }

    /// Returns what was due by when the probe that is furthest behind has told of all, if one is behind.
    fn told_of(&self) -> Option<BootNanos> {
        let told_until = self.sockets.behind()?;
        Some(told_until.plus_ns(self.limits.grace_ns))
    }

    fn first_due(&self) -> Option<u64> {
        let requests = self.requests.first_due();
        let sockets = self.sockets.first_due();
        requests.into_iter().chain(sockets).min()
    }

    fn handle_clock(&mut self, sample: ClockSample) {
        if self.clock.add(sample) {
            self.place_requests();
        }
    }

    /// Takes back requests that were known before.
    pub(crate) fn restore_requests(&mut self, states: Vec<RequestState>) {
        for state in states {
            let RequestState {
                report, arrived_at, ..
            } = &state;
            let place = Place {
                due: state.due,
                ..place(&self.clock, &self.limits, report, *arrived_at, self.now)
            };
            self.requests.restore(state, place);
        }
    }

    /// Places all requests anew.
    fn place_requests(&mut self) {
        let (clock, limits, now) = (&self.clock, &self.limits, self.now);
        self.requests
            .replace(|pending| place(clock, limits, &pending.report, pending.arrived_at, now));
    }

    fn handle_snapshot(&mut self, teller: TellerId, snapshot: &Snapshot) {
        let known = self.sockets.find(snapshot.id());
        if known.is_none() && self.is_late(snapshot.id()) {
            return;
        }
        for kind in self.sockets.observe(known, snapshot, teller).names() {
            self.contradict(kind);
        }
        self.bound_connections();
    }

    fn handle_incident(&mut self, incident: &Incident) {
        *self.coverage.incidents.entry(incident.kind).or_default() += u64::from(incident.count);
        let id = incident.id();
        let is_live = incident.peer.is_none() || self.sockets.find(id).is_some();
        if is_live || !self.is_late(id) {
            self.sockets.happen(incident);
        }
    }

    /// Returns whether a connection was settled lately, and counts what came late then.
    fn is_late(&mut self, id: ConnectionId) -> bool {
        let is_late = self.settled.count_late(id);
        self.coverage.late += u64::from(is_late);
        is_late
    }

    fn handle_report(&mut self, sender: &SenderId, report: Arc<Report>) {
        let place = place(&self.clock, &self.limits, &report, self.now, self.now);
        if self.requests.insert(sender, report, self.now, place) {
            self.contradict("span_id_repeated");
        }
        while self.requests.len() > self.limits.live_requests
            && let Some(first) = self.requests.first_to_go()
        {
            self.coverage.requests_evicted += 1;
            self.settle_request(first, true);
        }
    }

    fn contradict(&mut self, kind: &'static str) {
        *self.coverage.contradictions.entry(kind).or_default() += 1;
    }

    fn bound_connections(&mut self) {
        while self.sockets.len() > self.limits.live_connections
            && let Some(first) = self.sockets.first_to_go()
        {
            self.coverage.connections_evicted += 1;
            self.sockets.evict(first);
            self.settle_connection(first);
        }
    }

    fn settle_request(&mut self, slot: Slot, evicted: bool) {
        let Some(pending) = self.requests.remove(slot) else {
            return;
        };
        let mut assembled = self.known().request(&pending.sender, &pending.report, true);
        let record = &mut assembled.record;
        record.coverage.evicted = evicted;
        record.coverage.late = pending.place.late;
        self.coverage.late += u64::from(pending.place.late);
        if let Some(wrong) = pending.place.wrong {
            record.coverage.contradictions.push(wrong);
            self.contradict(wrong);
        }
        if pending.repeated {
            record.coverage.contradictions.push("span_id_repeated");
        }
        self.assign(&assembled);
        let record = assembled.record;
        self.coverage.requests_settled += 1;
        match &record.received_on {
            Join::To {
                method, confidence, ..
            } => {
                *self
                    .coverage
                    .requests_joined
                    .entry((*method, confidence.name()))
                    .or_default() += 1;
            }
            Join::Missing(missing) => {
                *self.coverage.requests_unjoined.entry(*missing).or_default() += 1;
            }
        }
        self.outputs.push_back(Output::Request(record));
    }

    fn settle_connection(&mut self, slot: Slot) {
        let Some(connection) = self.sockets.at(slot) else {
            return;
        };
        let id = connection.id();
        let own = connection.contradictions_at_end();
        let unseen = connection.is_unseen();
        let record = self.known().connection(id, connection, true);
        own.names().for_each(|kind| self.contradict(kind));
        self.sockets.remove(slot);
        // Another run of the probe may tell of it again.
        if !unseen {
            self.settled.add(id, self.limits.remembered);
        }
        if let Some(record) = record {
            self.coverage.connections_settled += 1;
            self.outputs.push_back(Output::Connection(record));
        }
    }

    /// Enters a settled request into the records of the connections that it was joined to, and learns
    /// from the joins that are certain, for those that end after it.
    fn assign(&mut self, assembled: &Assembled) {
        let Assembled { record, .. } = assembled;
        let report = &record.report;
        let epoch = record.sender.epoch;
        let number = (epoch, report.downstream_connection);
        let received_on = assembled
            .received_on
            .or_else(|| self.sockets.numbered(number))
            .or_else(|| self.expect_idle(record.connection(), report));
        if let Some(slot) = received_on {
            let certain = record.received_on.is_certain();
            let socket = self.sockets.at(slot).and_then(Connection::socket);
            if let Some(socket) = socket.filter(|_| certain) {
                self.bindings.accepted(epoch, socket);
            }
            let number = certain.then_some(number);
            self.sockets.learn(slot, assembled.ended_at, number);
            // Only who is certain may name a connection: a guess never decides an id.
            if let Some(minted) = report.connection_trace_id
                && record.received_on.may_name()
            {
                self.sockets.mint(slot, report.started_at, minted);
            }
            self.sockets
                .assign(slot, report, LinkKind::ReceivedOn, Role::Downstream);
        }
        let upstream = [
            (LinkKind::ServedBy, assembled.served_by),
            (LinkKind::Opened, assembled.opened),
        ];
        let is_certain = record.served_by.as_ref().is_some_and(Join::is_certain);
        for (kind, slot) in upstream {
            let Some(slot) = slot else { continue };
            let socket = self.sockets.at(slot).and_then(Connection::socket);
            let served = kind == LinkKind::ServedBy && is_certain;
            if let Some(socket) = socket.filter(|_| served) {
                self.bindings.dialled(epoch, socket);
            }
            self.sockets.assign(slot, report, kind, Role::Upstream);
        }
        self.bound_connections();
    }

    /// Makes sure that a connection that only the proxy saw is known, and moves its end behind its last
    /// request; unless it was settled before: a connection settles once.
    fn expect_idle(&mut self, id: ConnectionId, report: &Report) -> Option<Slot> {
        if self.is_late(id) {
            return None;
        }
        let started_at = self.clock.to_boot(report.started_at).unwrap_or(self.now);
        let idle_at = started_at
            .plus_ns(report.duration_ns)
            .plus_ns(PROXY_IDLE_NS);
        self.sockets.proxy_only(id, started_at, idle_at)
    }
}
