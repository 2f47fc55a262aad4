//! Event streams: what settles is told, once, in order, and a follower that comes again misses nothing.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use support::{Answer, Bridge, DEADLINE, call, facts};
use syntrace_bridge::pipeline::Settings;
use syntrace_proto::{Connection, fact::Body as Fact};
use tokio::time::timeout;
use tower::ServiceExt as _;

/// An open event stream.
struct Stream {
    body: Body,
    text: String,
}

/// One event: its id and its name, empty if it has none, and its data.
#[derive(Debug)]
struct Event {
    id: String,
    name: String,
    data: Value,
}

#[tokio::test]
async fn a_follower_is_told_of_what_settles_and_fits() {
    let bridge = Bridge::start();
    let mut all = Stream::open(&bridge, "/v1/connections", None).await;
    let mut refused = Stream::open(&bridge, "/v1/connections?outcome=refused", None).await;
    let mut requests = Stream::open(&bridge, "/v1/requests", None).await;
    bridge.accept(&facts::story()).await;
    let told: Vec<_> = [all.next().await, all.next().await, all.next().await].into();
    let numbers: Vec<u64> = told.iter().map(|event| event.id.parse().unwrap()).collect();
    assert!(numbers.is_sorted());
    assert_eq!(refused.next().await.data["outcome"], "refused");
    let methods = [requests.next().await, requests.next().await];
    let mut methods = methods.map(|event| event.data["method"].as_str().unwrap().to_owned());
    methods.sort_unstable();
    assert_eq!(methods, ["GET", "POST"]);
}

#[tokio::test]
async fn no_follower_is_told_of_the_slowest_of_what_is_not_there_yet() {
    let bridge = Bridge::start();
    let question = Request::get("/v1/requests?percentile=99");
    let question = question.header(header::ACCEPT, "text/event-stream");
    let answer = call(&bridge.router, question.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.error(), (400, "invalid_parameter".to_owned()));
}

#[tokio::test]
async fn a_follower_that_comes_again_goes_on_after_the_last_event_that_it_saw() {
    let bridge = Bridge::start();
    let mut stream = Stream::open(&bridge, "/v1/connections", None).await;
    bridge.accept(&facts::story()).await;
    let first = stream.next().await;
    let second = stream.next().await;
    let third = stream.next().await;
    drop(stream);
    let mut again = Stream::open(&bridge, "/v1/connections", Some(&first.id)).await;
    assert_eq!(again.next().await.id, second.id);
    assert_eq!(again.next().await.id, third.id);
    accept_one_more(&bridge).await;
    assert_eq!(again.next().await.data["outcome"], "refused");
}

#[tokio::test]
async fn a_follower_that_comes_too_late_is_told_how_many_it_missed() {
    let bridge = Bridge::start_with(&Settings {
        settled_records: 2,
        ..Settings::default()
    });
    bridge.accept(&facts::story()).await;
    let settled = |answer: &Answer| answer.json()["connections"]["settled"] == 3;
    bridge.eventually("/v1/coverage", settled).await;
    let last = bridge.pipeline.view().settled_number();
    let mut requests = Stream::open(&bridge, "/v1/requests", Some("1")).await;
    let missed = requests.next().await;
    assert_eq!((&*missed.name, &*missed.id), ("missed", ""));
    assert_eq!(missed.data, json!({ "count": last - 1 - 2 }));
}

#[tokio::test]
async fn an_id_of_a_bridge_that_had_more_begins_anew() {
    let bridge = Bridge::start();
    bridge.accept(&facts::story()).await;
    let settled = |answer: &Answer| answer.json()["connections"]["settled"] == 3;
    bridge.eventually("/v1/coverage", settled).await;
    let mut stream = Stream::open(&bridge, "/v1/requests", Some("4711")).await;
    stream.next().await;
    stream.next().await;
}

#[tokio::test]
async fn an_id_that_is_none_is_refused() {
    let bridge = Bridge::start();
    let answer = call(&bridge.router, request("/v1/requests", Some("yesterday"))).await;
    assert_eq!(answer.error(), (400, "invalid_parameter".to_owned()));
}

#[tokio::test]
async fn there_are_only_so_many_followers() {
    let bridge = Bridge::start();
    let mut streams = Vec::new();
    for _ in 0..64 {
        streams.push(Stream::open(&bridge, "/v1/requests", None).await);
    }
    let answer = call(&bridge.router, request("/v1/requests", None)).await;
    assert_eq!(answer.error(), (429, "too_many_followers".to_owned()));
    streams.pop();
    Stream::open(&bridge, "/v1/requests", None).await;
}

#[tokio::test]
async fn followers_end_with_the_bridge() {
    let bridge = Bridge::start();
    let stream = Stream::open(&bridge, "/v1/requests", None).await;
    bridge.pipeline.state().end_followers();
    let ended = timeout(DEADLINE, stream.body.collect()).await.unwrap();
    assert!(ended.unwrap().to_bytes().is_empty());
}

async fn accept_one_more(bridge: &Bridge) {
    let connection = Connection {
        socket_cookie: 8,
        ..facts::refused(8)
    };
    let mut batch = facts::batch(vec![Fact::Connection(connection)]);
    batch.first_seq = 7;
    bridge.accept(&batch).await;
}

fn request(path: &str, last_id: Option<&str>) -> Request<Body> {
    let mut request = Request::get(path).header(header::ACCEPT, "text/event-stream");
    if let Some(id) = last_id {
        request = request.header("last-event-id", id);
    }
    request.body(Body::empty()).unwrap()
}

impl Stream {
    async fn open(bridge: &Bridge, path: &str, last_id: Option<&str>) -> Self {
        let answer = bridge
            .router
            .clone()
            .oneshot(request(path, last_id))
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/event-stream");
        Self {
            body: answer.into_body(),
            text: String::new(),
        }
    }

    async fn next(&mut self) -> Event {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = Event::parse(event);
                self.text = rest.to_owned();
                return event;
            }
            let frame = timeout(DEADLINE, self.body.frame()).await.unwrap();
            let bytes = frame.unwrap().unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }
}

impl Event {
    fn parse(text: &str) -> Self {
        let field = |name: &str| {
            let mut lines = text.lines();
            let value = lines.find_map(|line| line.strip_prefix(name));
            value.unwrap_or_default().trim().to_owned()
        };
        Self {
            id: field("id:"),
            name: field("event:"),
            data: serde_json::from_str(&field("data:")).unwrap(),
        }
    }
}
