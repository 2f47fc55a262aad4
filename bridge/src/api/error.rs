//! An endpoint's error: a stable code, which has a status, and one sentence.

use std::fmt;

use axum::{
    extract::rejection::{PathRejection, QueryRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tokio::task::JoinError;
use utoipa::ToSchema;

use super::{BODY_BYTES_MAX, Code, HEAD_BYTES_MAX, json::Json};
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
    #[error(
        "expected the header authorization: Bearer TOKEN, with a token that this bridge accepts"
    )]
    Unauthorised,
    /// What an earlier run left is not folded yet.
    #[error("the bridge is still reading its log: {folded} of {of} entries so far")]
    Rebuilding {
        /// Entries that are folded.
        folded: u64,
        /// Entries that there are.
        of: u64,
    },
    /// What was acknowledged before is not folded yet, and may hold the answer.
    #[error("accepted facts wait to be processed")]
    Behind,
    /// A part of the answer is unavailable.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// More requests a second than are answered.
    #[error("too many requests in a second")]
    TooFast,
    /// As many answers are under way as there may be.
    #[error("too many requests are being answered")]
    TooManyAnswers,
    /// The head is larger than any may be.
    #[error("the head is larger than {HEAD_BYTES_MAX} bytes")]
    HeadTooLarge,
    /// The path leads nowhere.
    #[error("no such path")]
    UnknownPath,
    /// The path has other methods.
    #[error("this path does not support the method")]
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
    /// A parameter of the query is invalid.
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
    /// The content type is not that of a batch.
    #[error("expected content-type {}", syntrace_proto::CONTENT_TYPE)]
    MediaType,
    /// The body is larger than any batch may be.
    #[error("the body is larger than {BODY_BYTES_MAX} bytes")]
    TooLarge,
    /// The body did not come whole.
    #[error("the body ended early")]
    Incomplete,
    /// Too many batches at once.
    #[error("too many batches at once")]
    TooManyBatches,
    /// The log accepts no batch now.
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
    code: Code,
    /// For people.
    message: String,
}

impl ApiError {
    /// Returns the stable code, which has a status.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::UnknownConnection(_) => Code::UnknownConnection,
            Self::UnknownRequest(_) => Code::UnknownRequest,
            Self::UnknownTrace(_) => Code::UnknownTrace,
            Self::Unauthorised => Code::Unauthorised,
            Self::Rebuilding { .. } | Self::Read(ReadError::Hole(_)) => Code::Rebuilding,
            Self::Behind => Code::Behind,
            Self::Read(ReadError::Database { .. }) => Code::DatabaseFailed,
            Self::TooFast => Code::TooFast,
            Self::TooManyAnswers => Code::TooManyAnswers,
            Self::HeadTooLarge => Code::HeadTooLarge,
            Self::UnknownPath => Code::UnknownPath,
            Self::MethodNotAllowed => Code::MethodNotAllowed,
            Self::Path(_) => Code::InvalidPath,
            Self::TooManyFollowers => Code::TooManyFollowers,
            Self::Encode(_) | Self::Answer(_) | Self::Metrics(_) => Code::Internal,
            Self::Query(_) => Code::InvalidQuery,
            Self::Parameter { .. } => Code::InvalidParameter,
            Self::Ingest(IngestError::Undecodable(_)) => Code::Undecodable,
            Self::Ingest(IngestError::NewerSchema { .. }) => Code::NewerSchema,
            Self::Ingest(IngestError::Batch { .. }) => Code::InvalidBatch,
            Self::Ingest(IngestError::TooManyFacts { .. }) | Self::TooLarge => Code::TooLarge,
            Self::MediaType => Code::UnsupportedMediaType,
            Self::Incomplete => Code::Incomplete,
            Self::TooManyBatches => Code::TooManyBatches,
            Self::Append(AppendError::Busy) => Code::Busy,
            Self::Append(AppendError::Failed) => Code::LogFailed,
            Self::Append(AppendError::Closed) => Code::Stopping,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let code = self.code();
        let status = code.status();
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
