//! Points and lengths of time as people write them; the command line and the HTTP API parse the same.
//!
//! Pure: the caller says what time it is. A time of the day is UTC, as in Envoy's access log.

use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, Time},
    fmt::temporal::Pieces,
    tz::TimeZone,
};

/// What [`parse`] reads, in words.
pub(crate) const EXPECTED: &str = "a time (RFC 3339, such as 2025-01-31T12:00:00Z), one of the \
    day in UTC such as 10:04, or how long ago such as 15m";

/// Reads a point in time: RFC 3339, how long before `now`, or a time of the day, which means the last one.
pub(crate) fn parse(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(at) = text.parse() {
        return Some(at);
    }
    if let Some(at) = beyond(text) {
        return Some(at);
    }
    match time_of_day(text) {
        Some(time) => last(time, now),
        None => now.checked_sub(length(text)?).ok(),
    }
}

/// Reads a time that is later than any that can be told: it means the last one.
fn beyond(text: &str) -> Option<Timestamp> {
    let pieces = Pieces::parse(text).ok()?;
    let is_whole = pieces.time().is_some() && pieces.offset().is_some();
    (is_whole && pieces.date().year() == Date::MAX.year()).then_some(Timestamp::MAX)
}

/// Reads `10:04` or `10:04:05`, and nothing that has more to it.
pub(crate) fn time_of_day(text: &str) -> Option<Time> {
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b':');
    (is_plain && text.contains(':')).then(|| text.parse().ok())?
}

/// Returns when clocks last showed this time of the day.
pub(crate) fn last(time: Time, now: Timestamp) -> Option<Timestamp> {
    let today = now.to_zoned(TimeZone::UTC).date();
    [today, today.yesterday().ok()?]
        .into_iter()
        .filter_map(|date| date.to_datetime(time).to_zoned(TimeZone::UTC).ok())
        .map(|zoned| zoned.timestamp())
        .find(|&at| at <= now)
}

/// Reads a length such as `15m`, `1h30m` or `2d`; it is more than nothing.
pub(crate) fn length(text: &str) -> Option<SignedDuration> {
    let length = match text.strip_suffix('d') {
        Some(days) => SignedDuration::from_hours(24).checked_mul(days.parse().ok()?)?,
        None => text.parse().ok()?,
    };
    // `10:04:05` is a time of the day.
    (length.is_positive() && !text.contains(':')).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        let now = "2025-01-31T12:00:00Z".parse().unwrap();
        parse(text, now).map(|at| at.to_string())
    }

    #[test]
    fn a_length_means_ago_and_a_time_stays() {
        for (text, expected) in [
            ("2025-01-30T09:00:00Z", "2025-01-30T09:00:00Z"),
            ("2025-01-30T09:00:00+01:00", "2025-01-30T08:00:00Z"),
            ("15m", "2025-01-31T11:45:00Z"),
            ("1h30m", "2025-01-31T10:30:00Z"),
            ("2d", "2025-01-29T12:00:00Z"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_time_beyond_all_that_can_be_told_is_the_last_one() {
        let last = Timestamp::MAX.to_string();
        for text in ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999-12:00"] {
            assert_eq!(read(text), Some(last.clone()), "{text}");
        }
        for text in ["9999-12-31T23:59:59", "9999-12-31", "9999-13-31T00:00:00Z"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_of_the_day_is_the_last_one() {
        for (text, expected) in [
            ("11:59:30", "2025-01-31T11:59:30Z"),
            ("12:00", "2025-01-31T12:00:00Z"),
            ("12:01", "2025-01-30T12:01:00Z"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_has_no_meaning_is_not_guessed() {
        for text in [
            "",
            "15",
            "m",
            "-15m",
            "0s",
            "1\u{e9}",
            "99999999999999d",
            "9999999d",
            "25:00",
            "2025-01-31T12:00:00",
            "now",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
