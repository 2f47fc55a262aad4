//! `GET /v1/requests` and `GET /v1/requests/{id}`.

use axum::{
    Json,
    extract::{Path, Query, State as Extract, rejection::QueryRejection},
};
use serde::{Deserialize, Serialize};

use super::{
    ApiError, State, json,
    query::{self, Paging},
};

/// The query as it comes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    status: Option<String>,
    cause: Option<String>,
    since: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct List {
    requests: Vec<json::Request>,
    next: Option<String>,
}

/// Lists requests, the newest first.
pub(super) async fn list(
    Extract(state): Extract<State>,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<List>, ApiError> {
    let Query(parameters) = parameters?;
    let paging = Paging::parse(parameters.limit, parameters.cursor)?;
    let since = query::time("since", parameters.since)?;
    let expected = "a status code, or 0 for none";
    let status = query::parse("status", parameters.status, expected, |text| {
        text.parse::<u16>().ok()
    })?;
    let cause = parameters.cause.as_deref();
    let page = state
        .view
        .read()
        .requests(paging.below, paging.limit, |record| {
            since.is_none_or(|since| record.report.started_at >= since)
                && status.is_none_or(|status| record.report.http.status == status)
                && cause.is_none_or(|cause| record.answer.cause.code.name() == cause)
        });
    Ok(Json(List {
        requests: page
            .records
            .iter()
            .map(|record| (&**record).into())
            .collect(),
        next: page.next.map(query::cursor),
    }))
}

/// Shows one request.
pub(super) async fn one(
    Extract(state): Extract<State>,
    Path(id): Path<String>,
) -> Result<Json<json::Request>, ApiError> {
    let found = id.parse().ok().and_then(|id| state.view.read().request(id));
    let record = found.ok_or(ApiError::UnknownRequest(id))?;
    Ok(Json((&*record).into()))
}
