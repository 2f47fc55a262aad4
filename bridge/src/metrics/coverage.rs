//! The loss ledger as metrics, read from the view at each scrape.
//!
//! Sums over all senders: which sender it was, `/v1/coverage` tells.

use std::{collections::BTreeMap, fmt};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};

use crate::view::SharedView;

/// Causes of loss that get a label of their own; senders choose the words.
const CAUSES_MAX: usize = 32;

/// Reads the view whenever it is asked.
#[derive(Debug)]
pub(super) struct Ledger(pub(super) SharedView);

impl Collector for Ledger {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let view = self.0.read();
        let coverage = view.reconciler.coverage();
        let live = [
            (
                "connections_live",
                "Connections that are not settled",
                coverage.connections_live,
            ),
            (
                "requests_live",
                "Requests that are not settled",
                coverage.requests_live,
            ),
        ];
        let missing = coverage.senders.iter().map(|sender| sender.missing).sum();
        let counters = [
            (
                "facts_missing",
                "Facts that senders numbered and that did not arrive",
                missing,
            ),
            (
                "facts_late",
                "Facts that came after their record was settled",
                coverage.late,
            ),
            (
                "facts_duplicate",
                "Facts that came again, without effect",
                coverage.duplicates,
            ),
            (
                "facts_contradictory",
                "Facts that contradict earlier ones",
                coverage.contradictions.values().sum(),
            ),
            (
                "connections_evicted",
                "Connections settled early because there were too many",
                coverage.connections_evicted,
            ),
            (
                "requests_evicted",
                "Requests settled early because there were too many",
                coverage.requests_evicted,
            ),
            (
                "settled_connections_evicted",
                "Settled connections forgotten because there were too many",
                view.store.connections.evicted(),
            ),
            (
                "settled_requests_evicted",
                "Settled requests forgotten because there were too many",
                view.store.requests.evicted(),
            ),
        ];
        let mut lost = BTreeMap::<String, u64>::new();
        for (cause, count) in coverage.senders.iter().flat_map(|sender| &sender.lost) {
            let known = lost.len() < CAUSES_MAX || lost.contains_key(&**cause);
            let cause = if known { &**cause } else { "other" };
            *lost.entry(cause.to_owned()).or_default() += count;
        }
        drop(view);
        for (name, help, count) in live {
            let gauge = ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        for (name, help, count) in counters {
            let counter = ConstCounter::new(count);
            let metric = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        let help = "Facts that senders say they lost, by cause";
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut metric = encoder.encode_descriptor("facts_lost", help, None, kind)?;
        for (cause, count) in lost {
            let labels = [("cause", cause)];
            ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
