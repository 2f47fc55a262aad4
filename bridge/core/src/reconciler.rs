//! The fold: takes facts in, lets time pass, gives records out.
//!
//! A record is a function of the *set* of facts about it, made when it settles: a request a grace
//! period after its end, a connection a grace period after its close. Facts only add to what is
//! known, so neither their order nor their repetition matters as long as they arrive within the
//! grace period. What comes later is counted, for the record that it belonged to
//! ([`Reconciler::late`]).

mod intake;
mod settling;

use std::collections::VecDeque;

use syntrace_model::{BootNanos, ConnectionId};

use crate::{
    assemble::Known,
    checkpoint::{RequestState, RungOf},
    clock::Clock,
    gaps::Gaps,
    gateway::Bindings,
    ledger::{Coverage, Ledger},
    limits::Limits,
    record::{ConnectionRecord, RequestRecord},
    remembered::Remembered,
    requests::{Requests, Sides},
    sockets::{DUE_SHIFT, Sockets},
};

/// How long to wait for a probe that is behind, nanoseconds. A busy one may be a queue's length behind; what it
/// reports then would arrive after the records that it belongs to were given out.
const PATIENCE_NS: u64 = 30_000_000_000;

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
/// do next. The timeline is `CLOCK_BOOTTIME` of this host; reports are moved to it by
/// [`ClockSample`](syntrace_model::ClockSample)s, and wait until there is one.
#[derive(Debug)]
pub struct Reconciler {
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    pub(crate) ledger: Ledger,
    pub(crate) gaps: Gaps,
    pub(crate) coverage: Coverage,
    pub(crate) bindings: Bindings,
    /// Who reported the rung.
    pub(crate) rung_of: Option<RungOf>,
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
            rung_of: None,
            sockets: Sockets::new(limits),
            requests: Requests::new(limits.hash_seed),
            settled: Remembered::new(limits.hash_seed),
            outputs: VecDeque::new(),
            now: BootNanos(0),
        }
    }

    /// Settles everything that is due at `now`; what a probe that is behind may still report waits for it.
    pub fn handle_timeout(&mut self, now: BootNanos) {
        self.now = self.now.max(now);
        self.sockets.heard_by(self.now);
        let waits_from = self.now.minus_ns(PATIENCE_NS);
        let passed = self
            .reported_until()
            .map_or(self.now, |told| self.now.min(told.max(waits_from)));
        let passed = passed.0 >> DUE_SHIFT;
        while let Some(tick) = self.first_due().filter(|&tick| tick <= passed) {
            let due = self.requests.take_due(tick);
            self.prefetch_due(&due);
            for slot in due {
                self.settle_request(slot, false);
            }
            let due = self.sockets.take_due(tick);
            self.sockets.prefetch_due(&due);
            for slot in due {
                self.settle_connection(slot);
            }
        }
        for slot in self.sockets.pass(self.now) {
            self.coverage.connections_unseen += 1;
            self.settle_connection(slot);
        }
        if self
            .rung_of
            .as_ref()
            .is_some_and(|told| self.sockets.is_gone(&told.sender))
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
        let waits = self.reported_until().is_some_and(|until| until < due);
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
            may_lack_any: self.gaps.may_lack_any(&self.ledger),
            sockets: &self.sockets,
            requests: &self.requests,
            bindings: &self.bindings,
            grace_ns: self.limits.grace_ns,
            rung: self.coverage.rung.as_ref(),
        }
    }

    /// Returns up to which due time everything has been reported, if a probe is behind.
    fn reported_until(&self) -> Option<BootNanos> {
        let told_until = self.sockets.behind()?;
        Some(told_until.plus_ns(self.limits.grace_ns))
    }

    fn first_due(&self) -> Option<u64> {
        let requests = self.requests.first_due();
        let sockets = self.sockets.first_due();
        requests.into_iter().chain(sockets).min()
    }

    /// Restores requests that were known before.
    pub(crate) fn restore_requests(&mut self, states: Vec<RequestState>) {
        for state in states {
            let sides = Sides::of(&state.report, &self.sockets);
            self.requests.restore(state, sides);
        }
    }
}
