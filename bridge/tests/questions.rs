//! The endpoints that read, asked about one story.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{env, fs, path::PathBuf};

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use serde_json::{Value, json};
use support::{
    Answer, Bridge, call,
    facts::{self, DOWNSTREAM, FAILED, REFUSED, SERVED, UPSTREAM},
    ids,
};
use syntrace_bridge::api::{self, Access};
use syntrace_proto::{Outcome, fact::Body as Fact};

#[tokio::test]
async fn a_connection_and_its_requests_look_as_documented() {
    let bridge = Bridge::after_the_story().await;
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
async fn a_record_is_audited_on_request() {
    let bridge = Bridge::after_the_story().await;
    let path = format!("/v1/connections/{DOWNSTREAM}");
    assert_eq!(bridge.get(&path).await.json().get("audit"), None);
    let audited = bridge.get(&format!("{path}?audit")).await.json();
    assert_eq!(audited["audit"], json!([]));
}

#[tokio::test]
async fn a_trace_is_shown_as_the_spans_that_are_exported() {
    let bridge = Bridge::after_the_story().await;
    let path = format!("/v1/traces/{}", "f1".repeat(16));
    let request =
        Request::get(path).header(header::ACCEPT, "application/vnd.opentelemetry.otlp+json");
    let answer = call(&bridge.router, request.body(Body::empty()).unwrap()).await;
    let trace: opentelemetry_proto::tonic::trace::v1::TracesData =
        serde_json::from_slice(&answer.body).unwrap();
    let spans = &trace.resource_spans[0].scope_spans[0].spans;
    assert!(spans.iter().any(|span| span.name == "tcp connection"));
    let served = answer.json()["resourceSpans"][0]["scopeSpans"][0]["spans"].clone();
    assert!(
        served
            .to_string()
            .contains(&format!("\"spanId\":\"{SERVED}\""))
    );
}

#[tokio::test]
async fn causes_are_counted_over_time_where_a_step_is_given() {
    let bridge = Bridge::after_the_story().await;
    let path = "/v1/causes?since=2023-11-14T22:13:19Z&until=2023-11-14T22:13:22Z&step=1s";
    let causes = bridge.get(path).await.json();
    assert_eq!(
        causes["buckets"]["started_at"],
        "2023-11-14T22:13:19.000000000Z"
    );
    assert_eq!(causes["buckets"]["step_ns"], 1_000_000_000);
    assert_eq!(causes["buckets"]["requests"], json!([0, 2, 0]));
    assert_eq!(causes["causes"][0]["series"], json!([0, 1, 0]));
    assert_eq!(causes["requests"], 2);
    let earlier = bridge
        .get("/v1/causes?until=2023-11-14T22:13:20.010Z")
        .await
        .json();
    assert_eq!(earlier, json!({"requests": 1, "failed": 0, "causes": []}));
}

#[tokio::test]
async fn times_may_be_told_from_now_and_a_window_of_the_most_buckets_fits() {
    let bridge = Bridge::after_the_story().await;
    for path in ["causes", "requests", "connections"] {
        for (query, expected) in [
            ("since=15m", 0),
            ("since=36500d&until=10:04", 1),
            ("since=15", 400),
        ] {
            let answer = bridge.get(&format!("/v1/{path}?{query}")).await;
            if expected == 400 {
                assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path} {query}");
                continue;
            }
            let found = answer.json();
            let has_any = found[path]
                .as_array()
                .is_some_and(|found| !found.is_empty());
            assert_eq!(has_any, expected > 0, "{path} {query}: {found}");
        }
    }
    let causes = bridge.get("/v1/causes?since=2h&step=1m").await.json();
    assert_eq!(causes["buckets"]["requests"], json!([0; 120].to_vec()));
}

#[tokio::test]
async fn trouble_that_is_in_no_requests_time_is_counted_beside_the_causes() {
    let bridge = Bridge::after_the_story().await;
    assert_eq!(
        bridge.get("/v1/causes").await.json().get("unattributed"),
        None
    );
    let mut lossy = facts::downstream(8);
    (lossy.syn_ack_retransmits, lossy.retransmits) = (1, 2);
    // 40 ms in the accept queue are no trouble.
    let mut waited = facts::downstream(9);
    waited.accepted_at_ns = waited.established_at_ns + 40_000_000;
    let mut batch = facts::batch(vec![Fact::Connection(lossy), Fact::Connection(waited)]);
    batch.first_seq = 7;
    bridge.accept(&batch).await;
    let settled = |answer: &Answer| answer.json()["connections"]["settled"] == 5;
    bridge.eventually("/v1/coverage", settled).await;
    let of = async |query: &str| {
        let mut causes = bridge.get(&format!("/v1/causes{query}")).await.json();
        causes["unattributed"].take()
    };
    let lossy = "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0.8";
    let expected = json!({
        "connections": 1, "retransmitted": 1, "waited": 0, "looked_at": 5, "example": lossy,
    });
    assert_eq!(of("").await, expected);
    assert_eq!(of("?until=2023-11-14T22:13:20Z").await, Value::Null);
    let first = json!({
        "connections": 1, "retransmitted": 1, "waited": 0, "looked_at": 3, "example": lossy,
    });
    assert_eq!(of("?until=2023-11-14T22:13:20.001Z").await, first);
    assert_eq!(of("?cluster=dead").await, Value::Null);
}

#[tokio::test]
async fn every_name_of_a_connection_leads_to_the_same_trace() {
    let bridge = Bridge::after_the_story().await;
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
    let bridge = Bridge::after_the_story().await;
    let path = "/v1/traces/11111111-2222-4333-8444-555555555555";
    let trace = bridge.get(path).await.json();
    assert_eq!(trace["id"], "f1".repeat(16));
    assert_eq!(ids(&trace["requests"]), [SERVED]);
    assert_eq!(ids(&trace["connections"]), [DOWNSTREAM, UPSTREAM]);
}

#[tokio::test]
async fn a_trace_that_a_request_brought_keeps_its_id() {
    let bridge = Bridge::after_the_story().await;
    let brought = "c1".repeat(16);
    let trace = bridge.get(&format!("/v1/traces/{brought}")).await.json();
    assert_eq!(trace["id"], brought);
    assert_eq!(ids(&trace["requests"]), [FAILED]);
    assert_eq!(ids(&trace["connections"]), [DOWNSTREAM, REFUSED]);
}

#[tokio::test]
async fn causes_are_counted_with_an_example_and_without_what_completed() {
    let bridge = Bridge::after_the_story().await;
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
    let bridge = Bridge::after_the_story().await;
    bridge.post("nonsense").await;
    let request = Request::get("/metrics").header(header::ACCEPT, "application/openmetrics-text");
    let answer = call(&bridge.router, request.body(Body::empty()).unwrap()).await;
    let content_type = answer.headers[header::CONTENT_TYPE].to_str().unwrap();
    assert!(content_type.starts_with("application/openmetrics-text"));
    let page = answer.text();
    for line in [
        "syntrace_build_info{version=\"0.1.0\"} 1",
        "syntrace_facts_received_total 7",
        "syntrace_batches_refused_total{code=\"undecodable\"} 1",
        "syntrace_connections_total{outcome=\"closed\"} 2",
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
    let bridge = Bridge::after_the_story().await;
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
        ("/v1/connections?local=192.0.2", 400, "invalid_parameter"),
        ("/v1/connections?at=yesterday", 400, "invalid_parameter"),
        ("/v1/connections?role=source", 400, "invalid_parameter"),
        ("/v1/connections?outcome=broken", 400, "invalid_parameter"),
        ("/v1/connections?limit=0", 400, "invalid_parameter"),
        ("/v1/connections?limit=1001", 400, "invalid_parameter"),
        ("/v1/requests?status=ok", 400, "invalid_parameter"),
        ("/v1/requests?cursor=1", 400, "invalid_parameter"),
        ("/v1/causes?since=1", 400, "invalid_parameter"),
        ("/v1/causes?step=1s", 400, "invalid_parameter"),
        ("/v1/causes?step=never", 400, "invalid_parameter"),
        (
            "/v1/connections?network=192.0.2.0/33",
            400,
            "invalid_parameter",
        ),
        ("/v1/connections?party=nobody", 400, "invalid_parameter"),
        ("/v1/connections?min_wait_ms=-1", 400, "invalid_parameter"),
        ("/v1/connections?settled=perhaps", 400, "invalid_parameter"),
        ("/v1/connections?since=2023-11-14", 400, "invalid_parameter"),
        ("/v1/connections?limit=1&limit=2", 400, "invalid_query"),
        ("/v1/connections/%FF", 400, "invalid_path"),
        ("/v1/requests?status=6xx", 400, "invalid_parameter"),
        ("/v1/requests?connection=7", 400, "invalid_parameter"),
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
    let reads = api::reads(bridge.pipeline.state().clone(), Access::open());
    let answer = call(&reads, support::facts_request(Vec::new())).await;
    assert_eq!(answer.error(), (404, "unknown_path".to_owned()));
    let answer = call(&reads, Request::get("/livez").body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::OK);
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
