//! The one task that folds: batches in by the log, time in by the clock, settled records out.
//!
//! It owns the writing side of the view. What a fact means is the reconciler's business.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

use syntrace_core::{
    Output,
    fact::{Batch, Fact, SenderId},
};
use syntrace_model::BootNanos;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::{
    clock, export, log,
    metrics::Metrics,
    view::{SharedView, View},
};

/// How often the bridge tells the reconciler both clocks.
///
/// A step of the wall clock spoils at most the reports of one interval.
const CLOCK_INTERVAL: Duration = Duration::from_secs(1);

/// How long the collector may take to make room for the last records.
const LAST_WAIT: Duration = Duration::from_secs(10);

/// Folds what `batches` holds into the view until the log is closed, then settles everything.
///
/// Settled records go to the store, the metrics, and `spans` if there is an exporter.
#[derive(Debug)]
pub struct Fold {
    /// Where batches come from.
    pub batches: log::Reader,
    /// What they are folded into.
    pub view: SharedView,
    /// What is counted of settled records.
    pub metrics: Metrics,
    /// Where settled records go beside the store.
    pub spans: Option<export::Queue>,
}

/// The bridge's own facts: what both clocks of its host say.
#[derive(Debug)]
struct ClockFacts {
    sender: SenderId,
    next_seq: u64,
}

// === impl Fold ===

impl Fold {
    /// Runs until the log is closed and all of it is folded.
    pub async fn run(mut self) {
        let mut clock_facts = ClockFacts::new();
        let mut ticks = interval(CLOCK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = self.view.read().reconciler.poll_timeout().map(instant);
            tokio::select! {
                biased;
                _ = ticks.tick() => self.fold(clock_facts.next()),
                entry = self.batches.next() => match entry {
                    Some(entry) => self.fold(entry.batch),
                    None => break,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
            self.settle_due();
        }
        self.view.write().reconciler.drain();
        self.give_rest().await;
    }

    fn fold(&self, batch: Batch) {
        self.view.write().reconciler.handle_batch(batch);
    }

    fn settle_due(&self) {
        self.view.write().reconciler.handle_timeout(clock::boot());
        self.take_outputs();
    }

    fn take_outputs(&self) {
        let view = &mut *self.view.write();
        while let Some(output) = view.reconciler.poll_output() {
            self.metrics.settled(&output);
            if let Some(spans) = &self.spans {
                spans.offer(&output);
            }
            keep(view, output);
        }
    }

    /// Gives out the last records, as fast as the collector takes them.
    async fn give_rest(&self) {
        let deadline = Instant::now() + LAST_WAIT;
        while let Some(output) = self.next_output() {
            self.metrics.settled(&output);
            if let Some(spans) = &self.spans {
                spans.push(&output, deadline).await;
            }
            keep(&mut self.view.write(), output);
        }
        let lost = self.spans.as_ref().map_or(0, export::Queue::lost);
        if lost > 0 {
            tracing::warn!(lost, "Spans were not exported: the collector was too slow");
        }
    }

    fn next_output(&self) -> Option<Output> {
        self.view.write().reconciler.poll_output()
    }
}

fn keep(view: &mut View, output: Output) {
    match output {
        Output::Request(request) => view.store.requests.insert(request),
        Output::Connection(connection) => view.store.connections.insert(connection),
    }
}

/// Moves a boot time that lies ahead to tokio's clock.
///
/// That one stands still while the host is suspended: the tick makes up for it.
fn instant(at: BootNanos) -> Instant {
    Instant::now() + Duration::from_nanos(at.since_ns(clock::boot()))
}

// === impl ClockFacts ===

impl ClockFacts {
    fn new() -> Self {
        // The standard library seeds each hasher's keys at random.
        let epoch = RandomState::new().build_hasher().finish();
        let sender = SenderId {
            name: "bridge".into(),
            epoch,
        };
        Self {
            sender,
            next_seq: 0,
        }
    }

    fn next(&mut self) -> Batch {
        let first_seq = self.next_seq;
        self.next_seq += 1;
        Batch {
            sender: self.sender.clone(),
            first_seq,
            facts: vec![Fact::Clock(clock::sample())],
            losses: Vec::new(),
            goodbye: false,
        }
    }
}
