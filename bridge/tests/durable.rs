//! What is left after an end, and what the log is kept for.

mod support;

use std::time::Instant;

use support::{
    Bridge, DEADLINE, facts,
    place::{HALF, Place, answers, in_words, list, play},
    traffic,
};
use syntrace_bridge::{
    log,
    pipeline::{Pipeline, StartError},
    replay,
};
use syntrace_core::{Limits, Output};
use syntrace_proto::{Outcome, fact::Body};

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
async fn what_is_stored_after_a_restart_is_found_beside_what_was_stored_before() {
    let place = Place::new();
    place.after_the_traffic().await;
    let bridge = place.start();
    // Few: they are added to a chunk that the end before had closed.
    bridge
        .accept(&traffic::batch(traffic::OPENING + 4 * HALF, 4))
        .await;
    let settled = |answer: &support::Answer| answer.json()["requests"]["settled"] == 2 * HALF + 4;
    bridge.eventually("/v1/coverage", settled).await;
    let chunks = place.chunks().len();
    place.eventually_stored(&bridge).await;
    assert_eq!(place.chunks().len(), chunks);
    assert_eq!(list(&bridge, "requests").await.len() as u64, 2 * HALF + 4);
    answers(&bridge).await;
}

#[tokio::test]
async fn who_opens_a_file_of_the_view_reads_there_what_the_bridge_answers() {
    let place = Place::new();
    place.after_the_traffic().await;
    let bridge = place.start();
    let columns = "id || ' ' || trace_id || ' ' || connection || ' ' || party || ' '";
    let read = place.rows("requests", columns);
    for record in list(&bridge, "requests").await {
        let parts = [&record["id"], &record["trace_id"], &record["connection"]];
        let party = &record["cause"]["party"];
        assert!(read.contains(&in_words(parts.into_iter().chain([party]))));
    }
    let columns = "id || ' ' || trace_id || ' ' || ltrim(aliases || ' ')";
    let read = place.rows("connections", columns);
    for record in list(&bridge, "connections").await {
        let aliases = record["aliases"].as_array().unwrap();
        let ids = [&record["id"], &record["trace_id"]];
        assert!(read.contains(&in_words(ids.into_iter().chain(aliases))));
    }
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
