//! Parses query parameters; each error names the parameter, its value and what is allowed.

use std::{net::IpAddr, str::FromStr};

use ipnet::IpNet;
use jiff::Timestamp;
use syntrace_core::answer::Party;
use syntrace_model::{Endpoint, UnixNanos};

use super::ApiError;
use crate::moment;

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

/// Parses a point in time; relative ones count from this moment.
pub(super) fn time(
    name: &'static str,
    text: Option<String>,
) -> Result<Option<UnixNanos>, ApiError> {
    time_before(name, text, Timestamp::now())
}

/// Parses a point in time; relative ones count from `now`.
pub(super) fn time_before(
    name: &'static str,
    text: Option<String>,
    now: Timestamp,
) -> Result<Option<UnixNanos>, ApiError> {
    parse(name, text, moment::EXPECTED, |text| {
        moment::parse(text, now).map(unix)
    })
}

/// Returns the point in time in nanoseconds.
///
/// Nothing was observed before 1970, nor in times that have no number here.
pub(super) fn unix(at: Timestamp) -> UnixNanos {
    let nanos = at.as_nanosecond().clamp(0, i128::from(u64::MAX));
    UnixNanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Which ends of connections are meant.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ends {
    /// This one.
    One(Endpoint),
    /// All of a network.
    Of(IpNet),
}

impl Ends {
    pub(super) fn parse(
        name: &'static str,
        text: Option<String>,
    ) -> Result<Option<Self>, ApiError> {
        let expected = "an address, with or without a port, or a network, such as 192.0.2.1:80 or \
                        2001:db8::/32";
        parse(name, text, expected, |text| {
            let one = text.parse().map(Self::One).ok();
            one.or_else(|| network(text).map(Self::Of))
        })
    }

    pub(super) fn contain(&self, end: Endpoint) -> bool {
        match self {
            Self::One(one) => *one == end,
            Self::Of(network) => network.contains(&end.address()),
        }
    }

    /// Returns the end by which records can be looked up.
    pub(super) const fn one(&self) -> Option<Endpoint> {
        match self {
            Self::One(end) => Some(*end),
            Self::Of(_) => None,
        }
    }
}

fn network(text: &str) -> Option<IpNet> {
    let address = |text: &str| {
        text.parse()
            .ok()
            .map(|address: IpAddr| IpNet::from(address.to_canonical()))
    };
    text.parse().ok().or_else(|| address(text))
}

/// Reads a party.
pub(super) fn party(text: Option<String>) -> Result<Option<Party>, ApiError> {
    let expected = "client, network, kernel, proxy, service or unknown";
    parse("party", text, expected, |text| {
        Party::ALL.into_iter().find(|party| party.name() == text)
    })
}

/// Reads a number that JSON readers of all kinds hold.
pub(super) fn number<T: TryFrom<u64>>(
    name: &'static str,
    text: Option<String>,
) -> Result<Option<T>, ApiError> {
    parse(name, text, "a whole number", |text| {
        let number = text
            .parse()
            .ok()
            .filter(|&number| number <= i64::MAX as u64)?;
        T::try_from(number).ok()
    })
}

/// Reads a length of time, and returns it in nanoseconds.
pub(super) fn milliseconds(
    name: &'static str,
    text: Option<String>,
) -> Result<Option<u64>, ApiError> {
    let expected = "a number of milliseconds, with at most six digits after the point";
    parse(name, text, expected, millionths)
}

/// Reads a decimal number with at most six digits after its point, and returns it in millionths.
pub(super) fn millionths(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_plain(whole) || !is_plain(fraction) || fraction.len() > 6 {
        return None;
    }
    let fraction: u64 = format!("{fraction:0<6}").parse().ok()?;
    let whole: u64 = whole.parse().ok()?;
    whole.checked_mul(1_000_000)?.checked_add(fraction)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_with_a_point_is_read_exactly() {
        for (text, expected) in [
            ("80", Some(80_000_000)),
            ("80.25", Some(80_250_000)),
            ("0.000001", Some(1)),
            ("99.9", Some(99_900_000)),
            ("18446744073709.551615", Some(u64::MAX)),
            ("18446744073709.551616", None),
            ("0.0000001", None),
            ("1.", None),
            (".5", None),
            ("-1", None),
            ("+1", None),
            ("1e3", None),
            ("", None),
        ] {
            assert_eq!(millionths(text), expected, "{text}");
        }
    }
}
