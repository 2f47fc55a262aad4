//! The spans below a request: its last upstream attempt, and what that waited for.
//!
//! The proxy reports one attempt in full, the last; of those before it, how long they took together.

use opentelemetry::{
    KeyValue,
    trace::{Link, SpanContext, SpanKind, Status},
};
use opentelemetry_sdk::trace::SpanData;
use opentelemetry_semantic_conventions::attribute as semconv;
use syntrace_core::{
    fact::Upstream,
    record::{LinkKind, Phase, PhaseKind, RequestRecord},
};
use syntrace_model::SpanId;

use super::{Draft, attribute, derived_id, link, sibling};

/// Returns the spans below the request's; none if the proxy asked no service.
pub(super) fn spans(record: &RequestRecord, request: &SpanContext) -> Vec<SpanData> {
    let Some(upstream) = &record.report.upstream else {
        return Vec::new();
    };
    let phase = |kind| record.phases.iter().find(|phase| phase.kind == kind);
    let id = record.report.span_id;
    let mut spans = Vec::new();
    let mut began_at = record.report.started_at;
    if let Some(failed) = phase(PhaseKind::FailedAttempts) {
        let mut draft = wait(record, failed, request, id);
        let earlier = record.earlier.iter();
        draft.links = earlier
            .filter_map(|join| link(LinkKind::Opened, join))
            .collect();
        draft.status = Status::error("");
        began_at = draft.ended_at;
        spans.push(draft.finish());
    }
    let attempt = Draft {
        name: "upstream attempt".to_owned(),
        kind: SpanKind::Client,
        context: sibling(request, derived_id(id, "attempt")),
        parent: request.span_id(),
        started_at: began_at,
        ended_at: record.report.ended_at(),
        attributes: describe(upstream),
        events: Vec::new(),
        links: served_by(record),
        status: if upstream.failure.is_empty() {
            Status::Unset
        } else {
            Status::error(upstream.failure.to_string())
        },
    };
    let context = attempt.context.clone();
    spans.push(attempt.finish());
    for kind in [PhaseKind::PoolWait, PhaseKind::UpstreamHandshake] {
        if let Some(phase) = phase(kind) {
            let mut draft = wait(record, phase, &context, id);
            if kind == PhaseKind::UpstreamHandshake {
                draft.name = "connect".to_owned();
                let opened = record.opened.iter();
                draft.links = opened
                    .filter_map(|join| link(LinkKind::Opened, join))
                    .collect();
            }
            spans.push(draft.finish());
        }
    }
    spans
}

/// One wait, below `parent`.
fn wait(record: &RequestRecord, phase: &Phase, parent: &SpanContext, id: SpanId) -> Draft {
    let name = phase.kind.name();
    let started_at = record.started_at().plus_ns(phase.after_ns);
    Draft {
        name: name.to_owned(),
        kind: SpanKind::Internal,
        context: sibling(parent, derived_id(id, name)),
        parent: parent.span_id(),
        started_at,
        ended_at: started_at.plus_ns(phase.duration_ns),
        attributes: vec![KeyValue::new(attribute::CAUSE_PARTY, phase.party.name())],
        events: Vec::new(),
        links: Vec::new(),
        status: Status::Unset,
    }
}

fn served_by(record: &RequestRecord) -> Vec<Link> {
    let joins = record.served_by.iter();
    joins
        .filter_map(|join| link(LinkKind::ServedBy, join))
        .collect()
}

fn describe(upstream: &Upstream) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new(semconv::SERVER_ADDRESS, upstream.peer.address().to_string()),
        KeyValue::new(semconv::SERVER_PORT, i64::from(upstream.peer.port())),
        KeyValue::new(
            semconv::NETWORK_PEER_ADDRESS,
            upstream.peer.address().to_string(),
        ),
        KeyValue::new(semconv::NETWORK_PEER_PORT, i64::from(upstream.peer.port())),
        KeyValue::new(semconv::NETWORK_TRANSPORT, "tcp"),
        KeyValue::new(attribute::UPSTREAM_CLUSTER, upstream.cluster.to_string()),
    ];
    if let Some(local) = upstream.local {
        attributes.extend([
            KeyValue::new(semconv::NETWORK_LOCAL_ADDRESS, local.address().to_string()),
            KeyValue::new(semconv::NETWORK_LOCAL_PORT, i64::from(local.port())),
        ]);
    }
    if upstream.attempts > 1 {
        let resent = i64::from(upstream.attempts - 1);
        attributes.push(KeyValue::new(semconv::HTTP_REQUEST_RESEND_COUNT, resent));
    }
    attributes
}
