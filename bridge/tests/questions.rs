//! The endpoints that read, asked about one story.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::{env, fs, path::PathBuf};

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use serde_json::{Value, json};
use support::{Answer, Bridge, call, facts};
use syntrace_bridge::api;
use syntrace_proto::{Outcome, fact::Body as Fact};

const DOWNSTREAM: &str = "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0.1";
const UPSTREAM: &str = "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0.2";
const REFUSED: &str = "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0.3";
const SERVED: &str = "5151515151515151";
const FAILED: &str = "5252525252525252";

#[tokio::test]
async fn a_connection_and_its_requests_look_as_documented() {
    let bridge = after_the_story().await;
    let shown = json!({
        "connection": bridge.get(&format!("/v1/connections/{DOWNSTREAM}")).await.json(),
        "failed_connect": bridge.get(&format!("/v1/connections/{REFUSED}")).await.json(),
        "request": bridge.get(&format!("/v1/requests/{SERVED}")).await.json(),
        "failed_request": bridge.get(&format!("/v1/requests/{FAILED}")).await.json(),
    });
    assert_golden("story.json", &shown);
}

#[tokio::test]
async fn what_is_not_settled_is_shown_as_such() {
    let bridge = Bridge::start();
    let mut connection = facts::downstream(7);
    connection.outcome = Outcome::Established.into();
    connection.closed_at_ns = 0;
    bridge
        .accept(&facts::batch(vec![Fact::Connection(connection)]))
        .await;
    let shown = |answer: &Answer| answer.json()["connections"] != json!([]);
    let list = bridge.eventually("/v1/connections", shown).await;
    assert_eq!(list["connections"][0]["settled"], false);
    assert_eq!(list["connections"][0]["outcome"], "established");
    let coverage = bridge.get("/v1/coverage").await.json();
    assert_eq!(coverage["connections"]["live"], 1);
}

#[tokio::test]
async fn connections_are_listed_the_newest_first_and_filtered() {
    let bridge = after_the_story().await;
    let cases = [
        ("", vec![REFUSED, UPSTREAM, DOWNSTREAM]),
        ("?local=192.0.2.1:8080", vec![DOWNSTREAM]),
        ("?peer=192.0.2.3:9001", vec![REFUSED]),
        ("?peer=192.0.2.1:8080", vec![]),
        ("?local=192.0.2.1:8080&peer=192.0.2.3:9001", vec![]),
        ("?role=downstream", vec![DOWNSTREAM]),
        ("?role=upstream", vec![REFUSED, UPSTREAM]),
        ("?outcome=refused", vec![REFUSED]),
        ("?at=2023-11-14T22:13:20.001Z", vec![DOWNSTREAM]),
        ("?at=2023-11-14T22:13:20.055Z", vec![UPSTREAM]),
        ("?at=2023-11-14T22:13:21Z", vec![]),
    ];
    for (query, expected) in cases {
        let list = bridge.get(&format!("/v1/connections{query}")).await.json();
        assert_eq!(ids(&list["connections"]), expected, "{query}");
        assert_eq!(list["next"], Value::Null);
    }
}

#[tokio::test]
async fn requests_are_listed_the_newest_first_and_filtered() {
    let bridge = after_the_story().await;
    let cases = [
        ("", vec![FAILED, SERVED]),
        ("?status=200", vec![SERVED]),
        ("?cause=connect_refused", vec![FAILED]),
        ("?since=2023-11-14T22:13:20.010Z", vec![FAILED]),
    ];
    for (query, expected) in cases {
        let list = bridge.get(&format!("/v1/requests{query}")).await.json();
        assert_eq!(ids(&list["requests"]), expected, "{query}");
    }
}

#[tokio::test]
async fn a_cursor_goes_on_where_the_page_ended() {
    let bridge = after_the_story().await;
    for (path, key, expected) in [
        (
            "/v1/connections",
            "connections",
            vec![REFUSED, UPSTREAM, DOWNSTREAM],
        ),
        ("/v1/requests", "requests", vec![FAILED, SERVED]),
    ] {
        let mut seen = Vec::new();
        let mut next = bridge.get(&format!("{path}?limit=1")).await.json();
        loop {
            seen.extend(ids(&next[key]).into_iter().map(str::to_owned));
            let Some(cursor) = next["next"].as_str() else {
                break;
            };
            next = bridge
                .get(&format!("{path}?limit=1&cursor={cursor}"))
                .await
                .json();
        }
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn every_name_of_a_connection_leads_to_the_same_trace() {
    let bridge = after_the_story().await;
    let tag = "7a".repeat(16);
    let trace_id = "f1".repeat(16);
    for name in [&trace_id, &tag] {
        let trace = bridge.get(&format!("/v1/traces/{name}")).await.json();
        assert_eq!(trace["id"], trace_id, "{name}");
        assert!(ids(&trace["connections"]).contains(&DOWNSTREAM), "{name}");
        assert!(ids(&trace["requests"]).contains(&SERVED), "{name}");
    }
}

#[tokio::test]
async fn a_request_id_leads_to_the_request_and_its_connections() {
    let bridge = after_the_story().await;
    let path = "/v1/traces/11111111-2222-4333-8444-555555555555";
    let trace = bridge.get(path).await.json();
    assert_eq!(trace["id"], "f1".repeat(16));
    assert_eq!(ids(&trace["requests"]), [SERVED]);
    assert_eq!(ids(&trace["connections"]), [DOWNSTREAM, UPSTREAM]);
}

#[tokio::test]
async fn a_trace_that_a_request_brought_keeps_its_id() {
    let bridge = after_the_story().await;
    let brought = "c1".repeat(16);
    let trace = bridge.get(&format!("/v1/traces/{brought}")).await.json();
    assert_eq!(trace["id"], brought);
    assert_eq!(ids(&trace["requests"]), [FAILED]);
    assert_eq!(ids(&trace["connections"]), [DOWNSTREAM, REFUSED]);
}

#[tokio::test]
async fn causes_are_counted_with_an_example_and_without_what_completed() {
    let bridge = after_the_story().await;
    let causes = bridge.get("/v1/causes").await.json();
    assert_eq!(
        (&causes["requests"], &causes["failed"]),
        (&json!(2), &json!(1))
    );
    let list = causes["causes"].as_array().unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(list[0]["party"], "service");
    assert_eq!(list[0]["code"], "connect_refused");
    assert_eq!(list[0]["count"], 1);
    assert_eq!(
        (&list[0]["requests"], &list[0]["connections"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(list[0]["example"]["kind"], "request");
    assert_eq!(list[0]["example"]["id"], FAILED);

    let other = bridge.get("/v1/causes?cluster=service").await.json();
    assert_eq!(other, json!({"requests": 1, "failed": 0, "causes": []}));
    let later = bridge
        .get("/v1/causes?since=2023-11-14T22:13:21Z")
        .await
        .json();
    assert_eq!(later["requests"], 0);
}

#[tokio::test]
async fn health_names_the_view_that_is_missing() {
    let bridge = Bridge::start();
    assert_eq!(bridge.get("/livez").await.status, StatusCode::OK);
    let ready = bridge.get("/readyz").await;
    assert_eq!(ready.status, StatusCode::OK);
    assert_eq!(
        ready.json(),
        json!({"status": "ready", "missing": ["kernel", "proxy"]})
    );
    bridge.accept(&facts::story()).await;
    let complete = |answer: &Answer| answer.json()["missing"] == json!([]);
    bridge.eventually("/readyz", complete).await;
}

#[tokio::test]
async fn metrics_count_what_came_and_what_settled() {
    let bridge = after_the_story().await;
    bridge.post("nonsense").await;
    let answer = bridge.get("/metrics").await;
    let content_type = answer.headers[header::CONTENT_TYPE].to_str().unwrap();
    assert!(content_type.starts_with("application/openmetrics-text"));
    let page = answer.text();
    for line in [
        "syntrace_build_info{version=\"0.1.0\"} 1",
        "syntrace_facts_received_total 7",
        "syntrace_batches_refused_total{code=\"undecodable\"} 1",
        "syntrace_requests_total{party=\"service\",code=\"connect_refused\"} 1",
        "syntrace_connections_total{outcome=\"closed\"} 2",
        "syntrace_connections_failed_total{party=\"service\",code=\"connect_refused\"} 1",
        "syntrace_joins_total{link=\"received_on\",method=\"exact\",confidence=\"certain\"} 2",
        "syntrace_joins_total{link=\"opened\",method=\"failure\",confidence=\"certain\"} 1",
        "syntrace_facts_missing_total 0",
        "syntrace_connections_live 0",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
    assert!(page.ends_with("# EOF\n"));
}

#[tokio::test]
async fn each_wrong_question_has_its_code() {
    let bridge = after_the_story().await;
    let cases = [
        (
            "/v1/connections/b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0.99",
            404,
            "unknown_connection",
        ),
        ("/v1/connections/nonsense", 404, "unknown_connection"),
        ("/v1/requests/5151515151515150", 404, "unknown_request"),
        ("/v1/requests/nonsense", 404, "unknown_request"),
        (
            "/v1/traces/00000000000000000000000000000001",
            404,
            "unknown_trace",
        ),
        ("/v1/traces/nonsense", 404, "unknown_trace"),
        ("/v1/nonsense", 404, "unknown_path"),
        ("/v1/facts", 405, "method_not_allowed"),
        ("/v1/connections?colour=red", 400, "invalid_query"),
        ("/v1/connections?local=192.0.2.1", 400, "invalid_parameter"),
        ("/v1/connections?at=yesterday", 400, "invalid_parameter"),
        ("/v1/connections?role=source", 400, "invalid_parameter"),
        ("/v1/connections?outcome=broken", 400, "invalid_parameter"),
        ("/v1/connections?limit=0", 400, "invalid_parameter"),
        ("/v1/connections?limit=1001", 400, "invalid_parameter"),
        ("/v1/requests?status=ok", 400, "invalid_parameter"),
        ("/v1/requests?cursor=1", 400, "invalid_parameter"),
        ("/v1/causes?since=1", 400, "invalid_parameter"),
    ];
    for (path, status, code) in cases {
        assert_eq!(
            bridge.get(path).await.error(),
            (status, code.to_owned()),
            "{path}"
        );
    }
}

#[tokio::test]
async fn facts_are_not_taken_where_only_questions_are() {
    let bridge = Bridge::start();
    let reads = api::reads(bridge.pipeline.state().clone());
    let answer = call(&reads, support::facts_request(Vec::new())).await;
    assert_eq!(answer.error(), (404, "unknown_path".to_owned()));
    let answer = call(&reads, Request::get("/livez").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK);
}

async fn after_the_story() -> Bridge {
    let bridge = Bridge::start();
    bridge.accept(&facts::story()).await;
    let settled = |answer: &Answer| answer.json()["connections"]["settled"] == 3;
    bridge.eventually("/v1/coverage", settled).await;
    bridge
}

fn ids(records: &Value) -> Vec<&str> {
    let records = records.as_array().unwrap().iter();
    records
        .map(|record| record["id"].as_str().unwrap())
        .collect()
}

/// Compares with the committed file; `UPDATE=1` rewrites it.
fn assert_golden(name: &str, shown: &Value) {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/golden", name]
        .iter()
        .collect();
    let text = serde_json::to_string_pretty(shown).unwrap() + "\n";
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let committed = fs::read_to_string(path).unwrap();
    assert_eq!(
        text, committed,
        "run the test with UPDATE=1 and read the difference"
    );
}
