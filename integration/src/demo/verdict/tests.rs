//! The verdict is told falsehoods, and must complain of each.

use serde_json::{Value, json};

use super::*;
use crate::{
    clients::Exchange,
    envoy::{Counters, PORT},
    pcap::Opening,
    sandbox::{CLIENT, GATEWAY},
};

const TAG: &str = "01010101010101010101010101010101";

#[test]
fn what_all_agree_on_is_not_complained_about() {
    let (summary, complaints) = judge(&evidence(), &answers(json!({}), json!({})));
    assert_eq!(complaints, [""; 0]);
    assert_eq!(
        (summary.connections, summary.l4_and_l7, summary.requests),
        (2, 2, 1)
    );
}

#[test]
fn each_lie_of_the_bridge_is_complained_about() {
    let lies = [
        (json!({"peer": "192.0.2.2:4"}), json!({})),
        (json!({"tag": null}), json!({})),
        (json!({"tag": {"id": "02", "state": "believed"}}), json!({})),
        (json!({"aliases": []}), json!({})),
        (json!({"trace_id": "other"}), json!({})),
        (json!({"requests": []}), json!({})),
        (json!({"opening": null}), json!({})),
        (json!({}), json!({"status": 500})),
        (json!({}), json!({"settled": false})),
        (json!({}), json!({"trace_id": "other"})),
        (json!({}), json!({"served_by": null})),
        (
            json!({}),
            json!({"received_on": {"connection": null, "missing": "no_connection"}}),
        ),
        (
            json!({}),
            json!({"served_by": join("gateway-up", "exact", "likely")}),
        ),
        (
            json!({}),
            json!({"served_by": join("gateway-up", "peer", "certain")}),
        ),
    ];
    for (connection, request) in lies {
        let (summary, complaints) =
            judge(&evidence(), &answers(connection.clone(), request.clone()));
        assert!(!complaints.is_empty(), "{connection} {request}");
        assert_eq!(summary.errors, complaints.len());
    }
}

#[test]
fn what_only_the_witnesses_saw_is_complained_about() {
    let answers = answers(json!({}), json!({}));
    let mut more_syns = evidence();
    more_syns.openings.push(Opening {
        seq: 9,
        from: (CLIENT, 9).into(),
        ..more_syns.openings[0]
    });
    let mut more_requests = evidence();
    more_requests
        .exchanges
        .push(more_requests.exchanges[0].clone());
    let mut more_counted = evidence();
    more_counted.counters.downstream_connections += 1;
    for evidence in [more_syns, more_requests, more_counted] {
        assert!(judge(&evidence, &answers).0.errors > 0, "{evidence:?}");
    }
}

#[test]
fn a_connection_that_is_there_twice_is_complained_about() {
    let mut answers = answers(json!({}), json!({}));
    answers.connections.push(answers.connections[0].clone());
    assert!(judge(&evidence(), &answers).0.errors > 0);
}

#[test]
fn the_connect_that_failed_a_request_is_certain_unless_the_proxy_was_late() {
    let complaints = |confidence: &str, closed_at: &str, proxy_ns: u64| {
        let mut answers = answers(
            json!({}),
            json!({
                "duration_ns": 20_000_000, "upstream": {"peer": "198.51.100.2:8080"}, "served_by": null,
                "opened": join("gateway-up", "failure", confidence),
                "phases": [{"name": "pool_wait", "party": "proxy", "duration_ns": 9_000_000},
                           {"name": "proxy", "party": "proxy", "duration_ns": proxy_ns}],
            }),
        );
        answers.connections[2].closed_at = Some(closed_at.parse().unwrap());
        let (_, complaints) = judge(&evidence(), &answers);
        let joins = complaints
            .iter()
            .filter(|complaint| complaint.contains("upstream"));
        joins.count()
    };
    let (at_once, late) = ("2026-01-01T00:00:00.0151Z", "2026-01-01T00:00:00.0150Z");
    assert_eq!(complaints("certain", at_once, 500_000), 0);
    assert_eq!(complaints("likely", at_once, 4_900_000), 1);
    assert_eq!(complaints("likely", late, 500_000), 0);
    assert_eq!(complaints("likely", at_once, 5_000_000), 0);
    assert_eq!(complaints("ambiguous", late, 500_000), 1);
}

/// One request over one downstream and one upstream connection.
fn evidence() -> Evidence {
    let opening = |from: &str, to: &str, is_answer| Opening {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        seq: 1,
        is_answer,
        is_retransmission: false,
        tag: Some([1; 16]),
    };
    let path = "/hello".to_owned();
    let exchange = Exchange {
        local: (CLIENT, 3).into(),
        method: "GET".to_owned(),
        path,
        status: 200,
        grpc_status: None,
    };
    let (down, up) = (format!("{GATEWAY}:{PORT}"), "198.51.100.2:8080");
    Evidence {
        exchanges: vec![exchange],
        connects: Vec::new(),
        openings: vec![
            opening("192.0.2.2:3", &down, false),
            opening(&down, "192.0.2.2:3", true),
            opening("198.51.100.1:5", up, false),
        ],
        counters: Counters {
            downstream_connections: 1,
            upstream_connections: 1,
            upstream_failures: 0,
        },
    }
}

/// What the bridge should say of [`evidence`], with changes to the gateway's downstream end and to the request.
fn answers(connection: Value, request: Value) -> Answers {
    let down = format!("{GATEWAY}:{PORT}");
    let end = |id: &str, opening: &str, local: &str, peer: &str, trace_id: &str| {
        json!({
            "id": id, "trace_id": trace_id, "trace_id_source": "tag", "aliases": [], "opening": opening,
            "local": local, "peer": peer, "outcome": "closed", "requests": [], "settled": true,
            "tag": {"id": TAG, "state": "believed"},
        })
    };
    let link = json!([{"id": "r", "trace_id": "minted", "kind": "any"}]);
    let client = end("client", "active", "192.0.2.2:3", &down, TAG);
    let gateway = end("gateway", "passive", &down, "192.0.2.2:3", "minted");
    let gateway = changed(gateway, json!({"aliases": [TAG], "requests": link}));
    // In truth each connection has a tag of its own; the ids of the second are its own here.
    let up = changed(
        end(
            "gateway-up",
            "active",
            "198.51.100.1:5",
            "198.51.100.2:8080",
            "up",
        ),
        json!({"requests": link}),
    );
    let connections = [client, changed(gateway, connection), up]
        .map(|end| serde_json::from_value::<Connection>(end).unwrap());
    let truth = json!({
        "id": "r", "trace_id": "minted", "started_at": "2026-01-01T00:00:00Z", "duration_ns": 1, "method": "GET",
        "path": "/hello", "protocol": "HTTP/1.1", "status": 200, "response_flags": [],
        "upstream": {"local": "198.51.100.1:5", "peer": "198.51.100.2:8080"},
        "received_on": join("gateway", "exact", "certain"), "served_by": join("gateway-up", "exact", "certain"),
        "cause": {"party": "service", "code": "completed", "sentence": "", "confidence": "certain"},
        "time": {"client_ns": 0, "network_ns": 0, "kernel_ns": 0, "proxy_ns": 0, "service_ns": 1, "unknown_ns": 0},
        "settled": true,
    });
    let request: Request = serde_json::from_value(changed(truth, request)).unwrap();
    let coverage = json!({"rung": {"name": "full", "missing": []}, "lost": 0, "late": 0, "undecodable": 0, "senders": []});
    let under = |ids: &[usize]| Trace {
        connections: ids.iter().map(|&at| connections[at].clone()).collect(),
        requests: vec![],
    };
    let traces = [
        (TAG, under(&[0, 1])),
        ("minted", under(&[1])),
        ("up", under(&[2])),
    ];
    Answers {
        requests: vec![request],
        coverage: serde_json::from_value(coverage).unwrap(),
        traces: traces
            .into_iter()
            .map(|(id, trace)| (id.to_owned(), trace))
            .collect(),
        connections: connections.into(),
    }
}

fn join(connection: &str, method: &str, confidence: &str) -> Value {
    let trace_id = if connection == "gateway" {
        "minted"
    } else {
        "up"
    };
    json!({"connection": connection, "trace_id": trace_id, "method": method, "confidence": confidence, "candidates": 1})
}

fn changed(mut value: Value, changes: Value) -> Value {
    let (Value::Object(fields), Value::Object(changes)) = (&mut value, changes) else {
        panic!("two objects")
    };
    fields.extend(changes);
    value
}
