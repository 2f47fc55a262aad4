//! What Prometheus scrapes: counters of what came, what settled, what was lost, and the bridge's own state.
//!
//! Labels are words of this project; where they are words of others, their number is bounded.

mod bounded;
mod coverage;
mod http;
mod process;
mod records;
mod storage;
mod text;

use std::{fmt, sync::Arc};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::Registry,
};
use syntrace_core::Output;

pub(crate) use self::coverage::views;
pub use self::http::{Http, Present, Refusal};
use self::records::Records;
use crate::{log::Log, view::SharedView};

/// `content-type` of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `content-type` of the older format.
const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The counters; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    facts_received: Counter,
    batches_received: Counter,
    batches_refused: Family<Refused, Counter>,
    records: Records,
    /// What the exporter did.
    pub spans: Spans,
    /// What the listeners and endpoints did.
    pub http: Http,
}

/// What became of spans; each is counted once.
#[derive(Clone, Debug, Default)]
pub struct Spans {
    /// Accepted by the collector.
    pub exported: Counter,
    /// Lost before they could be exported: the records were no longer kept.
    pub queue_full: Counter,
    /// Not accepted by the collector, after all retries.
    pub refused: Counter,
    /// 1 while the collector accepts nothing.
    pub failing: Gauge,
}

/// The registry of all metrics; it reads the view at each scrape.
#[derive(Debug)]
pub struct Exposition(Registry);

/// A page of metrics.
#[derive(Debug)]
pub struct Page {
    /// Its `content-type`.
    pub content_type: &'static str,
    /// Its text.
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    code: &'static str,
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
        self.records.settled(output);
    }

    /// Registers everything under its name, and what the view and the log count themselves.
    #[must_use]
    pub fn exposition(&self, view: SharedView, log: Arc<Log>) -> Exposition {
        let mut all = Registry::default();
        all.register_collector(Box::new(process::Process));
        let registry = all.sub_registry_with_prefix("syntrace");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Version of the bridge", build);
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
        self.records.register(registry);
        registry.register(
            "spans_exported",
            "Spans that the collector accepted",
            self.spans.exported.clone(),
        );
        registry.register(
            "spans_queue_full",
            "Spans that were lost because their records were no longer kept",
            self.spans.queue_full.clone(),
        );
        registry.register(
            "spans_refused",
            "Spans that were lost because the collector did not accept them",
            self.spans.refused.clone(),
        );
        registry.register(
            "export_failing",
            "Whether the collector accepts nothing at present",
            self.spans.failing.clone(),
        );
        self.http.register(registry);
        registry.register_collector(Box::new(coverage::Ledger::new(view.clone())));
        registry.register_collector(Box::new(storage::Storage { view, log }));
        Exposition(all)
    }
}

// === impl Exposition ===

impl Exposition {
    /// Writes all metrics: in OpenMetrics, with exemplars, for those whose `Accept` names it; in the older
    /// text format for all others.
    ///
    /// # Errors
    ///
    /// Only if formatting fails, which writing to memory does not.
    pub fn encode(&self, accept: Option<&str>) -> Result<Page, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0)?;
        if accept.is_some_and(|accept| accept.contains("application/openmetrics-text")) {
            let content_type = OPEN_METRICS;
            return Ok(Page { content_type, text });
        }
        Ok(Page {
            content_type: CLASSIC,
            text: text::classic(&text),
        })
    }
}
