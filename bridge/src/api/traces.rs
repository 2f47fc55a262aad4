//! `GET /v1/traces/{id}`: everything under a trace id, an alias, or an x-request-id.

use axum::{
    Json,
    extract::{Path, State as Extract},
};
use serde::Serialize;
use syntrace_model::TraceId;

use super::{ApiError, State, json, query::LIMIT_MAX};
use crate::store::Name;

#[derive(Debug, Serialize)]
pub(super) struct Trace {
    /// The trace id that the name leads to.
    id: String,
    connections: Vec<json::Connection>,
    requests: Vec<json::Request>,
}

/// Shows everything under one name.
pub(super) async fn one(
    Extract(state): Extract<State>,
    Path(id): Path<String>,
) -> Result<Json<Trace>, ApiError> {
    let asked = id.parse::<TraceId>().ok();
    let name = asked.map_or_else(|| Name::RequestId(id.as_str().into()), Name::Trace);
    let found = state.view.read().trace(&name, LIMIT_MAX);
    let of_connection = asked.and_then(|asked| {
        let mut connections = found.connections.values();
        let known = connections.find(|connection| connection.is_known_as(asked))?;
        Some(known.trace_id)
    });
    let first_request = found.requests.values().next();
    let of_request = first_request.map(|request| asked.unwrap_or(request.report.trace_id));
    let Some(trace_id) = of_connection.or(of_request) else {
        return Err(ApiError::UnknownTrace(id));
    };
    Ok(Json(Trace {
        id: trace_id.to_string(),
        connections: found
            .connections
            .values()
            .map(|record| (&**record).into())
            .collect(),
        requests: found
            .requests
            .values()
            .map(|record| (&**record).into())
            .collect(),
    }))
}
