//! `POST /v1/facts`: what is accepted of a batch, and what of it is refused.

mod support;

use axum::http::StatusCode;
use prost::Message as _;
use serde_json::json;
use support::{Bridge, facts};
use syntrace_proto::{Batch, Count, Fact, Loss, Rung, Sampling, fact};

#[tokio::test]
async fn an_accepted_batch_is_seen_by_those_who_ask() {
    let bridge = Bridge::start();
    bridge.accept(&facts::story()).await;
    let seen = |answer: &support::Answer| answer.json()["requests"]["settled"] == 2;
    let coverage = bridge.eventually("/v1/coverage", seen).await;
    let rung = json!({"name": "full", "missing": [], "counted": {}});
    assert_eq!(coverage["rung"], rung);
    assert_eq!(coverage["undecodable"], 0);
    assert_eq!(coverage["lost"], 0);
}

#[tokio::test]
async fn a_batch_that_comes_again_changes_nothing() {
    let bridge = Bridge::start();
    bridge.accept(&facts::story()).await;
    bridge.accept(&facts::story()).await;
    let again = |answer: &support::Answer| answer.json()["duplicates"] == 7;
    let coverage = bridge.eventually("/v1/coverage", again).await;
    assert_eq!(coverage["requests"]["settled"], 2);
    assert_eq!(coverage["connections"]["settled"], 3);
}

#[tokio::test]
async fn a_fact_that_comes_after_its_connection_settled_is_counted_on_that_connection() {
    let bridge = Bridge::start();
    bridge.accept(&facts::story()).await;
    let settled = |answer: &support::Answer| answer.json()["connections"]["settled"] == 3;
    bridge.eventually("/v1/coverage", settled).await;
    let mut late = facts::batch(vec![fact::Body::Connection(facts::downstream(1))]);
    late.first_seq = facts::story().facts.len() as u64;
    bridge.accept(&late).await;
    let counted = |answer: &support::Answer| answer.json()["late"] == 1;
    bridge.eventually("/v1/coverage", counted).await;

    let list = bridge.get("/v1/connections").await.json();
    for listed in list["connections"].as_array().unwrap() {
        let id = listed["id"].as_str().unwrap();
        let one = bridge.get(&format!("/v1/connections/{id}")).await.json();
        assert_eq!(one["coverage"]["late"], u64::from(id.ends_with(".1")));
        assert_eq!(&one, listed);
    }
}

#[tokio::test]
async fn a_loss_that_its_sender_names_explains_a_gap_and_is_counted_once() {
    let bridge = Bridge::start();
    let mut batch = facts::story();
    batch.first_seq = 5;
    batch.losses = vec![Loss {
        cause: "ring_full".to_owned(),
        count: 3,
    }];
    bridge.accept(&batch).await;
    let lost = |answer: &support::Answer| answer.json()["lost"] == 5;
    let coverage = bridge.eventually("/v1/coverage", lost).await;
    let senders = coverage["senders"].as_array().unwrap();
    let story = senders
        .iter()
        .find(|sender| sender["name"] == "filter/story/0");
    assert_eq!(
        story.unwrap(),
        &json!({
            "name": "filter/story/0", "epoch": "000000000000000e", "received": 7, "missing": 5,
            "lost": {"ring_full": 3}, "goodbye": false
        })
    );
}

#[tokio::test]
async fn bytes_that_are_no_batch_are_refused_and_counted_and_harm_nothing() {
    let bridge = Bridge::start();
    let whole = facts::story().encode_to_vec();
    let bodies = [
        whole[..whole.len() - 1].to_vec(),
        b"{\"facts\":[]}".to_vec(),
        vec![0xff; 100],
    ];
    for body in bodies {
        assert_eq!(
            bridge.post(body).await.error(),
            (400, "undecodable".to_owned())
        );
    }
    let coverage = bridge.get("/v1/coverage").await.json();
    assert_eq!(coverage["undecodable"], 3);
    assert_eq!(
        coverage["connections"],
        json!({"live": 0, "settled": 0, "evicted": 0})
    );
    bridge.accept(&facts::story()).await;
}

#[tokio::test]
async fn a_batch_of_a_newer_schema_is_refused_by_name() {
    let bridge = Bridge::start();
    let mut batch = facts::story();
    batch.schema = 2;
    let answer = bridge.post(batch.encode_to_vec()).await;
    assert_eq!(answer.error(), (400, "newer_schema".to_owned()));
    let message = "batch.schema is 2, expected at most 1";
    assert_eq!(answer.json()["error"]["message"], message);
}

#[tokio::test]
async fn a_batch_without_meaning_is_refused_and_the_field_is_named() {
    let batch = |change: fn(&mut Batch)| {
        let mut batch = facts::story();
        change(&mut batch);
        batch
    };
    let cases = [
        (Batch::default(), "batch.schema is 0, expected 1 or more"),
        (
            batch(|batch| batch.sender = None),
            "batch.sender is absent, expected a sender",
        ),
        (
            batch(|batch| batch.sender.as_mut().unwrap().name = "x".repeat(256)),
            "batch.sender.name is 256 bytes, expected 1 to 255 bytes",
        ),
        (
            batch(|batch| {
                batch.losses = vec![Loss {
                    cause: "a b".to_owned(),
                    count: 1,
                }]
            }),
            "batch.losses.cause is \"a b\", expected 1 to 64 of a-z, 0-9 and _",
        ),
        (
            batch(|batch| batch.first_seq = u64::MAX),
            "batch.first_seq is 18446744073709551615, expected room for the facts' numbers",
        ),
    ];
    let bridge = Bridge::start();
    let count = cases.len();
    for (batch, message) in cases {
        let answer = bridge.post(batch.encode_to_vec()).await;
        assert_eq!(answer.error(), (400, "invalid_batch".to_owned()));
        assert_eq!(answer.json()["error"]["message"], message);
    }
    let coverage = bridge.get("/v1/coverage").await.json();
    assert_eq!(coverage["undecodable"], count);
    assert_eq!(coverage["connections"]["live"], 0);
}

#[tokio::test]
async fn a_fact_without_meaning_is_counted_by_its_field_and_the_others_are_taken() {
    let connection = |change: fn(&mut syntrace_proto::Connection)| {
        let mut connection = facts::downstream(1);
        change(&mut connection);
        Some(fact::Body::Connection(connection))
    };
    let request = |change: fn(&mut syntrace_proto::Request)| {
        let mut request = facts::served_request();
        change(&mut request);
        Some(fact::Body::Request(request))
    };
    let rung = |change: fn(&mut Rung)| {
        let mut rung = Rung {
            name: "full".to_owned(),
            ..Rung::default()
        };
        change(&mut rung);
        Some(fact::Body::Rung(rung))
    };
    let sampling = |boot_ns, one_in| Some(fact::Body::Sampling(Sampling { boot_ns, one_in }));
    let cases = [
        (None, "body"),
        (rung(|rung| rung.name = "half".to_owned()), "rung.name"),
        (
            rung(|rung| rung.missing = vec![String::new(); 65]),
            "rung.missing",
        ),
        (
            rung(|rung| rung.counted = vec![count("no name")]),
            "rung.counted",
        ),
        (
            rung(|rung| rung.counted = vec![count("name"); 65]),
            "rung.counted",
        ),
        (sampling(0, 2), "sampling.boot"),
        (sampling(1, 0), "sampling.one_in"),
        (
            connection(|connection| connection.boot_id = vec![1; 15]),
            "connection.boot_id",
        ),
        (
            connection(|connection| connection.socket_cookie = 0),
            "connection.socket_cookie",
        ),
        (
            connection(|connection| connection.minted_id = vec![0; 16]),
            "connection.minted_id",
        ),
        (
            connection(|connection| connection.local.as_mut().unwrap().port = 65_536),
            "connection.local",
        ),
        (
            connection(|connection| connection.local = None),
            "connection.local",
        ),
        (
            connection(|connection| connection.local.as_mut().unwrap().address = vec![1; 5]),
            "connection.local",
        ),
        (
            connection(|connection| connection.opening = 0),
            "connection.opening",
        ),
        (
            connection(|connection| connection.outcome = 99),
            "connection.outcome",
        ),
        (
            connection(|connection| connection.tag_state = 0),
            "connection.tag_state",
        ),
        (
            request(|request| request.span_id = Vec::new()),
            "request.span_id",
        ),
        (
            request(|request| request.connection_trace_id = vec![1; 8]),
            "request.connection_trace_id",
        ),
        (request(|request| request.status = 42), "request.status"),
        (
            request(|request| request.trace_flags = 256),
            "request.trace_flags",
        ),
        (
            request(|request| request.started_at_unix_ns = 0),
            "request.started_at_unix_ns",
        ),
    ];
    let bridge = Bridge::start();
    let mut sent = facts::story();
    let good = sent.facts.len();
    let mut expected = std::collections::BTreeMap::<_, u64>::new();
    for (body, field) in cases {
        sent.facts.push(Fact { body });
        *expected.entry(field).or_default() += 1;
    }
    bridge.accept(&sent).await;
    bridge.accept(&sent).await;
    let again = |answer: &support::Answer| answer.json()["duplicates"] == sent.facts.len();
    let coverage = bridge.eventually("/v1/coverage", again).await;
    assert_eq!(coverage["refused"], json!(expected));
    assert_eq!(coverage["requests"]["settled"], 2);
    assert_eq!(coverage["lost"], 0);
    let senders = coverage["senders"].as_array().unwrap();
    let story = senders
        .iter()
        .find(|sender| sender["name"] == "filter/story/0");
    assert_eq!(story.unwrap()["received"], sent.facts.len());
    assert!(sent.facts.len() > good);
}

#[tokio::test]
async fn a_fact_that_is_no_message_costs_no_other() {
    let bridge = Bridge::start();
    let mut body = facts::story().encode_to_vec();
    // Field 4, two bytes: a field of a fact that ends too early.
    body.extend([0x22, 2, 0x1a, 9]);
    let answer = bridge.post(body).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text());
    let counted = |answer: &support::Answer| answer.json()["refused"]["fact"] == 1;
    let coverage = bridge.eventually("/v1/coverage", counted).await;
    assert_eq!(coverage["requests"]["settled"], 2);
}

#[tokio::test]
async fn an_address_that_a_header_brought_joins_nothing_and_refuses_nothing() {
    let bridge = Bridge::start();
    let mut request = facts::served_request();
    request.peer.as_mut().unwrap().port = 0;
    bridge
        .accept(&facts::batch(vec![fact::Body::Request(request)]))
        .await;
    let found = |answer: &support::Answer| answer.status == StatusCode::OK;
    let request = bridge
        .eventually("/v1/requests/5151515151515151", found)
        .await;
    assert_eq!(request["received_on"]["missing"], "no_kernel_view");
}

fn count(name: &str) -> Count {
    Count {
        name: name.to_owned(),
        count: 1,
    }
}
