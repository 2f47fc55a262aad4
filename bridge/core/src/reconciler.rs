//! The fold: takes facts in, lets time pass, gives records out.
//!
//! A record is a function of the *set* of facts about it, made when it settles: a request a grace
//! period after its end, a connection a grace period after its close. Facts only add to what is
//! known, so neither their order nor their repetition matters as long as they arrive within the
//! grace period. What comes later is counted.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use syntrace_model::{BootNanos, ClockSample, ConnectionId, Opening, SpanId};

use crate::{
    assemble::Known,
    clock::Clock,
    fact::{Batch, Fact, Incident, Report, SenderId, Snapshot},
    join::DISORDER_NS,
    ledger::{Coverage, Ledger},
    record::{ConnectionRecord, Join, LinkKind, RequestRecord, Role},
    remembered::Remembered,
    sockets::{Connection, Sockets},
};

/// How long a connection that only the proxy saw stays open without a request: it names no end.
const PROXY_IDLE_NS: u64 = 60_000_000_000;

/// How much is kept, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long after its event a fact may arrive, nanoseconds.
    pub grace_ns: u64,
    /// How long a request may go on after an upstream connection that it used has closed, nanoseconds;
    /// one that goes on longer finds it no more.
    pub linger_ns: u64,
    /// Requests listed in one connection's record; the oldest are left out beyond.
    pub requests_per_connection: usize,
    /// Connections that are not settled; the oldest is settled early beyond.
    pub live_connections: usize,
    /// Requests that are not settled; the oldest is settled early beyond.
    pub live_requests: usize,
    /// Settled connections remembered, to tell late facts from new connections.
    pub remembered: usize,
}

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
    limits: Limits,
    clock: Clock,
    ledger: Ledger,
    coverage: Coverage,
    /// Who reported the rung.
    probe: Option<SenderId>,
    sockets: Sockets,
    requests: BTreeMap<SpanId, Pending>,
    /// Requests that came before any clock sample.
    unplaced: BTreeSet<SpanId>,
    deadlines: BTreeSet<(BootNanos, Due)>,
    settled: Remembered,
    outputs: VecDeque<Output>,
    now: BootNanos,
}

/// A request that is not settled.
#[derive(Debug)]
struct Pending {
    sender: SenderId,
    report: Arc<Report>,
    /// Its place among the deadlines, once there is a clock to place it by.
    deadline: Option<BootNanos>,
}

/// What a deadline settles: requests before the connections that they are joined to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Request(SpanId),
    Connection(ConnectionId),
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            grace_ns: 2_000_000_000,
            // Envoy's default route timeout.
            linger_ns: 15_000_000_000,
            requests_per_connection: 1_000,
            live_connections: 1_000_000,
            live_requests: 1_000_000,
            remembered: 65_536,
        }
    }
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
            coverage: Coverage::default(),
            probe: None,
            sockets: Sockets::default(),
            requests: BTreeMap::new(),
            unplaced: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            settled: Remembered::default(),
            outputs: VecDeque::new(),
            now: BootNanos(0),
        }
    }

    /// Feeds what a sender saw; facts that came before are counted and have no effect.
    pub fn handle_batch(&mut self, batch: Batch) {
        let new = self.ledger.note(&batch);
        for (fact, new) in batch.facts.into_iter().zip(new) {
            if !new {
                self.coverage.duplicates += 1;
                continue;
            }
            match fact {
                Fact::Clock(sample) => self.handle_clock(sample),
                Fact::Connection(snapshot) => self.handle_snapshot(snapshot),
                Fact::Request(report) => self.handle_report(batch.sender.clone(), report),
                Fact::Incident(incident) => self.handle_incident(&incident),
                Fact::Rung(rung) => {
                    self.coverage.rung = Some(rung);
                    self.probe = Some(batch.sender.clone());
                }
            }
        }
        if batch.goodbye && self.probe.as_ref() == Some(&batch.sender) {
            self.coverage.rung = None;
        }
    }

    /// Settles everything that is due at `now`.
    pub fn handle_timeout(&mut self, now: BootNanos) {
        self.now = self.now.max(now);
        while let Some(&(deadline, due)) = self.deadlines.first()
            && deadline <= now
        {
            self.deadlines.pop_first();
            self.settle(due);
        }
    }

    /// Settles everything at once: the caller ends.
    pub fn drain(&mut self) {
        let requests: Vec<_> = self.requests.keys().copied().collect();
        requests
            .into_iter()
            .for_each(|id| self.settle(Due::Request(id)));
        let connections: Vec<_> = self.sockets.ids().collect();
        connections
            .into_iter()
            .for_each(|id| self.settle(Due::Connection(id)));
        self.deadlines.clear();
    }

    /// Returns when [`Self::handle_timeout`] must next be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<BootNanos> {
        self.deadlines.first().map(|&(deadline, _)| deadline)
    }

    /// Returns the next settled record, or `None` when all are taken.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns a connection that is not settled, as far as it is known.
    #[must_use]
    pub fn connection(&self, id: ConnectionId) -> Option<ConnectionRecord> {
        self.known().connection(id, self.sockets.get(id)?, false)
    }

    /// Returns a request that is not settled, as far as it is known.
    #[must_use]
    pub fn request(&self, id: SpanId) -> Option<RequestRecord> {
        self.requests.get(&id).map(|pending| {
            self.known()
                .request(&pending.sender, &pending.report, false)
        })
    }

    /// Returns all connections that are not settled.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionRecord> + '_ {
        self.sockets.ids().filter_map(|id| self.connection(id))
    }

    /// Returns all requests that are not settled.
    pub fn requests(&self) -> impl Iterator<Item = RequestRecord> + '_ {
        self.requests.values().map(|pending| {
            self.known()
                .request(&pending.sender, &pending.report, false)
        })
    }

    /// Returns what was seen, joined and lost so far.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        Coverage {
            senders: self.ledger.senders(),
            connections_live: self.sockets.len(),
            requests_live: self.requests.len(),
            ..self.coverage.clone()
        }
    }

    fn handle_clock(&mut self, sample: ClockSample) {
        self.clock.add(sample);
        for id in std::mem::take(&mut self.unplaced) {
            self.place(id);
        }
    }

    fn handle_snapshot(&mut self, snapshot: Snapshot) {
        let id = snapshot.id();
        if self.settled.contains(id) {
            self.coverage.late += 1;
            return;
        }
        // Its requests settle first. What came in on a connection ends with it; what was sent on one
        // may end later, when the client has read the answer or the last retry has failed.
        let linger_ns = match snapshot.opening {
            Opening::Passive => 2 * DISORDER_NS,
            Opening::Active => self.limits.linger_ns,
        };
        let closed_at = snapshot.closed_at.filter(|_| snapshot.outcome.is_final());
        if let Err(contradiction) = self.sockets.observe(snapshot) {
            *self
                .coverage
                .contradictions
                .entry(contradiction.name())
                .or_default() += 1;
            return;
        }
        if let Some(closed_at) = closed_at {
            let deadline = closed_at.plus_ns(self.limits.grace_ns).plus_ns(linger_ns);
            self.deadlines.insert((deadline, Due::Connection(id)));
        }
        while self.sockets.len() > self.limits.live_connections
            && let Some(oldest) = self.sockets.first()
        {
            self.coverage.connections_evicted += 1;
            self.settle(Due::Connection(oldest));
        }
    }

    fn handle_incident(&mut self, incident: &Incident) {
        *self.coverage.incidents.entry(incident.kind).or_default() += u64::from(incident.count);
    }

    fn handle_report(&mut self, sender: SenderId, report: Arc<Report>) {
        let id = report.span_id;
        if let Some(known) = self.requests.get(&id) {
            *self
                .coverage
                .contradictions
                .entry("span_id_repeated")
                .or_default() += 1;
            if known.sender <= sender {
                return;
            }
            if let Some(deadline) = known.deadline {
                self.deadlines.remove(&(deadline, Due::Request(id)));
            }
        }
        let pending = Pending {
            sender,
            report,
            deadline: None,
        };
        self.requests.insert(id, pending);
        self.place(id);
        while self.requests.len() > self.limits.live_requests
            && let Some(oldest) = self.first_due_request()
        {
            self.coverage.requests_evicted += 1;
            self.settle_request(oldest);
        }
    }

    /// Sets the deadline of a request, once there is a clock to place it by.
    fn place(&mut self, id: SpanId) {
        let Some(pending) = self.requests.get_mut(&id) else {
            return;
        };
        let Some(ended_at) = self.clock.to_boot(pending.report.ended_at()) else {
            self.unplaced.insert(id);
            return;
        };
        let deadline = ended_at.plus_ns(DISORDER_NS).plus_ns(self.limits.grace_ns);
        pending.deadline = Some(deadline);
        if deadline <= self.now {
            self.coverage.late += 1;
        }
        self.deadlines.insert((deadline, Due::Request(id)));
    }

    fn first_due_request(&self) -> Option<SpanId> {
        let due = self.deadlines.iter().find_map(|(_, due)| match due {
            Due::Request(id) => Some(*id),
            Due::Connection(_) => None,
        });
        due.or_else(|| self.unplaced.first().copied())
    }

    fn settle(&mut self, due: Due) {
        match due {
            Due::Request(id) => self.settle_request(id),
            Due::Connection(id) => self.settle_connection(id),
        }
    }

    fn settle_request(&mut self, id: SpanId) {
        self.unplaced.remove(&id);
        let Some(pending) = self.requests.remove(&id) else {
            return;
        };
        if let Some(deadline) = pending.deadline {
            self.deadlines.remove(&(deadline, Due::Request(id)));
        }
        let record = self.known().request(&pending.sender, &pending.report, true);
        self.assign(&record);
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

    fn settle_connection(&mut self, id: ConnectionId) {
        let Some(connection) = self.sockets.remove(id) else {
            return;
        };
        self.settled.add(id, self.limits.remembered);
        if let Some(record) = self.known().connection(id, &connection, true) {
            self.coverage.connections_settled += 1;
            self.outputs.push_back(Output::Connection(record));
        }
    }

    /// Enters a settled request into the records of the connections that it was joined to.
    fn assign(&mut self, record: &RequestRecord) {
        let links = [
            (
                LinkKind::ReceivedOn,
                Role::Downstream,
                Some(record.connection()),
            ),
            (
                LinkKind::ServedBy,
                Role::Upstream,
                record.served_by.as_ref().and_then(Join::connection),
            ),
            (
                LinkKind::Opened,
                Role::Upstream,
                record.opened.as_ref().and_then(Join::connection),
            ),
        ];
        let most = self.limits.requests_per_connection;
        // Only who is certain may name a connection: a guess never decides an id.
        let minted = record
            .report
            .connection_trace_id
            .filter(|_| record.received_on.may_name());
        for (kind, role, id) in links {
            let connection = match id {
                Some(id @ ConnectionId::Proxy { .. }) => self.expect_idle(id, &record.report),
                Some(id @ ConnectionId::Socket { .. }) => self.sockets.get_mut(id),
                None => None,
            };
            if let Some(connection) = connection {
                if kind == LinkKind::ReceivedOn
                    && let Some(minted) = minted
                {
                    connection.mint(record.report.started_at, minted);
                }
                connection.assign(&record.report, kind, role, most);
            }
        }
    }

    /// Returns a connection that only the proxy saw, and moves its deadline behind its last request.
    fn expect_idle(&mut self, id: ConnectionId, report: &Report) -> Option<&mut Connection> {
        let idle_at = self
            .clock
            .to_boot(report.ended_at())?
            .plus_ns(PROXY_IDLE_NS);
        let connection = self.sockets.proxy_only(id);
        let known = connection.idle_at;
        if known.is_none_or(|known| known < idle_at) {
            connection.idle_at = Some(idle_at);
            if let Some(known) = known {
                self.deadlines.remove(&(known, Due::Connection(id)));
            }
            self.deadlines.insert((idle_at, Due::Connection(id)));
        }
        Some(connection)
    }

    fn known(&self) -> Known<'_> {
        Known {
            clock: &self.clock,
            sockets: &self.sockets,
            rung: self.coverage.rung.as_ref(),
        }
    }
}
