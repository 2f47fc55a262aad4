//! `GET /livez` and `GET /readyz`.
//!
//! A bridge without one of the views is ready: it answers, and says which view is missing. So is one whose
//! database cannot be written, because it answers from memory. One whose log cannot be written accepts no facts,
//! and one that is still folding what an earlier run left accepts them but answers no query: neither is ready.

use std::time::Duration;

use axum::{
    extract::{Request, State as Extract},
    http::StatusCode,
    middleware::Next,
    response::Response,
};
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::{
    ApiError, State,
    json::{Incomplete, Json},
};
use crate::{metrics::views, view::Rebuild};

/// How long a query waits for the rebuild before it is refused.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    status: &'static str,
    missing: Vec<&'static str>,
    /// How far the bridge has come with what an earlier run left in the log, while it is at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    rebuilding: Option<Rebuilding>,
    /// Settled records that answers leave out at present.
    #[serde(skip_serializing_if = "Option::is_none")]
    incomplete: Option<Incomplete>,
}

/// Entries of the log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Rebuilding {
    folded: u64,
    of: u64,
    /// Why the log cannot be read at present.
    trouble: Option<&'static str>,
}

impl Rebuilding {
    const fn of(rebuild: Rebuild) -> Option<Self> {
        match rebuild {
            Rebuild::Running {
                folded,
                of,
                trouble,
            } => Some(Self {
                folded,
                of,
                trouble,
            }),
            Rebuild::Done { .. } => None,
        }
    }
}

/// Answers as long as the process answers at all.
#[utoipa::path(get, path = "/livez", responses((status = 200, body = Health)))]
pub(super) async fn live() -> Json<Health> {
    Json(Health {
        status: "alive",
        missing: Vec::new(),
        rebuilding: None,
        incomplete: None,
    })
}

/// Answers 200 while facts are accepted and folded.
#[utoipa::path(
    get,
    path = "/readyz",
    responses((status = 200, body = Health), (status = 503, body = Health))
)]
pub(super) async fn ready(Extract(state): Extract<State>) -> (StatusCode, Json<Health>) {
    let coverage = state.view.coverage();
    let log = state.log.health().trouble.is_none();
    let database = state.view.database_status();
    let database = database.is_none_or(|database| database.trouble.is_none());
    let parts = [("log", log), ("database", database)];
    let missing = views(&coverage)
        .into_iter()
        .chain(parts)
        .filter(|(_, fine)| !fine)
        .map(|(name, _)| name)
        .collect();
    let rebuilding = Rebuilding::of(state.view.rebuild());
    let (code, status) = if !state.log.is_open() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    } else if !log {
        (StatusCode::SERVICE_UNAVAILABLE, "log_failed")
    } else if rebuilding.is_some() {
        (StatusCode::SERVICE_UNAVAILABLE, "rebuilding")
    } else {
        (StatusCode::OK, "ready")
    };
    let health = Health {
        status,
        missing,
        rebuilding,
        incomplete: state.view.hole().map(Incomplete::from),
    };
    (code, Json(health))
}

/// Delays a query until everything that an earlier run left is folded: before, its answer would be wrong.
pub(super) async fn await_rebuild(
    Extract(state): Extract<State>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    // One whose bridge ends is answered from what there is.
    let waited = timeout(PATIENCE, state.view.rebuilt()).await;
    match (waited, state.view.rebuild()) {
        (Err(_), Rebuild::Running { folded, of, .. }) => Err(ApiError::Rebuilding { folded, of }),
        (Ok(_), _) | (Err(_), Rebuild::Done { .. }) => Ok(next.run(request).await),
    }
}
