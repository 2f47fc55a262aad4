//! What is reported of one request, read from the proxy when the stream has ended.
//!
//! Few attributes are read for every request; the others only where somebody will ask for them:
//! a failure, a slow request, the first use of an upstream connection as seen by this worker, and a
//! connection's first request.

use syntrace_model::{ConnKey, Endpoint};
use syntrace_proto::{Endpoint as EndpointMessage, Request, Upstream};

use crate::{
    Attribute, Host,
    attribute::{endpoint, integer, text},
    connections::Ends,
};

/// Longest text of Envoy's that a report carries, bytes.
const MAX_TEXT_BYTES: usize = 256;

/// What every report carries of the stream's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    started_at_unix_ns: u64,
    duration_ns: u64,
    /// 0 without a response.
    status: u32,
    grpc_status: Option<u32>,
    flags: u64,
    upstream_local: Option<Endpoint>,
    upstream_peer: Option<Endpoint>,
}

// === impl Ending ===

impl Ending {
    /// Reads the routine attributes; one more for gRPC.
    pub(crate) fn read(host: &impl Host, grpc: bool) -> Self {
        let integer = |attribute| host.attribute(attribute).as_deref().and_then(integer);
        let endpoint = |attribute| host.attribute(attribute).as_deref().and_then(endpoint);
        Self {
            started_at_unix_ns: integer(Attribute::RequestTime).unwrap_or_default(),
            duration_ns: integer(Attribute::RequestDuration).unwrap_or_default(),
            status: integer(Attribute::ResponseCode)
                .and_then(narrow)
                .unwrap_or_default(),
            grpc_status: if grpc {
                integer(Attribute::ResponseGrpcStatus).and_then(narrow)
            } else {
                None
            },
            flags: integer(Attribute::ResponseFlags).unwrap_or_default(),
            upstream_local: endpoint(Attribute::UpstreamLocalAddress),
            upstream_peer: endpoint(Attribute::UpstreamAddress),
        }
    }

    /// Returns whether the request failed, or took at least `slow_ns`.
    pub(crate) fn is_remarkable(&self, slow_ns: u64) -> bool {
        self.flags != 0
            || self.status == 0
            || self.status >= 500
            || self.grpc_status.is_some_and(|status| status != 0)
            || self.duration_ns >= slow_ns
    }

    /// Returns both ends of the upstream connection, if there was one.
    pub(crate) fn upstream_key(&self) -> Option<ConnKey> {
        Some(ConnKey {
            local: self.upstream_local?,
            peer: self.upstream_peer?,
        })
    }

    /// Writes itself into a report.
    pub(crate) fn describe(&self, request: &mut Request) {
        request.started_at_unix_ns = self.started_at_unix_ns;
        request.duration_ns = self.duration_ns;
        request.status = self.status;
        request.grpc_status = self.grpc_status;
        request.response_flags = self.flags;
        if self.upstream_local.is_some() || self.upstream_peer.is_some() {
            request.upstream = Some(Upstream {
                local: self.upstream_local.map(message),
                peer: self.upstream_peer.map(message),
                ..Upstream::default()
            });
        }
    }
}

/// Reads what does not change while a downstream connection lives.
pub(crate) fn ends(host: &impl Host) -> Ends {
    // The direct address is the socket's own; the other may have come by PROXY protocol or a header.
    let end = |direct, seen| {
        let end = host.attribute(direct).as_deref().and_then(endpoint);
        end.or_else(|| host.attribute(seen).as_deref().and_then(endpoint))
            .map(message)
    };
    Ends {
        local: end(Attribute::DirectLocalAddress, Attribute::DestinationAddress),
        peer: end(Attribute::DirectPeerAddress, Attribute::SourceAddress),
        protocol: read_text(host, Attribute::RequestProtocol),
    }
}

/// Reads what only some reports carry, into one that [`Ending::describe`] has filled.
pub(crate) fn detail(host: &impl Host, request: &mut Request) {
    let integer = |attribute| host.attribute(attribute).as_deref().and_then(integer);
    request.response_details = read_text(host, Attribute::ResponseCodeDetails);
    request.request_bytes = integer(Attribute::RequestSize).unwrap_or_default();
    request.response_bytes = integer(Attribute::ResponseSize).unwrap_or_default();
    let upstream = Upstream {
        cluster: read_text(host, Attribute::ClusterName),
        pool_wait_ns: integer(Attribute::UpstreamPoolWait),
        attempts: integer(Attribute::UpstreamAttempts)
            .and_then(narrow)
            .unwrap_or_default(),
        failure: read_text(host, Attribute::UpstreamFailure),
        first_byte_ns: integer(Attribute::ResponseBackendLatency),
        ..request.upstream.take().unwrap_or_default()
    };
    if upstream != Upstream::default() {
        request.upstream = Some(upstream);
    }
}

fn read_text(host: &impl Host, attribute: Attribute) -> String {
    host.attribute(attribute)
        .map(|value| text(&value, MAX_TEXT_BYTES))
        .unwrap_or_default()
}

fn narrow(value: u64) -> Option<u32> {
    u32::try_from(value).ok()
}

fn message(endpoint: Endpoint) -> EndpointMessage {
    let address = match endpoint.address() {
        std::net::IpAddr::V4(address) => address.octets().to_vec(),
        std::net::IpAddr::V6(address) => address.octets().to_vec(),
    };
    EndpointMessage {
        address,
        port: endpoint.port().into(),
    }
}
