//! A bridge that is started again listens at once, takes facts, and reads on from the latest state of its
//! fold: how much it kept makes no difference.
//!
//! `SYNTRACE_RESTART_RECORDS=1000000` is the long run, and prints how long a restart takes after
//! `kill -9`; that is a figure for a release build.
#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and says what it measured"
)]

mod support;

use std::{
    env, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Instant,
};

use axum::http::StatusCode;
use support::{
    Answer, Bridge, DEADLINE, facts,
    process::{self, Connection, Process},
    traffic,
};
use syntrace_bridge::{log, pipeline::Settings};
use syntrace_core::Limits;
use syntrace_proto::fact::Body;
use tempfile::TempDir;

/// Records that are kept, unless `SYNTRACE_RESTART_RECORDS` says otherwise: half of them requests.
const RECORDS: u64 = 20_000;

/// Connections, with a request each, in one batch.
const BATCH: u64 = 250;

/// Bytes of a segment in the tests that choose it: a few batches.
const SEGMENT_BYTES: u64 = 64 << 10;

/// Connections in each of the batches that fill segments.
const SOME: u64 = 50;

#[test]
fn killed_with_many_records_kept_it_listens_and_answers_soon() {
    let records =
        env::var("SYNTRACE_RESTART_RECORDS").map_or(RECORDS, |text| text.parse().unwrap());
    let place = tempfile::tempdir().unwrap();
    let mut command = process::command(place.path());
    command.env("SYNTRACE_GRACE_MS", "200");
    let bridge = Process::start(&mut command);
    let mut connection = Connection::open(&process::socket(place.path())).unwrap();
    connection.accept(&traffic::opening());
    for n in 0..records / 2 / BATCH {
        let mut batch = traffic::batch_of(0, n * BATCH, BATCH);
        batch.first_seq = traffic::OPENING + n * 2 * BATCH;
        connection.accept(&batch);
    }
    bridge.eventually("/v1/coverage", |coverage| {
        coverage["requests"]["settled"] == records / 2
    });
    drop(bridge);

    let bridge = Process::start(&mut command);
    let listened = bridge.began.elapsed();
    bridge.eventually("/readyz", |health| health["status"] == "ready");
    let ready = bridge.began.elapsed();
    for n in [0, records / 4, records / 2 - 1] {
        let id = format!("{:016x}", traffic::name(0, n));
        let request = bridge.get(&format!("/v1/requests/{id}"));
        assert_eq!(request["id"], id.as_str(), "{request}");
    }
    println!("{records} records: listened after {listened:?}, was ready after {ready:?}");
}

#[tokio::test]
async fn only_what_came_after_the_latest_state_is_folded_again() {
    let place = tempfile::tempdir().unwrap();
    let bridge = Bridge::start_with(&settings(place.path()));
    let batches = fill(&bridge, 60).await;
    let deadline = Instant::now() + DEADLINE;
    // A state is on its way to the disk while the fold goes on.
    let (again, _copy) = loop {
        let copy = copied(&place);
        let again = Bridge::start_with(&settings(copy.path()));
        let folded = again.pipeline.view().rebuild().folded();
        if (1..batches / 2).contains(&folded) {
            break (again, copy);
        }
        assert!(Instant::now() < deadline, "{folded} of {batches}");
    };
    let settled = |answer: &Answer| answer.json()["requests"]["settled"] == batches * SOME;
    again.eventually("/v1/coverage", settled).await;
}

#[tokio::test]
async fn while_the_log_cannot_be_read_facts_are_taken_and_later_nothing_is_missing() {
    let place = tempfile::tempdir().unwrap();
    let settings = settings(place.path());
    let bridge = Bridge::start_with(&settings);
    let batches = fill(&bridge, 10).await;
    bridge.pipeline.finish().await.unwrap();
    // Nothing is left to begin with but the log from its beginning.
    let log = place.path().join("log");
    for state in files(&log, "state") {
        fs::remove_file(state).unwrap();
    }
    fs::remove_dir_all(place.path().join("view")).unwrap();
    let first = log.join(format!("{:020}.log", 0));
    let aside = place.path().join("aside");
    fs::rename(&first, &aside).unwrap();
    // What cannot be read: a directory, by a link that the file can take the place of in one step.
    std::os::unix::fs::symlink(place.path(), &first).unwrap();

    let bridge = Bridge::starting_with(&settings);
    let troubled = |answer: &Answer| answer.json()["rebuilding"]["trouble"] == "io_error";
    let health = bridge.eventually("/readyz", troubled).await;
    assert_eq!(health["status"], "rebuilding");
    let answer = bridge.get("/v1/requests").await;
    assert_eq!(answer.error(), (503, "rebuilding".to_owned()));
    let metrics = bridge.get("/metrics").await.text();
    assert!(
        metrics.contains("\nsyntrace_log_rebuilding 1\n"),
        "{metrics}"
    );
    let mut one_more = facts::batch(vec![Body::Request(facts::served_request())]);
    one_more.sender.as_mut().unwrap().epoch += 1;
    bridge.accept(&one_more).await;

    fs::rename(&aside, &first).unwrap();
    let expected = batches * SOME + 1;
    let settled = |answer: &Answer| answer.json()["requests"]["settled"] == expected;
    bridge.eventually("/v1/coverage", settled).await;
    let ready = bridge.get("/readyz").await;
    assert_eq!(ready.status, StatusCode::OK, "{}", ready.text());
}

#[tokio::test]
async fn numbers_that_the_view_gave_to_what_a_loss_of_power_took_are_given_again() {
    let place = tempfile::tempdir().unwrap();
    let settings = settings(place.path());
    let bridge = Bridge::start_with(&settings);
    fill(&bridge, 3).await;
    while bridge.pipeline.view().stored_number() < 2 * 3 * SOME {
        tokio::task::yield_now().await;
    }
    bridge.pipeline.finish().await.unwrap();
    // The disk has the view, and of the log only the beginning.
    let log = place.path().join("log");
    for file in files(&log, "state").into_iter().chain(files(&log, "log")) {
        fs::remove_file(file).unwrap();
    }
    let bridge = Bridge::start_with(&settings);
    assert_eq!(bridge.pipeline.view().settled_number(), 0);
    fill(&bridge, 2).await;
    while bridge.pipeline.view().stored_number() < 2 * 2 * SOME {
        assert_eq!(
            bridge.pipeline.view().database_status().unwrap().trouble,
            None
        );
        tokio::task::yield_now().await;
    }
    let requests = bridge.get("/v1/requests?limit=1000").await.json();
    assert_eq!(
        requests["requests"].as_array().unwrap().len() as u64,
        2 * SOME
    );
}

/// Sends so many batches, and returns how many that were when all have settled.
async fn fill(bridge: &Bridge, batches: u64) -> u64 {
    bridge.accept(&traffic::opening()).await;
    for n in 0..batches {
        let first_seq = traffic::OPENING + n * 2 * SOME;
        bridge.accept(&traffic::batch(first_seq, SOME)).await;
    }
    let settled = |answer: &Answer| {
        let coverage = answer.json();
        coverage["requests"]["settled"] == batches * SOME
            && coverage["connections"]["settled"] == batches * SOME
    };
    bridge.eventually("/v1/coverage", settled).await;
    batches
}

fn settings(place: &Path) -> Settings {
    Settings {
        limits: Limits {
            grace_ns: 100_000_000,
            ..Limits::default()
        },
        data_dir: Some(place.to_owned()),
        log: log::Settings {
            bounds: log::Bounds {
                segment_bytes: SEGMENT_BYTES,
                ..log::Bounds::default()
            },
            ..log::Settings::default()
        },
        ..Settings::default()
    }
}

/// What a bridge that is killed at this moment leaves.
fn copied(place: &TempDir) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for part in ["log", "view"] {
        fs::create_dir(copy.path().join(part)).unwrap();
        for file in fs::read_dir(place.path().join(part)).unwrap() {
            let file = file.unwrap();
            let to = copy.path().join(part).join(file.file_name());
            // States come and go.
            if let Err(error) = fs::copy(file.path(), to) {
                assert_eq!(error.kind(), ErrorKind::NotFound);
            }
        }
    }
    copy
}

fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(directory).unwrap();
    let paths = paths.map(|file| file.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|is| is == extension))
        .collect()
}
