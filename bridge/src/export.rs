//! Sends spans to a collector by OTLP over HTTP, from a bounded queue.
//!
//! The fold never waits for the collector, but for the last records: spans that find the queue full are counted, as are those
//! that the collector does not take after the exporter's retries. What a span says is [`crate::spans`]'
//! business.

use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter as OtlpExporter, WithExportConfig,
};
use opentelemetry_sdk::{
    Resource,
    resource::{EnvResourceDetector, TelemetryResourceDetector},
    trace::{SpanData, SpanExporter},
};
use syntrace_core::Output;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use crate::{metrics, spans};

/// Records that wait for the collector.
const QUEUE_RECORDS: usize = 8_192;

/// Records in one export; fewer if no more are waiting.
const EXPORT_RECORDS: usize = 512;

/// Where settled records are handed over.
#[derive(Debug)]
pub struct Queue {
    spans: mpsc::Sender<Vec<SpanData>>,
    counters: metrics::Spans,
}

/// The task that sends what was handed over.
#[derive(Debug)]
pub struct Exporter {
    spans: mpsc::Receiver<Vec<SpanData>>,
    counters: metrics::Spans,
    client: OtlpExporter,
}

/// Makes the exporter towards `endpoint`, and the queue that feeds it.
///
/// `endpoint` is the base URL, as `OTEL_EXPORTER_OTLP_ENDPOINT` has it. Headers and timeout come from
/// the environment (`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_TIMEOUT`).
///
/// # Errors
///
/// If the endpoint is no URL, or the environment's values are wrong.
pub fn new(
    endpoint: &str,
    service_name: &str,
    counters: metrics::Spans,
) -> Result<(Queue, Exporter), ExporterBuildError> {
    let mut client = OtlpExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .build()?;
    let resource = Resource::builder_empty()
        .with_detectors(&[
            Box::new(TelemetryResourceDetector),
            Box::new(EnvResourceDetector::new()),
        ])
        .with_service_name(service_name.to_owned())
        .build();
    client.set_resource(&resource);
    let (sender, receiver) = mpsc::channel(QUEUE_RECORDS);
    let queue = Queue {
        spans: sender,
        counters: counters.clone(),
    };
    let exporter = Exporter {
        spans: receiver,
        counters,
        client,
    };
    Ok((queue, exporter))
}

// === impl Queue ===

impl Queue {
    /// Hands over the spans of a settled record, or counts them as lost.
    pub fn offer(&self, output: &Output) {
        let spans = spans::of(output);
        if let Err(error) = self.spans.try_send(spans) {
            self.counters
                .queue_full
                .inc_by(error.into_inner().len() as u64);
        }
    }

    /// Hands over the spans of a settled record, waiting for a place until `deadline`.
    pub async fn push(&self, output: &Output, deadline: Instant) {
        let spans = spans::of(output);
        let count = spans.len() as u64;
        if !matches!(
            timeout_at(deadline, self.spans.send(spans)).await,
            Ok(Ok(()))
        ) {
            self.counters.queue_full.inc_by(count);
        }
    }

    /// Returns how many spans found no place so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.counters.queue_full.get()
    }
}

// === impl Exporter ===

impl Exporter {
    /// Runs until the queue's other end is gone and all that it held was sent or counted.
    pub async fn run(mut self) {
        let mut records = Vec::with_capacity(EXPORT_RECORDS);
        let mut refused = false;
        // While one export is under way the next one's records gather: batches grow with the load.
        while self.spans.recv_many(&mut records, EXPORT_RECORDS).await > 0 {
            let spans: Vec<_> = records.drain(..).flatten().collect();
            let count = spans.len() as u64;
            match self.client.export(spans).await {
                Ok(()) => {
                    self.counters.exported.inc_by(count);
                    if std::mem::take(&mut refused) {
                        tracing::info!("Collector took spans again");
                    }
                }
                Err(error) => {
                    self.counters.refused.inc_by(count);
                    if !std::mem::replace(&mut refused, true) {
                        tracing::warn!(%error, "Collector refused spans");
                    }
                }
            }
        }
    }
}
