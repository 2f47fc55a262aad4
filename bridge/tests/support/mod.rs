//! What the tests of this folder share: facts to send, and a bridge that is called without a socket.
#![allow(
    clippy::allow_attributes,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    missing_debug_implementations,
    unreachable_pub,
    reason = "a test fails by panicking, and each target uses its own part"
)]

pub mod facts;
pub mod place;
pub mod process;
pub mod traffic;

use std::time::{Duration, Instant};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode, header},
};
use http_body_util::BodyExt as _;
use prost::Message as _;
use serde_json::Value;
use syntrace_bridge::{
    api,
    pipeline::{Pipeline, Settings},
};
use syntrace_proto::{Batch, CONTENT_TYPE, FACTS_PATH};
use tower::ServiceExt as _;

/// How long a bridge may take to fold what it accepted.
pub const DEADLINE: Duration = Duration::from_secs(10);

pub struct Bridge {
    pub pipeline: Pipeline,
    pub router: Router,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Bridge {
    pub fn start() -> Self {
        Self::start_with(&Settings::default())
    }

    /// Starts a bridge; what an earlier one left is folded when this returns.
    pub fn start_with(settings: &Settings) -> Self {
        let bridge = Self::starting_with(settings);
        while !bridge.pipeline.view().is_rebuilt() {
            std::thread::yield_now();
        }
        bridge
    }

    /// Starts a bridge that may still fold what an earlier one left.
    pub fn starting_with(settings: &Settings) -> Self {
        let pipeline = Pipeline::start(settings).unwrap();
        let router = api::reads_and_facts(pipeline.state().clone());
        Self { pipeline, router }
    }

    /// Starts a bridge; returns when the story is settled.
    pub async fn after_the_story() -> Self {
        let bridge = Self::start();
        bridge.accept(&facts::story()).await;
        let settled = |answer: &Answer| answer.json()["connections"]["settled"] == 3;
        bridge.eventually("/v1/coverage", settled).await;
        bridge
    }

    pub async fn get(&self, path: &str) -> Answer {
        call(
            &self.router,
            Request::get(path).body(Body::empty()).unwrap(),
        )
        .await
    }

    pub async fn post(&self, body: impl Into<Body>) -> Answer {
        call(&self.router, facts_request(body)).await
    }

    pub async fn accept(&self, batch: &Batch) {
        let answer = self.post(batch.encode_to_vec()).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text());
    }

    /// Asks until the answer is as expected.
    pub async fn eventually(&self, path: &str, expected: impl Fn(&Answer) -> bool) -> Value {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let answer = self.get(path).await;
            if expected(&answer) {
                return answer.json();
            }
            assert!(Instant::now() < deadline, "{path}: {}", answer.text());
            tokio::task::yield_now().await;
        }
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn text(&self) -> String {
        format!("{} {}", self.status, String::from_utf8_lossy(&self.body))
    }

    /// The status, and the code of the error.
    pub fn error(&self) -> (u16, String) {
        let code = self.json()["error"]["code"].as_str().unwrap().to_owned();
        (self.status.as_u16(), code)
    }
}

pub fn facts_request(body: impl Into<Body>) -> Request<Body> {
    let request = Request::post(FACTS_PATH).header(header::CONTENT_TYPE, CONTENT_TYPE);
    request.body(body.into()).unwrap()
}

pub async fn call(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    Answer {
        status: response.status(),
        headers: response.headers().clone(),
        body: response
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .to_vec(),
    }
}

/// Returns the ids of records, in their order.
pub fn ids(records: &Value) -> Vec<&str> {
    let records = records.as_array().unwrap().iter();
    records
        .map(|record| record["id"].as_str().unwrap())
        .collect()
}
