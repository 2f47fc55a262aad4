//! Reads query parameters; each error names the parameter, what it holds and what it may hold.

use std::str::FromStr;

use jiff::Timestamp;
use syntrace_model::{Endpoint, UnixNanos};

use super::ApiError;

/// Records on a page, unless asked otherwise.
const LIMIT_DEFAULT: usize = 100;

/// Most records on a page.
pub(super) const LIMIT_MAX: usize = 1_000;

/// What all lists take.
#[derive(Debug)]
pub(super) struct Paging<Id> {
    pub(super) limit: usize,
    /// Where the page before this one ended.
    pub(super) below: Option<(UnixNanos, Id)>,
}

impl<Id: FromStr> Paging<Id> {
    pub(super) fn parse(limit: Option<String>, cursor: Option<String>) -> Result<Self, ApiError> {
        let limit = parse("limit", limit, "a number of 1 to 1000", |text| {
            let limit = text.parse().ok()?;
            (1..=LIMIT_MAX).contains(&limit).then_some(limit)
        })?;
        let below = parse("cursor", cursor, "the next of an earlier answer", |text| {
            let (at, id) = text.split_once('.')?;
            Some((UnixNanos(at.parse().ok()?), id.parse().ok()?))
        })?;
        Ok(Self {
            limit: limit.unwrap_or(LIMIT_DEFAULT),
            below,
        })
    }
}

/// Writes the cursor that [`Paging::parse`] reads.
pub(super) fn cursor<Id: ToString>((at, id): (UnixNanos, Id)) -> String {
    format!("{}.{}", at.0, id.to_string())
}

/// Reads a point in time.
pub(super) fn time(
    name: &'static str,
    text: Option<String>,
) -> Result<Option<UnixNanos>, ApiError> {
    let expected = "an RFC 3339 time after 1970, such as 2025-01-31T12:00:00Z";
    parse(name, text, expected, |text| {
        let timestamp: Timestamp = text.parse().ok()?;
        u64::try_from(timestamp.as_nanosecond()).ok().map(UnixNanos)
    })
}

/// Reads one end of a connection.
pub(super) fn endpoint(
    name: &'static str,
    text: Option<String>,
) -> Result<Option<Endpoint>, ApiError> {
    let expected = "an IP address and a port, such as 192.0.2.1:80 or [2001:db8::1]:80";
    parse(name, text, expected, |text| text.parse().ok())
}

/// Reads a parameter with `read`, which returns `None` for text without meaning.
pub(super) fn parse<T>(
    name: &'static str,
    text: Option<String>,
    expected: &'static str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, ApiError> {
    let Some(found) = text else {
        return Ok(None);
    };
    match read(&found) {
        Some(value) => Ok(Some(value)),
        None => Err(ApiError::Parameter {
            name,
            found,
            expected,
        }),
    }
}
