//! Records as OpenTelemetry spans. Pure: equal records give equal spans, ids included, so that what is
//! exported twice is the same span twice.
//!
//! A connection is a tree of its own under its trace id: its life, and the waits within it. A request is
//! one under its own: itself, its last upstream attempt, and what that waited for; linked to the
//! connections that it used. Every attribute of this project's own is in `docs/attributes.md`. [`crate::otlp`]
//! sends spans.

mod attempt;
mod attribute;
mod connection;
mod request;

use std::{
    hash::Hasher,
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use opentelemetry::{
    InstrumentationScope, KeyValue, StringValue, Value,
    trace::{Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use opentelemetry_semantic_conventions::attribute as semconv;
use siphasher::sip::SipHasher24;
use syntrace_core::{
    Output,
    answer::{Answer, Party},
    fact::Report,
    record::{Join, LinkKind},
};
use syntrace_model::{ConnKey, ConnectionId, UnixNanos};

static SCOPE: LazyLock<InstrumentationScope> = LazyLock::new(|| {
    InstrumentationScope::builder("syntrace")
        .with_version(env!("CARGO_PKG_VERSION"))
        .build()
});

/// Returns the spans of a settled record; none if its times are not known.
#[must_use]
pub fn of(output: &Output) -> Vec<SpanData> {
    match output {
        Output::Request(record) => request::spans(record),
        Output::Connection(record) => connection::spans(record),
    }
}

/// Returns whether a request is an error of the server, by the conventions.
#[must_use]
pub(crate) fn is_error(report: &Report) -> bool {
    request::error_type(report).is_some()
}

/// What one span is made of; the rest is the same for all.
struct Draft {
    name: String,
    kind: SpanKind,
    context: SpanContext,
    parent: SpanId,
    started_at: UnixNanos,
    ended_at: UnixNanos,
    attributes: Vec<KeyValue>,
    events: Vec<Event>,
    links: Vec<Link>,
    status: Status,
}

impl Draft {
    fn finish(self) -> SpanData {
        let mut events = SpanEvents::default();
        events.events = self.events;
        let mut links = SpanLinks::default();
        links.links = self.links;
        SpanData {
            span_context: self.context,
            parent_span_id: self.parent,
            parent_span_is_remote: false,
            span_kind: self.kind,
            name: self.name.into(),
            start_time: system_time(self.started_at),
            end_time: system_time(self.ended_at.max(self.started_at)),
            attributes: self.attributes,
            dropped_attributes_count: 0,
            events,
            links,
            status: self.status,
            instrumentation_scope: SCOPE.clone(),
        }
    }
}

/// Returns the context of a connection's span: the target of links.
fn connection_context(id: ConnectionId, trace_id: syntrace_model::TraceId) -> SpanContext {
    SpanContext::new(
        TraceId::from_bytes(trace_id.to_bytes()),
        derived_id(id, "connection"),
        TraceFlags::SAMPLED,
        false,
        TraceState::NONE,
    )
}

/// Returns the link to a connection that a request was joined to.
fn link(kind: LinkKind, join: &Join) -> Option<Link> {
    match join {
        Join::To {
            connection,
            trace_id,
            method,
            confidence,
            ..
        } => {
            let attributes = vec![
                KeyValue::new(attribute::LINK_KIND, kind.name()),
                KeyValue::new(attribute::LINK_METHOD, method.name()),
                KeyValue::new(attribute::LINK_CONFIDENCE, confidence.name()),
            ];
            let context = connection_context(*connection, *trace_id);
            Some(Link::new(context, attributes, 0))
        }
        Join::Missing(_) => None,
    }
}

/// Returns a span's context under the trace of another.
fn sibling(of: &SpanContext, id: SpanId) -> SpanContext {
    SpanContext::new(
        of.trace_id(),
        id,
        of.trace_flags(),
        false,
        of.trace_state().clone(),
    )
}

/// Derives a span id from what it is the span of; never all zero.
///
/// Not a secret: the keys are fixed, so that every bridge derives the same.
fn derived_id(of: impl ToString, part: &str) -> SpanId {
    let mut hasher = SipHasher24::new();
    hasher.write(of.to_string().as_bytes());
    hasher.write(b"/");
    hasher.write(part.as_bytes());
    SpanId::from_bytes(hasher.finish().max(1).to_be_bytes())
}

fn system_time(at: UnixNanos) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(at.0)
}

fn describe_ends(attributes: &mut Vec<KeyValue>, key: ConnKey) {
    let family = if key.peer.address().is_ipv4() {
        "ipv4"
    } else {
        "ipv6"
    };
    attributes.extend([
        KeyValue::new(semconv::NETWORK_TRANSPORT, "tcp"),
        KeyValue::new(semconv::NETWORK_TYPE, family),
        KeyValue::new(
            semconv::NETWORK_LOCAL_ADDRESS,
            key.local.address().to_string(),
        ),
        KeyValue::new(semconv::NETWORK_LOCAL_PORT, i64::from(key.local.port())),
        KeyValue::new(
            semconv::NETWORK_PEER_ADDRESS,
            key.peer.address().to_string(),
        ),
        KeyValue::new(semconv::NETWORK_PEER_PORT, i64::from(key.peer.port())),
    ]);
}

fn describe_answer(attributes: &mut Vec<KeyValue>, answer: &Answer) {
    let cause = &answer.cause;
    attributes.extend([
        KeyValue::new(attribute::CAUSE_PARTY, cause.party.name()),
        KeyValue::new(attribute::CAUSE_CODE, cause.code.name()),
        KeyValue::new(attribute::CAUSE_SENTENCE, cause.sentence.to_string()),
        KeyValue::new(attribute::CAUSE_CONFIDENCE, cause.confidence.name()),
    ]);
    if !cause.evidence.is_empty() {
        let evidence = texts(cause.evidence.iter().map(ToString::to_string));
        attributes.push(KeyValue::new(attribute::CAUSE_EVIDENCE, evidence));
    }
    let parties = Party::ALL
        .into_iter()
        .filter(|&party| answer.time.of(party) != 0);
    attributes.extend(parties.map(|party| {
        let key = format!("{}{}_ns", attribute::TIME, party.name());
        KeyValue::new(key, integer(answer.time.of(party)))
    }));
}

fn texts(texts: impl Iterator<Item = String>) -> Value {
    Value::Array(texts.map(StringValue::from).collect::<Vec<_>>().into())
}

/// OpenTelemetry's integers are signed.
fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
