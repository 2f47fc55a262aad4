//! The `tracestate` header of W3C Trace Context, level 2: a list of entries that each participant
//! passes on, the one of the latest writer first.
//!
//! An entry's value is its writer's business and is not read here.

use alloc::{string::String, vec::Vec};

/// Entries that a list may have at most; a longer one is invalid.
pub const MAX_ENTRIES: usize = 32;

/// Bytes that a list may have when this participant has added to it. The recommendation asks for at
/// least as much.
pub const MAX_BYTES: usize = 512;

/// Entries longer than this are the first to go when a list has to be shortened.
const LONG_ENTRY_BYTES: usize = 128;

/// A valid list: its entries in order, no key twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracestate<'a> {
    entries: Vec<Entry<'a>>,
}

/// One `key=value` as it stands in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry<'a> {
    key: &'a str,
    text: &'a str,
}

/// Text that is not a list of entries; it must not be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseTracestateError {
    /// An entry is not a valid key, `=` and a valid value.
    #[error("tracestate entry {index} is not a key, '=' and a value of the allowed characters")]
    Entry {
        /// Its place in the list; the first is 0, empty ones count.
        index: usize,
    },
    /// There are too many entries.
    #[error("tracestate has more than {MAX_ENTRIES} entries")]
    TooMany,
}

// === impl Tracestate ===

impl<'a> Tracestate<'a> {
    /// Reads a list; several header lines are joined by commas first (RFC 9110, section 5.3).
    ///
    /// Of several entries with one key the first is read: their writer put the latest in front.
    ///
    /// # Errors
    ///
    /// [`ParseTracestateError`] names the first entry that is wrong.
    pub fn parse(header: &'a [u8]) -> Result<Self, ParseTracestateError> {
        let mut entries: Vec<Entry<'a>> = Vec::new();
        for (index, entry) in header.split(|byte| *byte == b',').enumerate() {
            let entry = trim(entry);
            if entry.is_empty() {
                continue;
            }
            let entry = Entry::parse(entry).ok_or(ParseTracestateError::Entry { index })?;
            if entries.iter().any(|earlier| earlier.key == entry.key) {
                continue;
            }
            if entries.len() == MAX_ENTRIES {
                return Err(ParseTracestateError::TooMany);
            }
            entries.push(entry);
        }
        Ok(Self { entries })
    }

    /// Returns whether there is no entry.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the value under `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a str> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        entry.text.get(key.len() + 1..)
    }

    /// Writes the list as one header line.
    #[must_use]
    pub fn to_header(&self) -> String {
        self.write(String::new())
    }

    /// Writes the list with `key=value` in front, and without an older entry of this key.
    ///
    /// What does not fit into [`MAX_BYTES`] and [`MAX_ENTRIES`] goes: entries of more than 128 bytes
    /// first, then the last ones. `key` and `value` must be valid: see [`is_key`] and [`is_value`].
    #[must_use]
    pub fn to_header_with(&self, key: &str, value: &str) -> String {
        let own = key.len() + 1 + value.len();
        let mut kept = self.clone();
        kept.entries.retain(|entry| entry.key != key);
        kept.entries.truncate(MAX_ENTRIES - 1);
        while own + kept.len_after_comma() > MAX_BYTES {
            let long = |entry: &Entry<'_>| entry.text.len() > LONG_ENTRY_BYTES;
            match kept.entries.iter().rposition(long) {
                Some(index) => drop(kept.entries.remove(index)),
                None if kept.entries.pop().is_none() => break,
                None => {}
            }
        }
        let mut header = String::with_capacity(own + kept.len_after_comma());
        header.push_str(key);
        header.push('=');
        header.push_str(value);
        kept.write(header)
    }

    fn len_after_comma(&self) -> usize {
        self.entries.iter().map(|entry| entry.text.len() + 1).sum()
    }

    fn write(&self, mut header: String) -> String {
        for entry in &self.entries {
            if !header.is_empty() {
                header.push(',');
            }
            header.push_str(entry.text);
        }
        header
    }
}

// === impl Entry ===

impl<'a> Entry<'a> {
    fn parse(entry: &'a [u8]) -> Option<Self> {
        let text = str::from_utf8(entry).ok()?;
        let (key, value) = text.split_once('=')?;
        (is_key(key) && is_value(value)).then_some(Self { key, text })
    }
}

/// Returns whether `key` may name an entry: level 2 allows what level 1 does, and a little more.
#[must_use]
pub fn is_key(key: &str) -> bool {
    let is_first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_next = |byte: u8| is_first(byte) || b"_-*/@".contains(&byte);
    match key.as_bytes() {
        [first, rest @ ..] => {
            is_first(*first) && rest.len() <= 255 && rest.iter().all(|byte| is_next(*byte))
        }
        [] => false,
    }
}

/// Returns whether `value` may stand in an entry: 1 to 256 printable characters without `,` and `=`,
/// the last of them no space.
#[must_use]
pub fn is_value(value: &str) -> bool {
    let is_allowed = |byte: u8| matches!(byte, b' '..=b'~') && byte != b',' && byte != b'=';
    value.len() <= 256
        && value.bytes().all(is_allowed)
        && value.bytes().last().is_some_and(|last| last != b' ')
}

/// Removes optional white space (RFC 9110: spaces and tabs) from both ends.
fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString};

    use super::*;

    fn round_trip(header: &str) -> Result<String, ParseTracestateError> {
        Tracestate::parse(header.as_bytes()).map(|list| list.to_header())
    }

    #[test]
    fn the_recommendations_examples_are_read_in_order() {
        for header in [
            "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
            "congo=t61rcWkgMzE",
            "vendorname1=opaqueValue1,vendorname2=opaqueValue2",
            "fw529a3039@dt=FfAAA*//*AA",
            "0digit=1",
        ] {
            assert_eq!(round_trip(header).unwrap(), header);
        }
    }

    #[test]
    fn white_space_around_entries_and_empty_entries_are_allowed() {
        assert_eq!(round_trip("a=1 ,\t b=2, ,,c= 3").unwrap(), "a=1,b=2,c= 3");
        assert_eq!(round_trip("").unwrap(), "");
    }

    #[test]
    fn of_entries_with_one_key_the_first_is_read() {
        assert_eq!(round_trip("a=1,b=2,a=3").unwrap(), "a=1,b=2");
    }

    #[test]
    fn each_wrong_entry_is_named_by_its_place() {
        let entry = |index| Err(ParseTracestateError::Entry { index });
        let cases = [
            ("A=1", entry(0)),
            ("a=1,b", entry(1)),
            ("a=1,=2", entry(1)),
            ("a=", entry(0)),
            ("a==1", entry(0)),
            ("a=1=2", entry(0)),
            ("a b=1", entry(0)),
            ("a=\u{e9}", entry(0)),
            ("-a=1", entry(0)),
        ];
        for (header, expected) in cases {
            assert_eq!(round_trip(header), expected, "{header}");
        }
    }

    #[test]
    fn keys_and_values_have_256_characters_at_most() {
        let of = |key: usize, value: usize| format!("{}={}", "k".repeat(key), "v".repeat(value));
        assert!(round_trip(&of(256, 256)).is_ok());
        assert!(round_trip(&of(257, 1)).is_err());
        assert!(round_trip(&of(1, 257)).is_err());
    }

    #[test]
    fn thirty_two_entries_are_read_and_thirty_three_are_refused() {
        let list = |n: usize| {
            let entries: Vec<_> = (0..n).map(|index| format!("k{index}=1")).collect();
            entries.join(",")
        };
        assert!(round_trip(&list(32)).is_ok());
        assert_eq!(round_trip(&list(33)), Err(ParseTracestateError::TooMany));
    }

    #[test]
    fn the_own_entry_comes_first_and_replaces_its_older_self() {
        let list = Tracestate::parse(b"rojo=1,congo=2,blue=3").unwrap();
        assert_eq!(list.to_header_with("congo", "4"), "congo=4,rojo=1,blue=3");
        assert_eq!(list.get("congo"), Some("2"));
        assert_eq!(Tracestate::default().to_header_with("a", "1"), "a=1");
    }

    #[test]
    fn the_own_entry_pushes_the_thirty_third_out() {
        let entries: Vec<_> = (0..32).map(|index| format!("k{index}=1")).collect();
        let list = entries.join(",");
        let header = Tracestate::parse(list.as_bytes())
            .unwrap()
            .to_header_with("own", "1");
        assert_eq!(header.split(',').count(), 32);
        assert!(header.starts_with("own=1,k0=1") && header.ends_with("k30=1"));
    }

    #[test]
    fn long_entries_go_before_short_ones_and_late_ones_before_early_ones() {
        let long = format!("long={}", "x".repeat(200));
        let short = "y".repeat(100);
        let header = format!("{long},a={short},b={short},c={short}");
        let list = Tracestate::parse(header.as_bytes()).unwrap();
        assert_eq!(
            list.to_header_with("own", "1"),
            format!("own=1,a={short},b={short},c={short}")
        );
        let header = (0..6)
            .map(|index| format!("k{index}={short}"))
            .collect::<Vec<_>>()
            .join(",");
        let shortened = Tracestate::parse(header.as_bytes())
            .unwrap()
            .to_header_with("own", "1");
        assert!(
            shortened.len() <= MAX_BYTES && shortened.contains("k3=") && !shortened.contains("k4=")
        );
        assert_eq!(round_trip(&shortened), Ok(shortened.to_string()));
    }
}
