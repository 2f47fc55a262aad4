//! The span of one request, by OpenTelemetry's conventions for HTTP and RPC servers; below it, what its
//! upstream attempt adds.

use opentelemetry::{
    KeyValue,
    trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::trace::SpanData;
use opentelemetry_semantic_conventions::attribute as semconv;
use syntrace_core::{
    fact::{Http, Report, TraceLink, Upstream},
    record::{Join, LinkKind, RequestRecord},
};

use super::{
    Draft, attempt, attribute, connection_context, describe_answer, describe_ends, integer, link,
    texts,
};
use crate::flags;

/// The methods that the conventions know; any other is `_OTHER`.
const METHODS: [&str; 9] = [
    "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];

/// Members that a baggage header may have, by the W3C recommendation's limits.
const BAGGAGE_MEMBERS_MAX: usize = 64;

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

/// Returns the request's span, and those below it.
pub(super) fn spans(record: &RequestRecord) -> Vec<SpanData> {
    let draft = draft(record);
    let below = attempt::spans(record, &draft.context);
    let mut span = draft.finish();
    span.parent_span_is_remote = record.report.parent_span_id.is_some();
    std::iter::once(span).chain(below).collect()
}

/// A child of what the request's context named, or of the connection whose id it has.
fn draft(record: &RequestRecord) -> Draft {
    let report = &*record.report;
    let mut attributes = Vec::new();
    if !report.http.tcp_session {
        describe_http(&mut attributes, &report.http);
    }
    describe_labels(&mut attributes, &report.http);
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
    let before = record.phases.iter();
    let before = before.filter(|phase| phase.kind.is_before_request());
    attributes.extend(before.map(|phase| {
        let key = format!("{}{}_ns", attribute::BEFORE, phase.kind.name());
        KeyValue::new(key, integer(phase.duration_ns))
    }));
    let mut status = Status::Unset;
    if let Some(error) = error_type(report) {
        attributes.push(KeyValue::new(semconv::ERROR_TYPE, error));
        status = Status::error(record.answer.cause.sentence.to_string());
    }
    Draft {
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
        events: Vec::new(),
        links: links(record),
        status,
    }
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

/// Links to the connections, and to the contexts that the request follows.
fn links(record: &RequestRecord) -> Vec<Link> {
    let joins = [
        (LinkKind::ReceivedOn, Some(&record.received_on)),
        (LinkKind::Opened, record.opened.as_ref()),
        (LinkKind::ServedBy, record.served_by.as_ref()),
    ];
    let joins = joins
        .into_iter()
        .filter_map(|(kind, join)| link(kind, join?));
    joins
        .chain(record.report.links.iter().map(follows))
        .collect()
}

fn follows(link: &TraceLink) -> Link {
    let context = SpanContext::new(
        TraceId::from_bytes(link.trace_id.to_bytes()),
        SpanId::from_bytes(link.span_id.to_bytes()),
        TraceFlags::default(),
        true,
        TraceState::NONE,
    );
    let kind = KeyValue::new(attribute::LINK_KIND, link.kind.name());
    Link::new(context, vec![kind], 0)
}

/// Of low cardinality: the method, because a path is not.
fn name(http: &Http) -> String {
    match rpc_method(http) {
        _ if http.tcp_session => "tcp session".to_owned(),
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
    for header in &http.headers {
        let side = if header.response {
            "response"
        } else {
            "request"
        };
        let key = format!("http.{side}.header.{}", header.name);
        let values = std::iter::once(header.value.to_string());
        attributes.push(KeyValue::new(key, texts(values)));
    }
}

/// What Envoy and those who sent the request call it.
fn describe_labels(attributes: &mut Vec<KeyValue>, http: &Http) {
    let texts_of = [
        (attribute::REQUEST_ID, &http.request_id),
        (attribute::RESPONSE_DETAILS, &http.response_details),
        (attribute::DYE, &http.dye),
        (attribute::ROUTE, &http.route),
        (attribute::SERVER_NAME, &http.server_name),
    ];
    let given = texts_of.into_iter().filter(|(_, text)| !text.is_empty());
    attributes.extend(given.map(|(key, text)| KeyValue::new(key, text.to_string())));
    if http.response_flags != 0 {
        let names = flags::names(http.response_flags).map(|name| name.to_string());
        attributes.push(KeyValue::new(attribute::RESPONSE_FLAGS, texts(names)));
    }
    if let Some(mark) = &http.mark {
        attributes.extend([
            KeyValue::new(attribute::DYE_MARKED, true),
            KeyValue::new(attribute::DYE_REASON, mark.reason.to_string()),
            KeyValue::new(attribute::DYE_TIMESTAMP, integer(mark.at.0)),
        ]);
    }
    attributes.extend(baggage(&http.baggage).map(|(key, value)| {
        let key = format!("{}{key}", attribute::BAGGAGE);
        KeyValue::new(key, value.to_owned())
    }));
}

/// Reads the members of a W3C baggage header, as they were sent: percent-encoded, without properties.
fn baggage(header: &str) -> impl Iterator<Item = (&str, &str)> {
    let members = header.split(',').take(BAGGAGE_MEMBERS_MAX);
    members.filter_map(|member| {
        let member = member.split(';').next().unwrap_or_default();
        let (key, value) = member.split_once('=')?;
        let key = key.trim();
        (!key.is_empty()).then(|| (key, value.trim()))
    })
}

fn describe_upstream(attributes: &mut Vec<KeyValue>, upstream: &Upstream) {
    let texts_of = [
        (attribute::UPSTREAM_PEER, &upstream.peer.to_string().into()),
        (attribute::UPSTREAM_CLUSTER, &upstream.cluster),
        (attribute::UPSTREAM_FAILURE, &upstream.failure),
    ];
    let given = texts_of.into_iter().filter(|(_, text)| !text.is_empty());
    attributes.extend(given.map(|(key, text)| KeyValue::new(key, text.to_string())));
    let numbers = [
        (attribute::UPSTREAM_ATTEMPTS, Some(upstream.attempts.into())),
        (attribute::UPSTREAM_POOL_WAIT, upstream.pool_wait_ns),
        (attribute::UPSTREAM_FIRST_BYTE, upstream.first_byte_ns),
    ];
    let given = numbers
        .into_iter()
        .filter_map(|(key, number)| Some((key, number?)));
    attributes.extend(given.map(|(key, number)| KeyValue::new(key, integer(number))));
}

/// What makes it an error of the server, by the conventions: a client's error is none.
pub(super) fn error_type(report: &Report) -> Option<String> {
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
