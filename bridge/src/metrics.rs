//! What Prometheus is told: counters of what came, what settled, what was lost.
//!
//! Labels are words of this project, never words of a sender's choice, so their number is bounded.

mod coverage;

use std::fmt;

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, info::Info},
    registry::Registry,
};
use syntrace_core::{Output, record::Join};

use crate::view::SharedView;

/// `content-type` of what [`Exposition::encode`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The counters; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    facts_received: Counter,
    batches_received: Counter,
    batches_refused: Family<Refused, Counter>,
    requests: Family<Cause, Counter>,
    failed_connections: Family<Cause, Counter>,
    connections: Family<Outcome, Counter>,
    joins: Family<Joined, Counter>,
    /// What the exporter did.
    pub spans: Spans,
}

/// What became of spans; each is counted once.
#[derive(Clone, Debug, Default)]
pub struct Spans {
    /// Accepted by the collector.
    pub exported: Counter,
    /// Found the queue full.
    pub queue_full: Counter,
    /// Not accepted by the collector, after all retries.
    pub refused: Counter,
}

/// The registry of all metrics; it reads the view when it is asked.
#[derive(Debug)]
pub struct Exposition(Registry);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cause {
    party: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Joined {
    link: &'static str,
    method: &'static str,
    confidence: &'static str,
}

// === impl Metrics ===

impl Metrics {
    /// Counts an appended batch.
    pub fn received(&self, facts: usize) {
        self.batches_received.inc();
        self.facts_received.inc_by(facts as u64);
    }

    /// Counts a refused batch by the code of its error.
    pub fn refused(&self, code: &'static str) {
        self.batches_refused.get_or_create(&Refused { code }).inc();
    }

    /// Returns how many batches were refused with one of these codes.
    #[must_use]
    pub fn refused_with(&self, codes: &[&'static str]) -> u64 {
        let count = |&code| self.batches_refused.get_or_create(&Refused { code }).get();
        codes.iter().map(count).sum()
    }

    /// Counts a settled record.
    pub fn settled(&self, output: &Output) {
        match output {
            Output::Request(request) => {
                self.requests.get_or_create(&cause(&request.answer)).inc();
                self.joined("received_on", Some(&request.received_on));
                self.joined("served_by", request.served_by.as_ref());
                self.joined("opened", request.opened.as_ref());
            }
            Output::Connection(connection) => {
                let outcome = connection.socket.as_ref();
                let outcome = outcome.map_or("not_observed", |socket| socket.outcome.name());
                self.connections.get_or_create(&Outcome { outcome }).inc();
                if let Some(answer) = &connection.answer {
                    self.failed_connections.get_or_create(&cause(answer)).inc();
                }
            }
        }
    }

    /// Registers everything under its name, and what the view counts itself.
    #[must_use]
    pub fn exposition(&self, view: SharedView) -> Exposition {
        let mut registry = Registry::with_prefix("syntrace");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "What runs", build);
        registry.register(
            "facts_received",
            "Facts in batches that were appended",
            self.facts_received.clone(),
        );
        registry.register(
            "batches_received",
            "Batches that were appended",
            self.batches_received.clone(),
        );
        registry.register(
            "batches_refused",
            "Batches that were refused, by error",
            self.batches_refused.clone(),
        );
        registry.register(
            "requests",
            "Settled requests, by who made them fail or take their time",
            self.requests.clone(),
        );
        registry.register(
            "connections",
            "Settled connections, by outcome",
            self.connections.clone(),
        );
        registry.register(
            "connections_failed",
            "Settled connections that were never established, by cause",
            self.failed_connections.clone(),
        );
        registry.register(
            "joins",
            "Settled requests, by how they were assigned to connections",
            self.joins.clone(),
        );
        registry.register(
            "spans_exported",
            "Spans that the collector accepted",
            self.spans.exported.clone(),
        );
        registry.register(
            "spans_queue_full",
            "Spans that were lost because the queue was full",
            self.spans.queue_full.clone(),
        );
        registry.register(
            "spans_refused",
            "Spans that were lost because the collector did not accept them",
            self.spans.refused.clone(),
        );
        registry.register_collector(Box::new(coverage::Ledger(view)));
        Exposition(registry)
    }

    fn joined(&self, link: &'static str, join: Option<&Join>) {
        let (method, confidence) = match join {
            Some(Join::To {
                method, confidence, ..
            }) => (method.name(), confidence.name()),
            Some(Join::Missing(missing)) => ("none", missing.name()),
            None => return,
        };
        let labels = Joined {
            link,
            method,
            confidence,
        };
        self.joins.get_or_create(&labels).inc();
    }
}

fn cause(answer: &syntrace_core::answer::Answer) -> Cause {
    Cause {
        party: answer.cause.party.name(),
        code: answer.cause.code.name(),
    }
}

// === impl Exposition ===

impl Exposition {
    /// Writes all metrics in the OpenMetrics text format.
    ///
    /// # Errors
    ///
    /// Only if formatting fails, which writing to memory does not.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.0)?;
        Ok(page)
    }
}
