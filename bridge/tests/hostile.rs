//! What strangers send: into every field that reaches an output, and at every endpoint. It is shown
//! escaped or refused with a code; nothing else happens.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::net::UnixStream,
    process::{Command, Stdio},
    time::Instant,
};

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use prost::Message as _;
use serde_json::json;
use support::{Answer, Bridge, DEADLINE, call, facts};
use syntrace_proto::{Batch, Header, Mark, fact::Body as Fact};

/// Colours a terminal, ends a line of a log, an event and a label.
const EVIL: &str = "\u{1b}[31m\r\n\nevent: x\ndata: \"\\\u{0}\u{7f}</script># {x=\"y\"}";

#[tokio::test]
async fn no_control_character_of_any_field_reaches_any_output() {
    let bridge = Bridge::start();
    bridge.accept(&evil_story()).await;
    let settled = |answer: &Answer| answer.json()["connections"]["settled"] == 3;
    bridge.eventually("/v1/coverage", settled).await;
    let paths = [
        "/v1/connections",
        "/v1/requests",
        "/v1/causes",
        "/v1/coverage",
        "/v1/traces/f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1",
        "/metrics",
        "/readyz",
    ];
    for path in paths {
        for accept in [
            "*/*",
            "application/openmetrics-text",
            "application/vnd.opentelemetry.otlp+json",
        ] {
            let request = Request::get(path).header(header::ACCEPT, accept);
            let answer = call(&bridge.router, request.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}");
            let text = String::from_utf8(answer.body).unwrap();
            let foul = |letter: char| letter.is_control() && (letter != '\n' || path != "/metrics");
            assert!(!text.contains(foul), "{path} {accept}: {text:?}");
        }
    }
    let page = bridge.get("/metrics").await.text();
    assert!(!page.contains("\nevent: x"));
    let requests = bridge.get("/v1/requests").await.json();
    assert_eq!(requests["requests"][0]["path"], format!("/{EVIL}"));
}

#[tokio::test]
async fn text_that_is_no_text_is_refused_and_nothing_of_its_batch_is_kept() {
    let bridge = Bridge::start();
    let mut bytes = facts::story().encode_to_vec();
    let at = bytes.windows(6).position(|six| six == b"/story").unwrap();
    if let Some(byte) = bytes.get_mut(at + 1) {
        *byte = 0xff;
    }
    let answer = bridge.post(bytes).await;
    assert_eq!(answer.error(), (400, "undecodable".to_owned()));
    let coverage = bridge.get("/v1/coverage").await.json();
    assert_eq!(coverage["requests"]["live"], 0);
    assert_eq!(coverage["undecodable"], 1);
}

#[tokio::test]
async fn every_endpoint_refuses_what_it_does_not_take_with_a_code() {
    let bridge = Bridge::start();
    let endpoints = [
        "/livez",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/docs",
        "/v1/causes",
        "/v1/coverage",
        "/v1/connections",
        "/v1/connections/1",
        "/v1/requests",
        "/v1/requests/1",
        "/v1/traces/1",
    ];
    for path in endpoints {
        for method in [
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::PATCH,
            Method::OPTIONS,
        ] {
            let request = Request::builder().method(&method).uri(path);
            let answer = call(&bridge.router, request.body(Body::from("{}")).unwrap()).await;
            let expected = (405, "method_not_allowed".to_owned());
            assert_eq!(answer.error(), expected, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn absurd_questions_are_answered_or_refused_and_never_fail() {
    let bridge = Bridge::start();
    bridge.accept(&facts::story()).await;
    let long = "9".repeat(10_000);
    let values = [
        "",
        "%00",
        "%1b%5b31m",
        "%0d%0aset-cookie:x",
        "%ff%fe",
        "-1",
        "0",
        "18446744073709551615",
        "18446744073709551616",
        "1e400",
        "NaN",
        "null",
        "'%20or%201=1--",
        "..%2f..%2fetc%2fpasswd",
        "0.0.0.0/0",
        "::/0",
        "[::1]:99999",
        "-009999-01-01T00:00:00Z",
        "9999-12-30T23:59:59Z",
        "1970-01-01T00:00:00Z",
        "2023-11-14T22:13:60Z",
        &long,
    ];
    let names = [
        "local",
        "peer",
        "network",
        "at",
        "since",
        "until",
        "role",
        "outcome",
        "party",
        "cause",
        "dye",
        "cluster",
        "min_wait_ms",
        "min_retransmits",
        "min_duration_ms",
        "settled",
        "limit",
        "cursor",
        "status",
        "grpc_status",
        "connection",
        "step",
    ];
    for path in ["/v1/connections", "/v1/requests", "/v1/causes"] {
        for name in names {
            for value in values {
                let answer = bridge.get(&format!("{path}?{name}={value}")).await;
                assert!(
                    [200, 400].contains(&answer.status.as_u16()),
                    "{path}?{name}={value}: {}",
                    answer.text()
                );
                if answer.status != StatusCode::OK {
                    assert!(!answer.error().1.is_empty());
                    assert!(!answer.body.contains(&0x1b));
                }
            }
        }
    }
    for value in values.into_iter().filter(|value| !value.is_empty()) {
        for path in ["connections", "requests", "traces"] {
            let answer = bridge
                .get(&format!("/v1/{path}/{}", value.replace('/', "%2f")))
                .await;
            assert!(
                [400, 404].contains(&answer.status.as_u16()),
                "{path} {value}"
            );
        }
    }
}

/// A question that turns the order of times around is empty, not wrong.
#[tokio::test]
async fn a_time_that_ends_before_it_begins_holds_nothing() {
    let bridge = Bridge::start();
    bridge.accept(&facts::story()).await;
    let path = "/v1/requests?since=2030-01-01T00:00:00Z&until=2020-01-01T00:00:00Z";
    assert_eq!(
        bridge.get(path).await.json(),
        json!({"requests": [], "next": null})
    );
}

#[test]
fn logs_hold_no_token_at_any_level_and_no_address_or_path_above_debug() {
    for level in ["info", "trace"] {
        let log = log_of_a_bridge_that_is_badly_used(level);
        assert!(log.contains("Listening"), "{log}");
        assert!(!log.contains("sixteen-bytes"), "{level}: {log}");
        assert!(!log.contains('\u{1b}'), "{level}: {log:?}");
        if level == "info" {
            for secret in ["192.0.2", "/secret", "shop.example"] {
                assert!(!log.contains(secret), "{secret}: {log}");
            }
        }
    }
}

fn log_of_a_bridge_that_is_badly_used(level: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    fs::write(path("tokens"), "a-token-of-sixteen-bytes\n").unwrap();
    let log = fs::File::create(path("log")).unwrap();
    let mut bridge = Command::new(env!("CARGO_BIN_EXE_syntrace-bridge"))
        .args(["--facts", &format!("unix:{}", path("facts.sock"))])
        .args([
            "--listen",
            "127.0.0.1:0",
            "--listen-token-file",
            &path("tokens"),
        ])
        .env("RUST_LOG", level)
        .env("NO_COLOR", "1")
        .stderr(Stdio::from(log))
        .spawn()
        .unwrap();
    let deadline = Instant::now() + DEADLINE;
    let read = || fs::read_to_string(path("log")).unwrap();
    let address = loop {
        let log = read();
        if let Some((_, rest)) = log.split_once(" address=") {
            break rest.split_whitespace().next().unwrap().to_owned();
        }
        assert!(Instant::now() < deadline, "{log}");
        std::thread::yield_now();
    };
    let ask = |request: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
    };
    for token in ["a-token-of-sixteen-bytes", "wrong-token-of-sixteen-bytes"] {
        ask(&format!(
            "GET /v1/traces/secret\u{1b}[31m HTTP/1.1\r\nhost: b\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        ));
        ask(&format!(
            "GET /v1/causes?secret=%1b HTTP/1.1\r\nhost: b\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        ));
    }
    ask("nonsense /secret\r\n\r\n");
    let body = evil_story().encode_to_vec();
    for body in [&*body, b"/secret nonsense"] {
        let mut stream = UnixStream::connect(path("facts.sock")).unwrap();
        let head = format!(
            "POST /v1/facts HTTP/1.1\r\nhost: b\r\nconnection: close\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
    }
    bridge.kill().unwrap();
    bridge.wait().unwrap();
    read()
}

fn evil_story() -> Batch {
    let mut batch = facts::story();
    for fact in &mut batch.facts {
        match &mut fact.body {
            Some(Fact::Request(request)) => {
                for field in [
                    &mut request.method,
                    &mut request.authority,
                    &mut request.protocol,
                    &mut request.response_details,
                    &mut request.request_id,
                    &mut request.dye,
                    &mut request.baggage,
                    &mut request.route,
                    &mut request.server_name,
                    &mut request.tracestate,
                ] {
                    EVIL.clone_into(field);
                }
                request.path = format!("/{EVIL}");
                request.headers = vec![Header {
                    name: EVIL.to_owned(),
                    value: EVIL.to_owned(),
                    response: false,
                }];
                request.mark = Some(Mark {
                    reason: EVIL.to_owned(),
                    at_unix_ns: u64::MAX,
                });
                if let Some(upstream) = &mut request.upstream {
                    EVIL.clone_into(&mut upstream.cluster);
                    EVIL.clone_into(&mut upstream.failure);
                }
            }
            Some(Fact::Connection(connection)) => EVIL.clone_into(&mut connection.reset_reason),
            Some(Fact::Rung(rung)) => rung.missing = vec![EVIL.to_owned()],
            _ => {}
        }
    }
    batch
}
