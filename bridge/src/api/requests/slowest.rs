//! The duration from which on requests are among the slowest so many percent of those that match.
//!
//! All of them are read, not a page: the slowest of a minute are those of the whole minute.

use serde::Serialize;
use syntrace_core::record::RequestRecord;
use syntrace_model::UnixNanos;
use utoipa::ToSchema;

use crate::{
    api::{ApiError, json, query},
    store::ReadError,
    view::{Ask, SharedView},
};

/// Requests that are looked at together, and how often: so many of them are looked at.
const PAGE: usize = 10_000;
const PAGES_MAX: usize = 100;

/// A hundred percent.
const ALL: u64 = 100_000_000;

/// So many percent of the requests are not meant, in millionths of a percent; less than [`ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Percentile(u64);

/// A percentile's result.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Among {
    /// All that fit, whatever they took.
    requests: u64,
    /// So many of them are slower than the percentage that was asked for; one at least, where there is any.
    slowest: u64,
    /// The least nanoseconds that one of these took; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ns: Option<u64>,
    /// Present if more fit than are looked at: what began before is not among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    counted_since: Option<String>,
}

impl Percentile {
    pub(super) fn parse(text: Option<String>) -> Result<Option<Self>, ApiError> {
        let expected = "a number of 0 to less than 100, such as 99 or 99.9";
        query::parse("percentile", text, expected, |text| {
            query::millionths(text)
                .filter(|&percent| percent < ALL)
                .map(Self)
        })
    }

    /// Looks at all requests that `keep` keeps.
    pub(super) fn among(
        self,
        view: &SharedView,
        since: UnixNanos,
        keep: impl Fn(&RequestRecord) -> bool,
    ) -> Result<Among, ReadError> {
        let mut lengths = Vec::new();
        let mut ask = Ask {
            since,
            ..Ask::newest(PAGE)
        };
        for _ in 0..PAGES_MAX {
            let page = view.requests(&ask, &keep)?;
            lengths.extend(page.records.iter().map(|record| record.duration_ns()));
            ask.below = page.next;
            if page.next.is_none() {
                break;
            }
        }
        Ok(Among {
            counted_since: ask.below.map(|(at, _)| json::time(at)),
            ..self.of(lengths)
        })
    }

    fn of(self, mut lengths: Vec<u64>) -> Among {
        let count = lengths.len();
        let slowest = (count as u128 * u128::from(ALL - self.0)).div_ceil(u128::from(ALL));
        let slowest = usize::try_from(slowest).unwrap_or(count);
        let least = slowest.checked_sub(1).map(|last| {
            let by_length = |one: &u64, other: &u64| other.cmp(one);
            *lengths.select_nth_unstable_by(last, by_length).1
        });
        Among {
            requests: count as u64,
            slowest: slowest as u64,
            duration_ns: least,
            counted_since: None,
        }
    }
}

impl Among {
    /// Returns the least nanoseconds that one of the slowest took.
    pub(super) const fn duration_ns(&self) -> Option<u64> {
        self.duration_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_part_is_rounded_up_and_begins_with_what_its_last_one_took() {
        let of = |percent: &str, lengths: Vec<u64>| {
            let percentile = Percentile::parse(Some(percent.to_owned()));
            let among = percentile.unwrap().unwrap().of(lengths);
            (among.requests, among.slowest, among.duration_ns)
        };
        assert_eq!(of("99", (1..=2_010).collect()), (2_010, 21, Some(1_990)));
        assert_eq!(of("95.1", (1..=1_000).collect()), (1_000, 49, Some(952)));
        assert_eq!(of("99.999999", vec![3, 7, 5]), (3, 1, Some(7)));
        assert_eq!(of("0", vec![3, 7, 5]), (3, 3, Some(3)));
        assert_eq!(of("99", Vec::new()), (0, 0, None));
    }

    #[test]
    fn what_is_no_percentage_is_refused() {
        for text in ["100", "-1", "p99", "1e1", ""] {
            let error = Percentile::parse(Some(text.to_owned())).unwrap_err();
            assert_eq!(error.code().name(), "invalid_parameter", "{text}");
        }
        assert_eq!(Percentile::parse(None).unwrap(), None);
    }
}
