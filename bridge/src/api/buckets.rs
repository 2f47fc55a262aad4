//! Counts over time: a stretch of time cut into buckets of one length.

use serde::Serialize;
use syntrace_model::UnixNanos;
use utoipa::ToSchema;

use super::{ApiError, json, query};
use crate::moment;

/// More could not be told apart in a picture.
const BUCKETS_MAX: u64 = 120;

/// Buckets, the first of which begins at `start`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buckets {
    start: UnixNanos,
    step_ns: u64,
    count: usize,
}

/// The buckets of an answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Buckets)]
pub(super) struct Shown {
    /// When the first begins, RFC 3339.
    started_at: String,
    step_ns: u64,
    /// All requests that began in each.
    requests: Vec<u64>,
}

impl Buckets {
    /// Cuts the time from `since` until `until`.
    pub(super) fn parse(
        step: Option<String>,
        since: UnixNanos,
        until: UnixNanos,
    ) -> Result<Option<Self>, ApiError> {
        let expected =
            "a length such as 60s, 5m, 1h or 1d of which at most 120 fit between since and until";
        query::parse("step", step, expected, |text| {
            let step_ns = u64::try_from(moment::length(text)?.as_nanos()).ok()?;
            let count = until.0.saturating_sub(since.0).div_ceil(step_ns).max(1);
            (count <= BUCKETS_MAX).then_some(Self {
                start: since,
                step_ns,
                count: usize::try_from(count).ok()?,
            })
        })
    }

    /// Returns in which bucket a time lies; the last one if beyond.
    pub(super) fn index(self, at: UnixNanos) -> usize {
        let index = at.0.saturating_sub(self.start.0) / self.step_ns;
        usize::try_from(index).map_or(self.count, |index| index.min(self.count - 1))
    }

    /// Returns a count of 0 for each.
    pub(super) fn empty(self) -> Vec<u64> {
        vec![0; self.count]
    }

    /// Shows the buckets, by what there is from a time on.
    ///
    /// # Errors
    ///
    /// If `from` does.
    pub(super) fn show<E>(self, from: impl Fn(UnixNanos) -> Result<u64, E>) -> Result<Shown, E> {
        let begins = |index: u64| self.start.plus_ns(index.saturating_mul(self.step_ns));
        let counts: Vec<_> = (0..=self.count as u64)
            .map(|index| from(begins(index)))
            .collect::<Result<_, E>>()?;
        let pairs = counts.iter().zip(counts.iter().skip(1));
        Ok(Shown {
            started_at: json::time(self.start),
            step_ns: self.step_ns,
            requests: pairs
                .map(|(from, beyond)| from.saturating_sub(*beyond))
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_has_a_bucket() {
        let buckets = Buckets {
            start: UnixNanos(100),
            step_ns: 10,
            count: 3,
        };
        let index = |at| buckets.index(UnixNanos(at));
        assert_eq!(
            [index(0), index(109), index(110), index(129), index(500)],
            [0, 0, 1, 2, 2]
        );
        let shown = buckets.show(|at| Ok::<_, ()>(1_000 - at.0));
        assert_eq!(shown.unwrap().requests, [10, 10, 10]);
    }
}
