//! What one pass over the request headers finds.
//!
//! Values are bytes that a client chose: each is bounded, and none is trusted to be text.

use syntrace_model::Traceparent;

use crate::{Attribute, Host, attribute::text};

/// Longest value that a report carries, bytes; longer ones are cut.
const MAX_TEXT_BYTES: usize = 1_024;

/// Longest `tracestate` that a report carries, bytes (W3C Trace Context asks for at least 512).
///
/// A longer one still reaches the service; the report leaves it out, because half a list is none.
const MAX_TRACESTATE_BYTES: usize = 512;

/// The request headers that matter to the filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestHeaders {
    pub(crate) method: String,
    /// Without the query string.
    pub(crate) path: String,
    pub(crate) authority: String,
    /// Envoy's `x-request-id`.
    pub(crate) request_id: String,
    /// The content type is gRPC's.
    pub(crate) grpc: bool,
    /// The context of the `traceparent` header, if there is exactly one and it is valid.
    pub(crate) traceparent: Option<Traceparent>,
    /// Lines named `traceparent`.
    pub(crate) n_traceparent: usize,
    /// Every `tracestate` line, joined in order.
    pub(crate) tracestate: String,
    /// Lines named `tracestate`.
    pub(crate) n_tracestate: usize,
}

// === impl RequestHeaders ===

impl RequestHeaders {
    /// Reads the header lines, whose names are in lower case.
    pub(crate) fn read(lines: &[(String, Vec<u8>)]) -> Self {
        let mut headers = Self::default();
        let mut tracestate = Vec::new();
        for (name, value) in lines {
            match name.as_str() {
                ":method" => headers.method = text(value, MAX_TEXT_BYTES),
                ":path" => headers.path = text(without_query(value), MAX_TEXT_BYTES),
                ":authority" => headers.authority = text(value, MAX_TEXT_BYTES),
                "x-request-id" => headers.request_id = text(value, MAX_TEXT_BYTES),
                "content-type" => headers.grpc = is_grpc(value),
                "traceparent" => {
                    headers.n_traceparent += 1;
                    headers.traceparent = Traceparent::parse(value).ok();
                }
                "tracestate" => {
                    headers.n_tracestate += 1;
                    join(&mut tracestate, value);
                }
                _ => {}
            }
        }
        // Two lines name two parents: neither can be believed.
        headers.traceparent = headers.traceparent.filter(|_| headers.n_traceparent == 1);
        if headers.traceparent.is_some() && tracestate.len() <= MAX_TRACESTATE_BYTES {
            headers.tracestate = text(&tracestate, MAX_TRACESTATE_BYTES);
        }
        headers
    }

    /// Reads what attributes tell of the headers: all that is left when a request was answered before
    /// the filter saw it.
    pub(crate) fn from_attributes(host: &impl Host) -> Self {
        let read = |attribute| {
            host.attribute(attribute)
                .map(|value| text(&value, MAX_TEXT_BYTES))
                .unwrap_or_default()
        };
        let traceparent = host.attribute(Attribute::RequestTraceparent);
        Self {
            method: read(Attribute::RequestMethod),
            path: read(Attribute::RequestUrlPath),
            authority: read(Attribute::RequestHost),
            request_id: read(Attribute::RequestId),
            traceparent: traceparent.and_then(|value| Traceparent::parse(&value).ok()),
            ..Self::default()
        }
    }
}

/// Joins the lines of a list (RFC 9110, section 5.3).
fn join(list: &mut Vec<u8>, line: &[u8]) {
    if line.is_empty() || list.len() > MAX_TRACESTATE_BYTES {
        return;
    }
    if !list.is_empty() {
        list.push(b',');
    }
    list.extend_from_slice(line);
}

fn without_query(path: &[u8]) -> &[u8] {
    path.split(|byte| matches!(byte, b'?' | b'#'))
        .next()
        .unwrap_or_default()
}

/// Returns whether a content type is `application/grpc`, `application/grpc+proto`, ...
fn is_grpc(content_type: &[u8]) -> bool {
    match content_type.strip_prefix(b"application/grpc") {
        Some([]) | Some([b'+' | b';', ..]) => true,
        Some(_) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn read(lines: &[(&str, &str)]) -> RequestHeaders {
        let lines: Vec<_> = lines
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
            .collect();
        RequestHeaders::read(&lines)
    }

    #[test]
    fn the_query_string_is_left_out() {
        for path in ["/a?token=secret", "/a#x", "/a"] {
            assert_eq!(read(&[(":path", path)]).path, "/a");
        }
    }

    #[test]
    fn tracestate_lines_are_joined_in_order() {
        let lines = [
            ("tracestate", "a=1"),
            ("traceparent", PARENT),
            ("tracestate", ""),
            ("tracestate", "b=2"),
        ];
        assert_eq!(read(&lines).tracestate, "a=1,b=2");
    }

    #[test]
    fn tracestate_without_a_valid_traceparent_is_ignored() {
        for traceparent in ["", "garbage", &PARENT.to_uppercase()] {
            let headers = read(&[("traceparent", traceparent), ("tracestate", "a=1")]);
            assert_eq!(
                (headers.traceparent, headers.tracestate.as_str()),
                (None, "")
            );
            assert_eq!(headers.n_tracestate, 1);
        }
    }

    #[test]
    fn two_traceparent_lines_are_none() {
        let headers = read(&[("traceparent", PARENT), ("traceparent", PARENT)]);
        assert_eq!((headers.traceparent, headers.n_traceparent), (None, 2));
    }

    #[test]
    fn a_giant_tracestate_is_not_reported() {
        let list = "a=1,".repeat(200);
        assert_eq!(
            read(&[("traceparent", PARENT), ("tracestate", &list)]).tracestate,
            ""
        );
    }

    #[test]
    fn only_grpcs_own_content_types_are_grpc() {
        for (content_type, grpc) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;a=b", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            assert_eq!(
                read(&[("content-type", content_type)]).grpc,
                grpc,
                "{content_type}"
            );
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_replaced() {
        let lines = [(":path".to_owned(), b"/\xff".to_vec())];
        assert_eq!(RequestHeaders::read(&lines).path, "/\u{fffd}");
    }
}
