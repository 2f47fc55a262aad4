//! A view that is deleted, damaged or refused by the disk: it is rebuilt, and answers the same.

mod support;

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{
    Answer, Bridge, DEADLINE,
    place::{HALF, Place, answers, list, play, send, try_answers},
    traffic,
};
use syntrace_bridge::store::ReadError;

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
    while place.chunks().is_empty() || try_answers(&bridge).await.as_ref() != Some(&before) {
        assert!(Instant::now() < deadline, "the view was not rebuilt");
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
async fn what_memory_cannot_hold_is_made_anew_from_the_log_and_missing_until_then_by_all_answers() {
    let place = Place::new();
    fs::create_dir_all(place.path()).unwrap();
    fs::write(place.view(), "in the way").unwrap();
    let mut settings = place.settings();
    settings.settled_records = 20;
    let bridge = Bridge::start_with(&settings);
    send(&bridge).await;
    let more = traffic::batch(traffic::OPENING + 4 * HALF, 5);
    bridge.accept(&more).await;
    let settled = |answer: &Answer| answer.json()["connections"]["settled"] == 2 * HALF + 5;
    bridge.eventually("/v1/coverage", settled).await;

    let left_out = 4 * HALF + 10 - 20;
    let newest = bridge.get("/v1/requests?limit=3").await.json();
    let requests = newest["requests"].as_array().unwrap();
    assert_eq!(requests.len(), 3);
    assert_eq!(newest["incomplete"], Value::Null, "all of these are there");
    let since = requests[2]["started_at"].as_str().unwrap();
    let later = bridge.get(&format!("/v1/requests?since={since}")).await;
    assert_eq!(later.json()["incomplete"], Value::Null, "none began then");
    for path in ["/v1/requests", "/v1/connections", "/v1/causes", "/readyz"] {
        let answer = bridge.get(path).await.json();
        let incomplete = &answer["incomplete"];
        assert_eq!(incomplete["records"], left_out, "{path}");
        assert_eq!(incomplete["why"], "memory_full", "{path}");
        let [from, to] = ["from", "to"].map(|end| incomplete[end].as_str().unwrap());
        assert!(from < to, "{path}: {from} {to}");
    }
    let unknown = bridge.get("/v1/requests/00000000deadbeef").await;
    assert_eq!(unknown.error(), (503, "rebuilding".to_owned()));
    assert_eq!(unknown.headers["retry-after"], "1");
    let metrics = bridge.get("/metrics").await.text();
    let awaited = format!("\nsyntrace_database_records_awaited {left_out}\n");
    assert!(metrics.contains(&awaited), "{metrics}");
    let next = bridge.pipeline.view().settled_after(0, 10);
    assert!(matches!(next, Err(ReadError::Hole(_))), "{next:?}");

    fs::remove_file(place.view()).unwrap();
    place.eventually_stored(&bridge).await;
    let found = list(&bridge, "requests").await;
    assert_eq!(found.len() as u64, 2 * HALF + 5);
    assert_eq!(bridge.pipeline.view().database_status().unwrap().lost, 0);
    let unknown = bridge.get("/v1/requests/00000000deadbeef").await;
    assert_eq!(unknown.error(), (404, "unknown_request".to_owned()));
}

#[tokio::test]
async fn a_restart_waits_for_no_more_of_the_log_than_it_may_and_answers_say_what_is_made_anew() {
    let place = Place::new();
    let before = place.after_the_traffic().await;
    fs::remove_dir_all(place.view()).unwrap();
    fs::write(place.view(), "in the way").unwrap();
    let mut settings = place.settings();
    settings.refold_bytes = 0;
    let bridge = Bridge::start_with(&settings);

    let view = bridge.pipeline.view();
    assert_eq!(view.settled_number(), 4 * HALF);
    let answer = bridge.get("/v1/connections").await.json();
    let expected = json!({
        "records": 4 * HALF, "from": null, "to": null, "why": "rebuilding",
    });
    assert_eq!(answer["incomplete"], expected);
    for record in before["by_id"].as_array().unwrap() {
        let id = record["id"].as_str().unwrap();
        let answer = bridge.get(&format!("/v1/traces/{id}")).await;
        assert_eq!(answer.error(), (503, "rebuilding".to_owned()));
    }

    fs::remove_file(place.view()).unwrap();
    place.eventually_stored(&bridge).await;
    assert_eq!(answers(&bridge).await, before);
}
