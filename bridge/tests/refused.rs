//! `POST /v1/facts`: requests that are refused as a whole, by their size, their type, or because there is no room.

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
use support::{Bridge, call, facts, facts_request};
use syntrace_bridge::{log, pipeline::Settings};
use syntrace_proto::{FACTS_PATH, Fact};

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
        log: log::Settings {
            room_bytes: 10,
            ..log::Settings::default()
        },
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
    // They take all places before anybody else does.
    tokio::task::yield_now().await;
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
