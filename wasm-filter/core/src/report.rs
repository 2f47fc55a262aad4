//! What is reported of one request, read from the proxy when the stream has ended.
//!
//! What every report carries comes by one host call; what the service and the wait for a connection took
//! is among it. The rest is read only where somebody will ask for it: a failure, a retry, a slow request,
//! the first use of an upstream connection as seen by this worker, and a connection's first request.

use std::borrow::Cow;

use crate::{
    Attribute, Host,
    attribute::integer,
    bundle::{Bundle, Values},
    mark,
    upstreams::{self, Upstreams},
    wire::{Message, request, upstream},
};

/// Longest text of Envoy's that a report carries, bytes.
const MAX_TEXT_BYTES: usize = 256;

/// What [`Ending::take`] takes, in its order.
const ENDING: &[Attribute] = &[
    Attribute::RequestTime,
    Attribute::RequestDuration,
    Attribute::ResponseCode,
    Attribute::ResponseFlags,
    Attribute::UpstreamLocalAddress,
    Attribute::UpstreamAddress,
    Attribute::UpstreamPoolWait,
    Attribute::UpstreamAttempts,
    Attribute::ResponseBackendLatency,
];

/// The same for gRPC.
const GRPC_ENDING: &[Attribute] = &[
    Attribute::RequestTime,
    Attribute::RequestDuration,
    Attribute::ResponseCode,
    Attribute::ResponseFlags,
    Attribute::UpstreamLocalAddress,
    Attribute::UpstreamAddress,
    Attribute::UpstreamPoolWait,
    Attribute::UpstreamAttempts,
    Attribute::ResponseBackendLatency,
    Attribute::ResponseGrpcStatus,
];

/// What [`Readings::detail`] takes, in its order.
const DETAIL: &[Attribute] = &[
    Attribute::ResponseCodeDetails,
    Attribute::RequestSize,
    Attribute::ResponseSize,
    Attribute::ClusterName,
    Attribute::RouteName,
];

/// The attributes that reports are made of, in bundles, and the upstream connections seen so far.
#[derive(Debug)]
pub(crate) struct Readings {
    ending: Bundle,
    grpc_ending: Bundle,
    detail: Bundle,
    upstreams: Upstreams,
}

/// What kind of stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Http,
    Grpc,
    TcpSession,
}

/// What every report carries of the stream's end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ending<'a> {
    started_at_unix_ns: Option<u64>,
    duration_ns: u64,
    /// 0 without a response.
    status: u64,
    grpc_status: Option<u64>,
    flags: u64,
    /// As Envoy writes them; empty where there is none.
    upstream_local: Cow<'a, [u8]>,
    upstream_peer: Cow<'a, [u8]>,
    pool_wait_ns: Option<u64>,
    attempts: u64,
    first_byte_ns: Option<u64>,
}

// === impl Readings ===

impl Readings {
    pub(crate) fn new() -> Self {
        Self {
            ending: Bundle::new(ENDING),
            grpc_ending: Bundle::new(GRPC_ENDING),
            detail: Bundle::new(DETAIL),
            upstreams: Upstreams::new(),
        }
    }

    /// Reads how a stream ended, and writes it; in detail if that `is_wanted`, or if it is remarkable.
    ///
    /// Returns when it began, nanoseconds since 1970.
    pub(crate) fn describe(
        &mut self,
        host: &impl Host,
        kind: Kind,
        is_wanted: bool,
        slow_ns: u64,
        report: &mut Message,
    ) -> Option<u64> {
        let bundle = match kind {
            Kind::Http | Kind::TcpSession => &mut self.ending,
            Kind::Grpc => &mut self.grpc_ending,
        };
        let list = match kind {
            Kind::Http | Kind::Grpc => bundle.read(host),
            // It has neither a status nor a first byte: the list cannot be had.
            Kind::TcpSession => None,
        };
        let ending = Ending::take(&mut bundle.values(list.as_deref()), host, kind);
        ending.write(report);
        let began_at_unix_ns = ending.started_at_unix_ns;
        let (local, peer) = (&ending.upstream_local, &ending.upstream_peer);
        let is_connected = !local.is_empty() && !peer.is_empty();
        let known = self.upstreams.get(local, peer).filter(|_| is_connected);
        let is_new = is_connected && known.is_none();
        if !(is_wanted || is_new || ending.is_remarkable(slow_ns)) {
            if let Some(known) = known {
                ending.write_upstream(report, known, &[]);
            } else if !peer.is_empty() {
                ending.write_upstream(report, &upstreams::describe(local, peer, &[]), &[]);
            }
            return began_at_unix_ns;
        }
        let cluster = self.detail(host, report);
        let failure = ending.failure(host);
        if is_connected {
            let upstream = self.upstreams.insert(local, peer, &cluster);
            ending.write_upstream(report, &upstream, &failure);
        } else if !(peer.is_empty() && cluster.is_empty() && failure.is_empty()) {
            let upstream = upstreams::describe(local, peer, &cluster);
            ending.write_upstream(report, &upstream, &failure);
        }
        began_at_unix_ns
    }

    /// Reads and writes what only some reports carry; returns the cluster.
    fn detail(&mut self, host: &impl Host, report: &mut Message) -> Vec<u8> {
        let list = self.detail.read(host);
        let mut values = self.detail.values(list.as_deref());
        let mut next = || values.next(host).unwrap_or_default();
        report.text(request::RESPONSE_DETAILS, &next(), MAX_TEXT_BYTES);
        report.uint(request::REQUEST_BYTES, integer(&next()).unwrap_or_default());
        report.uint(
            request::RESPONSE_BYTES,
            integer(&next()).unwrap_or_default(),
        );
        let cluster = next().into_owned();
        report.text(request::ROUTE, &next(), MAX_TEXT_BYTES);
        cluster
    }
}

// === impl Ending ===

impl<'a> Ending<'a> {
    fn take(values: &mut Values<'a>, host: &impl Host, kind: Kind) -> Self {
        let mut number = || values.next(host).as_deref().and_then(integer);
        let started_at_unix_ns = number();
        let duration_ns = number();
        let status = number().unwrap_or_default();
        let flags = number().unwrap_or_default();
        let upstream_local = values.next(host).unwrap_or_default();
        let upstream_peer = values.next(host).unwrap_or_default();
        let mut number = || values.next(host).as_deref().and_then(integer);
        Self {
            started_at_unix_ns,
            // While a TCP session ends it has no duration yet.
            duration_ns: duration_ns
                .or_else(|| Some(host.now_unix_ns()?.saturating_sub(started_at_unix_ns?)))
                .unwrap_or_default(),
            status,
            flags,
            upstream_local,
            upstream_peer,
            pool_wait_ns: number(),
            attempts: number().unwrap_or_default(),
            first_byte_ns: number(),
            grpc_status: match kind {
                Kind::Grpc => number(),
                Kind::Http | Kind::TcpSession => None,
            },
        }
    }

    /// Returns whether the request failed, was tried again, or took at least `slow_ns`.
    fn is_remarkable(&self, slow_ns: u64) -> bool {
        self.flags != 0
            || self.status == 0
            || self.status >= 500
            || self.grpc_status.is_some_and(|status| status != 0)
            || self.attempts > 1
            || self.duration_ns >= slow_ns
    }

    /// Reads why a connect or a handshake failed, also in an attempt before the last.
    fn failure(&self, host: &impl Host) -> Vec<u8> {
        if self.flags == 0 && self.attempts <= 1 {
            return Vec::new();
        }
        let failure = host.attribute(Attribute::UpstreamFailure);
        failure.unwrap_or_default()
    }

    fn write(&self, report: &mut Message) {
        let started_at_unix_ns = self.started_at_unix_ns.unwrap_or_default();
        report.fixed64(request::STARTED_AT_UNIX_NS, started_at_unix_ns);
        report.uint(request::DURATION_NS, self.duration_ns);
        // What is no status of HTTP or gRPC is none.
        report.uint(request::STATUS, narrow(self.status).unwrap_or_default());
        let grpc_status = self.grpc_status.and_then(narrow);
        report.some_uint(request::GRPC_STATUS, grpc_status);
        report.uint(request::RESPONSE_FLAGS, self.flags);
        let ended_at_unix_ns = started_at_unix_ns.saturating_add(self.duration_ns);
        mark::write(report, self.flags, ended_at_unix_ns);
    }

    /// Writes the `Upstream` that begins with `known`.
    fn write_upstream(&self, report: &mut Message, known: &Message, failure: &[u8]) {
        let mut rest = Message::with_capacity(32 + failure.len());
        rest.some_uint(upstream::POOL_WAIT_NS, self.pool_wait_ns);
        rest.uint(
            upstream::ATTEMPTS,
            narrow(self.attempts).unwrap_or_default(),
        );
        rest.some_uint(upstream::FIRST_BYTE_NS, self.first_byte_ns);
        rest.text(upstream::FAILURE, failure, MAX_TEXT_BYTES);
        report.length(request::UPSTREAM, known.len() + rest.len());
        report.append(known);
        report.append(&rest);
    }
}

/// Returns a number that the wire has 32 bits for.
fn narrow(number: u64) -> Option<u64> {
    Some(number).filter(|number| *number <= u32::MAX.into())
}
