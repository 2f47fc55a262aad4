//! Sends spans to a collector: a cursor over the settled records.
//!
//! Nothing waits for the collector. What it does not accept stays where it is, in memory or in the database, and is
//! retried, also by the next run; what is given up there before it was accepted is counted. [`crate::spans`] decides
//! what a span says.

mod cursor;

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    time::Duration,
};

use opentelemetry_sdk::trace::SpanData;
use syntrace_core::Output;
use tokio::{task::spawn_blocking, time::sleep};

pub use self::cursor::Cursor;
pub(crate) use self::cursor::read as read_cursor;
use crate::{
    metrics,
    otlp::{Client, SendError, Taken},
    spans,
    store::{Kept, Settled},
    view::SharedView,
};

/// Records in one export; fewer if no more are waiting.
const EXPORT_RECORDS: usize = 512;

/// How long after a failure the next attempt is made, at first and at most, unless the collector says.
const PATIENCE_MIN: Duration = Duration::from_millis(500);
const PATIENCE_MAX: Duration = Duration::from_secs(30);

/// The task that sends.
#[derive(Debug)]
pub struct Exporter {
    /// Where records come from.
    pub view: SharedView,
    /// Up to where the collector accepted them.
    pub cursor: Cursor,
    /// The collector.
    pub client: Client,
    /// What is counted.
    pub counters: metrics::Spans,
}

// === impl Exporter ===

impl Exporter {
    /// Runs until the view is closed and everything that it held was accepted.
    pub async fn run(mut self) {
        let Some(before) = self.view.rebuilt().await else {
            return;
        };
        self.cursor.begin(before);
        let mut after = self.cursor.number().unwrap_or(before);
        self.view.exported(after);
        let mut settled = self.view.settled();
        let mut closed = self.view.closed();
        loop {
            settled.mark_unchanged();
            let closing = *closed.borrow();
            let batch = self.next(after).await;
            if let Some(last) = batch.last() {
                // What went before an unknown place may have been taken.
                if !self.cursor.is_guessed() {
                    self.note_gap(after, &batch);
                }
                self.send(&batch).await;
                after = last.number;
                self.cursor.set(after);
                self.view.exported(after);
                continue;
            }
            self.cursor.write();
            if closing {
                return;
            }
            tokio::select! {
                changed = settled.changed() => if changed.is_err() { return },
                changed = closed.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Returns what settled after a number; from memory if it is there.
    async fn next(&self, number: u64) -> Vec<Settled> {
        if let Some(batch) = self.view.recent_after(number, EXPORT_RECORDS) {
            return batch;
        }
        loop {
            let view = self.view.clone();
            let read = spawn_blocking(move || view.settled_after(number, EXPORT_RECORDS));
            match read.await {
                Ok(Ok(batch)) => return batch,
                Ok(Err(error)) => tracing::debug!(%error, "Records wait for their export"),
                Err(_ending) => return Vec::new(),
            }
            sleep(PATIENCE_MIN).await;
        }
    }

    /// Counts what was given up before it was accepted.
    fn note_gap(&self, after: u64, batch: &[Settled]) {
        let first = batch.first().map_or(0, |settled| settled.number);
        let lost = first.saturating_sub(after + 1);
        if lost > 0 {
            tracing::warn!(lost, "Records were given up before the collector took them");
            self.counters.queue_full.inc_by(lost);
        }
    }

    /// Sends until the collector accepts it, or refuses it for good.
    async fn send(&self, batch: &[Settled]) {
        let spans: Vec<_> = batch.iter().flat_map(spans_of).collect();
        let count = spans.len() as u64;
        let mut patience = PATIENCE_MIN;
        let mut refused = false;
        loop {
            match self.client.send(spans.clone()).await {
                Ok(Taken { rejected }) => {
                    self.counters
                        .exported
                        .inc_by(count.saturating_sub(rejected));
                    self.counters.refused.inc_by(rejected);
                    self.counters.failing.set(0);
                    if refused {
                        tracing::info!("Collector took spans again");
                    }
                    return;
                }
                Err(SendError::Never { reason }) => {
                    tracing::warn!(reason, count, "Collector refused spans for good");
                    self.counters.refused.inc_by(count);
                    self.counters.failing.set(0);
                    return;
                }
                Err(SendError::Later { after, reason }) => {
                    self.counters.failing.set(1);
                    if !std::mem::replace(&mut refused, true) {
                        tracing::warn!(reason, "Collector takes no spans; they are kept");
                    }
                    sleep(after.unwrap_or_else(|| jittered(patience))).await;
                    patience = (patience * 2).min(PATIENCE_MAX);
                }
            }
        }
    }
}

fn spans_of(settled: &Settled) -> Vec<SpanData> {
    match &settled.record {
        Kept::Request(record) => spans::of(&Output::Request((**record).clone())),
        Kept::Connection(record) => spans::of(&Output::Connection((**record).clone())),
    }
}

/// Returns between half and all of a length of time, so that many bridges do not come back at once.
fn jittered(patience: Duration) -> Duration {
    let chance = RandomState::new().build_hasher().finish();
    let half = patience / 2;
    let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1);
    half + Duration::from_nanos(chance % nanos)
}
