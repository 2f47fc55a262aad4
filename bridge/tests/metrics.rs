//! `/metrics`: what Prometheus' own checker says, exemplars, and that nobody can make it grow.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::{
    io::Write as _,
    process::{Command, Stdio},
    sync::Arc,
};

use axum::{
    body::Body,
    http::{Request, header},
};
use prost::Message as _;
use support::{Answer, Bridge, call, facts};
use syntrace_bridge::ingest;
use syntrace_core::{Limits, Output, Reconciler};
use syntrace_proto::{Incident, IncidentKind, Mark, fact::Body as Fact};
use syntrace_test_requirements::Requirement;

#[tokio::test]
async fn promtool_finds_nothing_to_complain_of() {
    let found = Command::new("promtool").arg("--version").output().is_ok();
    if !Requirement::Prometheus.is_met(found, "promtool (scripts/setup bridge)") {
        return;
    }
    let bridge = after_a_full_story().await;
    let page = bridge.get("/metrics").await;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(&page.body)
        .unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "{said}\n{}",
        page.text()
    );
}

#[tokio::test]
async fn a_failed_request_is_counted_with_its_trace_as_the_example() {
    let bridge = after_a_full_story().await;
    let page = open_metrics(&bridge).await;
    let trace_id = "c1".repeat(16);
    let labels = "{party=\"service\",code=\"connect_refused\",cluster=\"dead\"}";
    let expected = format!("syntrace_requests_total{labels} 1 # {{trace_id=\"{trace_id}\"}} 1");
    assert!(
        page.lines().any(|line| line.starts_with(&expected)),
        "{page}"
    );
    assert!(page.ends_with("# EOF\n"));
}

#[tokio::test]
async fn times_dyes_marks_and_incidents_are_counted() {
    let bridge = after_a_full_story().await;
    let page = bridge.get("/metrics").await.text();
    for line in [
        "syntrace_request_duration_seconds_count{cluster=\"service\"} 1",
        "syntrace_handshake_seconds_bucket{le=\"0.0005\",role=\"downstream\"} 1",
        "syntrace_accept_wait_seconds_count{role=\"downstream\"} 1",
        "syntrace_dyed_requests_total{dye=\"gray=v2\",failed=\"false\"} 1",
        "syntrace_marked_requests_total{reason=\"CIRCUIT_OPEN\"} 1",
        "syntrace_incidents_total{kind=\"retransmit\"} 3",
        "syntrace_retransmits_total{role=\"upstream\",segment=\"syn\"} 0",
        "syntrace_view_missing{view=\"kernel\"} 0",
        "syntrace_probe_rung{rung=\"full\"} 1",
        "syntrace_log_failing 0",
        "syntrace_http_answers_total{endpoint=\"/v1/facts\",status=\"204\"} 1",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
    assert!(page.contains("\nprocess_resident_memory_bytes "));
    let time = "\nsyntrace_request_time_seconds_total{party=\"service\"} 0.0117";
    assert!(page.contains(time), "{page}");
}

#[tokio::test]
async fn what_senders_saw_is_what_arrived_and_what_was_lost() {
    let bridge = Bridge::start();
    let mut batch = facts::story();
    let Some(Fact::Rung(rung)) = &mut batch.facts[0].body else {
        panic!("the story begins with what the probe sees");
    };
    rung.counted = vec![syntrace_proto::Count {
        name: "tag_mac_invalid".to_owned(),
        count: 2,
    }];
    batch.losses = vec![syntrace_proto::Loss {
        cause: "ring_full".to_owned(),
        count: 3,
    }];
    bridge.accept(&batch).await;
    let settled = |answer: &Answer| answer.json()["connections"]["settled"] == 3;
    bridge.eventually("/v1/coverage", settled).await;
    // The bridge tells itself the time between two questions: only what did not change can be compared.
    let (page, coverage) = loop {
        let before = bridge.get("/v1/coverage").await.json();
        let page = bridge.get("/metrics").await.text();
        if bridge.get("/v1/coverage").await.json()["senders"] == before["senders"] {
            break (page, before);
        }
    };
    let value = |name: &str| -> u64 {
        let line = page.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().parse().unwrap()
    };
    let senders = coverage["senders"].as_array().unwrap().iter();
    let received: u64 = senders
        .map(|sender| sender["received"].as_u64().unwrap())
        .sum();
    assert_eq!(value("syntrace_facts_lost_total{cause=\"ring_full\"}"), 3);
    assert_eq!(value("syntrace_facts_emitted_total "), received + 3);
    let counted = &coverage["rung"]["counted"];
    assert_eq!(*counted, serde_json::json!({"tag_mac_invalid": 2}));
    let name = "syntrace_probe_counted_total{what=\"tag_mac_invalid\"}";
    assert_eq!(value(name), 2);
}

/// Distinct words in every field that could become a label: the page and the memory that it takes stay
/// as they are.
#[tokio::test]
async fn a_hundred_thousand_distinct_words_make_no_more_series_than_a_thousand() {
    let mut output = outputs()
        .find(|output| matches!(output, Output::Request(_)))
        .unwrap();
    let bridge = Bridge::start();
    let metrics = bridge.pipeline.state().metrics();
    // Asking has a series of its own.
    bridge.get("/metrics").await;
    let mut lines = Vec::new();
    for n in 0..100_000_u32 {
        if let Output::Request(record) = &mut output {
            let report = Arc::make_mut(&mut record.report);
            let word: Box<str> = format!("{n}\n\u{1b}[31m").into();
            if let Some(upstream) = &mut report.upstream {
                upstream.cluster = word.clone();
            }
            report.http.dye = word.clone();
            report.http.path = word.clone();
            report.http.authority = word;
        }
        metrics.settled(&output);
        if n == 1_000 || n == 99_999 {
            lines.push(bridge.get("/metrics").await.text().lines().count());
        }
    }
    assert_eq!(lines.first(), lines.last());
    let text = bridge.get("/metrics").await.text();
    assert!(!text.contains('\u{1b}'));
    assert!(text.contains("cluster=\"_other\""));
}

async fn after_a_full_story() -> Bridge {
    let bridge = Bridge::start();
    let mut batch = facts::story();
    for fact in &mut batch.facts {
        if let Some(Fact::Request(request)) = &mut fact.body
            && request.status == 200
        {
            request.dye = "gray=v2".to_owned();
            request.mark = Some(Mark {
                reason: "CIRCUIT_OPEN".to_owned(),
                at_unix_ns: facts::UNIX_NS,
            });
        }
    }
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
    bridge.accept(&batch).await;
    let settled = |answer: &Answer| answer.json()["connections"]["settled"] == 3;
    bridge.eventually("/v1/coverage", settled).await;
    bridge
}

async fn open_metrics(bridge: &Bridge) -> String {
    let request = Request::get("/metrics").header(header::ACCEPT, "application/openmetrics-text");
    let answer = call(&bridge.router, request.body(Body::empty()).unwrap()).await;
    String::from_utf8(answer.body).unwrap()
}

fn outputs() -> impl Iterator<Item = Output> {
    let batch = ingest::decode(&facts::story().encode_to_vec()).unwrap();
    let mut reconciler = Reconciler::new(Limits::default());
    reconciler.handle_batch(batch);
    reconciler.drain();
    std::iter::from_fn(move || reconciler.poll_output())
}
