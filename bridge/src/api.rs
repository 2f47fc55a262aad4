//! The HTTP endpoints, as routers that tests call without a socket.
//!
//! Listening is [`crate::server`]'s business, and so is who may reach which router: facts are taken
//! where only senders of this host come.

mod causes;
mod connections;
mod coverage;
mod error;
mod facts;
mod health;
mod json;
mod query;
mod requests;
mod traces;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::header,
    response::IntoResponse,
    routing::{get, post},
};
use tokio::sync::Semaphore;

pub use self::error::ApiError;
use crate::{
    log::Log,
    metrics::{self, Exposition, Metrics},
    view::SharedView,
};

/// Largest body of a batch.
pub const BODY_BYTES_MAX: usize = 4 << 20;

/// Batches that are read and decoded at the same time.
const BATCHES_MAX: usize = 8;

/// What the endpoints work on.
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) log: Arc<Log>,
    pub(crate) view: SharedView,
    metrics: Metrics,
    exposition: Arc<Exposition>,
    batches: Arc<Semaphore>,
}

impl State {
    /// Puts together what the endpoints work on.
    #[must_use]
    pub fn new(log: Arc<Log>, view: SharedView, metrics: Metrics) -> Self {
        Self {
            exposition: Arc::new(metrics.exposition(view.clone())),
            batches: Arc::new(Semaphore::new(BATCHES_MAX)),
            log,
            view,
            metrics,
        }
    }
}

/// Returns the endpoints that only read.
pub fn reads(state: State) -> Router {
    with_errors(read_routes()).with_state(state)
}

/// Returns the endpoints that read, and the one that takes facts.
pub fn reads_and_facts(state: State) -> Router {
    let facts = post(facts::append).layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let routes = read_routes().route(syntrace_proto::FACTS_PATH, facts);
    with_errors(routes).with_state(state)
}

fn read_routes() -> Router<State> {
    Router::new()
        .route("/v1/causes", get(causes::list))
        .route("/v1/connections", get(connections::list))
        .route("/v1/connections/{id}", get(connections::one))
        .route("/v1/coverage", get(coverage::show))
        .route("/v1/requests", get(requests::list))
        .route("/v1/requests/{id}", get(requests::one))
        .route("/v1/traces/{id}", get(traces::one))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(show_metrics))
}

fn with_errors(routes: Router<State>) -> Router<State> {
    routes
        .fallback(async || ApiError::UnknownPath)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
}

async fn show_metrics(
    axum::extract::State(state): axum::extract::State<State>,
) -> Result<impl IntoResponse, ApiError> {
    let page = state.exposition.encode().map_err(ApiError::Metrics)?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], page))
}
