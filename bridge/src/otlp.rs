//! Sends one batch of spans to a collector, once: OTLP by HTTP/protobuf or gRPC, by the exporter
//! specification (<https://opentelemetry.io/docs/specs/otlp/>).
//!
//! It returns what became of the batch: accepted, in part, not yet, never. [`crate::export`] decides what is sent when,
//! and what is retried. opentelemetry-otlp's exporter retries by itself and does not distinguish these cases, so only
//! OpenTelemetry's messages and conversions are used here.

mod connect;
mod grpc;
mod http;
mod settings;

use std::time::Duration;

use opentelemetry_proto::{
    tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    transform::{
        common::tonic::ResourceAttributesWithSchema,
        trace::tonic::group_spans_by_resource_and_scope,
    },
};
use opentelemetry_sdk::{
    Resource,
    resource::{EnvResourceDetector, TelemetryResourceDetector},
    trace::SpanData,
};
use tokio::time::timeout;

pub use self::{
    connect::TlsError,
    settings::{Headers, ParseHeadersError, Protocol, Settings},
};

/// Sends batches to one collector.
#[derive(Debug)]
pub struct Client {
    transport: Transport,
    resource: ResourceAttributesWithSchema,
    timeout: Duration,
}

/// What became of a batch that was accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Spans of it that the collector refused, for good.
    pub rejected: u64,
}

/// Why a batch was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The collector may take it later.
    #[error("the collector does not accept spans now: {reason}")]
    Later {
        /// How long the collector asks to wait.
        after: Option<Duration>,
        /// What it said, or what came of the connection.
        reason: String,
    },
    /// The collector will never take it.
    #[error("the collector refused the spans: {reason}")]
    Never {
        /// What it said.
        reason: String,
    },
}

/// Settings that make no client.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The endpoint is no URL.
    #[error("the collector's endpoint is not a URL")]
    Endpoint(#[from] axum::http::uri::InvalidUri),
    /// The certificates cannot be used.
    #[error("TLS to the collector")]
    Tls(#[from] TlsError),
}

#[derive(Debug)]
enum Transport {
    Http(http::Transport),
    Grpc(grpc::Transport),
}

// === impl Client ===

impl Client {
    /// Returns a client; it connects when something is sent.
    ///
    /// The resource is the service name, in addition to what `OTEL_RESOURCE_ATTRIBUTES` says.
    ///
    /// # Errors
    ///
    /// [`SetupError`]
    pub fn new(settings: &Settings) -> Result<Self, SetupError> {
        let transport = match settings.protocol {
            Protocol::HttpProtobuf => Transport::Http(http::Transport::new(settings)?),
            Protocol::Grpc => Transport::Grpc(grpc::Transport::new(settings)?),
        };
        Ok(Self {
            transport,
            resource: resource(&settings.service_name),
            timeout: settings.timeout,
        })
    }

    /// Sends the spans once.
    ///
    /// # Errors
    ///
    /// [`SendError`], which says whether to retry.
    pub async fn send(&self, spans: Vec<SpanData>) -> Result<Taken, SendError> {
        let request = ExportTraceServiceRequest {
            resource_spans: group_spans_by_resource_and_scope(spans, &self.resource),
        };
        let sent = async {
            match &self.transport {
                Transport::Http(http) => http.send(&request).await,
                Transport::Grpc(grpc) => grpc.send(request).await,
            }
        };
        match timeout(self.timeout, sent).await {
            Ok(answer) => Ok(Taken::from(answer?)),
            Err(_) => Err(SendError::later("no answer in time")),
        }
    }
}

impl From<ExportTraceServiceResponse> for Taken {
    fn from(answer: ExportTraceServiceResponse) -> Self {
        let rejected = answer
            .partial_success
            .map_or(0, |partial| partial.rejected_spans);
        Self {
            rejected: u64::try_from(rejected).unwrap_or(0),
        }
    }
}

// === impl SendError ===

impl SendError {
    fn later(reason: impl ToString) -> Self {
        Self::Later {
            after: None,
            reason: reason.to_string(),
        }
    }
}

/// Returns the resource: the service's name takes precedence over the environment.
#[must_use]
pub(crate) fn resource(service_name: &str) -> ResourceAttributesWithSchema {
    let resource = Resource::builder_empty()
        .with_detectors(&[
            Box::new(TelemetryResourceDetector),
            Box::new(EnvResourceDetector::new()),
        ])
        .with_service_name(service_name.to_owned())
        .build();
    (&resource).into()
}
