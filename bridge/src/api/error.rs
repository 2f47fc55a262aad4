//! What goes wrong at an endpoint: a status, a stable code, one sentence.

use std::fmt;

use axum::{
    Json,
    extract::rejection::QueryRejection,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::BODY_BYTES_MAX;
use crate::{ingest::IngestError, log::AppendError};

/// Seconds after which a sender may try again.
const RETRY_AFTER: &str = "1";

/// An answer that is no success.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No connection has this id, or it was forgotten.
    #[error("no connection has the id {0:?}")]
    UnknownConnection(String),
    /// No request has this id, or it was forgotten.
    #[error("no request has the id {0:?}")]
    UnknownRequest(String),
    /// Nothing is known under this id.
    #[error("no connection and no request has the trace id, alias or x-request-id {0:?}")]
    UnknownTrace(String),
    /// The path leads nowhere.
    #[error("no such path")]
    UnknownPath,
    /// The path has other methods.
    #[error("the path does not take this method")]
    MethodNotAllowed,
    /// The query string has a parameter that is not known here, or the same one twice.
    #[error(transparent)]
    Query(#[from] QueryRejection),
    /// A parameter of the query has no meaning.
    #[error("{name} is {found:?}, expected {expected}")]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// What it holds.
        found: String,
        /// What it may hold.
        expected: &'static str,
    },
    /// The body is no batch.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The body is not said to be a batch.
    #[error("expected content-type {}", syntrace_proto::CONTENT_TYPE)]
    MediaType,
    /// The body is larger than any batch may be.
    #[error("the body is larger than {BODY_BYTES_MAX} bytes")]
    TooLarge,
    /// The body did not come whole.
    #[error("the body did not come whole")]
    Incomplete,
    /// Too many batches at once.
    #[error("too many batches at once")]
    TooManyBatches,
    /// The log takes no batch now.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// Metrics could not be written.
    #[error("the metrics could not be written")]
    Metrics(#[source] fmt::Error),
}

#[derive(Debug, Serialize)]
struct Body {
    error: Inner,
}

#[derive(Debug, Serialize)]
struct Inner {
    code: &'static str,
    message: String,
}

impl ApiError {
    /// Returns the status and the stable code.
    #[must_use]
    pub fn code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::UnknownConnection(_) => (StatusCode::NOT_FOUND, "unknown_connection"),
            Self::UnknownRequest(_) => (StatusCode::NOT_FOUND, "unknown_request"),
            Self::UnknownTrace(_) => (StatusCode::NOT_FOUND, "unknown_trace"),
            Self::UnknownPath => (StatusCode::NOT_FOUND, "unknown_path"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Query(_) => (StatusCode::BAD_REQUEST, "invalid_query"),
            Self::Parameter { .. } => (StatusCode::BAD_REQUEST, "invalid_parameter"),
            Self::Ingest(error @ IngestError::TooManyFacts { .. }) => {
                (StatusCode::PAYLOAD_TOO_LARGE, error.code())
            }
            Self::Ingest(error) => (StatusCode::BAD_REQUEST, error.code()),
            Self::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::Incomplete => (StatusCode::REQUEST_TIMEOUT, "incomplete"),
            Self::TooManyBatches => (StatusCode::TOO_MANY_REQUESTS, "too_many_batches"),
            Self::Append(AppendError::Busy) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::Append(AppendError::Closed) => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
            Self::Metrics(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.code();
        let error = Inner {
            code,
            message: self.to_string(),
        };
        let body = (status, Json(Body { error }));
        match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                ([(header::RETRY_AFTER, RETRY_AFTER)], body).into_response()
            }
            _ => body.into_response(),
        }
    }
}
