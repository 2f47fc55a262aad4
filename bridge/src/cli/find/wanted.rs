//! Parses search terms, as they appear in a log or in a complaint.

use std::net::{IpAddr, SocketAddr};

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};

use crate::moment;

/// What the words mean.
#[derive(Debug, PartialEq)]
pub(super) enum Wanted {
    End(String),
    Pair(String, String),
    Network(String),
    /// Requests of a time.
    Requests(Requests),
    Id(String),
}

/// Which requests.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Requests {
    /// Their label, such as `gray=v2`.
    pub(super) dye: Option<String>,
    /// Such as `503` or `5xx`.
    pub(super) status: Option<String>,
    /// Only those slower than so many percent of them, such as `99`.
    pub(super) percentile: Option<String>,
    /// The minute or the second in which they began.
    pub(super) span: Option<(Timestamp, Timestamp)>,
}

/// A word that looks like a time, and is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a time of day; expected HH:MM or HH:MM:SS in UTC, such as 10:04")]
pub(in crate::cli) struct NoTime(String);

/// Reads the words; `now` says which day is meant.
pub(super) fn wanted(words: &[String], now: Timestamp) -> Result<Wanted, NoTime> {
    let text = words.join(" ").replace("->", " ").replace('→', " ");
    let words: Vec<&str> = text
        .split([' ', ','])
        .filter(|word| !word.is_empty() && *word != "to")
        .collect();
    if let Some(requests) = requests(&words, now) {
        return Ok(Wanted::Requests(requests));
    }
    if let Some(word) = words.iter().find(|word| is_like_a_time(word)) {
        return Err(NoTime((*word).to_owned()));
    }
    Ok(match *words {
        [one, other] if is_end(one) && is_end(other) => {
            Wanted::Pair(one.to_owned(), other.to_owned())
        }
        [one] if one.parse::<SocketAddr>().is_ok() => Wanted::End(one.to_owned()),
        [one] if is_network(one) => Wanted::Network(one.to_owned()),
        _ => Wanted::Id(text.trim().to_owned()),
    })
}

/// Reads `503`, `5xx 10:04`, `503s at 2025-01-31 10:04:05`, `p99 10:04`, each also after `dye=gray=v2`, and
/// that alone; nothing may be left over.
fn requests(words: &[&str], now: Timestamp) -> Option<Requests> {
    let mut wanted = Requests::default();
    let mut words = words
        .iter()
        .copied()
        .filter(|&word| word != "at")
        .peekable();
    let dye = words.peek()?.strip_prefix("dye=");
    if let Some(dye) = dye.filter(|dye| !dye.is_empty()) {
        wanted.dye = Some(dye.to_owned());
        words.next();
    }
    let first = words.peek().copied().unwrap_or_default();
    if let Some(status) = status(first) {
        wanted.status = Some(status);
        words.next();
    } else if let Some(percent) = percentile(first) {
        wanted.percentile = Some(percent);
        words.next();
    }
    if let Some(word) = words.next() {
        // `2025-01-31T10:04`, or two words.
        let (date, time) = match word.split_once('T') {
            Some((date, time)) => (Some(date), time),
            None if word.contains('-') => (Some(word), words.next()?),
            None => (None, word),
        };
        let time_of_day = moment::time_of_day(time.trim_end_matches('Z'))?;
        let begin = match date {
            Some(date) => {
                let date: Date = date.parse().ok()?;
                let zoned = date.to_datetime(time_of_day).to_zoned(TimeZone::UTC);
                zoned.ok()?.timestamp()
            }
            None => moment::last(time_of_day, now)?,
        };
        let is_minute = time.matches(':').count() == 1;
        let length = SignedDuration::from_secs(if is_minute { 60 } else { 1 });
        wanted.span = Some((begin, begin.checked_add(length).ok()?));
    }
    words.next().is_none().then_some(wanted)
}

/// Reads `503`, `503s` or `5xx`.
fn status(word: &str) -> Option<String> {
    let code = word.strip_suffix('s').unwrap_or(word).to_ascii_lowercase();
    let (class, rest) = code.split_at_checked(1)?;
    let is_code = rest == "xx" || rest.len() == 2 && rest.bytes().all(|b| b.is_ascii_digit());
    (matches!(class, "1" | "2" | "3" | "4" | "5") && is_code).then_some(code)
}

/// Reads `p99`, `p99.9` or `slow`, which is the slowest hundredth.
fn percentile(word: &str) -> Option<String> {
    if matches!(word, "slow" | "slowest") {
        return Some("99".to_owned());
    }
    let number = word.strip_prefix(['p', 'P'])?;
    let is_plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let percent: f64 = number.parse().ok()?;
    (is_plain && percent < 100.0).then(|| number.to_owned())
}

/// Returns whether it is digits and colons, and no address.
fn is_like_a_time(word: &str) -> bool {
    let mut parts = word.split(':');
    let are_numbers = parts
        .by_ref()
        .all(|part| matches!(part.len(), 1 | 2) && part.bytes().all(|b| b.is_ascii_digit()));
    are_numbers && matches!(word.matches(':').count(), 1 | 2)
}

/// Returns whether it is one end of a connection.
fn is_end(word: &str) -> bool {
    word.parse::<SocketAddr>().is_ok() || is_network(word)
}

fn is_network(text: &str) -> bool {
    let address = text.split_once('/').map_or(text, |(address, _)| address);
    address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Wanted {
        let now = "2025-01-31T12:00:00Z".parse().unwrap();
        wanted(&[text.to_owned()], now).unwrap()
    }

    #[test]
    fn whatever_stands_in_a_log_is_understood() {
        let pair = || Wanted::Pair("192.0.2.2:1".to_owned(), "192.0.2.1:2".to_owned());
        assert_eq!(of("192.0.2.2:1 -> 192.0.2.1:2"), pair());
        assert_eq!(of("192.0.2.2:1 → 192.0.2.1:2"), pair());
        assert_eq!(of("192.0.2.2:1 to 192.0.2.1:2"), pair());
        let end = "[2001:db8::1]:80";
        assert_eq!(of(end), Wanted::End(end.to_owned()));
        for network in ["192.0.2.0/24", "2001:db8::1"] {
            assert_eq!(of(network), Wanted::Network(network.to_owned()));
        }
        for id in [
            "5151515151515151",
            "50300000-0000-4000-8000-000000000000",
            "p",
            "dye=",
            "600",
            "503 then",
        ] {
            assert!(!matches!(of(id), Wanted::Requests(_)), "{id}");
        }
    }

    #[test]
    fn a_status_and_a_time_are_the_requests_of_that_minute() {
        let requests = |status: Option<&str>, percentile: Option<&str>, span: Option<[&str; 2]>| {
            Wanted::Requests(Requests {
                dye: None,
                status: status.map(str::to_owned),
                percentile: percentile.map(str::to_owned),
                span: span.map(|span| span.map(|at| at.parse().unwrap()).into()),
            })
        };
        let minute = Some(["2025-01-31T10:04:00Z", "2025-01-31T10:05:00Z"]);
        for text in ["503 10:04", "503s at 10:04", "503 2025-01-31T10:04Z"] {
            assert_eq!(of(text), requests(Some("503"), None, minute), "{text}");
        }
        let yesterday = Some(["2025-01-30T12:25:00Z", "2025-01-30T12:26:00Z"]);
        assert_eq!(of("5xx 12:25"), requests(Some("5xx"), None, yesterday));
        let second = Some(["2025-01-29T10:04:05Z", "2025-01-29T10:04:06Z"]);
        assert_eq!(of("2025-01-29 10:04:05"), requests(None, None, second));
        assert_eq!(of("p99 10:04"), requests(None, Some("99"), minute));
        assert_eq!(of("slow"), requests(None, Some("99"), None));
        assert_eq!(of("503"), requests(Some("503"), None, None));
    }

    #[test]
    fn what_looks_like_a_time_and_is_none_is_said_to_be_none() {
        let now = "2025-01-31T12:00:00Z".parse().unwrap();
        for (text, word) in [
            ("503 99:99", "99:99"),
            ("24:00", "24:00"),
            ("p99 2025-01-31 10:61:00", "10:61:00"),
        ] {
            let told = wanted(&[text.to_owned()], now);
            assert_eq!(told, Err(NoTime(word.to_owned())), "{text}");
        }
        assert_eq!(of("one other"), Wanted::Id("one other".to_owned()));
    }

    #[test]
    fn a_dye_is_the_requests_with_that_label() {
        let dye = || Some("gray=v2".to_owned());
        let dyed = Requests {
            dye: dye(),
            ..Requests::default()
        };
        assert_eq!(of("dye=gray=v2"), Wanted::Requests(dyed));
        let Wanted::Requests(failed) = of("dye=gray=v2 503 10:04") else {
            panic!("no requests")
        };
        assert_eq!(failed.dye, dye());
        assert_eq!(
            Wanted::Requests(Requests {
                dye: None,
                ..failed
            }),
            of("503 10:04")
        );
    }
}
