//! `POST /v1/facts`: takes one batch, as a whole or not at all. 204 says that it was appended.

use std::time::Duration;

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, State as Extract},
    http::{HeaderMap, StatusCode, header},
};
use tokio::time::timeout;
use utoipa::ToSchema;

use super::{ApiError, State};
use crate::ingest;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// One `syntrace.v1.Batch`, in Protocol Buffers.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "describes the body, which is read as bytes")]
struct Batch(Vec<u8>);

/// Takes a batch, as a whole or not at all; 204 says that it was appended.
#[utoipa::path(
    post,
    path = "/v1/facts",
    request_body(
        content_type = "application/x-protobuf",
        content = Batch,
        description = "One `syntrace.v1.Batch`",
    ),
    responses(
        (status = 204, description = "It was appended"),
        (status = 408, body = super::error::Body),
        (status = 413, body = super::error::Body),
        (status = 415, body = super::error::Body),
        (status = 503, body = super::error::Body),
    )
)]
pub(super) async fn append(
    Extract(state): Extract<State>,
    request: Request,
) -> Result<StatusCode, ApiError> {
    let appended = try_append(&state, request).await;
    if let Err(error) = &appended {
        let code = error.code().name();
        state.metrics.refused(code);
        tracing::debug!(%error, code, "Refused batch");
    }
    appended.map(|()| StatusCode::NO_CONTENT)
}

async fn try_append(state: &State, request: Request) -> Result<(), ApiError> {
    if !is_batch(request.headers()) {
        return Err(ApiError::MediaType);
    }
    // Before the body is read: this bounds what bodies and their decoding take at any moment.
    let place = state.intake.take().await;
    let mut place = place.ok_or(ApiError::TooManyBatches)?;
    let body = timeout(BODY_TIMEOUT, Bytes::from_request(request, &()));
    let body = place.arrival(body).await.ok_or(ApiError::TooManyBatches)?;
    let body = match body {
        Ok(Ok(body)) => body,
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            return Err(ApiError::TooLarge);
        }
        Ok(Err(_)) | Err(_) => return Err(ApiError::Incomplete),
    };
    let batch = ingest::decode(&body)?;
    let facts = batch.facts.len();
    state.log.append(&body, batch).await?;
    state.metrics.received(facts);
    Ok(())
}

fn is_batch(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    let value = value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case(syntrace_proto::CONTENT_TYPE)
}
