//! From bytes that arrive to bytes that leave, on one thread, beside decoding and encoding alone.

use std::{hint::black_box, time::Instant};

use opentelemetry_proto::{
    tonic::collector::trace::v1::ExportTraceServiceRequest,
    transform::{
        common::tonic::ResourceAttributesWithSchema,
        trace::tonic::group_spans_by_resource_and_scope,
    },
};
use prost::Message as _;
use syntrace_bench_report::{Estimate, Figure, Report, ratios};
use syntrace_bridge::{clock, fold::Folder, ingest, spans};
use syntrace_core::{Limits, Output, record::Join};
use syntrace_model::{BootNanos, ClockSample};
use syntrace_proto::Batch;

use crate::load;

/// Requests that a gateway tells of in a second: some grace periods pass within a round.
const PER_SECOND: u64 = 10_000;

const BATCHES: u64 = 600;
const ROUNDS: usize = 7;

/// Spans in one export.
const EXPORT: usize = 512;

pub(crate) fn measure(report: &mut Report) {
    let facts = facts();
    assert_joined(&facts);
    let exports = ours(&facts);
    let (mut pairs, mut same, mut per_second) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let floor = seconds(|| floor(&facts, &exports));
        let all = seconds(|| {
            black_box(ours(&facts));
        });
        let again = seconds(|| self::floor(&facts, &exports));
        pairs.push((floor, all));
        same.push((floor, again));
        let reports = BATCHES * load::BATCH;
        per_second.push((u32::try_from(reports).unwrap().into(), all));
    }
    report.add(
        Figure::new("bridge.over_floor", "ratio", ratios(&pairs))
            .at_least(0.45)
            .goal(0.6)
            .floor(1.0)
            .aa(ratios(&same).value),
    );
    report.add(Figure::new(
        "bridge.reports_per_second_core",
        "1/s",
        ratios(&per_second),
    ));
    let bytes: usize = exports.iter().map(Vec::len).sum();
    let count = usize::try_from(BATCHES * load::BATCH).unwrap();
    let each = u32::try_from(bytes / count).unwrap();
    report.add(Figure::new(
        "bridge.otlp_bytes_per_report",
        "bytes",
        Estimate::exact(each.into(), count),
    ));
}

/// Batches, each with when it arrives: what a gateway tells of so many requests a second.
fn facts() -> Vec<(BootNanos, Vec<u8>)> {
    let first = clock::sample();
    let mut facts = vec![(first.boot, load::opening(first))];
    for number in 0..BATCHES {
        let later_ns = number * load::BATCH * (1_000_000_000 / PER_SECOND);
        let now = ClockSample {
            boot: first.boot.plus_ns(later_ns),
            unix: first.unix.plus_ns(later_ns),
        };
        let told = load::batches(number, now);
        facts.extend(told.map(|encoded| (now.boot, encoded)));
    }
    facts
}

/// Decodes, folds, and encodes the spans.
fn ours(facts: &[(BootNanos, Vec<u8>)]) -> Vec<Vec<u8>> {
    let boot = clock::boot_id().unwrap();
    let mut folder = Folder::new(Limits::default(), boot, 0);
    let resource = ResourceAttributesWithSchema::default();
    let mut exports = Vec::new();
    let mut waiting = Vec::new();
    let mut outputs = Vec::new();
    for (now, encoded) in facts {
        let batch = ingest::decode(encoded).unwrap();
        folder.handle(boot, *now, batch, &mut |_, output| {
            outputs.push(output);
        });
        waiting.extend(outputs.drain(..).flat_map(|output| spans::of(&output)));
        if waiting.len() >= EXPORT {
            exports.push(export(std::mem::take(&mut waiting), &resource));
        }
    }
    folder.drain(&mut |_, output| waiting.extend(spans::of(&output)));
    exports.push(export(waiting, &resource));
    exports
}

/// Panics unless every request is joined for certain: what is not joined costs another thing.
fn assert_joined(facts: &[(BootNanos, Vec<u8>)]) {
    let boot = clock::boot_id().unwrap();
    let mut folder = Folder::new(Limits::default(), boot, 0);
    let mut joined = 0;
    let mut look = |_, output| {
        if let Output::Request(record) = output {
            let served_by = record.served_by.as_ref();
            assert!(record.received_on.is_certain(), "{record:?}");
            assert!(served_by.is_some_and(Join::is_certain), "{record:?}");
            joined += 1;
        }
    };
    for (now, encoded) in facts {
        folder.handle(boot, *now, ingest::decode(encoded).unwrap(), &mut look);
    }
    folder.drain(&mut look);
    assert_eq!(joined, BATCHES * load::BATCH);
}

fn export(
    spans: Vec<opentelemetry_sdk::trace::SpanData>,
    resource: &ResourceAttributesWithSchema,
) -> Vec<u8> {
    let request = ExportTraceServiceRequest {
        resource_spans: group_spans_by_resource_and_scope(spans, resource),
    };
    request.encode_to_vec()
}

/// Decodes the same batches, and decodes and encodes the same exports: nothing is joined.
fn floor(facts: &[(BootNanos, Vec<u8>)], exports: &[Vec<u8>]) {
    for (_, encoded) in facts {
        black_box(Batch::decode(&**encoded).unwrap());
    }
    for encoded in exports {
        let request = ExportTraceServiceRequest::decode(&**encoded).unwrap();
        black_box(request.encode_to_vec());
    }
}

fn seconds(run: impl FnOnce()) -> f64 {
    let began = Instant::now();
    run();
    began.elapsed().as_secs_f64()
}
