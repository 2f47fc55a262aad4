//! What is left after an end, whatever became of the files meanwhile.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use serde_json::{Value, json};
use support::{Bridge, DEADLINE, facts, traffic};
use syntrace_bridge::{
    log,
    pipeline::{Pipeline, Settings, StartError},
    replay, store,
};
use syntrace_core::{Limits, Output};
use syntrace_proto::{Outcome, fact::Body};
use tempfile::TempDir;

/// Connections, with a request each, in each half of the traffic.
const HALF: u64 = 50;

#[tokio::test]
async fn everything_is_there_after_a_restart_and_nothing_counts_as_missing() {
    let place = Place::new();
    let before = place.after_the_traffic().await;
    let bridge = place.start();
    let view = bridge.pipeline.view();
    let settled = view.settled_number();
    assert_eq!(view.rebuilt().await, Some(settled));
    assert_eq!(answers(&bridge).await, before);
    let coverage = bridge.get("/v1/coverage").await.json();
    assert_eq!(coverage["lost"], 0);
    assert_eq!(coverage["duplicates"], 0);
}

#[tokio::test]
async fn a_batch_that_comes_again_after_a_restart_changes_nothing() {
    let place = Place::new();
    let before = place.after_the_traffic().await;
    let bridge = place.start();
    bridge.accept(&traffic::batch(traffic::OPENING, HALF)).await;
    let again = |answer: &support::Answer| answer.json()["duplicates"] == 2 * HALF;
    bridge.eventually("/v1/coverage", again).await;
    assert_eq!(answers(&bridge).await, before);
}

#[tokio::test]
async fn what_is_open_outlives_a_restart_and_settles_when_it_ends() {
    let place = Place::new();
    let bridge = place.start();
    let mut connection = facts::downstream(1);
    connection.outcome = Outcome::Established.into();
    connection.closed_at_ns = 0;
    let open = vec![Body::Connection(connection), Body::Clock(facts::clock())];
    bridge.accept(&facts::batch(open)).await;
    bridge.pipeline.finish().await.unwrap();

    let bridge = place.start();
    let path = "/v1/connections/b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0.1";
    assert_eq!(bridge.get(path).await.json()["settled"], false);
    let mut end = facts::batch(vec![Body::Connection(facts::downstream(1))]);
    end.first_seq = 2;
    bridge.accept(&end).await;
    let settled = |answer: &support::Answer| answer.json()["settled"] == true;
    bridge.eventually(path, settled).await;
}

#[tokio::test]
async fn a_deleted_view_is_made_anew_and_answers_the_same() {
    let place = Place::new();
    let before = place.after_the_traffic().await;
    fs::remove_dir_all(place.view()).unwrap();
    let bridge = place.start();
    place.eventually_stored(&bridge).await;
    assert_eq!(answers(&bridge).await, before);
}

#[tokio::test]
async fn a_view_that_is_deleted_while_it_is_used_is_made_anew() {
    let place = Place::new();
    let bridge = place.start();
    let before = play(&bridge).await;
    place.eventually_stored(&bridge).await;
    fs::remove_dir_all(place.view()).unwrap();
    let deadline = Instant::now() + DEADLINE;
    while place.chunks().is_empty() || answers(&bridge).await != before {
        assert!(Instant::now() < deadline, "the view was not made anew");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_damaged_view_is_made_anew_and_answers_the_same() {
    let place = Place::new();
    let before = place.after_the_traffic().await;
    for chunk in place.chunks() {
        let mut bytes = fs::read(&chunk).unwrap();
        let middle = bytes.len() / 8..bytes.len();
        bytes[middle].fill(0xa5);
        fs::write(&chunk, bytes).unwrap();
    }
    let bridge = place.start();
    let deadline = Instant::now() + DEADLINE;
    // Damage is found by who asks.
    while try_answers(&bridge).await.as_ref() != Some(&before) {
        assert!(Instant::now() < deadline, "the view was not mended");
    }
    let status = bridge.pipeline.view().database_status().unwrap();
    assert!(status.chunks_damaged > 0);
}

#[tokio::test]
async fn a_view_whose_first_write_was_cut_short_is_made_anew_and_answers_the_same() {
    let place = Place::new();
    let before = place.after_the_traffic().await;
    fs::remove_dir_all(place.view()).unwrap();
    fs::create_dir(place.view()).unwrap();
    let made = place.0.path().join("made.db");
    let making = rusqlite::Connection::open(&made).unwrap();
    let cut_short = "CREATE TABLE t (x); PRAGMA cache_size = 1; BEGIN; \
                     INSERT INTO t VALUES (randomblob(90000)), (randomblob(90000))";
    making.execute_batch(cut_short).unwrap();
    let chunk = place.view().join("00000000000000000001.db");
    for suffix in ["", "-journal"] {
        let [from, to] = [&made, &chunk].map(|path| format!("{}{suffix}", path.display()));
        fs::copy(from, to).unwrap();
    }
    // Who only reads cannot take it back.
    let read_only = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let reader = rusqlite::Connection::open_with_flags(chunk, read_only).unwrap();
    reader.execute_batch("SELECT * FROM t").unwrap_err();
    let bridge = place.start();
    place.eventually_stored(&bridge).await;
    assert_eq!(answers(&bridge).await, before);
}

#[tokio::test]
async fn a_view_of_another_layout_is_made_anew_and_answers_the_same() {
    let place = Place::new();
    let before = place.after_the_traffic().await;
    for chunk in place.chunks() {
        let chunk = rusqlite::Connection::open(chunk).unwrap();
        chunk.pragma_update(None, "user_version", 4_711).unwrap();
    }
    let bridge = place.start();
    place.eventually_stored(&bridge).await;
    assert_eq!(answers(&bridge).await, before);
}

#[tokio::test]
async fn while_the_view_cannot_be_written_memory_answers_and_later_it_is_written() {
    let place = Place::new();
    fs::create_dir_all(place.path()).unwrap();
    fs::write(place.view(), "in the way").unwrap();
    let bridge = place.start();
    let before = play(&bridge).await;
    let trouble = || bridge.pipeline.view().database_status().unwrap().trouble;
    let deadline = Instant::now() + DEADLINE;
    while trouble().is_none() {
        assert!(Instant::now() < deadline, "the view does not complain");
        tokio::task::yield_now().await;
    }
    fs::remove_file(place.view()).unwrap();
    place.eventually_stored(&bridge).await;
    assert_eq!(trouble(), None);
    assert_eq!(answers(&bridge).await, before);
}

#[tokio::test]
async fn what_memory_cannot_hold_meanwhile_is_folded_again_from_the_log() {
    let place = Place::new();
    fs::create_dir_all(place.path()).unwrap();
    fs::write(place.view(), "in the way").unwrap();
    let mut settings = place.settings();
    settings.settled_records = 20;
    let bridge = Bridge::start_with(&settings);
    play(&bridge).await;
    fs::remove_file(place.view()).unwrap();
    place.eventually_stored(&bridge).await;
    let found = list(&bridge, "requests").await;
    assert_eq!(found.len() as u64, 2 * HALF);
    assert_eq!(bridge.pipeline.view().database_status().unwrap().lost, 0);
}

#[tokio::test]
async fn lists_go_on_from_page_to_page_through_all_chunks() {
    let place = Place::new();
    let mut settings = place.settings();
    settings.view.chunk_records = 32;
    let bridge = Bridge::start_with(&settings);
    play(&bridge).await;
    place.eventually_stored(&bridge).await;
    assert!(place.chunks().len() > 3);
    for kind in ["requests", "connections"] {
        let found = list(&bridge, kind).await;
        let mut ids: Vec<_> = found
            .iter()
            .map(|record| record["id"].to_string())
            .collect();
        assert_eq!(ids.len() as u64, 2 * HALF, "{kind}");
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len() as u64, 2 * HALF, "{kind}");
    }
}

#[tokio::test]
async fn a_second_bridge_in_the_same_directory_refuses_to_start() {
    let place = Place::new();
    let _first = place.start();
    let second = Pipeline::start(&place.settings());
    assert!(matches!(second, Err(StartError::Lock(_))));
}

#[tokio::test]
async fn old_segments_go_and_a_restart_knows_all_that_was_in_them() {
    let place = Place::new();
    let mut settings = place.settings();
    settings.log.bounds = log::Bounds {
        segment_bytes: 8 << 10,
        spare_bytes: 0,
        ..log::Bounds::default()
    };
    let bridge = Bridge::start_with(&settings);
    let before = play(&bridge).await;
    place.eventually_stored(&bridge).await;
    // Segments go when one ends.
    let deadline = Instant::now() + DEADLINE;
    let mut first_seq = traffic::OPENING + 4 * HALF;
    while place.log().join("00000000000000000000.log").exists() {
        bridge.accept(&traffic::rungs(first_seq, 100)).await;
        first_seq += 100;
        assert!(Instant::now() < deadline, "no segment went");
    }
    bridge.pipeline.finish().await.unwrap();
    let bridge = Bridge::start_with(&settings);
    assert_eq!(answers(&bridge).await, before);
    let coverage = bridge.get("/v1/coverage").await.json();
    assert_eq!(coverage["lost"], 0);
    let senders = coverage["senders"].as_array().unwrap();
    let sender = senders
        .iter()
        .find(|sender| sender["name"] == "filter/traffic/0");
    assert_eq!(sender.unwrap()["received"], first_seq);
}

#[tokio::test]
async fn a_copied_log_gives_the_same_records_again() {
    let place = Place::new();
    place.after_the_traffic().await;
    let mut requests = 0;
    let mut connections = 0;
    let replayed = replay::records(&place.log(), Limits::default(), |output| match output {
        Output::Request(_) => requests += 1,
        Output::Connection(_) => connections += 1,
    });
    let replayed = replayed.unwrap();
    assert_eq!((requests, connections), (2 * HALF, 2 * HALF));
    assert_eq!((replayed.extent.torn_bytes, replayed.unreadable), (0, 0));
}

/// Sends the traffic, and returns what is answered of it when it has settled.
async fn play(bridge: &Bridge) -> Value {
    bridge.accept(&traffic::opening()).await;
    for first in [0, 2 * HALF] {
        bridge
            .accept(&traffic::batch(traffic::OPENING + first, HALF))
            .await;
    }
    let settled = |answer: &support::Answer| {
        let coverage = answer.json();
        coverage["requests"]["settled"] == 2 * HALF
            && coverage["connections"]["settled"] == 2 * HALF
    };
    bridge.eventually("/v1/coverage", settled).await;
    answers(bridge).await
}

/// What a bridge says of everything that it knows.
async fn answers(bridge: &Bridge) -> Value {
    try_answers(bridge).await.unwrap()
}

/// The same; `None` while the view says that it cannot be read, or a record is not found.
async fn try_answers(bridge: &Bridge) -> Option<Value> {
    let mut by_id = Vec::new();
    for kind in ["requests", "connections"] {
        for record in try_list(bridge, kind).await? {
            let id = record["id"].as_str().unwrap();
            let answer = try_get(bridge, &format!("/v1/{kind}/{id}")).await?;
            assert_eq!(answer, record);
            let trace = record["trace_id"].as_str().unwrap();
            by_id.push(try_get(bridge, &format!("/v1/traces/{trace}")).await?);
        }
    }
    let ends = "/v1/connections?local=192.0.2.1:8080&limit=1000";
    Some(json!({
        "by_id": by_id,
        "causes": try_get(bridge, "/v1/causes").await?,
        "ends": try_get(bridge, ends).await?,
    }))
}

/// An answer, unless it is not there or the view cannot be read: never a part of it.
async fn try_get(bridge: &Bridge, path: &str) -> Option<Value> {
    let answer = bridge.get(path).await;
    match answer.status {
        StatusCode::OK => Some(answer.json()),
        StatusCode::NOT_FOUND => None,
        _ => {
            assert_eq!(answer.error(), (503, "database_failed".to_owned()));
            None
        }
    }
}

/// All records of one kind, from page to page.
async fn list(bridge: &Bridge, kind: &str) -> Vec<Value> {
    try_list(bridge, kind).await.unwrap()
}

async fn try_list(bridge: &Bridge, kind: &str) -> Option<Vec<Value>> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/{kind}?limit=30{cursor}");
        let mut page = try_get(bridge, &path).await?;
        found.append(page[kind].as_array_mut().unwrap());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Some(found),
        }
    }
}

/// A data directory for one bridge after the other.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn view(&self) -> PathBuf {
        self.path().join("view")
    }

    fn log(&self) -> PathBuf {
        self.path().join("log")
    }

    fn settings(&self) -> Settings {
        Settings {
            limits: Limits {
                grace_ns: 200_000_000,
                ..Limits::default()
            },
            data_dir: Some(self.path()),
            view: store::Bounds {
                chunk_records: 70,
                ..store::Bounds::default()
            },
            ..Settings::default()
        }
    }

    fn start(&self) -> Bridge {
        Bridge::start_with(&self.settings())
    }

    /// Sends the traffic to a bridge, ends it when all is stored, and returns what it answered.
    async fn after_the_traffic(&self) -> Value {
        let bridge = self.start();
        let answers = play(&bridge).await;
        self.eventually_stored(&bridge).await;
        bridge.pipeline.finish().await.unwrap();
        answers
    }

    fn chunks(&self) -> Vec<PathBuf> {
        let Ok(files) = fs::read_dir(self.view()) else {
            return Vec::new();
        };
        let paths = files.map(|file| file.unwrap().path());
        paths
            .filter(|path: &PathBuf| Path::extension(path).is_some_and(|is| is == "db"))
            .collect()
    }

    /// Waits until memory has given everything to the database.
    async fn eventually_stored(&self, bridge: &Bridge) {
        let deadline = Instant::now() + DEADLINE;
        let view = bridge.pipeline.view();
        while view.stored_number() != view.settled_number() || self.chunks().is_empty() {
            assert!(Instant::now() < deadline, "{:?}", view.database_status());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
