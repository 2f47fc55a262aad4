//! The span tree of one connection: its life, and the waits within it.

use opentelemetry::{
    KeyValue,
    trace::{Event, SpanContext, SpanId, SpanKind, Status},
};
use opentelemetry_sdk::trace::SpanData;
use opentelemetry_semantic_conventions::attribute as semconv;
use syntrace_core::{
    fact::{Counters, Snapshot},
    record::{ConnectionCoverage, ConnectionIncident, ConnectionRecord, Phase, PhaseKind},
};
use syntrace_model::{Opening, UnixNanos};

use super::{
    Draft, attribute, connection_context, derived_id, describe_answer, describe_ends, integer,
    sibling, system_time, texts,
};

/// Returns the connection's span and its children; none if the kernel's times cannot be placed.
pub(super) fn spans(record: &ConnectionRecord) -> Vec<SpanData> {
    let Some((started_at, ended_at)) = life(record) else {
        return Vec::new();
    };
    let context = connection_context(record.id, record.trace_id);
    let mut spans = Vec::with_capacity(3);
    spans.push(root(record, context.clone(), started_at, ended_at).finish());
    let waits = record
        .phases
        .iter()
        .filter(|phase| phase.kind != PhaseKind::Open);
    spans.extend(waits.map(|phase| wait(record, &context, started_at, phase)));
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
        KeyValue::new(attribute::TRACE_ID_SOURCE, record.trace_id_source.name()),
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
    let gaps: Vec<_> = gaps(&record.coverage).map(str::to_owned).collect();
    if !gaps.is_empty() {
        attributes.push(KeyValue::new(attribute::COVERAGE, texts(gaps.into_iter())));
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
        events: record
            .incidents
            .iter()
            .filter_map(|incident| event(record, incident))
            .collect(),
        links: Vec::new(),
        status,
    }
}

fn describe_socket(attributes: &mut Vec<KeyValue>, socket: &Snapshot) {
    describe_ends(attributes, socket.key);
    let opening = match socket.opening {
        Opening::Active => "active",
        Opening::Passive => "passive",
    };
    attributes.push(KeyValue::new(attribute::OPENING, opening));
    attributes.push(KeyValue::new(attribute::OUTCOME, socket.outcome.name()));
    if socket.errno != 0 {
        attributes.push(KeyValue::new(attribute::ERRNO, i64::from(socket.errno)));
    }
    if !socket.watch.reset_reason.is_empty() {
        let reason = socket.watch.reset_reason.to_string();
        attributes.push(KeyValue::new(attribute::RESET_REASON, reason));
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
        KeyValue::new(attribute::TCP_SYN_RETRANSMITS, i64::from(syn_retransmits)),
        KeyValue::new(
            attribute::TCP_SYN_ACK_RETRANSMITS,
            i64::from(syn_ack_retransmits),
        ),
        KeyValue::new(attribute::TCP_RETRANSMITS, i64::from(retransmits)),
        KeyValue::new(attribute::TCP_SRTT, i64::from(srtt_us)),
        KeyValue::new(attribute::TCP_MIN_RTT, i64::from(min_rtt_us)),
        KeyValue::new(attribute::TCP_BYTES_ACKED, integer(bytes_acked)),
        KeyValue::new(attribute::TCP_BYTES_RECEIVED, integer(bytes_received)),
        KeyValue::new(attribute::TCP_SEGMENTS_OUT, i64::from(segments_out)),
        KeyValue::new(attribute::TCP_SEGMENTS_IN, i64::from(segments_in)),
    ]);
}

/// One wait of the connection's life, as a child of it.
fn wait(
    record: &ConnectionRecord,
    connection: &SpanContext,
    began_at: UnixNanos,
    phase: &Phase,
) -> SpanData {
    let name = phase.kind.name();
    let started_at = began_at.plus_ns(phase.after_ns);
    let draft = Draft {
        name: name.to_owned(),
        kind: SpanKind::Internal,
        context: sibling(connection, derived_id(record.id, name)),
        parent: connection.span_id(),
        started_at,
        ended_at: started_at.plus_ns(phase.duration_ns),
        attributes: vec![KeyValue::new(attribute::CAUSE_PARTY, phase.party.name())],
        events: Vec::new(),
        links: Vec::new(),
        status: Status::Unset,
    };
    draft.finish()
}

/// An incident, at its moment within the connection's life.
fn event(record: &ConnectionRecord, incident: &ConnectionIncident) -> Option<Event> {
    let at = system_time(record.to_unix(incident.at)?);
    let attributes = vec![
        KeyValue::new(attribute::INCIDENT_COUNT, i64::from(incident.count)),
        KeyValue::new(attribute::INCIDENT_LISTENER, incident.listener),
        KeyValue::new(attribute::INCIDENT_SHARING, incident.sharing.name()),
    ];
    Some(Event::new(incident.kind.name(), at, attributes, 0))
}

/// What is missing in the record, by name.
fn gaps(coverage: &ConnectionCoverage) -> impl Iterator<Item = &'static str> {
    let gaps = [
        ("kernel_missing", coverage.kernel.is_none()),
        ("facts_lost", coverage.facts_lost),
        ("close_missing", coverage.close_missing),
        ("no_goodbye", coverage.no_goodbye),
        ("evicted", coverage.evicted),
        ("sampled", coverage.one_in > 1),
    ];
    let gaps = gaps.into_iter().filter(|(_, found)| *found);
    gaps.map(|(name, _)| name)
}
