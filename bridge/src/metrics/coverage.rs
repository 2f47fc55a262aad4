//! The loss ledger as metrics, read from the view at each scrape.
//!
//! Sums over all senders; `/v1/coverage` has them by sender. What senders saw is what arrived, what they report as
//! lost, and what is missing.

use std::{collections::BTreeMap, fmt};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use syntrace_core::Coverage;

use super::{
    bounded::{Label, Words},
    storage::write,
};
use crate::view::SharedView;

/// Causes of loss that get a label of their own; senders choose the words.
const CAUSES_MAX: usize = 32;

/// Names that a rung may have.
const RUNGS: [&str; 4] = ["full", "observe", "poll", "l7-only"];

/// Reads the view at each scrape.
#[derive(Debug)]
pub(super) struct Ledger {
    view: SharedView,
    causes: Words,
    counted: Words,
}

impl Ledger {
    pub(super) fn new(view: SharedView) -> Self {
        Self {
            view,
            causes: Words::new(CAUSES_MAX),
            counted: Words::new(CAUSES_MAX),
        }
    }
}

impl Collector for Ledger {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let coverage = self.view.coverage();
        self.encode_counts(&mut encoder, &coverage)?;
        let kind = ConstCounter::new(0_u64).metric_type();
        let lost = coverage.senders.iter().flat_map(|sender| &sender.lost);
        let help = "Facts that senders report as lost, by cause.";
        let mut family = encoder.encode_descriptor("facts_lost", help, None, kind)?;
        for (cause, count) in summed(&self.causes, lost) {
            let labels = [("cause", cause)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        let counted = coverage.rung.iter().flat_map(|rung| &rung.counted);
        let help = "What the probe left undone or did not believe, none of it a loss.";
        let mut family = encoder.encode_descriptor("probe_counted", help, None, kind)?;
        for (what, count) in summed(&self.counted, counted) {
            let labels = [("what", what)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        let help = "Facts that are invalid, by the field that is.";
        let mut family = encoder.encode_descriptor("facts_refused", help, None, kind)?;
        for (&field, &count) in &coverage.refused {
            let labels = [("field", field)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        encode_views(&mut encoder, &coverage)
    }
}

impl Ledger {
    fn encode_counts(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        coverage: &Coverage,
    ) -> Result<(), fmt::Error> {
        let received: u64 = coverage.senders.iter().map(|sender| sender.received).sum();
        let missing = coverage.senders.iter().map(|sender| sender.missing).sum();
        let gauges = [
            (
                "connections_live",
                "Connections that are not settled.",
                coverage.connections_live as u64,
            ),
            (
                "requests_live",
                "Requests that are not settled.",
                coverage.requests_live as u64,
            ),
            (
                "senders",
                "Runs of senders that are remembered.",
                coverage.senders.len() as u64,
            ),
        ];
        let counters = [
            (
                "facts_emitted",
                "Facts that senders saw: those that arrived, and those that were lost anywhere.",
                received + coverage.lost(),
            ),
            (
                "facts_missing",
                "Facts that senders numbered and that did not arrive.",
                missing,
            ),
            (
                "facts_late",
                "Facts that came after their record was settled.",
                coverage.late,
            ),
            (
                "facts_duplicate",
                "Facts that came again, without effect.",
                coverage.duplicates,
            ),
            (
                "facts_contradictory",
                "Facts that contradict earlier ones.",
                coverage.contradictions.values().sum(),
            ),
            (
                "connections_evicted",
                "Connections settled early because there were too many.",
                coverage.connections_evicted,
            ),
            (
                "connections_unseen",
                "Connections whose end was not seen.",
                coverage.connections_unseen,
            ),
            (
                "requests_evicted",
                "Requests settled early because there were too many.",
                coverage.requests_evicted,
            ),
            (
                "settled_evicted",
                "Settled records given up because memory could not hold them.",
                self.view.evicted(),
            ),
        ];
        write(encoder, &gauges, &counters)
    }
}

/// Sums what senders counted by word: those that share a label are one series.
fn summed<'a>(
    words: &Words,
    counts: impl Iterator<Item = &'a (Box<str>, u64)>,
) -> BTreeMap<Label, u64> {
    let mut by_label = BTreeMap::<_, u64>::new();
    for (word, count) in counts {
        *by_label.entry(words.label(word)).or_default() += count;
    }
    by_label
}

/// Returns whether the kernel and the proxy are being watched.
pub(crate) fn views(coverage: &Coverage) -> [(&'static str, bool); 2] {
    let rung = coverage.rung.as_ref();
    let kernel = rung.is_some_and(|rung| &*rung.name != "l7-only");
    let mut names = coverage.senders.iter().map(|sender| &*sender.sender.name);
    let proxy = names.any(|name| name == "filter" || name.starts_with("filter/"));
    [("kernel", kernel), ("proxy", proxy)]
}

fn encode_views(encoder: &mut DescriptorEncoder<'_>, coverage: &Coverage) -> fmt::Result {
    let gauge = |present: bool| ConstGauge::new(i64::from(present));
    let kind = gauge(false).metric_type();
    let help = "Whether one of the two views, the kernel's or the proxy's, is missing.";
    let mut family = encoder.encode_descriptor("view_missing", help, None, kind)?;
    for (view, present) in views(coverage) {
        let labels = [("view", view)];
        gauge(!present).encode(family.encode_family(&labels)?)?;
    }
    let help = "Whether the probe is on this rung of its ladder: 1 for one of them.";
    let mut family = encoder.encode_descriptor("probe_rung", help, None, kind)?;
    let present = coverage.rung.as_ref().map(|rung| &*rung.name);
    for rung in RUNGS {
        let labels = [("rung", rung)];
        gauge(present == Some(rung)).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
