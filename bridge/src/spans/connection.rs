//! The span tree of one connection: its life, and the waits within it.

use opentelemetry::{
    KeyValue,
    trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanLinks};
use opentelemetry_semantic_conventions::attribute as semconv;
use syntrace_core::{
    fact::{Counters, Snapshot},
    record::ConnectionRecord,
};
use syntrace_model::{BootNanos, Opening, UnixNanos};

use super::{
    Draft, attribute, connection_context, derived_id, describe_answer, describe_ends, integer,
    texts,
};

/// Returns the connection's span and its children; none if the kernel's times cannot be placed.
pub(super) fn spans(record: &ConnectionRecord) -> Vec<SpanData> {
    let Some((started_at, ended_at)) = life(record) else {
        return Vec::new();
    };
    let context = connection_context(record.id, record.trace_id);
    let mut spans = Vec::with_capacity(3);
    spans.push(root(record, context.clone(), started_at, ended_at).finish());
    if let Some(socket) = &record.socket {
        let end = socket.established_at.or(socket.closed_at);
        let waits = [
            ("handshake", socket.syn_at, end),
            ("accept_wait", socket.established_at, socket.accepted_at),
        ];
        for (name, from, until) in waits {
            spans.extend(wait(record, &context, name, from, until));
        }
    }
    spans
}

/// From the first moment known to the close, or to the last that was seen of it.
fn life(record: &ConnectionRecord) -> Option<(UnixNanos, UnixNanos)> {
    match &record.socket {
        Some(socket) => Some((
            record.to_unix(socket.began_at())?,
            record.to_unix(socket.closed_at.unwrap_or(socket.seen_at))?,
        )),
        None => Some((
            record.requests.first()?.started_at,
            record.requests.last()?.started_at,
        )),
    }
}

fn root(
    record: &ConnectionRecord,
    context: SpanContext,
    started_at: UnixNanos,
    ended_at: UnixNanos,
) -> Draft {
    let mut attributes = vec![
        KeyValue::new(attribute::CONNECTION_ID, record.id.to_string()),
        KeyValue::new("syntrace.trace_id.source", record.trace_id_source.name()),
    ];
    if !record.aliases.is_empty() {
        let aliases = record.aliases.iter().map(ToString::to_string);
        attributes.push(KeyValue::new(attribute::ALIAS, texts(aliases)));
    }
    if let Some(role) = record.role {
        attributes.push(KeyValue::new(attribute::ROLE, role.name()));
    }
    if let Some(socket) = &record.socket {
        describe_socket(&mut attributes, socket);
    }
    let mut status = Status::Unset;
    if let Some(answer) = &record.answer {
        describe_answer(&mut attributes, answer);
        attributes.push(KeyValue::new(semconv::ERROR_TYPE, answer.cause.code.name()));
        status = Status::error(answer.cause.sentence.to_string());
    }
    Draft {
        name: "tcp connection".to_owned(),
        kind: SpanKind::Internal,
        context,
        parent: SpanId::INVALID,
        started_at,
        ended_at,
        attributes,
        links: SpanLinks::default(),
        status,
    }
}

fn describe_socket(attributes: &mut Vec<KeyValue>, socket: &Snapshot) {
    describe_ends(attributes, socket.key);
    let opening = match socket.opening {
        Opening::Active => "active",
        Opening::Passive => "passive",
    };
    attributes.push(KeyValue::new("syntrace.opening", opening));
    attributes.push(KeyValue::new(attribute::OUTCOME, socket.outcome.name()));
    if socket.errno != 0 {
        attributes.push(KeyValue::new("syntrace.errno", i64::from(socket.errno)));
    }
    if socket.owner_pid != 0 {
        attributes.push(KeyValue::new(
            semconv::PROCESS_PID,
            i64::from(socket.owner_pid),
        ));
    }
    if socket.owner_tid != 0 {
        attributes.push(KeyValue::new(
            semconv::THREAD_ID,
            i64::from(socket.owner_tid),
        ));
    }
    let Counters {
        syn_retransmits,
        syn_ack_retransmits,
        retransmits,
        srtt_us,
        min_rtt_us,
        bytes_acked,
        bytes_received,
        segments_out,
        segments_in,
    } = socket.counters;
    attributes.extend([
        KeyValue::new("syntrace.tcp.syn_retransmits", i64::from(syn_retransmits)),
        KeyValue::new(
            "syntrace.tcp.syn_ack_retransmits",
            i64::from(syn_ack_retransmits),
        ),
        KeyValue::new("syntrace.tcp.retransmits", i64::from(retransmits)),
        KeyValue::new("syntrace.tcp.srtt_us", i64::from(srtt_us)),
        KeyValue::new("syntrace.tcp.min_rtt_us", i64::from(min_rtt_us)),
        KeyValue::new("syntrace.tcp.bytes_acked", integer(bytes_acked)),
        KeyValue::new("syntrace.tcp.bytes_received", integer(bytes_received)),
        KeyValue::new("syntrace.tcp.segments_out", i64::from(segments_out)),
        KeyValue::new("syntrace.tcp.segments_in", i64::from(segments_in)),
    ]);
}

/// A child span, if both of its ends were observed.
fn wait(
    record: &ConnectionRecord,
    connection: &SpanContext,
    name: &'static str,
    from: Option<BootNanos>,
    until: Option<BootNanos>,
) -> Option<SpanData> {
    let context = SpanContext::new(
        connection.trace_id(),
        derived_id(record.id, name),
        TraceFlags::SAMPLED,
        false,
        TraceState::NONE,
    );
    let draft = Draft {
        name: name.to_owned(),
        kind: SpanKind::Internal,
        context,
        parent: connection.span_id(),
        started_at: record.to_unix(from?)?,
        ended_at: record.to_unix(until?)?,
        attributes: Vec::new(),
        links: SpanLinks::default(),
        status: Status::Unset,
    };
    Some(draft.finish())
}
