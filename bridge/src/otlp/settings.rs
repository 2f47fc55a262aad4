//! The collector's address and protocol: what the `OTEL_EXPORTER_OTLP_*` variables say.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// How to reach the collector.
#[derive(Clone, Debug)]
pub struct Settings {
    /// URL to which spans are posted, or base URL of the gRPC service.
    pub endpoint: String,
    /// The protocol.
    pub protocol: Protocol,
    /// Whether batches are compressed.
    pub gzip: bool,
    /// What goes with each batch.
    pub headers: Headers,
    /// How long one batch may take.
    pub timeout: Duration,
    /// Who exports.
    pub service_name: String,
    /// Certificates of those who sign the collector's, PEM; the system's if absent.
    pub certificate: Option<PathBuf>,
    /// The client's certificate and key, PEM.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// The supported encodings of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// Protocol Buffers in the body of a POST.
    #[value(name = "http/protobuf")]
    HttpProtobuf,
    /// gRPC.
    #[value(name = "grpc")]
    Grpc,
}

/// Headers for the collector, which may be secret. Text: `name=value,name=value`, percent-encoded.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(pub(super) HeaderMap);

/// Text that is not a list of headers; it is not printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected name=value, separated by commas")]
pub struct ParseHeadersError;

impl Settings {
    /// Returns settings that are the specification's defaults, for a base URL as
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` has it.
    #[must_use]
    pub fn of_base(url: &str, protocol: Protocol) -> Self {
        let path = match protocol {
            Protocol::HttpProtobuf => "/v1/traces",
            Protocol::Grpc => "",
        };
        Self {
            endpoint: format!("{}{path}", url.trim_end_matches('/')),
            protocol,
            gzip: false,
            headers: Headers::default(),
            timeout: Duration::from_secs(10),
            service_name: "syntrace".to_owned(),
            certificate: None,
            client: None,
        }
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Headers({} not shown)", self.0.len())
    }
}

impl FromStr for Headers {
    type Err = ParseHeadersError;

    fn from_str(text: &str) -> Result<Self, ParseHeadersError> {
        let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
        let read = pairs.map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let name: HeaderName = name.trim().parse().ok()?;
            let mut value = HeaderValue::from_bytes(&decode(value.trim())?).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        });
        let headers: Option<HeaderMap> = read.collect();
        headers.map(Self).ok_or(ParseHeadersError)
    }
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, encoded)) = rest.split_once('%') {
        bytes.extend(plain.bytes());
        let (digits, after) = encoded.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    bytes.extend(rest.bytes());
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_the_specification_has_them() {
        let headers: Headers = "api-key=a%20b, x-tenant = 7,".parse().unwrap();
        assert_eq!(headers.0["api-key"], "a b");
        assert_eq!(headers.0["x-tenant"], "7");
        assert_eq!(format!("{headers:?}"), "Headers(2 not shown)");
    }

    #[test]
    fn what_is_no_list_of_headers_is_refused() {
        for text in ["api-key", "a b=c", "a=%zz", "a=%2", "a=%0a", "=b"] {
            assert_eq!(text.parse::<Headers>(), Err(ParseHeadersError), "{text}");
        }
    }
}
