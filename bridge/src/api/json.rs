//! The records as JSON: the shapes that the endpoints answer with, and nothing else.
//!
//! Times are RFC 3339 in UTC with nanoseconds; 64-bit cookies are strings, because JSON parsers round
//! numbers beyond 2^53.

mod connection;
mod incident;
mod incomplete;
mod phase;
mod request;

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::Serialize;
use syntrace_core::{
    Confidence,
    answer::{self, Answer, TimeByParty},
};
use syntrace_model::UnixNanos;
use utoipa::ToSchema;

pub(super) use self::{connection::Connection, incomplete::Incomplete, request::Request};
use super::ApiError;

/// An answer as JSON, in which no control character is left as it is: a terminal shows it as well.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match text(&self.0) {
            Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
            Err(error) => ApiError::Encode(error).into_response(),
        }
    }
}

/// Writes JSON. Those control characters that JSON lets stand (DEL, and C1 of ISO 6429) are escaped too;
/// they occur in strings only.
pub(super) fn text(value: &impl Serialize) -> serde_json::Result<String> {
    let text = serde_json::to_string(value)?;
    if !text.contains(char::is_control) {
        return Ok(text);
    }
    let mut escaped = String::with_capacity(text.len() + 64);
    for letter in text.chars() {
        if letter.is_control() {
            escaped.push_str(&format!("\\u{:04x}", u32::from(letter)));
        } else {
            escaped.push(letter);
        }
    }
    Ok(escaped)
}

/// Who did it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Cause {
    /// `client`, `network`, `kernel`, `proxy`, `service` or `unknown`.
    party: &'static str,
    /// Stable name of what happened.
    code: &'static str,
    /// The same in one plain sentence.
    sentence: String,
    /// The facts that it rests on, as `name=value`.
    evidence: Vec<String>,
    #[serde(flatten)]
    confidence: HowSure,
}

/// How sure something is, and among how many.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HowSure {
    /// `certain`, `likely` or `ambiguous`.
    confidence: &'static str,
    /// How many it could be.
    candidates: u32,
}

/// Nanoseconds by party; they sum to the duration.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Time {
    client_ns: u64,
    network_ns: u64,
    kernel_ns: u64,
    proxy_ns: u64,
    service_ns: u64,
    unknown_ns: u64,
}

impl From<&Answer> for Cause {
    fn from(answer: &Answer) -> Self {
        let answer::Cause {
            party,
            code,
            sentence,
            evidence,
            confidence,
        } = &answer.cause;
        Self {
            party: party.name(),
            code: code.name(),
            sentence: sentence.to_string(),
            evidence: evidence.iter().map(ToString::to_string).collect(),
            confidence: (*confidence).into(),
        }
    }
}

impl From<Confidence> for HowSure {
    fn from(confidence: Confidence) -> Self {
        let candidates = match confidence {
            Confidence::Certain | Confidence::Likely => 1,
            Confidence::Ambiguous { candidates } => candidates,
        };
        Self {
            confidence: confidence.name(),
            candidates,
        }
    }
}

impl From<&TimeByParty> for Time {
    fn from(time: &TimeByParty) -> Self {
        let TimeByParty {
            client_ns,
            network_ns,
            kernel_ns,
            proxy_ns,
            service_ns,
            unknown_ns,
        } = *time;
        Self {
            client_ns,
            network_ns,
            kernel_ns,
            proxy_ns,
            service_ns,
            unknown_ns,
        }
    }
}

/// Writes a time; what lies beyond the calendar, at its end.
pub(super) fn time(at: UnixNanos) -> String {
    let timestamp = Timestamp::from_nanosecond(i128::from(at.0)).unwrap_or(Timestamp::MAX);
    format!("{timestamp:.9}")
}

fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
