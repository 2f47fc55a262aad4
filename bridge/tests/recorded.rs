//! What senders of earlier versions sent, as a bridge of their time wrote it down, is understood for ever.
//!
//! [`recorded/`](recorded/README.md) says what was recorded.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{collections::BTreeSet, fs, ops::ControlFlow, path::PathBuf};

use axum::http::StatusCode;
use prost::Message as _;
use serde_json::json;
use support::{Answer, Bridge};
use syntrace_bridge::{
    log::{Position, Segments},
    pipeline::Settings,
    replay,
};
use syntrace_core::{Limits, Output};
use syntrace_proto::{Batch, SCHEMA};

#[test]
fn the_log_of_schema_1_comes_to_the_records_that_it_came_to_then() {
    let (mut requests, mut joined, mut sockets) = (0, 0, 0);
    let mut causes = BTreeSet::new();
    let replayed = replay::records(&recorded(), Limits::default(), |output| match output {
        Output::Request(record) => {
            requests += 1;
            joined += u32::from(record.received_on.connection().is_some());
            causes.insert(record.answer.cause.code.name());
        }
        Output::Connection(record) => sockets += u32::from(record.socket.is_some()),
    });
    let replayed = replayed.unwrap();
    assert_eq!((replayed.entries, replayed.unreadable), (21, 0));
    assert_eq!(replayed.extent.torn_bytes, 0);
    // Both ends of ten connections, but for the one end that a refused connect has.
    assert_eq!((requests, joined, sockets), (9, 9, 19));
    let causes: Vec<_> = causes.into_iter().collect();
    assert_eq!(causes, ["completed", "connect_refused", "service_error"]);
    assert_eq!(replayed.coverage.refused, Default::default());
}

#[tokio::test]
async fn each_batch_of_schema_1_is_accepted() {
    let bridge = Bridge::start();
    let mut senders = BTreeSet::new();
    for recorded in batches() {
        let batch = Batch::decode(&*recorded).unwrap();
        assert_eq!(batch.schema, 1);
        let name = batch.sender.unwrap().name;
        let answer = bridge.post(recorded).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text());
        senders.insert(name);
    }
    let senders: Vec<_> = senders.iter().map(String::as_str).collect();
    assert_eq!(
        senders,
        [
            "bridge",
            "filter/gateway-1/0",
            "filter/gateway-1/1",
            "probe"
        ]
    );
    let heard = |answer: &Answer| {
        let senders = answer.json()["senders"].as_array().unwrap().len();
        senders >= 4
    };
    let coverage = bridge.eventually("/v1/coverage", heard).await;
    assert_eq!(coverage["refused"], json!({}));
    assert_eq!(coverage["undecodable"], 0);
}

#[tokio::test]
async fn a_schema_that_is_newer_is_refused_by_a_code_that_says_so() {
    let bridge = Bridge::start();
    for recorded in batches() {
        let mut batch = Batch::decode(&*recorded).unwrap();
        batch.schema = SCHEMA + 1;
        let answer = bridge.post(batch.encode_to_vec()).await;
        assert_eq!(answer.error(), (400, "newer_schema".to_owned()));
    }
}

#[tokio::test]
async fn after_a_reboot_nothing_counts_as_lost_of_what_the_bridge_itself_numbered_before() {
    let place = tempfile::tempdir().unwrap();
    let log = place.path().join("log");
    fs::create_dir(&log).unwrap();
    for segment in fs::read_dir(recorded()).unwrap() {
        let segment = segment.unwrap();
        fs::copy(segment.path(), log.join(segment.file_name())).unwrap();
    }
    let settings = Settings {
        data_dir: Some(place.path().to_owned()),
        ..Settings::default()
    };
    let mut received = 0;
    let mut epochs = BTreeSet::new();
    // Started twice: after the reboot, and again in the same run of the kernel.
    for _ in 0..2 {
        let bridge = Bridge::start_with(&settings);
        let has_read_the_clock = |answer: &Answer| {
            let senders = answer.json()["senders"].take();
            senders.as_array().unwrap().len() == 1
                && senders[0]["received"].as_u64().unwrap() > received
        };
        let coverage = bridge.eventually("/v1/coverage", has_read_the_clock).await;
        let sender = &coverage["senders"][0];
        assert_eq!(sender["name"], "bridge");
        assert_eq!(sender["missing"], 0, "{coverage}");
        assert_eq!(coverage["lost"], 0, "{coverage}");
        received = sender["received"].as_u64().unwrap();
        epochs.insert(sender["epoch"].to_string());
        bridge.pipeline.finish().await.unwrap();
    }
    assert_eq!(epochs.len(), 1);
}

/// The batches of the recorded log, as they were received.
fn batches() -> Vec<Vec<u8>> {
    let mut batches = Vec::new();
    let read = Segments::new(recorded()).read(Position(0), |stored| {
        batches.push(stored.batch.to_vec());
        ControlFlow::Continue(())
    });
    assert_eq!(read.unwrap().next, Position(batches.len() as u64));
    assert!(!batches.is_empty());
    batches
}

fn recorded() -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/schema-1");
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    directory
}
