//! `GET /livez` and `GET /readyz`.
//!
//! A bridge without one of the views is ready: it answers, and says which view is missing. So is one whose
//! database cannot be written, because memory answers; one whose log cannot be written takes no facts.

use axum::{extract::State as Extract, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::{State, json::Json};
use crate::metrics::views;

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    status: &'static str,
    missing: Vec<&'static str>,
}

/// Answers as long as the process answers at all.
#[utoipa::path(get, path = "/livez", responses((status = 200, body = Health)))]
pub(super) async fn live() -> Json<Health> {
    Json(Health {
        status: "alive",
        missing: Vec::new(),
    })
}

/// Answers 200 while facts are taken and folded.
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
    let (code, status) = if !state.log.is_open() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    } else if log {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "log_failed")
    };
    (code, Json(Health { status, missing }))
}
