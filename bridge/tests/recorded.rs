//! Batches as senders of earlier versions sent them: they are understood for ever.
//!
//! A file in `tests/recorded/` is never changed. `RECORD=1` adds those that are not there yet, as the
//! senders of today send them.
#![allow(
    clippy::allow_attributes,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::{env, fs, path::PathBuf};

use axum::http::StatusCode;
use prost::Message as _;
use serde_json::json;
use support::{Bridge, facts, traffic};
use syntrace_proto::{Batch, SCHEMA};

#[tokio::test]
async fn the_story_of_schema_1_is_understood() {
    let bridge = Bridge::start();
    let recorded = recorded("schema-1-story.pb", facts::story);
    assert_eq!(Batch::decode(&*recorded).unwrap().schema, 1);
    let answer = bridge.post(recorded).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text());
    let settled = |answer: &support::Answer| answer.json()["requests"]["settled"] == 2;
    let coverage = bridge.eventually("/v1/coverage", settled).await;
    assert_eq!(coverage["refused"], json!({}));
    let causes = bridge.get("/v1/causes").await.json();
    assert_eq!(causes["causes"][0]["code"], "connect_refused");
}

#[tokio::test]
async fn the_traffic_of_schema_1_is_understood() {
    let bridge = Bridge::start();
    let opening = recorded("schema-1-opening.pb", traffic::opening);
    let batch = recorded("schema-1-traffic.pb", || {
        traffic::batch(traffic::OPENING, 20)
    });
    for recorded in [opening, batch] {
        assert_eq!(Batch::decode(&*recorded).unwrap().schema, 1);
        let answer = bridge.post(recorded).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text());
    }
    let settled = |answer: &support::Answer| answer.json()["requests"]["settled"] == 20;
    let coverage = bridge.eventually("/v1/coverage", settled).await;
    assert_eq!(coverage["refused"], json!({}));
}

#[tokio::test]
async fn a_schema_that_is_newer_is_refused_by_a_code_that_says_so() {
    let bridge = Bridge::start();
    let mut batch = Batch::decode(&*recorded("schema-1-story.pb", facts::story)).unwrap();
    batch.schema = SCHEMA + 1;
    let answer = bridge.post(batch.encode_to_vec()).await;
    assert_eq!(answer.error(), (400, "newer_schema".to_owned()));
}

/// Returns the bytes of a recorded batch.
fn recorded(name: &str, of_today: impl FnOnce() -> Batch) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/recorded")
        .join(name);
    if !path.exists() && env::var_os("RECORD").is_some() {
        fs::write(&path, of_today().encode_to_vec()).unwrap();
    }
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
