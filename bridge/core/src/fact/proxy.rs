//! What a filter reports: requests, as the proxy saw them.

use syntrace_model::{ConnKey, Endpoint, SpanId, TraceId, UnixNanos};

/// One HTTP stream, gRPC call or whole TCP session, as the proxy saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Envoy's `connection.id` of the downstream connection.
    pub downstream_connection: u64,
    /// The id that the filter minted for that connection.
    pub connection_trace_id: Option<TraceId>,
    /// The request's trace.
    pub trace_id: TraceId,
    /// The request's own span.
    pub span_id: SpanId,
    /// The span that the request's context named.
    pub parent_span_id: Option<SpanId>,
    /// W3C trace flags.
    pub trace_flags: u8,
    /// W3C trace state, as it came.
    pub tracestate: Box<str>,
    /// When the request began.
    pub started_at: UnixNanos,
    /// How long it took.
    pub duration_ns: u64,
    /// The downstream connection's ends as the proxy names them, the gateway's as `local`.
    pub downstream: Option<ConnKey>,
    /// The ends of the TCP connection itself, the same as `downstream` unless PROXY protocol or a redirection made
    /// the proxy name others. `None` where its configuration does not tell: `downstream` may then be either.
    pub direct: Option<ConnKey>,
    /// From the connection's start to the end of its TLS handshake.
    pub tls_handshake_ns: Option<u64>,
    /// Contexts that the request follows without being their child.
    pub links: Vec<TraceLink>,
    /// What was asked.
    pub http: Http,
    /// Where it was sent last; absent if the proxy answered by itself.
    pub upstream: Option<Upstream>,
}

/// What was asked and answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Http {
    /// Request method.
    pub method: Box<str>,
    /// Path without query.
    pub path: Box<str>,
    /// `:authority` or `Host`.
    pub authority: Box<str>,
    /// Such as `HTTP/2`.
    pub protocol: Box<str>,
    /// Status code; 0 if there was no response.
    pub status: u16,
    /// Whether it is a gRPC call.
    pub grpc: bool,
    /// Status of a gRPC call.
    pub grpc_status: Option<u32>,
    /// Envoy's response flag bits.
    pub response_flags: u64,
    /// Envoy's response code details.
    pub response_details: Box<str>,
    /// Body bytes of the request.
    pub request_bytes: u64,
    /// Body bytes of the response.
    pub response_bytes: u64,
    /// `x-request-id`.
    pub request_id: Box<str>,
    /// `key=value` label on the traffic.
    pub dye: Box<str>,
    /// W3C baggage, as it was sent on.
    pub baggage: Box<str>,
    /// Envoy's route name.
    pub route: Box<str>,
    /// What stopped the request on purpose.
    pub mark: Option<Mark>,
    /// A whole TCP session: there is no method, path or status.
    pub tcp_session: bool,
    /// The server name that the client asked for (SNI).
    pub server_name: Box<str>,
    /// Headers that the filter's configuration lists.
    pub headers: Vec<Header>,
    /// From the request's first byte until its whole head was there.
    pub head_ns: Option<u64>,
}

/// A circuit breaker or a limit that stopped a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Such as `CIRCUIT_OPEN`.
    pub reason: Box<str>,
    /// When.
    pub at: UnixNanos,
}

/// One header as it was captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// In lower case.
    pub name: Box<str>,
    /// As the configuration lets it be seen.
    pub value: Box<str>,
    /// Of the response, not of the request.
    pub response: bool,
}

/// A span of another trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceLink {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its span.
    pub span_id: SpanId,
    /// Why it is linked.
    pub kind: TraceLinkKind,
}

/// Why a request is linked to a span of another trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceLinkKind {
    /// The request brought this context over an edge that is not trusted.
    Restarted,
    /// The connection's trace had enough requests.
    Rotated,
}

/// The last upstream attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The gateway's end; absent when no connection was ready.
    pub local: Option<Endpoint>,
    /// The service's end.
    pub peer: Endpoint,
    /// Envoy's cluster.
    pub cluster: Box<str>,
    /// How long the request waited for a connection.
    pub pool_wait_ns: Option<u64>,
    /// Attempts made, this one included.
    pub attempts: u32,
    /// Envoy's transport failure reason; empty for none.
    pub failure: Box<str>,
    /// First byte sent until the last byte of the answer was received.
    pub first_byte_ns: Option<u64>,
}

// === impl Http ===

impl Http {
    /// Returns whether the client's connection carries several requests at once.
    #[must_use]
    pub fn is_multiplexed(&self) -> bool {
        matches!(&*self.protocol, "HTTP/2" | "HTTP/3" | "h2")
    }
}

// === impl TraceLinkKind ===

impl TraceLinkKind {
    /// Returns the name that the API and spans show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Restarted => "restarted",
            Self::Rotated => "rotated",
        }
    }
}

// === impl Report ===

impl Report {
    /// Returns whether the report breaks down the request's time. It does for the first request of a
    /// connection; for another, only if there was something to report.
    #[must_use]
    pub fn is_detailed(&self) -> bool {
        let upstream = self.upstream.as_ref();
        !self.http.response_details.is_empty()
            || upstream.is_some_and(|upstream| {
                upstream.pool_wait_ns.is_some() || upstream.first_byte_ns.is_some()
            })
    }

    /// Returns whether the last attempt was given to a connection to the service.
    #[must_use]
    pub fn was_sent(&self) -> bool {
        self.upstream
            .as_ref()
            .is_some_and(|upstream| upstream.local.is_some())
    }

    /// Returns whether a service may have been asked: in the last attempt, or in one before, of which nothing else is
    /// reported.
    #[must_use]
    pub fn may_have_been_sent(&self) -> bool {
        let attempts = self.upstream.as_ref().map(|upstream| upstream.attempts);
        self.was_sent() || attempts.is_some_and(|attempts| attempts > 1)
    }

    /// Returns when the request ended, on the proxy's clock.
    #[must_use]
    pub fn ended_at(&self) -> UnixNanos {
        self.started_at.plus_ns(self.duration_ns)
    }
}
