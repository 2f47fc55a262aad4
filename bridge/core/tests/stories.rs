//! What the reconciler makes of small stories, each about one rule.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod world;

use syntrace_core::{
    Confidence, Limits, Reconciler,
    fact::{Batch, Fact, Report, SenderId, TagState},
    record::{IdSource, Join, LinkKind, Method, Missing, Role},
};
use syntrace_model::{ConnectionId, Opening, Outcome};
use world::*;

const PASSIVE: Opening = Opening::Passive;
const ACTIVE: Opening = Opening::Active;

#[test]
fn a_request_is_joined_to_the_socket_with_both_ends_at_its_time() {
    let told = tell(
        vec![
            socket(1, PASSIVE, from_client(5001), 10.0, 50.0),
            socket(2, ACTIVE, to_service(6001), 11.0, 60.0),
        ],
        vec![served(
            request(1, from_client(5001), 11.0, 20.0),
            6001,
            1.0,
            5.0,
        )],
    );
    let record = &told.requests[0];
    assert_eq!(
        joined(&record.received_on),
        (1, Method::Exact, Confidence::Certain)
    );
    assert_eq!(
        joined(record.served_by.as_ref().unwrap()),
        (2, Method::Exact, Confidence::Certain)
    );
    assert_eq!(
        joined(record.opened.as_ref().unwrap()),
        (2, Method::Exact, Confidence::Certain)
    );
    assert_eq!(told.connections[0].role, Some(Role::Downstream));
    assert_eq!(told.connections[1].role, Some(Role::Upstream));
    let kinds: Vec<_> = told.connections[1]
        .requests
        .iter()
        .map(|request| request.kind)
        .collect();
    assert_eq!(kinds, [LinkKind::Opened, LinkKind::ServedBy]);
}

#[test]
fn a_request_on_a_pooled_connection_opened_nothing() {
    let told = tell(
        vec![socket(2, ACTIVE, to_service(6001), 11.0, 600.0)],
        vec![served(
            request(1, from_client(5001), 500.0, 510.0),
            6001,
            0.0,
            5.0,
        )],
    );
    assert!(told.requests[0].served_by.is_some());
    assert_eq!(told.requests[0].opened, None);
}

#[test]
fn a_port_that_is_used_again_is_another_connection() {
    let told = tell(
        vec![
            socket(1, PASSIVE, from_client(5001), 10.0, 50.0),
            socket(2, PASSIVE, from_client(5001), 60.0, 90.0),
        ],
        vec![
            request(1, from_client(5001), 11.0, 20.0),
            request(2, from_client(5001), 70.0, 80.0),
        ],
    );
    let cookies: Vec<_> = told
        .requests
        .iter()
        .map(|record| joined(&record.received_on).0)
        .collect();
    assert_eq!(cookies, [1, 2]);
    assert_ne!(told.connections[0].id, told.connections[1].id);
}

#[test]
fn equal_ends_in_two_namespaces_are_ambiguous() {
    let mut other = socket(2, PASSIVE, from_client(5001), 12.0, 50.0);
    other.netns = 8;
    let told = tell(
        vec![socket(1, PASSIVE, from_client(5001), 10.0, 50.0), other],
        vec![request(1, from_client(5001), 20.0, 30.0)],
    );
    let expected = (1, Method::Exact, Confidence::Ambiguous { candidates: 2 });
    assert_eq!(joined(&told.requests[0].received_on), expected);
}

#[test]
fn the_filter_s_id_comes_before_the_tag_and_the_tag_before_the_kernel_s() {
    let tag = trace(0x7a);
    let downstream = tagged(
        socket(1, PASSIVE, from_client(5001), 10.0, 50.0),
        tag,
        TagState::Believed,
    );
    let silent = tagged(
        socket(2, PASSIVE, from_client(5002), 10.0, 50.0),
        tag,
        TagState::Believed,
    );
    let forged = tagged(
        socket(3, PASSIVE, from_client(5003), 10.0, 50.0),
        tag,
        TagState::Disbelieved,
    );
    let told = tell(
        vec![downstream, silent, forged],
        vec![request(1, from_client(5001), 11.0, 20.0)],
    );
    let ids: Vec<_> = told
        .connections
        .iter()
        .map(|c| (c.trace_id, c.trace_id_source, c.aliases.clone()))
        .collect();
    assert_eq!(
        ids,
        [
            (trace(0xf1), IdSource::Filter, vec![tag]),
            (tag, IdSource::Tag, vec![]),
            (kernel_id(3), IdSource::Kernel, vec![]),
        ]
    );
}

#[test]
fn a_context_that_a_request_brings_never_names_a_connection() {
    let brought = Report {
        connection_trace_id: None,
        trace_id: trace(0xcc),
        parent_span_id: Some(span(99)),
        ..request(1, from_client(5001), 11.0, 20.0)
    };
    let told = tell(
        vec![socket(1, PASSIVE, from_client(5001), 10.0, 50.0)],
        vec![brought],
    );
    assert_eq!(told.connections[0].trace_id, kernel_id(1));
    assert!(!told.connections[0].is_known_as(trace(0xcc)));
    assert_eq!(told.connections[0].requests[0].trace_id, trace(0xcc));
}

#[test]
fn without_a_probe_requests_say_why_they_are_not_joined_and_their_connection_has_a_record() {
    let mut reconciler = Reconciler::new(Limits::default());
    let clock = preamble()
        .into_iter()
        .filter(|fact| matches!(fact, Fact::Clock(_)))
        .collect();
    reconciler.handle_batch(batch(probe(), 0, clock));
    let requests = [
        request(1, from_client(5001), 11.0, 20.0),
        request(2, from_client(5001), 30.0, 40.0),
    ];
    let facts = requests
        .into_iter()
        .map(|report| Fact::Request(report.into()))
        .collect();
    reconciler.handle_batch(batch(filter(), 0, facts));
    let told = settle(&mut reconciler);
    assert_eq!(
        told.requests[0].received_on,
        Join::Missing(Missing::NoKernelView)
    );
    assert_eq!(told.connections.len(), 1);
    assert_eq!(
        told.connections[0].id,
        ConnectionId::Proxy {
            epoch: 2,
            connection: 5001
        }
    );
    assert_eq!(told.connections[0].trace_id, trace(0xf1));
    assert_eq!(told.connections[0].requests.len(), 2);
}

#[test]
fn a_probe_that_says_goodbye_takes_the_kernel_view_with_it() {
    let mut reconciler = Reconciler::new(Limits::default());
    reconciler.handle_batch(batch(probe(), 0, preamble()));
    let farewell = |epoch| Batch {
        goodbye: true,
        ..batch(SenderId { epoch, ..probe() }, 2, vec![])
    };
    reconciler.handle_batch(farewell(9));
    assert!(
        reconciler.coverage().rung.is_some(),
        "another run's goodbye"
    );
    reconciler.handle_batch(farewell(1));
    assert_eq!(reconciler.coverage().rung, None);
}

#[test]
fn an_older_snapshot_that_comes_late_takes_nothing_back() {
    let closed = socket(1, PASSIVE, from_client(5001), 10.0, 50.0);
    let mut accepted = established(&closed);
    accepted.accepted_at = Some(boot(10.5));
    let told = tell(vec![closed.clone(), accepted, established(&closed)], vec![]);
    let socket = told.connections[0].socket.as_ref().unwrap();
    assert_eq!(socket.outcome, Outcome::Closed);
    assert_eq!(socket.accepted_at, Some(boot(10.5)));
}

#[test]
fn a_cookie_with_other_ends_is_a_contradiction_and_changes_nothing() {
    let mut reconciler = Reconciler::new(Limits::default());
    let first = socket(1, PASSIVE, from_client(5001), 10.0, 50.0);
    let second = socket(1, PASSIVE, from_client(5002), 10.0, 50.0);
    let mut kernel = preamble();
    kernel.extend([first.clone(), second].map(Fact::Connection));
    reconciler.handle_batch(batch(probe(), 0, kernel));
    assert_eq!(
        reconciler.coverage().contradictions.get("other_ends"),
        Some(&1)
    );
    let told = settle(&mut reconciler);
    let socket = told.connections[0].socket.as_ref().unwrap();
    assert_eq!((socket.key, socket.seen_at), (first.key, first.seen_at));
    assert_eq!(told.connections[0].coverage.contradictions, ["other_ends"]);
}

#[test]
fn what_comes_after_the_record_is_settled_is_counted_late() {
    let mut reconciler = Reconciler::new(Limits::default());
    let closed = socket(1, PASSIVE, from_client(5001), 10.0, 50.0);
    let mut kernel = preamble();
    kernel.push(Fact::Connection(closed.clone()));
    reconciler.handle_batch(batch(probe(), 0, kernel));
    assert_eq!(settle(&mut reconciler).connections.len(), 1);
    reconciler.handle_batch(batch(
        probe(),
        3,
        vec![Fact::Connection(established(&closed))],
    ));
    assert_eq!(reconciler.coverage().late, 1);
    assert_eq!(settle(&mut reconciler).connections.len(), 0);
}

#[test]
fn beyond_the_bound_requests_are_settled_early_and_counted() {
    let limits = Limits {
        live_requests: 10,
        ..Limits::default()
    };
    let mut reconciler = Reconciler::new(limits);
    reconciler.handle_batch(batch(probe(), 0, preamble()));
    let requests =
        (1..=25).map(|n| Fact::Request(request(n, from_client(5001), 11.0, 20.0).into()));
    reconciler.handle_batch(batch(filter(), 0, requests.collect()));
    assert_eq!(reconciler.requests().count(), 10);
    assert_eq!(reconciler.coverage().requests_evicted, 15);
    assert_eq!(settle(&mut reconciler).requests.len(), 25);
}

#[test]
fn a_socket_whose_close_was_never_told_gives_way_to_the_next_with_its_ends() {
    let lost = established(&socket(1, PASSIVE, from_client(5001), 10.0, 50.0));
    let next = socket(2, PASSIVE, from_client(5001), 60.0, 90.0);
    let told = tell(
        vec![lost, next],
        vec![request(1, from_client(5001), 70.0, 80.0)],
    );
    let expected = (2, Method::Exact, Confidence::Certain);
    assert_eq!(joined(&told.requests[0].received_on), expected);
}

#[test]
fn a_guess_names_no_connection() {
    let mut other = socket(2, PASSIVE, from_client(5001), 12.0, 50.0);
    other.netns = 8;
    let told = tell(
        vec![socket(1, PASSIVE, from_client(5001), 10.0, 50.0), other],
        vec![request(1, from_client(5001), 20.0, 30.0)],
    );
    for connection in &told.connections {
        assert_eq!(connection.trace_id_source, IdSource::Kernel);
    }
}

#[test]
fn beyond_the_bound_the_oldest_connection_is_settled_early_and_counted() {
    let limits = Limits {
        live_connections: 10,
        ..Limits::default()
    };
    let mut reconciler = Reconciler::new(limits);
    let sockets = (1..=25).map(|n| {
        Fact::Connection(established(&socket(
            n,
            PASSIVE,
            from_client(5000 + n as u16),
            10.0,
            50.0,
        )))
    });
    reconciler.handle_batch(batch(probe(), 0, sockets.collect()));
    assert_eq!(reconciler.connections().count(), 10);
    assert_eq!(reconciler.coverage().connections_evicted, 15);
}
