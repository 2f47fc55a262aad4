//! The stable error codes: all of them, each with its status and its meaning.

use axum::http::StatusCode;
use serde::{Serialize, Serializer};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, schema::Type},
};

/// Makes the enum, and its list, from one table.
macro_rules! codes {
    ($(#[doc = $meaning:literal] $code:ident = $status:ident $name:literal,)*) => {
        /// An error, for programs: stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $(#[doc = $meaning] $code,)*
        }

        impl Code {
            /// All of them.
            pub(super) const ALL: &[Self] = &[$(Self::$code),*];

            /// Returns its name in answers and metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)*
                }
            }

            /// Returns its HTTP status.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self {
                    $(Self::$code => StatusCode::$status,)*
                }
            }

            /// Returns what it means, in a sentence.
            pub(super) const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$code => $meaning,)*
                }
            }
        }
    };
}

codes! {
    /// No connection has this id, or it was forgotten.
    UnknownConnection = NOT_FOUND "unknown_connection",
    /// No request has this id, or it was forgotten.
    UnknownRequest = NOT_FOUND "unknown_request",
    /// Nothing is known under this id.
    UnknownTrace = NOT_FOUND "unknown_trace",
    /// There is no such path.
    UnknownPath = NOT_FOUND "unknown_path",
    /// The path has other methods.
    MethodNotAllowed = METHOD_NOT_ALLOWED "method_not_allowed",
    /// A part of the path is not UTF-8.
    InvalidPath = BAD_REQUEST "invalid_path",
    /// The query has a parameter that is not known here, or the same one twice.
    InvalidQuery = BAD_REQUEST "invalid_query",
    /// A parameter of the query is invalid.
    InvalidParameter = BAD_REQUEST "invalid_parameter",
    /// The request's head is too large.
    HeadTooLarge = REQUEST_HEADER_FIELDS_TOO_LARGE "head_too_large",
    /// The request carries no token that the endpoint accepts.
    Unauthorised = UNAUTHORIZED "unauthorised",
    /// More requests came in a second than are answered.
    TooFast = TOO_MANY_REQUESTS "too_fast",
    /// The limit of answers in progress is reached.
    TooManyAnswers = TOO_MANY_REQUESTS "too_many_answers",
    /// The limit of open event streams is reached.
    TooManyFollowers = TOO_MANY_REQUESTS "too_many_followers",
    /// The limit of batches being received is reached.
    TooManyBatches = TOO_MANY_REQUESTS "too_many_batches",
    /// The content type is not that of a batch.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE "unsupported_media_type",
    /// The body is not a batch.
    Undecodable = BAD_REQUEST "undecodable",
    /// The batch is of a schema that is newer than this bridge.
    NewerSchema = BAD_REQUEST "newer_schema",
    /// A field of the batch itself is invalid.
    InvalidBatch = BAD_REQUEST "invalid_batch",
    /// The body is larger, or has more facts, than any batch may.
    TooLarge = PAYLOAD_TOO_LARGE "too_large",
    /// The body did not arrive completely.
    Incomplete = REQUEST_TIMEOUT "incomplete",
    /// More is appended than is folded: the batch may be sent again.
    Busy = SERVICE_UNAVAILABLE "busy",
    /// The log cannot be written to at present.
    LogFailed = SERVICE_UNAVAILABLE "log_failed",
    /// The bridge is shutting down.
    Stopping = SERVICE_UNAVAILABLE "stopping",
    /// What was acknowledged before is not folded yet, and may hold the answer.
    Behind = SERVICE_UNAVAILABLE "behind",
    /// What an earlier run left is being folded, and may hold the answer.
    Rebuilding = SERVICE_UNAVAILABLE "rebuilding",
    /// The database cannot be read at present.
    DatabaseFailed = SERVICE_UNAVAILABLE "database_failed",
    /// The answer could not be built: a defect.
    Internal = INTERNAL_SERVER_ERROR "internal",
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl PartialSchema for Code {
    fn schema() -> RefOr<Schema> {
        let names = Self::ALL.iter().map(|code| code.name());
        let schema = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("What is wrong, for programs: stable."))
            .enum_values(Some(names));
        schema.into()
    }
}

impl ToSchema for Code {}
