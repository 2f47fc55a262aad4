//! What an open connection weighs: bytes asked of the allocator, counted, indexes included.

use syntrace_bench_report::{Estimate, Figure, Report};
use syntrace_core::{Limits, Reconciler};

use crate::traffic::Traffic;

/// Adds the figures for each size.
pub(crate) fn report(report: &mut Report, sizes: &[(usize, &str)], headline: &str) {
    for &(live, name) in sizes {
        let bytes = per_connection(live);
        let figure = |name: String| {
            Figure::new(name, "bytes", Estimate::exact(bytes, live))
                .at_most(256.0)
                .goal(160.0)
                .floor(100.0)
        };
        if name == headline {
            report.add(figure("reconciler.bytes_per_open_connection".to_owned()));
        }
        report.add(figure(format!(
            "reconciler.bytes_per_open_connection.{name}"
        )));
    }
}

/// Returns the bytes for each of `live` connections that were established and accepted.
fn per_connection(live: usize) -> f64 {
    let chunks = Traffic::new(live).beginning(10_000);
    let limits = Limits {
        live_connections: 10_000_000,
        ..Limits::default()
    };
    let mut kept = None;
    let counted = allocation_counter::measure(|| {
        let mut reconciler = Reconciler::new(limits);
        for chunk in &chunks {
            for (_, batch) in &chunk.batches {
                reconciler.handle_batch(batch.clone());
            }
        }
        kept = Some(reconciler);
    });
    let connections = kept.map_or(0, |reconciler| reconciler.coverage().connections_live);
    counted.bytes_current as f64 / connections as f64
}
