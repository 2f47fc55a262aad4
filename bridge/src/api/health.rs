//! `GET /livez` and `GET /readyz`.
//!
//! A bridge without one of the views is ready: it answers, and says which view is missing.

use axum::{Json, extract::State as Extract, http::StatusCode};
use serde::Serialize;

use super::State;

#[derive(Debug, Serialize)]
pub(super) struct Health {
    status: &'static str,
    missing: Vec<&'static str>,
}

/// Answers as long as the process answers at all.
pub(super) async fn live() -> Json<Health> {
    Json(Health {
        status: "alive",
        missing: Vec::new(),
    })
}

/// Answers 200 while facts are taken and folded.
pub(super) async fn ready(Extract(state): Extract<State>) -> (StatusCode, Json<Health>) {
    let coverage = state.view.read().reconciler.coverage();
    let kernel = coverage.rung.is_some_and(|rung| &*rung.name != "l7-only");
    let mut names = coverage.senders.iter().map(|sender| &*sender.sender.name);
    let proxy = names.any(|name| name == "filter" || name.starts_with("filter/"));
    let views = [("kernel", kernel), ("proxy", proxy)];
    let missing = views
        .into_iter()
        .filter(|(_, seen)| !seen)
        .map(|(name, _)| name)
        .collect();
    let (code, status) = if state.log.is_open() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    };
    (code, Json(Health { status, missing }))
}
