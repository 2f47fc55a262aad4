//! The Envoy attributes that the filter reads, and the forms in which Envoy gives them.
//!
//! `envoy/README.md` says of each what it is for. Bytes of any other form are taken for "unset":
//! no attribute can make a request fail.

use syntrace_model::Endpoint;

/// One Envoy attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attribute {
    /// Number of the downstream connection, unique in the process.
    ConnectionId,
    /// The gateway's end before any PROXY protocol, from `set_filter_state`; text.
    DirectLocalAddress,
    /// The client's end before any PROXY protocol, from `set_filter_state`; text.
    DirectPeerAddress,
    /// The gateway's end of the downstream connection; text.
    DestinationAddress,
    /// The client's end of the downstream connection; text.
    SourceAddress,
    /// The `id` of Envoy's node; text.
    NodeId,
    /// `HTTP/1.1`, `HTTP/2`, ...; text.
    RequestProtocol,
    /// First byte received, nanoseconds since 1970.
    RequestTime,
    /// First byte received until the stream's end, nanoseconds.
    RequestDuration,
    /// Bytes of the request's body.
    RequestSize,
    /// The request's method; text.
    RequestMethod,
    /// The request's path without the query string; text.
    RequestUrlPath,
    /// The request's authority; text.
    RequestHost,
    /// Envoy's `x-request-id`; text.
    RequestId,
    /// The first `traceparent` line; text.
    RequestTraceparent,
    /// Status of the response.
    ResponseCode,
    /// Why the response is what it is; text.
    ResponseCodeDetails,
    /// What went wrong, as bits.
    ResponseFlags,
    /// Status of the call; only true of gRPC.
    ResponseGrpcStatus,
    /// Bytes of the response's body.
    ResponseSize,
    /// First byte sent upstream until the first byte came back, nanoseconds.
    ResponseBackendLatency,
    /// The gateway's end of the upstream connection; text.
    UpstreamLocalAddress,
    /// The service's end of the upstream connection, or the host that was tried; text.
    UpstreamAddress,
    /// How often the request was sent upstream.
    UpstreamAttempts,
    /// Wait for an upstream connection, nanoseconds.
    UpstreamPoolWait,
    /// Why the upstream connection failed; text.
    UpstreamFailure,
    /// The upstream cluster; text.
    ClusterName,
}

// === impl Attribute ===

impl Attribute {
    /// Every attribute.
    pub const ALL: [Self; 27] = [
        Self::ConnectionId,
        Self::DirectLocalAddress,
        Self::DirectPeerAddress,
        Self::DestinationAddress,
        Self::SourceAddress,
        Self::NodeId,
        Self::RequestProtocol,
        Self::RequestTime,
        Self::RequestDuration,
        Self::RequestSize,
        Self::RequestMethod,
        Self::RequestUrlPath,
        Self::RequestHost,
        Self::RequestId,
        Self::RequestTraceparent,
        Self::ResponseCode,
        Self::ResponseCodeDetails,
        Self::ResponseFlags,
        Self::ResponseGrpcStatus,
        Self::ResponseSize,
        Self::ResponseBackendLatency,
        Self::UpstreamLocalAddress,
        Self::UpstreamAddress,
        Self::UpstreamAttempts,
        Self::UpstreamPoolWait,
        Self::UpstreamFailure,
        Self::ClusterName,
    ];

    /// Returns the path under which Envoy knows it, one element a level.
    #[must_use]
    pub const fn path(self) -> &'static [&'static str] {
        match self {
            Self::ConnectionId => &["connection", "id"],
            Self::DirectLocalAddress => &["filter_state", "syntrace.direct_local"],
            Self::DirectPeerAddress => &["filter_state", "syntrace.direct_peer"],
            Self::DestinationAddress => &["destination", "address"],
            Self::SourceAddress => &["source", "address"],
            Self::NodeId => &["xds", "node", "id"],
            Self::RequestProtocol => &["request", "protocol"],
            Self::RequestTime => &["request", "time"],
            Self::RequestDuration => &["request", "duration"],
            Self::RequestSize => &["request", "size"],
            Self::RequestMethod => &["request", "method"],
            Self::RequestUrlPath => &["request", "url_path"],
            Self::RequestHost => &["request", "host"],
            Self::RequestId => &["request", "id"],
            Self::RequestTraceparent => &["request", "headers", "traceparent"],
            Self::ResponseCode => &["response", "code"],
            Self::ResponseCodeDetails => &["response", "code_details"],
            Self::ResponseFlags => &["response", "flags"],
            Self::ResponseGrpcStatus => &["response", "grpc_status"],
            Self::ResponseSize => &["response", "size"],
            Self::ResponseBackendLatency => &["response", "backend_latency"],
            Self::UpstreamLocalAddress => &["upstream", "local_address"],
            Self::UpstreamAddress => &["upstream", "address"],
            Self::UpstreamAttempts => &["upstream", "request_attempt_count"],
            Self::UpstreamPoolWait => &["upstream", "cx_pool_ready_duration"],
            Self::UpstreamFailure => &["upstream", "transport_failure_reason"],
            Self::ClusterName => &["xds", "cluster_name"],
        }
    }
}

/// Reads an integer, a duration or a time: 8 bytes, little endian, not negative.
pub(crate) fn integer(value: &[u8]) -> Option<u64> {
    let signed = i64::from_le_bytes(value.try_into().ok()?);
    u64::try_from(signed).ok()
}

/// Reads text of at most `limit` bytes; what is longer is cut, what is not UTF-8 is replaced.
pub(crate) fn text(value: &[u8], limit: usize) -> String {
    let head = value.get(..limit).unwrap_or(value);
    let mut text = String::from_utf8_lossy(head).into_owned();
    while text.len() > limit {
        text.pop();
    }
    text
}

/// Reads an address and a port.
pub(crate) fn endpoint(value: &[u8]) -> Option<Endpoint> {
    str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_is_eight_bytes_and_not_negative() {
        assert_eq!(integer(&7_i64.to_le_bytes()), Some(7));
        assert_eq!(integer(&(-1_i64).to_le_bytes()), None);
        assert_eq!(integer(&[]), None);
        assert_eq!(integer(&[1; 4]), None);
        assert_eq!(integer(&[1; 9]), None);
    }

    #[test]
    fn text_keeps_its_bound_whatever_its_bytes_are() {
        assert_eq!(text(b"abc", 2), "ab");
        assert_eq!(text("\u{e9}\u{e9}".as_bytes(), 3), "\u{e9}");
        assert_eq!(text(&[0xff; 4], 4), "\u{fffd}");
    }

    #[test]
    fn an_envoy_address_without_a_port_is_no_endpoint() {
        assert_eq!(endpoint(b"127.0.0.1:80"), "127.0.0.1:80".parse().ok());
        for value in [&b"/run/socket"[..], b"", b"127.0.0.1", b"\xff"] {
            assert_eq!(endpoint(value), None);
        }
    }

    #[test]
    fn every_attribute_has_a_path_of_its_own() {
        let mut paths = Attribute::ALL.map(Attribute::path);
        paths.sort_unstable();
        assert!(paths.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
