//! A log that was damaged: what can be found is kept, and what is missing is a number wherever one looks.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use prost::Message as _;
use serde_json::{Value, json};
use support::{
    Answer, Bridge, DEADLINE, facts,
    place::{HALF, Place, list, try_list},
    traffic,
};
use syntrace_bridge::log::{self, Log, Segments, disk::Disk};
use syntrace_core::fact::SenderId;
use syntrace_model::BootId;
use syntrace_proto::{Batch, SCHEMA, fact::Body};

#[tokio::test]
async fn a_damaged_byte_costs_the_records_of_one_batch_and_each_of_them_is_counted() {
    let place = Place::new();
    place.after_the_traffic().await;
    damage_first(&place);
    fs::remove_dir_all(place.view()).unwrap();
    let bridge = place.start();
    // The fold had kept what it knew behind the damage: no fact is lost to it.
    assert_eq!(coverage(&bridge).await["lost"], 0);
    says(
        &bridge,
        &json!({"missing": 1, "unreadable": 0, "torn_bytes": 0}),
    )
    .await;
    assert_eq!(bridge.pipeline.view().settled_number(), 4 * HALF);

    let deadline = Instant::now() + DEADLINE;
    let lost = || bridge.pipeline.view().database_status().unwrap().lost;
    while bridge.pipeline.view().hole().is_some() || lost() < 2 * HALF {
        assert!(Instant::now() < deadline, "{} lost", lost());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for kind in ["requests", "connections"] {
        assert_eq!(list(&bridge, kind).await.len() as u64, HALF, "{kind}");
    }
    // What comes then has numbers of its own.
    let more = traffic::batch(traffic::OPENING + 4 * HALF, 5);
    bridge.accept(&more).await;
    place.eventually_stored(&bridge).await;
    while try_list(&bridge, "requests")
        .await
        .unwrap_or_default()
        .len() as u64
        != HALF + 5
    {
        assert!(Instant::now() < deadline, "five more did not settle");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(lost(), 2 * HALF);
    assert_eq!(coverage(&bridge).await["lost"], 0);
}

#[tokio::test]
async fn without_a_state_behind_the_damage_the_facts_are_missing_too() {
    let place = Place::new();
    place.after_the_traffic().await;
    damage_first(&place);
    for state in files(&place, "state") {
        fs::remove_file(state).unwrap();
    }
    fs::remove_dir_all(place.view()).unwrap();
    let bridge = place.start();
    says(
        &bridge,
        &json!({"missing": 1, "unreadable": 0, "torn_bytes": 0}),
    )
    .await;
    assert_eq!(coverage(&bridge).await["lost"], 2 * HALF);
    assert_eq!(list(&bridge, "requests").await.len() as u64, HALF);
}

#[tokio::test]
async fn between_states_what_is_made_anew_has_each_record_once_and_lacks_those_of_one_batch() {
    let place = Place::new();
    let mut settings = place.settings();
    settings.log.bounds.segment_bytes = 64 << 10;
    let bridge = Bridge::start_with(&settings);
    bridge.accept(&traffic::opening()).await;
    let batches = 20;
    for n in 0..batches {
        let first_seq = traffic::OPENING + n * 2 * HALF;
        bridge.accept(&traffic::batch(first_seq, HALF)).await;
        if n + 1 >= batches / 2 {
            let all = |answer: &Answer| answer.json()["connections"]["settled"] == (n + 1) * HALF;
            bridge.eventually("/v1/coverage", all).await;
        }
    }
    bridge.pipeline.finish().await.unwrap();
    let mut segments = files(&place, "log");
    segments.sort_unstable();
    damage(&segments[segments.len() * 3 / 4]);
    fs::remove_dir_all(place.view()).unwrap();

    let bridge = Bridge::start_with(&settings);
    says(
        &bridge,
        &json!({"missing": 1, "unreadable": 0, "torn_bytes": 0}),
    )
    .await;
    assert_eq!(coverage(&bridge).await["lost"], 0);
    let deadline = Instant::now() + DEADLINE;
    while bridge.pipeline.view().hole().is_some() {
        assert!(Instant::now() < deadline, "records are still being rebuilt");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for kind in ["requests", "connections"] {
        let records = list(&bridge, kind).await;
        let ids: BTreeSet<_> = records.iter().map(|record| record["id"].as_str()).collect();
        assert_eq!(ids.len(), records.len(), "{kind}");
        assert_eq!(ids.len() as u64, (batches - 1) * HALF, "{kind}");
    }
    let lost = bridge.pipeline.view().database_status().unwrap().lost;
    assert_eq!(lost, 2 * HALF);
}

#[tokio::test]
async fn a_tail_that_was_torn_is_cut_off_and_counted_in_bytes() {
    let place = Place::new();
    place.after_the_traffic().await;
    let [segment] = files(&place, "log").try_into().unwrap();
    let mut tail = File::options().append(true).open(&segment).unwrap();
    tail.write_all(&[0; 100]).unwrap();
    let whole = fs::metadata(&segment).unwrap().len() - 100;
    let bridge = place.start();
    says(
        &bridge,
        &json!({"missing": 0, "unreadable": 0, "torn_bytes": 100}),
    )
    .await;
    assert_eq!(fs::metadata(&segment).unwrap().len(), whole);
    assert_eq!(list(&bridge, "requests").await.len() as u64, 2 * HALF);
}

#[tokio::test]
async fn batches_of_a_newer_schema_are_counted_and_stay_in_the_log() {
    let place = Place::new();
    place.after_the_traffic().await;
    append_newer(&place, 3).await;
    let bridge = place.start();
    says(
        &bridge,
        &json!({"missing": 0, "unreadable": 3, "torn_bytes": 0}),
    )
    .await;
    bridge.pipeline.finish().await.unwrap();
    let segments = files(&place, "log");
    let newer = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap();
        let newer = newer_batch().encode_to_vec();
        let windows = bytes.windows(newer.len());
        windows.filter(|window| *window == newer).count()
    };
    assert_eq!(segments.iter().map(newer).sum::<usize>(), 3);
}

#[tokio::test]
async fn a_replay_says_what_is_missing_and_what_it_cannot_read_also_where_it_writes_json() {
    let place = Place::new();
    place.after_the_traffic().await;
    append_newer(&place, 2).await;
    damage_first(&place);
    for form in [&["--json"] as &[&str], &[]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_syntrace"));
        let said = command.arg("replay").args(form).arg(place.path()).output();
        let said = String::from_utf8(said.unwrap().stderr).unwrap();
        assert!(said.contains("1 missing, 2 unreadable"), "{form:?}: {said}");
    }
}

/// Changes one byte of the log's first segment.
fn damage_first(place: &Place) {
    damage(&files(place, "log").into_iter().min().unwrap());
}

/// Changes one byte in the middle of a batch with many facts.
fn damage(segment: &Path) {
    let mut bytes = fs::read(segment).unwrap();
    let middle = bytes.len() / 4;
    bytes[middle] ^= 1;
    fs::write(segment, bytes).unwrap();
}

/// Appends batches as a newer bridge would, and ends.
async fn append_newer(place: &Place, count: u64) {
    let settings = log::Settings {
        directory: Some(place.log()),
        ..log::Settings::default()
    };
    let next = Segments::new(place.log()).mend(&Disk::default()).unwrap();
    let (log, mut reader) = Log::start(&settings, BootId([1; 16]), next.next).unwrap();
    for _ in 0..count {
        let batch = syntrace_core::fact::Batch {
            sender: SenderId {
                name: "newer".into(),
                epoch: 1,
            },
            first_seq: 0,
            facts: Vec::new(),
            losses: Vec::new(),
            goodbye: false,
        };
        let encoded = newer_batch().encode_to_vec();
        log.append(&encoded, batch).await.unwrap();
    }
    log.close();
    while reader.next().await.is_some() {}
}

fn newer_batch() -> Batch {
    let mut batch = facts::batch(vec![Body::Clock(facts::clock())]);
    batch.schema = SCHEMA + 1;
    batch
}

/// Checks that everything which tells of the log tells this of it.
async fn says(bridge: &Bridge, expected: &Value) {
    assert_eq!(coverage(bridge).await["log"], *expected);
    let metrics = bridge.get("/metrics").await.text();
    for (name, field) in [
        ("batches_missing", "missing"),
        ("batches_unreadable", "unreadable"),
        ("torn_bytes", "torn_bytes"),
    ] {
        let line = format!("\nsyntrace_log_{name} {}\n", expected[field]);
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
}

async fn coverage(bridge: &Bridge) -> Value {
    bridge.get("/v1/coverage").await.json()
}

fn files(place: &Place, extension: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(place.log()).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|is| is == extension))
        .collect()
}
