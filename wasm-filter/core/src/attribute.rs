//! The Envoy attributes that the filter reads, and the forms in which Envoy gives them.
//!
//! `envoy/README.md` says of each what it is for. Bytes of any other form are taken for "unset":
//! no attribute can make a request fail.

use syntrace_model::Endpoint;

macro_rules! attributes {
    ($($(#[$doc:meta])* $name:ident = $path:literal,)*) => {
        /// One Envoy attribute.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Attribute {
            $($(#[$doc])* $name,)*
        }

        impl Attribute {
            /// Every attribute.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the path under which Envoy knows it, its levels divided by zero bytes.
            #[must_use]
            pub const fn path(self) -> &'static str {
                match self {
                    $(Self::$name => $path,)*
                }
            }
        }
    };
}

attributes! {
    /// Name of the plugin whose callback runs: the `name` of its configuration in Envoy; text.
    PluginName = "plugin_name",
    /// The `id` of Envoy's node; text.
    NodeId = "xds\0node\0id",
    /// Number of the downstream connection, unique in the process.
    ConnectionId = "connection\0id",
    /// Addresses of the downstream connection, written by `set_filter_state`.
    ConnectionAddresses = "filter_state\0syntrace.addresses",
    /// The downstream TLS handshake, written by `set_filter_state`.
    ConnectionTls = "filter_state\0syntrace.tls",
    /// The name that the client asked for by TLS; text.
    RequestedServerName = "connection\0requested_server_name",
    /// The gateway's end of the downstream connection; text.
    DestinationAddress = "destination\0address",
    /// The client's end of the downstream connection; text.
    SourceAddress = "source\0address",
    /// `HTTP/1.1`, `HTTP/2`, ...; text.
    RequestProtocol = "request\0protocol",
    /// First byte received, nanoseconds since 1970.
    RequestTime = "request\0time",
    /// First byte received until the stream's end, nanoseconds.
    RequestDuration = "request\0duration",
    /// Bytes of the request's body.
    RequestSize = "request\0size",
    /// The request's method; text.
    RequestMethod = "request\0method",
    /// The request's path without the query string; text.
    RequestUrlPath = "request\0url_path",
    /// The request's authority; text.
    RequestHost = "request\0host",
    /// Envoy's `x-request-id`; text.
    RequestId = "request\0id",
    /// Status of the response.
    ResponseCode = "response\0code",
    /// Why the response is what it is; text.
    ResponseCodeDetails = "response\0code_details",
    /// What went wrong, as bits.
    ResponseFlags = "response\0flags",
    /// Status of the call; only true of gRPC.
    ResponseGrpcStatus = "response\0grpc_status",
    /// Bytes of the response's body.
    ResponseSize = "response\0size",
    /// First byte sent upstream until the last one came back, nanoseconds.
    ResponseBackendLatency = "response\0backend_latency",
    /// The gateway's end of the upstream connection; text.
    UpstreamLocalAddress = "upstream\0local_address",
    /// The service's end of the upstream connection, or the host that was tried; text.
    UpstreamAddress = "upstream\0address",
    /// How often the request was sent upstream.
    UpstreamAttempts = "upstream\0request_attempt_count",
    /// Wait for an upstream connection, nanoseconds.
    UpstreamPoolWait = "upstream\0cx_pool_ready_duration",
    /// Why the upstream connection failed; text.
    UpstreamFailure = "upstream\0transport_failure_reason",
    /// The upstream cluster; text.
    ClusterName = "xds\0cluster_name",
    /// The route; text, empty where it has no name.
    RouteName = "xds\0route_name",
}

/// Reads an integer, a duration or a time: 8 bytes, little endian, not negative.
pub(crate) fn integer(value: &[u8]) -> Option<u64> {
    let signed = i64::from_le_bytes(value.try_into().ok()?);
    u64::try_from(signed).ok()
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
    fn an_envoy_address_without_a_port_is_no_endpoint() {
        assert_eq!(endpoint(b"127.0.0.1:80"), "127.0.0.1:80".parse().ok());
        for value in [&b"/run/socket"[..], b"", b"127.0.0.1", b"\xff"] {
            assert_eq!(endpoint(value), None);
        }
    }

    #[test]
    fn every_attribute_has_a_path_of_its_own() {
        let mut paths: Vec<_> = Attribute::ALL.iter().map(|one| one.path()).collect();
        paths.sort_unstable();
        assert!(paths.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
