//! Records as OpenTelemetry spans. Pure: equal records give equal spans, ids included, so that what is
//! exported twice is the same span twice.
//!
//! A connection is a tree of its own under its trace id; a request is one span under its own, linked to
//! the connections that it used. Sending them is [`crate::export`]'s business.

mod connection;
mod request;

use std::{
    hash::Hasher,
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use opentelemetry::{
    InstrumentationScope, KeyValue, StringValue, Value,
    trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use opentelemetry_semantic_conventions::attribute as semconv;
use siphasher::sip::SipHasher24;
use syntrace_core::{
    Output,
    answer::{Answer, Party},
};
use syntrace_model::{ConnKey, ConnectionId, UnixNanos};

/// Attributes of this project's own namespace.
pub mod attribute {
    /// The connection's id, as the API takes it.
    pub const CONNECTION_ID: &str = "syntrace.connection.id";
    /// Other ids of the connection, as text.
    pub const ALIAS: &str = "syntrace.alias";
    /// How a request relates to the linked connection: `received_on`, `opened` or `served_by`.
    pub const LINK_KIND: &str = "syntrace.link.kind";
    /// By which evidence it was linked.
    pub const LINK_METHOD: &str = "syntrace.link.method";
    /// How sure the link is.
    pub const LINK_CONFIDENCE: &str = "syntrace.link.confidence";
    /// Who made it fail or take its time.
    pub const CAUSE_PARTY: &str = "syntrace.cause.party";
    /// What happened.
    pub const CAUSE_CODE: &str = "syntrace.cause.code";
    /// The same in one sentence.
    pub const CAUSE_SENTENCE: &str = "syntrace.cause.sentence";
    /// How sure that is.
    pub const CAUSE_CONFIDENCE: &str = "syntrace.cause.confidence";
    /// How the connection ended.
    pub const OUTCOME: &str = "syntrace.outcome";
    /// What the gateway used the connection for.
    pub const ROLE: &str = "syntrace.role";
}

static SCOPE: LazyLock<InstrumentationScope> = LazyLock::new(|| {
    InstrumentationScope::builder("syntrace")
        .with_version(env!("CARGO_PKG_VERSION"))
        .build()
});

/// Returns the spans of a settled record; none if its times are not known.
#[must_use]
pub fn of(output: &Output) -> Vec<SpanData> {
    match output {
        Output::Request(record) => vec![request::span(record)],
        Output::Connection(record) => connection::spans(record),
    }
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
    links: SpanLinks,
    status: Status,
}

impl Draft {
    fn finish(self) -> SpanData {
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
            events: SpanEvents::default(),
            links: self.links,
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

/// Derives a span id from what it is the span of; never all zero.
///
/// Not a secret: the keys are fixed, so that every bridge derives the same.
fn derived_id(connection: ConnectionId, part: &str) -> SpanId {
    let mut hasher = SipHasher24::new();
    hasher.write(connection.to_string().as_bytes());
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
    let parties = Party::ALL
        .into_iter()
        .filter(|&party| answer.time.of(party) != 0);
    attributes.extend(parties.map(|party| {
        let key = format!("syntrace.time.{}_ns", party.name());
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
