//! Headers that reports carry: none but those listed, and never a secret in the clear.

use super::{ConfigError, is_header, object::Object, path::hashed};
use crate::{
    pairs::Pairs,
    wire::{self, Message, request, text},
};

pub(super) const KEYS: [&str; 3] = ["header", "of", "redact"];

/// Longest value that is reported, bytes; longer ones are cut.
const MAX_VALUE_BYTES: usize = 256;

/// Headers of which no report may carry the value.
const SECRETS: [&str; 4] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
];

/// One header to report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Capture {
    header: String,
    is_response: bool,
    redaction: Redaction,
}

/// What is reported of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Redaction {
    /// All of it.
    None,
    /// A number that is the same for the same value.
    Hash,
    /// How many bytes it has.
    Length,
}

const REDACTIONS: [(&str, Redaction); 3] = [
    ("none", Redaction::None),
    ("hash", Redaction::Hash),
    ("length", Redaction::Length),
];

const SIDES: [(&str, bool); 2] = [("request", false), ("response", true)];

// === impl Capture ===

impl Capture {
    pub(super) fn read(capture: &Object<'_>) -> Result<Self, ConfigError> {
        capture.check_keys(&KEYS)?;
        let header = capture.text("header", is_header, "a header's name in lower case")?;
        let header = capture.required("header", header)?;
        let redaction = capture.choice("redact", &REDACTIONS)?;
        let redaction = redaction.unwrap_or(Redaction::None);
        if redaction == Redaction::None && SECRETS.contains(&header.as_str()) {
            let expected = "hash or length for a header that holds secrets";
            return Err(capture.contradiction("redact", expected));
        }
        Ok(Self {
            header,
            is_response: capture.choice("of", &SIDES)?.unwrap_or(false),
            redaction,
        })
    }

    /// Returns whether it is a header of the response.
    pub(crate) const fn is_response(&self) -> bool {
        self.is_response
    }
}

/// Writes those of the captured headers of one side that are there; the first line of each.
pub(crate) fn captured(
    captures: &[Capture],
    is_response: bool,
    lines: Pairs<'_>,
    report: &mut Message,
) {
    for capture in captures {
        if capture.is_response != is_response {
            continue;
        }
        let name = capture.header.as_bytes();
        if let Some((_, value)) = { lines }.find(|(line, _)| *line == name) {
            let mut header = Message::default();
            header.bytes(wire::header::NAME, name);
            header.bytes(wire::header::VALUE, capture.redaction.of(value).as_bytes());
            header.bool(wire::header::RESPONSE, is_response);
            report.message(request::HEADERS, &header);
        }
    }
}

// === impl Redaction ===

impl Redaction {
    fn of(self, value: &[u8]) -> String {
        match self {
            Self::None => text(value, MAX_VALUE_BYTES).into_owned(),
            Self::Hash => hashed(value),
            Self::Length => value.len().to_string(),
        }
    }
}
