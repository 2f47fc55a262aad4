//! The HTTP endpoints, as routers that tests call without a socket.
//!
//! [`crate::server`] listens, and decides who may reach which router: facts have addresses of their own.

mod access;
mod buckets;
mod causes;
mod code;
mod connections;
mod coverage;
mod error;
mod facts;
mod follow;
mod health;
mod intake;
mod json;
mod lingering;
mod lookup;
mod openapi;
mod page;
mod query;
mod requests;
mod traces;
mod unattributed;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request},
    http::{HeaderMap, header},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tokio::{sync::watch, task::spawn_blocking};

pub use self::{access::Access, code::Code, error::ApiError};
use self::{access::Gate, intake::Intake};
pub(crate) use self::{access::HEAD_BYTES_MAX, follow::is_stream};
use crate::{
    log::Log,
    metrics::{Exposition, Metrics},
    page as web_page,
    view::SharedView,
};

/// Largest body of a batch.
pub const BODY_BYTES_MAX: usize = 4 << 20;

/// What the endpoints work on.
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) log: Arc<Log>,
    pub(crate) view: SharedView,
    metrics: Metrics,
    exposition: Arc<Exposition>,
    intake: Intake,
    /// False once followers are to end.
    running: Arc<watch::Sender<bool>>,
    shown: Arc<Shown>,
}

/// What an operator sets about answers.
#[derive(Clone, Debug)]
pub struct Shown {
    /// `service.name` of spans.
    pub service_name: String,
    /// Where the page leads to for a trace.
    pub trace_url: Option<String>,
}

// === impl Shown ===

impl Default for Shown {
    fn default() -> Self {
        Self {
            service_name: "syntrace".to_owned(),
            trace_url: None,
        }
    }
}

// === impl State ===

impl State {
    /// Puts together what the endpoints work on.
    #[must_use]
    pub fn new(log: Arc<Log>, view: SharedView, metrics: Metrics) -> Self {
        Self {
            exposition: Arc::new(metrics.exposition(view.clone(), Arc::clone(&log))),
            intake: Intake::default(),
            running: Arc::new(watch::Sender::new(true)),
            shown: Arc::default(),
            log,
            view,
            metrics,
        }
    }

    /// Prints answers for people.
    #[must_use]
    pub fn showing(self, shown: Shown) -> Self {
        let shown = Arc::new(shown);
        Self { shown, ..self }
    }

    /// Returns what is counted.
    #[must_use]
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Ends all event streams, and begins no other.
    pub fn end_followers(&self) {
        self.running.send_replace(false);
    }
}

/// Shows a record as the endpoints do.
pub(crate) fn shown(output: &syntrace_core::Output) -> serde_json::Result<serde_json::Value> {
    match output {
        syntrace_core::Output::Request(record) => serde_json::to_value(json::Request::from(record)),
        syntrace_core::Output::Connection(record) => {
            serde_json::to_value(json::Connection::from(record))
        }
    }
}

/// Returns the endpoints for queries.
pub fn reads(state: State, access: Access) -> Router {
    let routes = guarded(question_routes(&state)).merge(open_routes(&state));
    finish(routes, state, access)
}

/// Returns the endpoint that takes facts, and those that tell senders whether it does. Each has places for
/// batches of its own.
pub fn facts(state: State, access: Access) -> Router {
    let intake = Intake::default();
    let state = State { intake, ..state };
    finish(guarded(facts_route()), state, access)
}

/// Returns all endpoints at one place, for a process that holds the whole bridge in itself.
pub fn reads_and_facts(state: State) -> Router {
    let routes = question_routes(&state).merge(facts_route());
    finish(routes.merge(open_routes(&state)), state, Access::open())
}

fn facts_route() -> Router<State> {
    let append = post(facts::append).layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    Router::new().route(syntrace_proto::FACTS_PATH, append)
}

fn question_routes(state: &State) -> Router<State> {
    Router::new()
        .route("/v1/causes", get(causes::list))
        .route("/v1/connections", get(connections::list))
        .route("/v1/connections/{id}", get(connections::one))
        .route("/v1/coverage", get(coverage::show))
        .route("/v1/requests", get(requests::list))
        .route("/v1/requests/{id}", get(requests::one))
        .route("/v1/traces/{id}", get(traces::one))
        .route_layer(from_fn_with_state(state.clone(), health::await_rebuild))
        .route("/metrics", get(show_metrics))
}

/// What holds nothing that was observed.
fn open_routes(state: &State) -> Router<State> {
    let settings = web_page::Settings {
        trace_url: state.shown.trace_url.clone(),
    };
    Router::new()
        .route("/openapi.json", get(openapi::show))
        .route("/docs", get(openapi::page))
        .merge(web_page::routes(settings))
}

fn health_routes() -> Router<State> {
    Router::new()
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
}

fn guarded(routes: Router<State>) -> Router<State> {
    routes.route_layer(from_fn(access::know))
}

/// Adds what all listeners have. Health is answered to everybody at any time: a supervisor ends a bridge
/// that does not answer.
fn finish(routes: Router<State>, state: State, access: Access) -> Router {
    let limited = other_methods(routes)
        .fallback(async || ApiError::UnknownPath)
        .layer(from_fn_with_state(Gate::new(access), access::limit));
    limited
        .merge(other_methods(health_routes()))
        .layer(from_fn(access::bound_head))
        .layer(from_fn_with_state(state.clone(), count))
        .layer(from_fn(lingering::drain))
        .with_state(state)
}

fn other_methods(routes: Router<State>) -> Router<State> {
    routes.method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
}

/// Counts the answers by route.
async fn count(
    axum::extract::State(state): axum::extract::State<State>,
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let answer = next.run(request).await;
    let endpoint = route.as_ref().map_or("none", MatchedPath::as_str);
    state
        .metrics
        .http
        .answered(endpoint, answer.status().as_u16());
    answer
}

/// Looks something up where that may touch the disk, or take long.
async fn blocking<T: Send + 'static>(
    look: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    spawn_blocking(look).await.map_err(ApiError::Answer)
}

/// Shows all metrics, for Prometheus.
#[utoipa::path(get, path = "/metrics", responses((status = 200, content(
    (String = "text/plain"),
    (String = "application/openmetrics-text"),
))))]
async fn show_metrics(
    axum::extract::State(state): axum::extract::State<State>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let page = blocking(move || {
        let accept = headers.get(header::ACCEPT);
        let accept = accept.and_then(|value| value.to_str().ok());
        state.exposition.encode(accept)
    });
    let page = page.await?.map_err(ApiError::Metrics)?;
    Ok(([(header::CONTENT_TYPE, page.content_type)], page.text).into_response())
}
