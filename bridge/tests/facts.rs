//! `POST /v1/facts`: what is taken, and how everything else is refused.

mod support;

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes},
    http::{Request, StatusCode, header},
};
use hyper::body::Frame;
use prost::Message as _;
use serde_json::json;
use support::{Bridge, call, facts, facts_request};
use syntrace_bridge::pipeline::Settings;
use syntrace_proto::{Batch, FACTS_PATH, Fact, Loss, Rung, fact};

#[tokio::test]
async fn an_accepted_batch_is_seen_by_those_who_ask() {
    let bridge = Bridge::start();
    bridge.accept(&facts::story()).await;
    let seen = |answer: &support::Answer| answer.json()["requests"]["settled"] == 2;
    let coverage = bridge.eventually("/v1/coverage", seen).await;
    assert_eq!(coverage["rung"], json!({"name": "full", "missing": []}));
    assert_eq!(coverage["undecodable"], 0);
    assert_eq!(coverage["lost"], 0);
}

#[tokio::test]
async fn a_batch_that_comes_again_changes_nothing() {
    let bridge = Bridge::start();
    bridge.accept(&facts::story()).await;
    bridge.accept(&facts::story()).await;
    let again = |answer: &support::Answer| answer.json()["duplicates"] == 7;
    let coverage = bridge.eventually("/v1/coverage", again).await;
    assert_eq!(coverage["requests"]["settled"], 2);
    assert_eq!(coverage["connections"]["settled"], 3);
}

#[tokio::test]
async fn a_loss_that_its_sender_names_explains_a_gap_and_is_counted_once() {
    let bridge = Bridge::start();
    let mut batch = facts::story();
    batch.first_seq = 5;
    batch.losses = vec![Loss {
        cause: "ring_full".to_owned(),
        count: 3,
    }];
    bridge.accept(&batch).await;
    let lost = |answer: &support::Answer| answer.json()["lost"] == 5;
    let coverage = bridge.eventually("/v1/coverage", lost).await;
    let senders = coverage["senders"].as_array().unwrap();
    let story = senders
        .iter()
        .find(|sender| sender["name"] == "filter/story/0");
    assert_eq!(
        story.unwrap(),
        &json!({
            "name": "filter/story/0", "epoch": "000000000000000e", "received": 7, "missing": 5,
            "lost": {"ring_full": 3}, "goodbye": false
        })
    );
}

#[tokio::test]
async fn bytes_that_are_no_batch_are_refused_and_counted_and_harm_nothing() {
    let bridge = Bridge::start();
    let whole = facts::story().encode_to_vec();
    let bodies = [
        whole[..whole.len() - 1].to_vec(),
        b"{\"facts\":[]}".to_vec(),
        vec![0xff; 100],
    ];
    for body in bodies {
        assert_eq!(
            bridge.post(body).await.error(),
            (400, "undecodable".to_owned())
        );
    }
    let coverage = bridge.get("/v1/coverage").await.json();
    assert_eq!(coverage["undecodable"], 3);
    assert_eq!(
        coverage["connections"],
        json!({"live": 0, "settled": 0, "evicted": 0})
    );
    bridge.accept(&facts::story()).await;
}

#[tokio::test]
async fn a_batch_of_a_newer_schema_is_refused_by_name() {
    let bridge = Bridge::start();
    let mut batch = facts::story();
    batch.schema = 2;
    let answer = bridge.post(batch.encode_to_vec()).await;
    assert_eq!(answer.error(), (400, "newer_schema".to_owned()));
    let message = "batch.schema is 2, expected at most 1";
    assert_eq!(answer.json()["error"]["message"], message);
}

#[tokio::test]
async fn each_field_without_meaning_is_named_and_the_whole_batch_is_refused() {
    let connection = |change: fn(&mut syntrace_proto::Connection)| {
        let mut connection = facts::downstream(1);
        change(&mut connection);
        facts::batch(vec![
            fact::Body::Connection(facts::upstream(2)),
            fact::Body::Connection(connection),
        ])
    };
    let request = |change: fn(&mut syntrace_proto::Request)| {
        let mut request = facts::served_request();
        change(&mut request);
        facts::batch(vec![fact::Body::Request(request)])
    };
    let batch = |change: fn(&mut Batch)| {
        let mut batch = facts::story();
        change(&mut batch);
        batch
    };
    let rung = |name: &str| {
        let missing = Vec::new();
        let name = name.to_owned();
        facts::batch(vec![fact::Body::Rung(Rung { name, missing })])
    };
    let cases = [
        (Batch::default(), "batch.schema is 0, expected 1 or more"),
        (
            batch(|batch| batch.sender = None),
            "batch.sender is absent, expected a sender",
        ),
        (
            batch(|batch| batch.sender.as_mut().unwrap().name = "x".repeat(256)),
            "batch.sender.name is 256 bytes, expected 1 to 255 bytes",
        ),
        (
            batch(|batch| {
                batch.losses = vec![Loss {
                    cause: "a b".to_owned(),
                    count: 1,
                }]
            }),
            "batch.losses.cause is \"a b\", expected 1 to 64 of a-z, 0-9 and _",
        ),
        (
            batch(|batch| batch.first_seq = u64::MAX),
            "batch.first_seq is 18446744073709551615, expected room for the facts' numbers",
        ),
        (
            batch(|batch| batch.facts = vec![Fact { body: None }]),
            "facts[0].body is absent, expected a clock, connection, request or rung",
        ),
        (
            rung("half"),
            "facts[0].rung.name is \"half\", expected full, observe, poll or l7-only",
        ),
        (
            connection(|connection| connection.boot_id = vec![1; 15]),
            "facts[1].connection.boot_id is 15 bytes, expected 16 bytes",
        ),
        (
            connection(|connection| connection.socket_cookie = 0),
            "facts[1].connection.socket_cookie is 0, expected 1 or more",
        ),
        (
            connection(|connection| connection.minted_id = vec![0; 16]),
            "facts[1].connection.minted_id is 16 zero bytes, expected 16 bytes, not all zero",
        ),
        (
            connection(|connection| connection.local.as_mut().unwrap().port = 65_536),
            "facts[1].connection.local is port 65536, expected a port of 0 to 65535",
        ),
        (
            connection(|connection| connection.local = None),
            "facts[1].connection.local is absent, expected an address and a port",
        ),
        (
            connection(|connection| connection.local.as_mut().unwrap().address = vec![1; 5]),
            "facts[1].connection.local is an address of 5 bytes, expected 4 or 16 bytes",
        ),
        (
            connection(|connection| connection.opening = 0),
            "facts[1].connection.opening is 0, expected OPENING_ACTIVE or OPENING_PASSIVE",
        ),
        (
            connection(|connection| connection.outcome = 99),
            "facts[1].connection.outcome is 99, expected a known outcome",
        ),
        (
            connection(|connection| connection.tag_state = 0),
            "facts[1].connection.tag_state is 0, expected a state with a tag, and none without",
        ),
        (
            request(|request| request.span_id = Vec::new()),
            "facts[0].request.span_id is 0 bytes, expected 8 bytes, not all zero",
        ),
        (
            request(|request| request.connection_trace_id = vec![1; 8]),
            "facts[0].request.connection_trace_id is 8 bytes, expected 16 bytes, not all zero, or none",
        ),
        (
            request(|request| request.status = 42),
            "facts[0].request.status is 42, expected 100 to 999, or 0 for none",
        ),
        (
            request(|request| request.trace_flags = 256),
            "facts[0].request.trace_flags is 256, expected 0 to 255",
        ),
        (
            request(|request| request.started_at_unix_ns = 0),
            "facts[0].request.started_at_unix_ns is 0, expected the time of its start",
        ),
    ];
    let bridge = Bridge::start();
    let count = cases.len();
    for (batch, message) in cases {
        let answer = bridge.post(batch.encode_to_vec()).await;
        assert_eq!(answer.error(), (400, "invalid_fact".to_owned()));
        assert_eq!(answer.json()["error"]["message"], message);
    }
    let coverage = bridge.get("/v1/coverage").await.json();
    assert_eq!(coverage["undecodable"], count);
    assert_eq!(coverage["connections"]["live"], 0);
}

#[tokio::test]
async fn an_address_that_a_header_brought_joins_nothing_and_refuses_nothing() {
    let bridge = Bridge::start();
    let mut request = facts::served_request();
    request.peer.as_mut().unwrap().port = 0;
    bridge
        .accept(&facts::batch(vec![fact::Body::Request(request)]))
        .await;
    let found = |answer: &support::Answer| answer.status == StatusCode::OK;
    let request = bridge
        .eventually("/v1/requests/5151515151515151", found)
        .await;
    assert_eq!(request["received_on"]["missing"], "no_kernel_view");
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let bridge = Bridge::start();
    let answer = bridge.post(vec![0; (4 << 20) + 1]).await;
    assert_eq!(answer.error(), (413, "too_large".to_owned()));
}

#[tokio::test]
async fn more_facts_than_memory_is_meant_for_are_refused_before_they_are_decoded() {
    let bridge = Bridge::start();
    // Two bytes each on the wire.
    let mut batch = facts::batch(Vec::new());
    batch.facts = vec![Fact { body: None }; 16_385];
    let answer = bridge.post(batch.encode_to_vec()).await;
    assert_eq!(answer.error(), (413, "too_large".to_owned()));
}

#[tokio::test]
async fn another_content_type_is_refused() {
    let bridge = Bridge::start();
    let request = Request::post(FACTS_PATH).header(header::CONTENT_TYPE, "application/json");
    let answer = call(&bridge.router, request.body(Body::from("{}")).unwrap()).await;
    assert_eq!(answer.error(), (415, "unsupported_media_type".to_owned()));
}

#[tokio::test]
async fn a_full_log_asks_the_sender_to_come_again() {
    let settings = Settings {
        log_bytes: 10,
        ..Settings::default()
    };
    let answer = Bridge::start_with(&settings)
        .post(facts::story().encode_to_vec())
        .await;
    assert_eq!(answer.error(), (503, "busy".to_owned()));
    assert_eq!(answer.headers[header::RETRY_AFTER], "1");
}

#[tokio::test]
async fn a_bridge_that_stops_takes_no_batch_and_says_so() {
    let Bridge { pipeline, router } = Bridge::start();
    pipeline.finish().await.unwrap();
    let answer = call(&router, facts_request(facts::story().encode_to_vec())).await;
    assert_eq!(answer.error(), (503, "stopping".to_owned()));
    let ready = call(
        &router,
        Request::get("/readyz").body(Body::empty()).unwrap(),
    )
    .await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn too_many_batches_at_once_are_asked_to_come_again() {
    let bridge = Bridge::start();
    for _ in 0..8 {
        tokio::spawn(call_owned(bridge.router.clone()));
    }
    let deadline = std::time::Instant::now() + support::DEADLINE;
    loop {
        let answer = bridge.post(facts::story().encode_to_vec()).await;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(answer.error().1, "too_many_batches");
            assert_eq!(answer.headers[header::RETRY_AFTER], "1");
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{}", answer.text());
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_comes_is_given_up() {
    let bridge = Bridge::start();
    let answer = bridge.post(Body::new(Never)).await;
    assert_eq!(answer.error(), (408, "incomplete".to_owned()));
}

async fn call_owned(router: axum::Router) {
    call(&router, facts_request(Body::new(Never))).await;
}

/// A body of which nothing arrives.
struct Never;

impl hyper::body::Body for Never {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Pending
    }
}
