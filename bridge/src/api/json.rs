//! The records as JSON: the shapes that the endpoints answer with, and nothing else.
//!
//! Times are RFC 3339 in UTC with nanoseconds; 64-bit cookies are strings, because JSON readers round
//! numbers beyond 2^53.

mod connection;
mod request;

use jiff::Timestamp;
use serde::Serialize;
use syntrace_core::{
    Confidence,
    answer::{self, Answer, TimeByParty},
};
use syntrace_model::UnixNanos;

pub(super) use self::{connection::Connection, request::Request};

/// Who did it.
#[derive(Debug, Serialize)]
pub(super) struct Cause {
    party: &'static str,
    code: &'static str,
    sentence: String,
    evidence: Vec<String>,
    #[serde(flatten)]
    confidence: HowSure,
}

/// How sure something is, and among how many.
#[derive(Debug, Serialize)]
pub(super) struct HowSure {
    confidence: &'static str,
    candidates: u32,
}

/// Nanoseconds by party.
#[derive(Debug, Serialize)]
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
fn time(at: UnixNanos) -> String {
    let timestamp = Timestamp::from_nanosecond(i128::from(at.0)).unwrap_or(Timestamp::MAX);
    format!("{timestamp:.9}")
}

fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
