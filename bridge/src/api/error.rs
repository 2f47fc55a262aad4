//! What goes wrong at an endpoint: a status, a stable code, one sentence.

use std::fmt;

use axum::{
    extract::rejection::{PathRejection, QueryRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tokio::task::JoinError;
use utoipa::ToSchema;

use super::{BODY_BYTES_MAX, json::Json};
use crate::{ingest::IngestError, log::AppendError, store::ReadError};

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
    /// No token of those that open the endpoint came with the request.
    #[error("expected the header authorization: Bearer TOKEN, with a token that is known here")]
    Unauthorised,
    /// What an earlier run left is not folded yet.
    #[error("what an earlier run left is being read: {folded} of {of} entries of the log")]
    Rebuilding {
        /// Entries that are folded.
        folded: u64,
        /// Entries that there are.
        of: u64,
    },
    /// What was taken before is not folded yet, and may say more.
    #[error("facts that were taken wait to be read")]
    Behind,
    /// A part of the answer cannot be had.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// More requests a second than are answered.
    #[error("too many requests in a second")]
    TooFast,
    /// As many answers are under way as there may be.
    #[error("too many answers are under way")]
    TooManyAnswers,
    /// The path leads nowhere.
    #[error("no such path")]
    UnknownPath,
    /// The path has other methods.
    #[error("the path does not take this method")]
    MethodNotAllowed,
    /// The query string has a parameter that is not known here, or the same one twice.
    #[error(transparent)]
    Query(#[from] QueryRejection),
    /// The path has a part that is no text.
    #[error(transparent)]
    Path(#[from] PathRejection),
    /// As many event streams are open as there may be.
    #[error("too many event streams are open")]
    TooManyFollowers,
    /// The answer could not be written.
    #[error("the answer could not be written")]
    Encode(#[source] serde_json::Error),
    /// The answer could not be made.
    #[error("the answer could not be made")]
    Answer(#[source] JoinError),
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

/// An answer that is no success.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub(super) struct Body {
    error: Inner,
}

/// What is wrong.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErrorInner)]
struct Inner {
    /// Stable.
    code: &'static str,
    /// For people.
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
            Self::Unauthorised => (StatusCode::UNAUTHORIZED, "unauthorised"),
            Self::Rebuilding { .. } => (StatusCode::SERVICE_UNAVAILABLE, "rebuilding"),
            Self::Behind => (StatusCode::SERVICE_UNAVAILABLE, "behind"),
            Self::Read(ReadError::Database { .. }) => {
                (StatusCode::SERVICE_UNAVAILABLE, "database_failed")
            }
            Self::Read(ReadError::Hole(_)) => (StatusCode::SERVICE_UNAVAILABLE, "rebuilding"),
            Self::TooFast => (StatusCode::TOO_MANY_REQUESTS, "too_fast"),
            Self::TooManyAnswers => (StatusCode::TOO_MANY_REQUESTS, "too_many_answers"),
            Self::UnknownPath => (StatusCode::NOT_FOUND, "unknown_path"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Path(_) => (StatusCode::BAD_REQUEST, "invalid_path"),
            Self::TooManyFollowers => (StatusCode::TOO_MANY_REQUESTS, "too_many_followers"),
            Self::Encode(_) | Self::Answer(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
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
            Self::Append(AppendError::Failed) => (StatusCode::SERVICE_UNAVAILABLE, "log_failed"),
            Self::Append(AppendError::Closed) => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
            Self::Metrics(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.code();
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(error = &self as &dyn std::error::Error, "Answer failed");
        }
        let error = Inner {
            code,
            message: self.to_string(),
        };
        let body = (status, Json(Body { error }));
        match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                ([(header::RETRY_AFTER, RETRY_AFTER)], body).into_response()
            }
            StatusCode::UNAUTHORIZED => {
                ([(header::WWW_AUTHENTICATE, "Bearer")], body).into_response()
            }
            _ => body.into_response(),
        }
    }
}
