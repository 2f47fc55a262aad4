//! OTLP/HTTP with Protocol Buffers.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use axum::http::{HeaderMap, Request, StatusCode, Uri, header};
use flate2::{Compression, write::GzEncoder};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use jiff::{Timestamp, fmt::rfc2822};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message as _;

use super::{SendError, SetupError, connect::connector, settings::Settings};

/// No answer that says something is longer.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Posts batches to one URL.
#[derive(Debug)]
pub(super) struct Transport {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: Uri,
    headers: HeaderMap,
    gzip: bool,
}

impl Transport {
    pub(super) fn new(settings: &Settings) -> Result<Self, SetupError> {
        let connector = connector(settings, false)?;
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            url: settings.endpoint.parse()?,
            headers: settings.headers.0.clone(),
            gzip: settings.gzip,
        })
    }

    pub(super) async fn send(
        &self,
        request: &ExportTraceServiceRequest,
    ) -> Result<ExportTraceServiceResponse, SendError> {
        let answer = self.client.request(self.request(request)?).await;
        let (head, body) = answer.map_err(SendError::later)?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        judge(head.status, &head.headers)?;
        // Taken. What it says beyond that is its own business if it cannot be read.
        let body = body.map(http_body_util::Collected::to_bytes);
        Ok(ExportTraceServiceResponse::decode(body.unwrap_or_default()).unwrap_or_default())
    }

    fn request(
        &self,
        request: &ExportTraceServiceRequest,
    ) -> Result<Request<Full<Bytes>>, SendError> {
        let mut body = request.encode_to_vec();
        let mut builder = Request::post(self.url.clone());
        if let Some(headers) = builder.headers_mut() {
            headers.extend(self.headers.clone());
        }
        builder = builder.header(header::CONTENT_TYPE, syntrace_proto::CONTENT_TYPE);
        if self.gzip {
            body = compress(&body).map_err(SendError::later)?;
            builder = builder.header(header::CONTENT_ENCODING, "gzip");
        }
        let request = builder.body(Full::from(body));
        request.map_err(|error| SendError::Never {
            reason: error.to_string(),
        })
    }
}

fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Tells what may be sent again from what may not, by the specification's list.
fn judge(status: StatusCode, headers: &HeaderMap) -> Result<(), SendError> {
    let reason = status.to_string();
    match status {
        _ if status.is_success() => Ok(()),
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Err(SendError::Later {
            after: retry_after(headers, Timestamp::now()),
            reason,
        }),
        _ => Err(SendError::Never { reason }),
    }
}

/// Reads `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = rfc2822::parse(text).ok()?.timestamp();
    Some(date.duration_since(now).try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_statuses_that_the_specification_lists_are_tried_again() {
        let again = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            matches!(
                judge(status, &HeaderMap::new()),
                Err(SendError::Later { .. })
            )
        };
        let retried: Vec<_> = (200..600).filter(|&status| again(status)).collect();
        assert_eq!(retried, [429, 502, 503, 504]);
        assert!(judge(StatusCode::OK, &HeaderMap::new()).is_ok());
        assert!(judge(StatusCode::ACCEPTED, &HeaderMap::new()).is_ok());
    }

    #[test]
    fn both_forms_of_retry_after_are_understood() {
        let now: Timestamp = "1994-11-06T08:49:30Z".parse().unwrap();
        let after = |text: &str| {
            let headers = [(header::RETRY_AFTER, text.parse().unwrap())];
            retry_after(&headers.into_iter().collect(), now)
        };
        assert_eq!(after("120"), Some(Duration::from_secs(120)));
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(after(date), Some(Duration::from_secs(7)));
        let past = "Sun, 06 Nov 1994 08:49:00 GMT";
        assert_eq!(after(past), Some(Duration::ZERO));
        assert_eq!(after("soon"), None);
        assert_eq!(after("-1"), None);
    }
}
