//! The main promise, on a real kernel with a real Envoy: every TCP connection and every request is there
//! exactly once, joined as it should be, by the word of clients, the wire and Envoy.

use std::{collections::BTreeSet, process::Command, time::Duration};

use serde_json::{Value, json};
use syntrace_integration::{
    api::Join,
    clients::{Curl, Version},
    deadline::{self, Look},
    demo::{
        inquiry,
        traffic::{self, Captures, Evidence},
    },
    envoy::PORT,
    requirements,
    sandbox::Sandbox,
    stack::Stack,
};

/// Batches are flushed well within this.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn every_connection_and_request_of_mixed_clients_is_joined_exactly_once() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let stack = Stack::start(&sandbox).unwrap();
    let captures = Captures::start(&sandbox).unwrap();
    let mut evidence = traffic::run_counted(&sandbox, &stack.envoy).unwrap();
    let judged = inquiry::inquire(&mut evidence, &captures, stack.bridge.client()).unwrap();

    assert!(judged.complaints.is_empty(), "{:#?}", judged.complaints);
    assert_eq!(judged.summary.requests, evidence.exchanges.len());
    assert_eq!(judged.summary.requests_joined, evidence.exchanges.len());
    assert_eq!(judged.summary.l4_only, evidence.connects.len());
    assert_eq!(judged.summary.lost, 0);
}

#[test]
fn clients_that_come_at_once_are_told_apart() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let stack = Stack::start(&sandbox).unwrap();
    let captures = Captures::start(&sandbox).unwrap();
    let paths: Vec<Vec<String>> = (0..16)
        .map(|i| (0..3).map(|j| format!("/client-{i}/{j}")).collect())
        .collect();
    let started: Vec<Curl> = paths
        .iter()
        .map(|paths| {
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            Curl::start(&sandbox, PORT, Version::Http1, &[], &paths).unwrap()
        })
        .collect();
    let exchanges = started
        .into_iter()
        .flat_map(|curl| curl.finish().unwrap())
        .collect();
    let counters = stack.envoy.counters(&sandbox).unwrap();
    let mut evidence = Evidence {
        exchanges,
        counters,
        ..Evidence::default()
    };
    let judged = inquiry::inquire(&mut evidence, &captures, stack.bridge.client()).unwrap();

    assert!(judged.complaints.is_empty(), "{:#?}", judged.complaints);
    assert_eq!(judged.summary.requests_joined, 48);
}

#[test]
fn a_context_that_a_request_brings_names_that_request_and_no_connection() {
    if !requirements::are_met() {
        return;
    }
    let brought = "4bf92f3577b34da6a3ce929d0e0e4736";
    let header = format!("traceparent: 00-{brought}-00f067aa0ba902b7-01");
    let sandbox = Sandbox::new().unwrap();
    let stack = Stack::start(&sandbox).unwrap();
    for _ in 0..3 {
        let curl = Curl::start(&sandbox, PORT, Version::Http1, &[&header], &["/hello"]).unwrap();
        assert_eq!(curl.finish().unwrap().len(), 1);
    }

    let bridge = stack.bridge.client();
    let (trace, connections) = deadline::wait("three settled requests", SOON, || {
        let trace = bridge.trace(brought).ok();
        let connections = bridge.connections()?;
        let is_done = |request: &syntrace_integration::api::Request| {
            request.settled && request.received_on.is_certain("exact")
        };
        Ok(match trace {
            Some(trace)
                if trace
                    .requests
                    .iter()
                    .filter(|request| is_done(request))
                    .count()
                    == 3 =>
            {
                Look::Done((trace, connections))
            }
            other => Look::NotYet(format!("{other:?}")),
        })
    })
    .unwrap();

    assert!(
        trace
            .requests
            .iter()
            .all(|request| request.trace_id == brought)
    );
    let received_on: BTreeSet<&str> = trace
        .requests
        .iter()
        .filter_map(|r| r.received_on.connection())
        .collect();
    assert_eq!(
        received_on.len(),
        3,
        "three connections of one traced client are three connections"
    );
    let trace_ids: BTreeSet<&str> = trace
        .requests
        .iter()
        .filter_map(|request| trace_id(&request.received_on))
        .collect();
    assert_eq!(
        trace_ids.len(),
        3,
        "each has an id of its own: {trace_ids:?}"
    );
    assert!(!trace_ids.contains(brought));
    assert!(
        connections
            .iter()
            .all(|end| end.trace_id != brought && !end.aliases.iter().any(|id| id == brought))
    );
}

#[test]
fn the_demo_ends_well_and_fits_a_terminal() {
    if !requirements::are_met() {
        return;
    }
    let demo = Command::new(env!("CARGO_BIN_EXE_demo"))
        .env("DEMO_ONCE", "1")
        .output()
        .unwrap();
    let printed = String::from_utf8(demo.stdout).unwrap();
    assert!(
        demo.status.success(),
        "{printed}\n{}",
        String::from_utf8_lossy(&demo.stderr)
    );

    let summary: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&summary["requests_joined"], &summary["errors"]),
        (&json!(9), &json!(0))
    );
    assert!(!printed.contains('\u{1b}'), "no colours in a pipe");
    for line in printed.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

fn trace_id(join: &Join) -> Option<&str> {
    match join {
        Join::Made { trace_id, .. } => Some(trace_id),
        Join::Missing { .. } => None,
    }
}
