//! The spans of one story, made without a bridge.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::{Duration, SystemTime};

use opentelemetry::{
    Key, Value,
    trace::{Link, SpanId, SpanKind, Status},
};
use opentelemetry_sdk::trace::SpanData;
use prost::Message as _;
use support::facts;
use syntrace_bridge::{ingest, spans};
use syntrace_core::{Limits, Output, Reconciler};
use syntrace_proto::{
    Batch, Incident, IncidentKind, Link as ProtoLink, LinkKind, Mark, fact::Body as Fact,
};

#[test]
fn a_connection_is_one_tree_under_its_trace_id() {
    let spans = spans_of(&facts::story());
    let trace_id = "f1".repeat(16);
    let root = one(&spans, |span| {
        span.name == "tcp connection" && trace(span) == trace_id
    });
    assert_eq!(root.parent_span_id, SpanId::INVALID);
    assert_eq!(root.span_kind, SpanKind::Internal);
    assert_eq!(root.status, Status::Unset);
    assert_eq!((root.start_time, root.end_time), (at_us(0), at_us(50_000)));

    let children = spans
        .iter()
        .filter(|span| span.parent_span_id == root.span_context.span_id());
    let children = children.map(|span| (&*span.name, span.start_time, span.end_time));
    assert_eq!(
        children.collect::<Vec<_>>(),
        [
            ("GET", at_us(1_500), at_us(21_500)),
            ("handshake", at_us(0), at_us(400)),
            ("accept_wait", at_us(400), at_us(900)),
        ]
    );
    // And what lies below the request.
    assert_eq!(
        spans.iter().filter(|span| trace(span) == trace_id).count(),
        4 + 3
    );
}

#[test]
fn a_connection_s_span_says_what_the_kernel_saw() {
    let spans = spans_of(&facts::story());
    let root = one(&spans, |span| {
        trace(span) == "f1".repeat(16) && span.name == "tcp connection"
    });
    let expected = [
        ("network.transport", Value::from("tcp")),
        ("network.type", "ipv4".into()),
        ("network.local.address", "192.0.2.1".into()),
        ("network.local.port", 8080.into()),
        ("network.peer.address", "192.0.2.2".into()),
        ("network.peer.port", 41_230.into()),
        ("syntrace.role", "downstream".into()),
        ("syntrace.opening", "passive".into()),
        ("syntrace.outcome", "closed".into()),
        ("syntrace.tcp.bytes_acked", 2_000.into()),
    ];
    for (key, value) in expected {
        assert_eq!(attribute(root, key), Some(value), "{key}");
    }
    let aliases = attribute(root, "syntrace.alias").unwrap().to_string();
    assert!(aliases.contains(&"7a".repeat(16)));
}

#[test]
fn a_failed_connect_is_an_error_with_its_cause() {
    let spans = spans_of(&facts::story());
    let root = one(&spans, |span| {
        attribute(span, "syntrace.outcome") == Some("refused".into())
    });
    assert_eq!(
        attribute(root, "error.type"),
        Some("connect_refused".into())
    );
    assert_eq!(
        attribute(root, "syntrace.cause.party"),
        Some("service".into())
    );
    assert_eq!(attribute(root, "syntrace.errno"), Some(111.into()));
    assert!(
        matches!(&root.status, Status::Error { description } if description.contains("refused"))
    );
}

#[test]
fn a_request_that_brought_a_context_keeps_its_parent_and_is_linked() {
    let spans = spans_of(&facts::story());
    let request = one(&spans, |span| {
        trace(span) == "c1".repeat(16) && span.span_kind == SpanKind::Server
    });
    assert_eq!(request.name, "shop.Cart/Add");
    assert_eq!(
        request.span_context.span_id(),
        SpanId::from_bytes([0x52; 8])
    );
    assert_eq!(request.parent_span_id, SpanId::from_bytes([0xc2; 8]));
    assert!(request.parent_span_is_remote);
    let expected = [
        ("http.request.method", Value::from("POST")),
        ("url.path", "/shop.Cart/Add".into()),
        ("server.address", "shop.example".into()),
        ("server.port", 8080.into()),
        ("network.protocol.name", "http".into()),
        ("network.protocol.version", "2".into()),
        ("http.response.status_code", 503.into()),
        ("rpc.system.name", "grpc".into()),
        ("rpc.method", "shop.Cart/Add".into()),
        ("rpc.response.status_code", "UNAVAILABLE".into()),
        ("error.type", "UNAVAILABLE".into()),
        ("syntrace.cause.code", "connect_refused".into()),
        ("syntrace.time.network_ns", 400_000.into()),
    ];
    for (key, value) in expected {
        assert_eq!(attribute(request, key), Some(value), "{key}");
    }
    let refused = one(&spans, |span| {
        attribute(span, "syntrace.outcome") == Some("refused".into())
    });
    let opened = link(request, "opened");
    assert_eq!(
        opened.span_context.trace_id(),
        refused.span_context.trace_id()
    );
    assert_eq!(
        opened.span_context.span_id(),
        refused.span_context.span_id()
    );
}

#[test]
fn a_request_is_linked_to_every_connection_that_it_used() {
    let spans = spans_of(&facts::story());
    let request = one(&spans, |span| span.name == "GET");
    let upstream = one(&spans, |span| {
        span.name == "tcp connection" && attribute(span, "network.peer.port") == Some(9000.into())
    });
    assert_eq!(
        link(request, "served_by").span_context.span_id(),
        upstream.span_context.span_id()
    );
    assert_eq!(
        link(request, "opened").span_context.span_id(),
        upstream.span_context.span_id()
    );
    let received_on = link(request, "received_on");
    assert_eq!(received_on.span_context.span_id(), request.parent_span_id);
    assert_eq!(request.status, Status::Unset);
}

#[test]
fn below_a_request_is_its_upstream_attempt_with_the_connect_that_it_waited_for() {
    let spans = spans_of(&facts::story());
    let request = one(&spans, |span| span.name == "GET");
    let attempt = child(&spans, request, "upstream attempt");
    assert_eq!(attempt.span_kind, SpanKind::Client);
    assert_eq!(attempt.end_time, request.end_time);
    let expected = [
        ("server.address", Value::from("192.0.2.3")),
        ("server.port", 9000.into()),
        ("network.local.port", 50_000.into()),
        ("syntrace.upstream.cluster", "service".into()),
    ];
    for (key, value) in expected {
        assert_eq!(attribute(attempt, key), Some(value), "{key}");
    }
    link(attempt, "served_by");
    let connect = child(&spans, attempt, "connect");
    let took = connect.end_time.duration_since(connect.start_time);
    assert_eq!(took.unwrap(), Duration::from_micros(300));
    link(connect, "opened");
    let failed = one(&spans, |span| span.name == "shop.Cart/Add");
    let attempt = child(&spans, failed, "upstream attempt");
    assert!(
        matches!(&attempt.status, Status::Error { description } if description.contains("111"))
    );
}

#[test]
fn labels_marks_and_links_of_a_request_become_attributes_and_links() {
    let mut batch = facts::story();
    for fact in &mut batch.facts {
        if let Some(Fact::Request(request)) = &mut fact.body {
            request.dye = "gray=v2".to_owned();
            request.baggage = "gray=v2;ttl=1, user=a%20b,broken,=x".to_owned();
            request.route = "cart".to_owned();
            request.mark = Some(Mark {
                reason: "CIRCUIT_OPEN".to_owned(),
                at_unix_ns: 7,
            });
            request.links = vec![ProtoLink {
                trace_id: vec![0xd1; 16],
                span_id: vec![0xd2; 8],
                kind: LinkKind::Restarted.into(),
            }];
        }
    }
    let spans = spans_of(&batch);
    let request = one(&spans, |span| span.name == "GET");
    let expected = [
        ("syntrace.dye", Value::from("gray=v2")),
        ("baggage.gray", "v2".into()),
        ("baggage.user", "a%20b".into()),
        ("syntrace.route", "cart".into()),
        ("dye.marked", true.into()),
        ("dye.reason", "CIRCUIT_OPEN".into()),
        ("dye.timestamp", 7.into()),
    ];
    for (key, value) in expected {
        assert_eq!(attribute(request, key), Some(value), "{key}");
    }
    let restarted = link(request, "restarted").span_context.span_id();
    assert_eq!(restarted, SpanId::from_bytes([0xd2; 8]));
}

#[test]
fn incidents_are_events_of_their_connection() {
    let mut batch = facts::story();
    let incident = Incident {
        at_ns: facts::BOOT_NS + 10_000_000,
        boot_id: facts::BOOT_ID.to_vec(),
        socket_cookie: 2,
        netns_cookie: 4711,
        local: Some(facts::end(facts::GATEWAY, 50_000)),
        peer: Some(facts::end(facts::SERVICE, 9000)),
        kind: IncidentKind::Retransmit.into(),
        count: 3,
        ..Incident::default()
    };
    let body = Some(Fact::Incident(incident));
    batch.facts.push(syntrace_proto::Fact { body });
    let spans = spans_of(&batch);
    let upstream = one(&spans, |span| {
        span.name == "tcp connection" && attribute(span, "network.peer.port") == Some(9000.into())
    });
    let events: Vec<_> = upstream.events.iter().collect();
    assert_eq!(events.len(), 1);
    assert_eq!(
        (&*events[0].name, events[0].timestamp),
        ("retransmit", at_us(10_000))
    );
}

#[test]
fn the_same_facts_give_the_same_spans() {
    assert_eq!(spans_of(&facts::story()), spans_of(&facts::story()));
}

#[test]
fn no_two_spans_have_the_same_id() {
    let spans = spans_of(&facts::story());
    let mut ids: Vec<_> = spans
        .iter()
        .map(|span| span.span_context.span_id().to_bytes())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), spans.len());
}

fn spans_of(batch: &Batch) -> Vec<SpanData> {
    let mut reconciler = Reconciler::new(Limits::default());
    reconciler.handle_batch(ingest::decode(&batch.encode_to_vec()).unwrap());
    reconciler.drain();
    let outputs: Vec<Output> = std::iter::from_fn(|| reconciler.poll_output()).collect();
    outputs.iter().flat_map(spans::of).collect()
}

fn one(spans: &[SpanData], is: impl Fn(&SpanData) -> bool) -> &SpanData {
    let found: Vec<_> = spans.iter().filter(|span| is(span)).collect();
    assert_eq!(found.len(), 1, "{found:#?}");
    found[0]
}

fn child<'a>(spans: &'a [SpanData], parent: &SpanData, name: &str) -> &'a SpanData {
    let id = parent.span_context.span_id();
    one(spans, |span| span.parent_span_id == id && span.name == name)
}

fn trace(span: &SpanData) -> String {
    span.span_context.trace_id().to_string()
}

fn attribute(span: &SpanData, key: &'static str) -> Option<Value> {
    let found = span
        .attributes
        .iter()
        .find(|attribute| attribute.key == Key::new(key));
    found.map(|attribute| attribute.value.clone())
}

fn link<'a>(span: &'a SpanData, kind: &str) -> &'a Link {
    let is = |link: &&Link| {
        link.attributes
            .iter()
            .any(|attribute| attribute.value.as_str() == kind)
    };
    span.links.iter().find(is).unwrap()
}

/// A time of the story, microseconds after its beginning.
fn at_us(us: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(facts::UNIX_NS) + Duration::from_micros(us)
}
