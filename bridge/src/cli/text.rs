//! Words, numbers and colours for a terminal.

use std::{borrow::Cow, error::Error, fmt::Write as _, io::Write as _};

use anstyle::{AnsiColor, Style};
use jiff::{Timestamp, tz::TimeZone};

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const FAINT: Style = Style::new().dimmed();
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(super) const WARN: Style = AnsiColor::Yellow.on_default();

/// Returns the hue of a party; its name always stands beside it.
pub(super) fn party(name: &str) -> Style {
    match name {
        "client" => AnsiColor::Magenta.on_default(),
        "network" => AnsiColor::Blue.on_default(),
        "kernel" => AnsiColor::Yellow.on_default(),
        "proxy" => AnsiColor::Green.on_default(),
        "service" => AnsiColor::Red.on_default(),
        _ => FAINT,
    }
}

/// Writes an error and its causes on one line.
pub(super) fn complain(error: &dyn Error) {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Writing to a string cannot fail.
        write!(line, ": {cause}").unwrap_or_default();
        source = cause.source();
    }
    let line = visible(&line);
    // Where nobody reads, nobody is told.
    writeln!(anstream::stderr(), "{BAD}error:{BAD:#} {line}").unwrap_or_default();
}

/// Returns the text with what cannot be seen, or what a terminal would obey, as escapes.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_invisible) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_invisible(letter) {
            shown.extend(letter.escape_unicode());
        } else {
            shown.push(letter);
        }
    }
    Cow::Owned(shown)
}

fn is_invisible(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// Returns a stable name as words: `connect_refused`, `connect refused`.
pub(super) fn plain(name: &str) -> String {
    visible(name).replace('_', " ")
}

/// Writes a length of time, as the sentences do.
pub(super) fn duration(ns: u64) -> String {
    let ms = ns as f64 / 1e6;
    match ms {
        ..10.0 => format!("{ms:.3} ms"),
        ..1_000.0 => format!("{ms:.1} ms"),
        ..10_000.0 => format!("{:.3} s", ms / 1e3),
        _ => format!("{:.1} s", ms / 1e3),
    }
}

/// Writes the time of day in UTC, as Envoy's access log does; of another day with its date.
pub(super) fn clock(at: Timestamp) -> String {
    let zoned = at.to_zoned(TimeZone::UTC);
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let format = if zoned.date() == today {
        "%H:%M:%S%.3f"
    } else {
        "%Y-%m-%d %H:%M:%S%.3f"
    };
    zoned.strftime(format).to_string()
}

/// Writes a share as a percentage.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    format!("{:.0} %", 100.0 * part as f64 / whole as f64)
}

/// Writes a count with its noun.
pub(super) fn counted(count: u64, noun: &str) -> String {
    counted_as(count, noun, &format!("{noun}s"))
}

/// Writes a count with its noun, which has a plural of its own.
pub(super) fn counted_as(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing_that_comes_from_outside() {
        assert_eq!(visible("/hello"), "/hello");
        assert_eq!(visible("\x1b[31mred\n"), "\\u{1b}[31mred\\u{a}");
        assert_eq!(visible("\u{202e}txt.exe"), "\\u{202e}txt.exe");
    }

    #[test]
    fn lengths_of_time_have_their_unit() {
        assert_eq!(duration(25_000), "0.025 ms");
        assert_eq!(duration(12_340_000), "12.3 ms");
        assert_eq!(duration(2_500_000_000), "2.500 s");
        assert_eq!(duration(127_000_000_000), "127.0 s");
    }
}
