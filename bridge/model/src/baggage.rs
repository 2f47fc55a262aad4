//! The W3C `baggage` header: what travels with a request, as `key=value` members.
//!
//! Properties of members are passed on and not read.

use alloc::{string::String, vec::Vec};

/// Bytes up to which a header must be passed on (W3C Baggage, "Limits").
pub const MAX_BYTES: usize = 8_192;

/// Members up to which a header must be passed on (W3C Baggage, "Limits").
pub const MAX_MEMBERS: usize = 64;

/// One valid member, as it stands in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// A token (RFC 9110, section 5.6.2).
    pub key: &'a str,
    /// Percent-encoded; without properties.
    pub value: &'a str,
    /// All of it, properties included.
    pub text: &'a str,
}

/// Returns the valid members of a header, in order; others are left out.
///
/// Several header lines are joined by commas first (RFC 9110, section 5.3).
pub fn members(header: &[u8]) -> impl Iterator<Item = Member<'_>> {
    header
        .split(|byte| *byte == b',')
        .filter_map(|member| Member::parse(str::from_utf8(member).ok()?))
}

/// Writes `header` with `key=value` as its last member, and without older members of this key; without
/// `value`, the key is only removed.
///
/// `None` if that would be more than [`MAX_BYTES`] or [`MAX_MEMBERS`], which others need not pass on.
/// `key` must be a token; `value` is percent-encoded here.
#[must_use]
pub fn with(header: &[u8], key: &str, value: Option<&str>) -> Option<String> {
    let mut written = String::new();
    let mut n_members = 0;
    let mut next = |written: &mut String| {
        n_members += 1;
        if n_members > 1 {
            written.push(',');
        }
    };
    for member in members(header).filter(|member| member.key != key) {
        next(&mut written);
        written.push_str(member.text);
    }
    if let Some(value) = value {
        next(&mut written);
        written.push_str(key);
        written.push('=');
        encode(value, &mut written);
    }
    (written.len() <= MAX_BYTES && n_members <= MAX_MEMBERS).then_some(written)
}

/// Returns whether `key` may name a member: a token of RFC 9110.
#[must_use]
pub fn is_key(key: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !key.is_empty() && key.bytes().all(is_token)
}

// === impl Member ===

impl<'a> Member<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim_matches([' ', '\t']);
        let member = text.split_once(';').map_or(text, |(member, _)| member);
        let (key, value) = member.split_once('=')?;
        let key = key.trim_end_matches([' ', '\t']);
        let value = value.trim_matches([' ', '\t']);
        (is_key(key) && value.bytes().all(is_octet)).then_some(Self { key, value, text })
    }

    /// Returns the value as text: decoded, and bytes that are not UTF-8 replaced.
    #[must_use]
    pub fn decoded(&self) -> String {
        let mut bytes = Vec::with_capacity(self.value.len());
        let mut rest = self.value.as_bytes();
        while let [first, tail @ ..] = rest {
            rest = match (first, tail) {
                (b'%', [high, low, tail @ ..])
                    if let (Some(high), Some(low)) = (digit(*high), digit(*low)) =>
                {
                    bytes.push(high << 4 | low);
                    tail
                }
                _ => {
                    bytes.push(*first);
                    tail
                }
            };
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn encode(value: &str, to: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| {
        DIGITS
            .get(usize::from(nibble))
            .map_or('0', |digit| char::from(*digit))
    };
    for byte in value.bytes() {
        if is_octet(byte) && byte != b'%' {
            to.push(char::from(byte));
        } else {
            to.extend(['%', digit(byte >> 4), digit(byte & 0x0f)]);
        }
    }
}

/// `baggage-octet`: visible ASCII without `"`, `,`, `;` and `\`.
fn is_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)
}

fn digit(text: u8) -> Option<u8> {
    char::from(text)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString, vec};

    use super::*;

    fn read(header: &str) -> Vec<(String, String)> {
        let pairs = members(header.as_bytes());
        pairs
            .map(|member| (member.key.to_string(), member.decoded()))
            .collect()
    }

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_string(), value.to_string())
    }

    #[test]
    fn the_recommendations_examples_are_read() {
        assert_eq!(
            read("key1=value1,key2 = value2 ; prop1=pv1;property2 , key3=value3;x"),
            [
                pair("key1", "value1"),
                pair("key2", "value2"),
                pair("key3", "value3")
            ]
        );
        assert_eq!(read("userId=Am%C3%A9lie"), [pair("userId", "Am\u{e9}lie")]);
        assert_eq!(read("a=1=2,b="), [pair("a", "1=2"), pair("b", "")]);
    }

    #[test]
    fn what_is_no_member_is_left_out() {
        let header = "=1,a b=1,a=\"x\",,  ,b\u{e9}=1,ok=1";
        assert_eq!(read(header), [pair("ok", "1")]);
    }

    #[test]
    fn an_incomplete_percent_stays_and_broken_utf8_is_replaced() {
        assert_eq!(
            read("a=%,b=%4,c=%zz,d=%ff"),
            [
                pair("a", "%"),
                pair("b", "%4"),
                pair("c", "%zz"),
                pair("d", "\u{fffd}")
            ]
        );
    }

    #[test]
    fn a_member_is_added_encoded_and_replaces_its_older_self() {
        assert_eq!(
            with(b"a=1;p=2, dye=old ,b=3", "dye", Some("gray=v 2,%")).unwrap(),
            "a=1;p=2,b=3,dye=gray=v%202%2C%25"
        );
        assert_eq!(with(b"", "dye", Some("x")).unwrap(), "dye=x");
        assert_eq!(with(b"a=1,dye=x,b=2", "dye", None).unwrap(), "a=1,b=2");
        assert_eq!(with(b"dye=x", "dye", None).unwrap(), "");
    }

    #[test]
    fn what_others_need_not_pass_on_is_not_written() {
        let many = vec!["k=1"; MAX_MEMBERS].join(",");
        assert_eq!(with(many.as_bytes(), "dye", Some("x")), None);
        let long = format!("k={}", "v".repeat(MAX_BYTES));
        assert_eq!(with(long.as_bytes(), "dye", Some("x")), None);
    }

    #[test]
    fn every_text_survives_encoding() {
        let text: String = (1..0x250).filter_map(char::from_u32).collect();
        let header = with(b"", "k", Some(&text)).unwrap();
        assert_eq!(read(&header), [pair("k", &text)]);
    }
}
