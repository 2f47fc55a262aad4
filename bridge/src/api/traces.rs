//! `GET /v1/traces/{id}`: everything under a trace id, an alias, or an x-request-id.

use axum::{
    extract::{Path, State as Extract, rejection::PathRejection},
    http::{HeaderMap, header},
    response::{IntoResponse as _, Response},
};
use opentelemetry_proto::{
    tonic::trace::v1::TracesData, transform::trace::tonic::group_spans_by_resource_and_scope,
};
use serde::Serialize;
use syntrace_core::Output;
use syntrace_model::TraceId;
use utoipa::ToSchema;

use super::{
    ApiError, State,
    json::{self, Incomplete, Json},
    lookup,
};
use crate::{
    otlp, spans,
    store::{Name, ReadError},
    view,
};

/// Records of each kind under one name.
const RECORDS_MAX: usize = 1_000;

/// The media type of spans in OpenTelemetry's JSON.
const OTLP_JSON: &str = "application/vnd.opentelemetry.otlp+json";

/// Everything under one name.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Trace {
    /// The trace id that the name leads to.
    id: String,
    connections: Vec<json::Connection>,
    requests: Vec<json::Request>,
    /// Present if records may be left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    incomplete: Option<Incomplete>,
}

/// Shows everything under one name.
#[utoipa::path(
    get,
    path = "/v1/traces/{id}",
    params(("id" = String, Path, description = "A trace id, an alias, or an x-request-id")),
    responses(
        (status = 200, content(
            (Trace = "application/json"),
            (Object = "application/vnd.opentelemetry.otlp+json"),
        )),
        (status = 404, body = super::error::Body),
    )
)]
pub(super) async fn one(
    Extract(state): Extract<State>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let Path(id) = id?;
    let asked = id.parse::<TraceId>().ok();
    let name = asked.map_or_else(|| Name::RequestId(id.as_str().into()), Name::Trace);
    let otlp = is_otlp_asked(&headers);
    let found = lookup::find(&state, move |view| {
        let mut found = view.trace(&name, RECORDS_MAX)?;
        let trace_id = match (trace_id(asked, &found), found.hole) {
            // Spans cannot say that some are left out.
            (Some(_), Some(hole)) if otlp => return Err(ReadError::Hole(hole)),
            (Some(trace_id), _) => trace_id,
            (None, Some(hole)) => return Err(ReadError::Hole(hole)),
            (None, None) => return Ok(None),
        };
        // Spans were exported without.
        if !otlp {
            view.add_late(found.connections.values_mut());
        }
        Ok(Some((trace_id, found)))
    });
    let (trace_id, found) = found.await?.ok_or(ApiError::UnknownTrace(id))?;
    if otlp {
        let text = super::blocking(move || {
            let spans = otlp_json(&found, &state.shown.service_name);
            json::text(&spans)
        });
        let text = text.await?.map_err(ApiError::Encode)?;
        return Ok(([(header::CONTENT_TYPE, OTLP_JSON)], text).into_response());
    }
    let shown = super::blocking(move || {
        let trace = Trace {
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
            incomplete: found.hole.map(Incomplete::from),
        };
        Json(trace).into_response()
    });
    shown.await
}

/// Returns the id to which the name leads; `None` if nothing is known under it.
fn trace_id(asked: Option<TraceId>, found: &view::Trace) -> Option<TraceId> {
    let of_connection = asked.and_then(|asked| {
        let mut connections = found.connections.values();
        let known = connections.find(|connection| connection.is_known_as(asked))?;
        Some(known.trace_id)
    });
    let first_request = found.requests.values().next();
    of_connection.or_else(|| first_request.map(|request| asked.unwrap_or(request.report.trace_id)))
}

fn is_otlp_asked(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let mut accepted = accepted.filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.contains(OTLP_JSON))
}

/// The same spans that are exported.
fn otlp_json(found: &view::Trace, service_name: &str) -> TracesData {
    let connections = found.connections.values();
    let requests = found.requests.values();
    let outputs = connections
        .map(|record| Output::Connection((**record).clone()))
        .chain(requests.map(|record| Output::Request((**record).clone())));
    let spans = outputs.flat_map(|output| spans::of(&output)).collect();
    let resource = otlp::resource(service_name);
    TracesData {
        resource_spans: group_spans_by_resource_and_scope(spans, &resource),
    }
}
