//! The span of one request, by OpenTelemetry's conventions for HTTP and RPC servers.

use opentelemetry::{
    KeyValue,
    trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanLinks};
use opentelemetry_semantic_conventions::attribute as semconv;
use syntrace_core::{
    fact::{Http, Report, Upstream},
    record::{Join, LinkKind, RequestRecord},
};

use super::{Draft, attribute, connection_context, describe_answer, describe_ends, integer, texts};
use crate::flags;

/// The methods that the conventions know; any other is `_OTHER`.
const METHODS: [&str; 9] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];

/// Names of gRPC's status codes, by number.
const GRPC_STATUS: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The gRPC status codes that are a server's error, by the conventions.
const GRPC_SERVER_ERRORS: [u32; 6] = [2, 4, 12, 13, 14, 15];

/// Returns the request's span: a child of what its context named, or of the connection whose id it has.
pub(super) fn span(record: &RequestRecord) -> SpanData {
    let report = &*record.report;
    let mut attributes = Vec::new();
    describe_http(&mut attributes, &report.http);
    if let Some(key) = report.downstream {
        describe_ends(&mut attributes, key);
        attributes.push(KeyValue::new(
            semconv::CLIENT_ADDRESS,
            key.peer.address().to_string(),
        ));
    }
    if let Some(upstream) = &report.upstream {
        describe_upstream(&mut attributes, upstream);
    }
    describe_answer(&mut attributes, &record.answer);
    let mut status = Status::Unset;
    if let Some(error) = error_type(report) {
        attributes.push(KeyValue::new(semconv::ERROR_TYPE, error));
        status = Status::error(record.answer.cause.sentence.to_string());
    }
    let mut span = Draft {
        name: name(&report.http),
        kind: SpanKind::Server,
        context: SpanContext::new(
            TraceId::from_bytes(report.trace_id.to_bytes()),
            SpanId::from_bytes(report.span_id.to_bytes()),
            TraceFlags::new(report.trace_flags),
            false,
            report.tracestate.parse().unwrap_or(TraceState::NONE),
        ),
        parent: parent(record),
        started_at: report.started_at,
        ended_at: report.ended_at(),
        attributes,
        links: links(record),
        status,
    }
    .finish();
    span.parent_span_is_remote = report.parent_span_id.is_some();
    span
}

fn parent(record: &RequestRecord) -> SpanId {
    if let Some(parent) = record.report.parent_span_id {
        return SpanId::from_bytes(parent.to_bytes());
    }
    match record.received_on {
        Join::To {
            connection,
            trace_id,
            ..
        } if trace_id == record.report.trace_id => {
            connection_context(connection, trace_id).span_id()
        }
        Join::To { .. } | Join::Missing(_) => SpanId::INVALID,
    }
}

fn links(record: &RequestRecord) -> SpanLinks {
    let joins = [
        (LinkKind::ReceivedOn, Some(&record.received_on)),
        (LinkKind::Opened, record.opened.as_ref()),
        (LinkKind::ServedBy, record.served_by.as_ref()),
    ];
    let links = joins.into_iter().filter_map(|(kind, join)| match join? {
        Join::To {
            connection,
            trace_id,
            method,
            confidence,
        } => {
            let attributes = vec![
                KeyValue::new(attribute::LINK_KIND, kind.name()),
                KeyValue::new(attribute::LINK_METHOD, method.name()),
                KeyValue::new(attribute::LINK_CONFIDENCE, confidence.name()),
            ];
            Some(Link::new(
                connection_context(*connection, *trace_id),
                attributes,
                0,
            ))
        }
        Join::Missing(_) => None,
    });
    let mut spans = SpanLinks::default();
    spans.links = links.collect();
    spans
}

/// Of low cardinality: the method, because a path is not.
fn name(http: &Http) -> String {
    match rpc_method(http) {
        Some(method) => method.to_owned(),
        None if METHODS.contains(&&*http.method) => http.method.to_string(),
        None => "HTTP".to_owned(),
    }
}

/// `package.Service/Method`, on gRPC.
fn rpc_method(http: &Http) -> Option<&str> {
    let method = http.path.strip_prefix('/').filter(|_| http.grpc)?;
    (!method.is_empty()).then_some(method)
}

fn describe_http(attributes: &mut Vec<KeyValue>, http: &Http) {
    if METHODS.contains(&&*http.method) {
        attributes.push(KeyValue::new(
            semconv::HTTP_REQUEST_METHOD,
            http.method.to_string(),
        ));
    } else if !http.method.is_empty() {
        attributes.push(KeyValue::new(semconv::HTTP_REQUEST_METHOD, "_OTHER"));
        let original = http.method.to_string();
        attributes.push(KeyValue::new(
            semconv::HTTP_REQUEST_METHOD_ORIGINAL,
            original,
        ));
    }
    let texts_of = [
        (semconv::URL_PATH, &http.path),
        (semconv::SERVER_ADDRESS, &host(&http.authority).into()),
        ("syntrace.request_id", &http.request_id),
        ("syntrace.response_details", &http.response_details),
        ("syntrace.dye", &http.dye),
    ];
    let given = texts_of.into_iter().filter(|(_, text)| !text.is_empty());
    attributes.extend(given.map(|(key, text)| KeyValue::new(key, text.to_string())));
    if let Some(port) = port(&http.authority) {
        attributes.push(KeyValue::new(semconv::SERVER_PORT, i64::from(port)));
    }
    if let Some((name, version)) = http.protocol.split_once('/') {
        attributes.push(KeyValue::new(
            semconv::NETWORK_PROTOCOL_NAME,
            name.to_lowercase(),
        ));
        attributes.push(KeyValue::new(
            semconv::NETWORK_PROTOCOL_VERSION,
            version.to_owned(),
        ));
    }
    if http.status != 0 {
        let status = i64::from(http.status);
        attributes.push(KeyValue::new(semconv::HTTP_RESPONSE_STATUS_CODE, status));
    }
    if http.grpc {
        attributes.push(KeyValue::new(semconv::RPC_SYSTEM_NAME, "grpc"));
        if let Some(method) = rpc_method(http) {
            attributes.push(KeyValue::new(semconv::RPC_METHOD, method.to_owned()));
        }
    }
    if let Some(status) = http.grpc_status {
        attributes.push(KeyValue::new(
            semconv::RPC_RESPONSE_STATUS_CODE,
            grpc_status(status),
        ));
    }
    attributes.push(KeyValue::new(
        semconv::HTTP_REQUEST_BODY_SIZE,
        integer(http.request_bytes),
    ));
    attributes.push(KeyValue::new(
        semconv::HTTP_RESPONSE_BODY_SIZE,
        integer(http.response_bytes),
    ));
    if http.response_flags != 0 {
        let names = flags::names(http.response_flags).map(|name| name.to_string());
        attributes.push(KeyValue::new("syntrace.response_flags", texts(names)));
    }
}

fn describe_upstream(attributes: &mut Vec<KeyValue>, upstream: &Upstream) {
    let texts_of = [
        ("syntrace.upstream.peer", &upstream.peer.to_string().into()),
        ("syntrace.upstream.cluster", &upstream.cluster),
        ("syntrace.upstream.failure", &upstream.failure),
    ];
    let given = texts_of.into_iter().filter(|(_, text)| !text.is_empty());
    attributes.extend(given.map(|(key, text)| KeyValue::new(key, text.to_string())));
    let numbers = [
        ("syntrace.upstream.attempts", Some(upstream.attempts.into())),
        ("syntrace.upstream.pool_wait_ns", upstream.pool_wait_ns),
        ("syntrace.upstream.first_byte_ns", upstream.first_byte_ns),
    ];
    let given = numbers
        .into_iter()
        .filter_map(|(key, number)| Some((key, number?)));
    attributes.extend(given.map(|(key, number)| KeyValue::new(key, integer(number))));
}

/// What makes it an error of the server, by the conventions: a client's error is none.
fn error_type(report: &Report) -> Option<String> {
    match (report.http.grpc_status, report.http.status) {
        (Some(status), _) if GRPC_SERVER_ERRORS.contains(&status) => Some(grpc_status(status)),
        (_, status @ 500..) => Some(status.to_string()),
        (None, 0) => Some("no_response".to_owned()),
        _ => None,
    }
}

fn grpc_status(status: u32) -> String {
    let name = usize::try_from(status)
        .ok()
        .and_then(|index| GRPC_STATUS.get(index));
    name.map_or_else(|| status.to_string(), |&name| name.to_owned())
}

/// The authority without its port.
fn host(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, _)) if port(authority).is_some() => host,
        _ => authority,
    }
}

/// The authority's port. An IPv6 address without one ends with `]`.
fn port(authority: &str) -> Option<u16> {
    authority.rsplit_once(':')?.1.parse().ok()
}
