//! All that the fold knows, as plain data: to resume from, without the facts that led there.
//!
//! Only shapes, and the conversion to and from them. How they are encoded is the caller's business. Outputs
//! that were not taken are not included: take them first.

use std::sync::Arc;

use syntrace_model::{BootNanos, ClockSample, ConnectionId, Endpoint, TraceId, UnixNanos};

use crate::{
    Limits, Reconciler,
    fact::{Report, SenderId, Snapshot},
    ledger::Coverage,
    record::{ConnectionIncident, RequestRef, Role},
};
pub use crate::{
    gateway::{Agreed, Binding},
    probes::{ProbeRun, ProbeState},
};

/// All that the fold knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Up to when time has passed.
    pub now: BootNanos,
    /// Both clocks, by boot time.
    pub clock: Vec<ClockSample>,
    /// What arrived of each sender.
    pub senders: Vec<SenderState>,
    /// Batches that arrived.
    pub heard: u64,
    /// What was counted; senders and live records are in the other fields.
    pub coverage: Coverage,
    /// Who reported the rung.
    pub rung_of: Option<RungOf>,
    /// The probes that reported sockets, by place.
    pub probes: Vec<Option<ProbeRun>>,
    /// What was learnt of each filter, by its epoch.
    pub bindings: Vec<(u64, Binding)>,
    /// When the facts of the runs of probes were seen that told last, by sender.
    pub timelines: Vec<TimelineState>,
    /// The first bucket of time of which all runs are among these.
    pub timelines_known_from: u64,
    /// The connections that are not settled, in order.
    pub connections: Vec<ConnectionState>,
    /// The requests that are not settled, in order.
    pub requests: Vec<RequestState>,
    /// Incidents of listeners, by namespace and address.
    pub listeners: Vec<((u64, Endpoint), IncidentsState)>,
    /// Incidents of connections that were not reported.
    pub untold: Vec<(ConnectionId, IncidentsState)>,
    /// Incidents that the bounds left out.
    pub incidents_evicted: u64,
    /// The connections settled last, in the order in which they are forgotten, and how many facts about
    /// each came after it was settled.
    pub settled: Vec<(ConnectionId, u64)>,
}

/// The word by which the rung is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RungOf {
    /// Who said it.
    pub sender: SenderId,
    /// Its number among all that the sender said.
    pub seq: u64,
    /// When the sender had closed the batch.
    pub told_at: Option<BootNanos>,
}

/// What arrived of one run of one sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderState {
    /// Who.
    pub sender: SenderId,
    /// Runs of numbers that arrived, each as its first number and the one after its last.
    pub runs: Vec<(u64, u64)>,
    /// Different facts that arrived.
    pub received: u64,
    /// The highest number that arrived, plus one.
    pub end: u64,
    /// What it reports as lost, by cause.
    pub lost: Vec<(Box<str>, u64)>,
    /// Whether it ended in order.
    pub goodbye: bool,
    /// How many batches had arrived with its last one.
    pub heard: u64,
}

/// When the facts of one run of a probe were seen, in buckets of 2^22 ns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineState {
    /// Who.
    pub sender: SenderId,
    /// The bucket of its first clock.
    pub since: Option<u64>,
    /// By bucket: the lowest and the highest number of the facts that were seen in it.
    pub buckets: Vec<(u64, u64, u64)>,
    /// By which moment how many were lost without a number.
    pub counts: Vec<(BootNanos, u64)>,
    /// From which moments on it reported one of how many connections that end well.
    pub sampled: Vec<(BootNanos, u32)>,
}

/// One connection that is not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionState {
    /// What names it.
    pub id: ConnectionId,
    /// The place of the probe that reported it last; 0 for none.
    pub probe: u8,
    /// What the kernel says of it; absent if only the proxy saw it.
    pub socket: Option<Snapshot>,
    /// What earlier words of the kernel told that the latest did not.
    pub earlier: Option<EarlierState>,
    /// What the gateway used it for.
    pub role: Option<Role>,
    /// Contradictions between the facts about it, as bits.
    pub contradictions: u8,
    /// What was assigned to it, if anything was.
    pub assigned: Option<AssignedState>,
    /// What happened to it.
    pub incidents: IncidentsState,
}

/// How late a word was: whether its outcome is final, when it was said, and after how many segments.
pub type Told = (bool, BootNanos, u64);

/// When fields of a socket were told that its latest word did not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EarlierState {
    /// The id that the kernel view minted.
    pub minted: Option<Told>,
    /// The id in the SYN's option.
    pub tag: Option<Told>,
    /// Process that owns the socket.
    pub owner_pid: Option<Told>,
    /// Thread that owns the socket.
    pub owner_tid: Option<Told>,
    /// What words that were watched tell, where that is not what is known.
    pub watched: Option<WatchedState>,
    /// All ids that runs of the kernel view minted, in order, if there are several, or if not every word told
    /// the tag.
    pub ids: Vec<TraceId>,
}

/// When what happens once to a socket happened, by words that were watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchedState {
    /// Its SYN.
    pub syn_at: Option<BootNanos>,
    /// Its SYN-ACK.
    pub syn_ack_at: Option<BootNanos>,
    /// The end of its handshake.
    pub established_at: Option<BootNanos>,
    /// Its close.
    pub closed_at: Option<BootNanos>,
}

/// What was assigned to a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssignedState {
    /// Ids that the filter minted, each by the start of the first request that says so.
    pub minted: Vec<(UnixNanos, TraceId)>,
    /// Its requests, by start.
    pub requests: Vec<RequestRef>,
    /// Requests that the bound left out.
    pub requests_evicted: u64,
    /// The filter's epoch and the proxy's number of it.
    pub number: Option<(u64, u64)>,
    /// When the first of its requests ended.
    pub first_end: Option<BootNanos>,
    /// When its first request began, if only the proxy saw it.
    pub began_at: BootNanos,
    /// When it counts as closed, if only the proxy saw it.
    pub idle_at: Option<BootNanos>,
}

/// What happened in one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncidentsState {
    /// The newest, by time.
    pub newest: Vec<ConnectionIncident>,
    /// How many the bound left out.
    pub evicted: u64,
    /// When the latest of these happened.
    pub evicted_until: Option<BootNanos>,
}

/// One request that is not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestState {
    /// Who reported it.
    pub sender: SenderId,
    /// What the proxy saw.
    pub report: Arc<Report>,
    /// How far time had passed on its arrival.
    pub arrived_at: BootNanos,
    /// When it settles, once there is a clock to place it by.
    pub due: Option<BootNanos>,
    /// It came after the grace period.
    pub late: bool,
    /// What is wrong with its time.
    pub wrong: Option<&'static str>,
    /// Another report has the same span id.
    pub repeated: bool,
}

// === impl RungOf ===

impl RungOf {
    /// Returns whether another word is later: of one run by its number, of others by when it was said.
    pub(crate) fn is_before(&self, told: &Self) -> bool {
        if self.sender == told.sender {
            return self.seq < told.seq;
        }
        (self.told_at, &self.sender) < (told.told_at, &told.sender)
    }
}

// === impl Reconciler ===

impl Reconciler {
    /// Returns all that is known, but for outputs that were not taken.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        let mut checkpoint = Checkpoint {
            now: self.now,
            clock: self.clock.samples().to_vec(),
            coverage: self.coverage.clone(),
            rung_of: self.rung_of.clone(),
            settled: self.settled.all().collect(),
            bindings: self.bindings.all().collect(),
            requests: self.requests.checkpoint(),
            ..Checkpoint::default()
        };
        (checkpoint.senders, checkpoint.heard) = self.ledger.checkpoint();
        (checkpoint.timelines, checkpoint.timelines_known_from) = self.gaps.checkpoint();
        self.sockets.checkpoint(&mut checkpoint);
        checkpoint
    }

    /// Returns a reconciler that resumes from there; with the same limits, exactly as if it had never been
    /// interrupted, as long as nothing is evicted.
    #[must_use]
    pub fn restore(limits: Limits, from: Checkpoint) -> Self {
        let mut restored = Self::new(limits);
        restored.now = from.now;
        for sample in &from.clock {
            restored.clock.add(*sample);
        }
        restored.coverage = from.coverage.clone();
        restored.rung_of.clone_from(&from.rung_of);
        restored.ledger.restore(&from.senders, from.heard);
        restored
            .gaps
            .restore(&from.timelines, from.timelines_known_from);
        restored.bindings.restore(&from.bindings);
        restored.sockets.restore(&from);
        restored.restore_requests(from.requests);
        for settled in from.settled {
            restored.settled.restore(settled, limits.remembered);
        }
        restored
    }
}
