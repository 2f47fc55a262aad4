//! The export as a cursor: what a collector does not take is kept, also over restarts.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message as _;
use support::{Bridge, traffic};
use syntrace_bridge::{
    otlp,
    pipeline::{Pipeline, Settings},
};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// Connections, with a request each, in each batch of facts.
const COUNT: u64 = 40;

/// How long the collector may take to have all.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn what_a_dead_collector_missed_it_gets_when_it_lives_again_over_restarts_too() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Nobody listens there.
    drop(listener);
    let settings = place.settings(&format!("http://{address}"));
    for n in 0..3 {
        let bridge = Bridge::start_with(&settings);
        play(&bridge, n).await;
        abandon(bridge.pipeline).await;
    }
    let collector = Collector::listen_on(&address.to_string(), |_| StatusCode::OK.into()).await;
    let bridge = Bridge::start_with(&settings);
    play(&bridge, 3).await;
    collector.eventually_has(4 * COUNT).await;
    collector.has_each_span_under_one_id();
}

#[tokio::test]
async fn where_the_place_of_the_export_cannot_be_read_everything_is_sent_again_under_the_same_ids()
{
    let place = Place::new();
    let collector = Collector::start(|_| StatusCode::OK.into()).await;
    let bridge = Bridge::start_with(&place.settings(&collector.url));
    play(&bridge, 0).await;
    collector.eventually_has(COUNT).await;
    bridge.pipeline.finish().await.unwrap();
    // Forty more wait for a collector that is dead.
    let bridge = Bridge::start_with(&place.settings("http://127.0.0.1:9"));
    play(&bridge, 1).await;
    abandon(bridge.pipeline).await;
    for damaged in ["", "\0\0\0\0"] {
        fs::write(place.0.path().join("data/exported"), damaged).unwrap();
        let collector = Collector::start(|_| StatusCode::OK.into()).await;
        let bridge = Bridge::start_with(&place.settings(&collector.url));
        collector.eventually_has(2 * COUNT).await;
        collector.has_each_span_once();
        let metrics = bridge.get("/metrics").await.text();
        let lost = "\nsyntrace_spans_queue_full_total 0\n";
        assert!(metrics.contains(lost), "{metrics}");
    }
}

#[tokio::test]
async fn a_collector_that_says_later_is_asked_again_and_what_it_took_is_not_sent_twice() {
    let place = Place::new();
    let later = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ];
    let collector = Collector::start(move |n| match later.get(n) {
        Some(status) => (*status, [(header::RETRY_AFTER, "0")])
            .into_response()
            .into(),
        None => StatusCode::OK.into(),
    })
    .await;
    let bridge = Bridge::start_with(&place.settings(&collector.url));
    play(&bridge, 0).await;
    collector.eventually_has(COUNT).await;
    collector.has_each_span_once();
    let metrics = bridge.get("/metrics").await.text();
    assert!(
        metrics.contains("syntrace_spans_refused_total 0"),
        "{metrics}"
    );
}

#[tokio::test]
async fn what_a_collector_refuses_for_good_is_counted_and_the_next_goes_on() {
    let place = Place::new();
    let collector = Collector::start(|n| match n {
        0 => StatusCode::BAD_REQUEST.into(),
        _ => StatusCode::OK.into(),
    })
    .await;
    let bridge = Bridge::start_with(&place.settings(&collector.url));
    play(&bridge, 0).await;
    let deadline = Instant::now() + PATIENCE;
    while refused(&bridge).await == 0 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    play(&bridge, 1).await;
    while collector.requests() == 0 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_a_collector_takes_in_part_is_not_sent_again_and_the_rest_is_counted() {
    let place = Place::new();
    let collector = Collector::start(|n| {
        let partial_success = (n == 0).then(|| ExportTracePartialSuccess {
            rejected_spans: 1,
            error_message: "one too many".to_owned(),
        });
        let answer = ExportTraceServiceResponse { partial_success };
        let kind = [(header::CONTENT_TYPE, "application/x-protobuf")];
        (kind, answer.encode_to_vec()).into_response().into()
    })
    .await;
    let bridge = Bridge::start_with(&place.settings(&collector.url));
    play(&bridge, 0).await;
    collector.eventually_has(COUNT).await;
    let deadline = Instant::now() + PATIENCE;
    while refused(&bridge).await != 1 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    collector.has_each_span_once();
}

async fn refused(bridge: &Bridge) -> u64 {
    let metrics = bridge.get("/metrics").await.text();
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("syntrace_spans_refused_total "));
    line.unwrap().parse().unwrap()
}

/// Sends one part of the traffic, and waits until it has settled.
async fn play(bridge: &Bridge, part: u64) {
    if part == 0 {
        bridge.accept(&traffic::opening()).await;
    }
    let first_seq = traffic::OPENING + part * COUNT * 2;
    bridge.accept(&traffic::batch(first_seq, COUNT)).await;
    let settled =
        |answer: &support::Answer| answer.json()["requests"]["settled"] == (part + 1) * COUNT;
    bridge.eventually("/v1/coverage", settled).await;
}

/// Ends a bridge whose collector does not take what is left.
async fn abandon(pipeline: Pipeline) {
    pipeline.finish().await.unwrap();
}

/// A data directory for one bridge after the other.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn settings(&self, collector: &str) -> Settings {
        Settings {
            data_dir: Some(self.0.path().join("data")),
            otlp: Some(otlp::Settings::of_base(
                collector,
                otlp::Protocol::HttpProtobuf,
            )),
            flush_timeout: Duration::from_millis(50),
            ..Settings::default()
        }
    }
}

/// An answer of the collector.
struct Reply(Response);

impl From<StatusCode> for Reply {
    fn from(status: StatusCode) -> Self {
        Self(status.into_response())
    }
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        Self(response)
    }
}

/// A span's trace, and what it is the span of.
type Span = (Vec<u8>, String, u64);

#[derive(Default)]
struct Taken {
    attempts: usize,
    /// Each span with the ids under which it came.
    spans: BTreeMap<Span, Vec<Vec<u8>>>,
    requests: u64,
}

/// Takes what bridges export, or does not.
struct Collector {
    url: String,
    taken: Arc<Mutex<Taken>>,
}

type Answer = Arc<dyn Fn(usize) -> Reply + Send + Sync>;

impl Collector {
    async fn start(answer: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen_on("127.0.0.1:0", answer).await
    }

    /// Listens; `answer` is asked with the number of the attempt.
    async fn listen_on(
        address: &str,
        answer: impl Fn(usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let taken = Arc::<Mutex<Taken>>::default();
        let answer: Answer = Arc::new(answer);
        let app = Router::new()
            .route("/v1/traces", post(collect))
            .with_state((Arc::clone(&taken), answer));
        tokio::spawn(async { axum::serve(listener, app).await });
        Self { url, taken }
    }

    /// Requests that came, each counted once.
    fn requests(&self) -> u64 {
        self.taken.lock().unwrap().requests
    }

    async fn eventually_has(&self, requests: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.requests() < requests {
            assert!(Instant::now() < deadline, "{} requests", self.requests());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(self.requests(), requests);
    }

    fn has_each_span_under_one_id(&self) {
        for (span, ids) in &self.taken.lock().unwrap().spans {
            assert!(ids.iter().all(|id| *id == ids[0]), "{span:?}: {ids:?}");
        }
    }

    fn has_each_span_once(&self) {
        for (span, ids) in &self.taken.lock().unwrap().spans {
            assert_eq!(ids.len(), 1, "{span:?}");
        }
    }
}

async fn collect(
    State((taken, answer)): State<(Arc<Mutex<Taken>>, Answer)>,
    body: Bytes,
) -> Response {
    let mut taken = taken.lock().unwrap();
    let Reply(response) = answer(taken.attempts);
    taken.attempts += 1;
    if response.status() != StatusCode::OK {
        return response;
    }
    let export = ExportTraceServiceRequest::decode(body).unwrap();
    let resources = export.resource_spans.into_iter();
    let scopes = resources.flat_map(|resource| resource.scope_spans);
    for span in scopes.flat_map(|scope| scope.spans) {
        let key = (span.trace_id, span.name, span.start_time_unix_nano);
        let is_request = key.1 == "GET";
        let ids = taken.spans.entry(key).or_default();
        let is_new = ids.is_empty();
        ids.push(span.span_id);
        taken.requests += u64::from(is_request && is_new);
    }
    response
}
