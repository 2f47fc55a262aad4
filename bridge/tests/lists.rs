//! Lists: the newest first, filtered, and from page to page.
mod support;

use serde_json::Value;
use support::{
    Answer, Bridge,
    facts::{self, DOWNSTREAM, FAILED, REFUSED, SERVED, UPSTREAM},
    ids,
};
use syntrace_proto::fact::Body as Fact;

/// Bytes of text that a page may hold, and those that a request has of its path and its baggage.
const PAGE_BYTES: usize = 4 << 20;
const TEXT_BYTES: usize = 2 * PATH_BYTES;
const PATH_BYTES: usize = 4 << 10;

#[tokio::test]
async fn connections_are_listed_the_newest_first_and_filtered() {
    let bridge = Bridge::after_the_story().await;
    let cases = [
        ("", vec![REFUSED, UPSTREAM, DOWNSTREAM]),
        ("?local=192.0.2.1:8080", vec![DOWNSTREAM]),
        ("?peer=192.0.2.3:9001", vec![REFUSED]),
        ("?peer=192.0.2.1:8080", vec![]),
        ("?local=192.0.2.1:8080&peer=192.0.2.3:9001", vec![]),
        ("?role=downstream", vec![DOWNSTREAM]),
        ("?role=upstream", vec![REFUSED, UPSTREAM]),
        ("?outcome=refused", vec![REFUSED]),
        ("?local=192.0.2.1", vec![REFUSED, UPSTREAM, DOWNSTREAM]),
        ("?peer=192.0.2.3/32", vec![REFUSED, UPSTREAM]),
        ("?network=192.0.2.2/31", vec![REFUSED, UPSTREAM, DOWNSTREAM]),
        ("?network=192.0.2.2", vec![DOWNSTREAM]),
        ("?network=2001:db8::/32", vec![]),
        ("?since=2023-11-14T22:13:20.002Z", vec![REFUSED, UPSTREAM]),
        ("?until=2023-11-14T22:13:20.002Z", vec![DOWNSTREAM]),
        (
            "?since=1900-01-01T00:00:00Z&until=9999-12-30T00:00:00Z",
            vec![REFUSED, UPSTREAM, DOWNSTREAM],
        ),
        ("?party=service", vec![REFUSED]),
        ("?cause=connect_refused", vec![REFUSED]),
        ("?cause=connect_unanswered", vec![]),
        ("?cluster=dead", vec![REFUSED, DOWNSTREAM]),
        ("?dye=gray%3Dv2", vec![]),
        ("?min_wait_ms=1", vec![]),
        (
            "?min_wait_ms=0&min_retransmits=0",
            vec![REFUSED, UPSTREAM, DOWNSTREAM],
        ),
        ("?min_retransmits=1", vec![]),
        ("?settled=true", vec![REFUSED, UPSTREAM, DOWNSTREAM]),
        ("?settled=false", vec![]),
        ("?at=2023-11-14T22:13:20.001Z", vec![DOWNSTREAM]),
        ("?at=2023-11-14T22:13:20.055Z", vec![UPSTREAM]),
        ("?at=2023-11-14T22:13:21Z", vec![]),
    ];
    for (query, expected) in cases {
        let list = bridge.get(&format!("/v1/connections{query}")).await.json();
        assert_eq!(ids(&list["connections"]), expected, "{query}");
        assert_eq!(list["next"], Value::Null);
    }
}

#[tokio::test]
async fn requests_are_listed_the_newest_first_and_filtered() {
    let bridge = Bridge::after_the_story().await;
    let cases = [
        ("", vec![FAILED, SERVED]),
        ("?status=200", vec![SERVED]),
        ("?cause=connect_refused", vec![FAILED]),
        ("?since=2023-11-14T22:13:20.010Z", vec![FAILED]),
        ("?until=2023-11-14T22:13:20.010Z", vec![SERVED]),
        ("?at=2023-11-14T22:13:20.010Z", vec![SERVED]),
        ("?status=5xx", vec![FAILED]),
        ("?status=4xx", vec![]),
        ("?grpc_status=14", vec![FAILED]),
        ("?party=service", vec![FAILED, SERVED]),
        ("?cluster=dead", vec![FAILED]),
        ("?peer=192.0.2.2", vec![FAILED, SERVED]),
        ("?network=192.0.2.3:9001", vec![FAILED]),
        ("?min_duration_ms=10", vec![SERVED]),
        ("?min_wait_ms=1", vec![SERVED]),
        ("?min_retransmits=1", vec![]),
        (&*format!("?connection={UPSTREAM}"), vec![SERVED]),
        (&*format!("?connection={DOWNSTREAM}"), vec![FAILED, SERVED]),
    ];
    for (query, expected) in cases {
        let list = bridge.get(&format!("/v1/requests{query}")).await.json();
        assert_eq!(ids(&list["requests"]), expected, "{query}");
    }
}

#[tokio::test]
async fn a_cursor_goes_on_where_the_page_ended() {
    let bridge = Bridge::after_the_story().await;
    for (path, key, expected) in [
        (
            "/v1/connections",
            "connections",
            vec![REFUSED, UPSTREAM, DOWNSTREAM],
        ),
        ("/v1/requests", "requests", vec![FAILED, SERVED]),
    ] {
        let mut seen = Vec::new();
        let mut next = bridge.get(&format!("{path}?limit=1")).await.json();
        loop {
            seen.extend(ids(&next[key]).into_iter().map(str::to_owned));
            let Some(cursor) = next["next"].as_str() else {
                break;
            };
            next = bridge
                .get(&format!("{path}?limit=1&cursor={cursor}"))
                .await
                .json();
        }
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn a_cursor_goes_on_where_the_page_ended_whatever_came_meanwhile() {
    let bridge = Bridge::after_the_story().await;
    let first = bridge.get("/v1/connections?limit=2").await.json();
    assert_eq!(ids(&first["connections"]), [REFUSED, UPSTREAM]);
    let mut newer = facts::batch(vec![Fact::Connection(facts::refused(8))]);
    newer.first_seq = 7;
    bridge.accept(&newer).await;
    let settled = |answer: &Answer| answer.json()["connections"]["settled"] == 4;
    bridge.eventually("/v1/coverage", settled).await;
    let cursor = first["next"].as_str().unwrap();
    let path = format!("/v1/connections?limit=2&cursor={cursor}");
    let second = bridge.get(&path).await.json();
    assert_eq!(ids(&second["connections"]), [DOWNSTREAM]);
    assert_eq!(second["next"], Value::Null);
}

#[tokio::test]
async fn a_page_that_is_searched_one_by_one_has_a_cursor_too() {
    let bridge = Bridge::after_the_story().await;
    let path = "/v1/connections?cluster=dead&limit=1";
    let first = bridge.get(path).await.json();
    assert_eq!(ids(&first["connections"]), [REFUSED]);
    let cursor = first["next"].as_str().unwrap();
    let second = bridge.get(&format!("{path}&cursor={cursor}")).await.json();
    assert_eq!(ids(&second["connections"]), [DOWNSTREAM]);
}

#[tokio::test]
async fn a_page_of_long_texts_ends_early_and_the_next_ones_have_the_rest() {
    let bridge = Bridge::start();
    let count = 2 * PAGE_BYTES / TEXT_BYTES;
    let requests = (1..=count).map(|n| {
        let mut request = facts::served_request();
        request.span_id = n.to_be_bytes().into();
        request.path = "\u{1}".repeat(PATH_BYTES);
        request.baggage.clone_from(&request.path);
        Fact::Request(request)
    });
    let all: Vec<_> = requests.collect();
    // A batch has less room than a page.
    let in_batch = PAGE_BYTES / TEXT_BYTES / 2;
    for (index, some) in all.chunks(in_batch).enumerate() {
        let mut batch = facts::batch(some.to_vec());
        batch.first_seq = (index * in_batch) as u64;
        bridge.accept(&batch).await;
    }
    let settled = |answer: &Answer| answer.json()["requests"]["settled"] == count;
    bridge.eventually("/v1/coverage", settled).await;
    let mut listed = 0;
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/requests?limit=1000{cursor}");
        let page = bridge.get(&path).await.json();
        let on_page = page["requests"].as_array().unwrap().len();
        assert!(on_page * TEXT_BYTES <= PAGE_BYTES, "{on_page}");
        listed += on_page;
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(listed, count);
}
