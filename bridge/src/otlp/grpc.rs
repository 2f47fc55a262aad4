//! OTLP/gRPC.

use std::time::Duration;

use axum::http::Uri;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse, trace_service_client::TraceServiceClient,
};
use prost::Message as _;
use tonic::{Code, Request, Status, body::Body, codec::CompressionEncoding, metadata::MetadataMap};

use super::{SendError, SetupError, connect::connector, settings::Settings};

/// `google.rpc.RetryInfo` as the type URL of a detail.
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// Calls the trace service of one collector.
#[derive(Debug)]
pub(super) struct Transport {
    service: TraceServiceClient<Client<HttpsConnector<HttpConnector>, Body>>,
    metadata: MetadataMap,
}

/// The part of `google.rpc.Status` that is read.
#[derive(Clone, PartialEq, prost::Message)]
struct Details {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, prost::Message)]
struct Detail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, prost::Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl Transport {
    pub(super) fn new(settings: &Settings) -> Result<Self, SetupError> {
        let origin: Uri = settings.endpoint.parse()?;
        let client = Client::builder(TokioExecutor::new())
            .http2_only(true)
            .build(connector(settings, true)?);
        let mut service = TraceServiceClient::with_origin(client, origin);
        if settings.gzip {
            service = service.send_compressed(CompressionEncoding::Gzip);
        }
        Ok(Self {
            service: service.accept_compressed(CompressionEncoding::Gzip),
            metadata: MetadataMap::from_headers(settings.headers.0.clone()),
        })
    }

    pub(super) async fn send(
        &self,
        request: ExportTraceServiceRequest,
    ) -> Result<ExportTraceServiceResponse, SendError> {
        let mut request = Request::new(request);
        *request.metadata_mut() = self.metadata.clone();
        // A clone shares the connection.
        let answer = self.service.clone().export(request).await;
        answer.map(tonic::Response::into_inner).map_err(judge)
    }
}

/// Tells what may be sent again from what may not, by the specification's list.
fn judge(status: Status) -> SendError {
    let reason = format!("{}: {}", status.code(), status.message());
    let after = delay(status.details());
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => SendError::Later { after, reason },
        Code::ResourceExhausted if after.is_some() => SendError::Later { after, reason },
        // The connection failed before there was an answer.
        Code::Unknown if std::error::Error::source(&status).is_some() => {
            SendError::Later { after, reason }
        }
        Code::Ok
        | Code::Unknown
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Unimplemented
        | Code::Internal
        | Code::Unauthenticated => SendError::Never { reason },
    }
}

/// Reads how long the collector asks to wait.
fn delay(details: &[u8]) -> Option<Duration> {
    let details = Details::decode(details).ok()?.details;
    let info = details
        .iter()
        .find(|detail| detail.type_url == RETRY_INFO)?;
    let delay = RetryInfo::decode(&*info.value).ok()?.retry_delay?;
    let seconds = u64::try_from(delay.seconds).ok()?;
    Some(Duration::new(seconds, u32::try_from(delay.nanos).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_codes_that_the_specification_lists_are_tried_again() {
        let again = |code: &i32| {
            let status = Status::new(Code::from_i32(*code), "");
            matches!(judge(status), SendError::Later { .. })
        };
        let retried: Vec<_> = (1..=16).filter(again).collect();
        assert_eq!(retried, [1, 4, 10, 11, 14, 15]);
    }

    #[test]
    fn an_exhausted_collector_is_asked_again_when_it_says_so() {
        let delay = Delay {
            seconds: 3,
            nanos: 500_000_000,
        };
        let info = RetryInfo {
            retry_delay: Some(delay),
        };
        let detail = Detail {
            type_url: RETRY_INFO.to_owned(),
            value: info.encode_to_vec(),
        };
        let details = Details {
            details: vec![detail],
        };
        let details = details.encode_to_vec().into();
        let error = judge(Status::with_details(Code::ResourceExhausted, "", details));
        let SendError::Later { after, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(after, Some(Duration::from_millis(3_500)));
    }
}
