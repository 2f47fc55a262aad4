//! What a report says of a request's path: paths name customers, and every new one costs an index entry.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use crate::wire::{Message, request, text};

/// Longest part of a path that is taken for a name, bytes.
const MAX_NAME_BYTES: usize = 40;

/// What stands for a part that is not a name.
const PLACEHOLDER: &str = "{}";

/// How a path is reported; never with its query string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathForm {
    /// As it came.
    Full,
    /// With `{}` for each part that looks like an id.
    Template,
    /// As a number that is the same for the same path. No secret: who knows a path knows its number.
    Hashed,
    /// Not at all.
    None,
}

pub(super) const FORMS: [(&str, PathForm); 4] = [
    ("full", PathForm::Full),
    ("template", PathForm::Template),
    ("hashed", PathForm::Hashed),
    ("none", PathForm::None),
];

// === impl PathForm ===

impl PathForm {
    /// Writes at most `limit` bytes of a path into a report.
    pub(crate) fn write(self, path: &[u8], limit: usize, report: &mut Message) {
        let written = match self {
            Self::Full => return report.text(request::PATH, path, limit),
            Self::Template => template(&text(path, limit)),
            Self::Hashed if path.is_empty() => return,
            Self::Hashed => hashed(path),
            Self::None => return,
        };
        report.bytes(request::PATH, written.as_bytes());
    }
}

fn template(path: &str) -> String {
    let parts = path.split('/');
    let parts: Vec<_> = parts
        .map(|part| if is_id(part) { PLACEHOLDER } else { part })
        .collect();
    parts.join("/")
}

/// Returns whether a part of a path looks like an id: a number, hexadecimal digits (a UUID's hyphens
/// among them) with at least one number in them, or something longer than names are.
fn is_id(part: &str) -> bool {
    let has_number = part.bytes().any(|byte| byte.is_ascii_digit());
    let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
    let is_hex = part
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    has_number && (is_number || (is_hex && part.len() >= 8)) || part.len() > MAX_NAME_BYTES
}

/// Returns 16 hexadecimal digits that are the same for the same bytes, wherever they are seen.
pub(crate) fn hashed(bytes: &[u8]) -> String {
    let mut hasher = SipHasher13::new();
    hasher.write(bytes);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_become_placeholders_and_names_stay() {
        for (path, expected) in [
            ("/users/4711/orders", "/users/{}/orders"),
            ("/v1/f6fa4506-31a1-465e-8161-46136cce11f8", "/v1/{}"),
            ("/blobs/deadbeef01", "/blobs/{}"),
            ("/feed/cafe/", "/feed/cafe/"),
            ("/pkg.Service/Method2", "/pkg.Service/Method2"),
            ("", ""),
        ] {
            assert_eq!(template(path), expected);
        }
        let long = format!("/{}", "x".repeat(41));
        assert_eq!(template(&long), "/{}");
    }

    #[test]
    fn a_hashed_path_is_the_same_everywhere_and_shows_nothing() {
        assert_eq!(hashed(b"/users/4711"), hashed(b"/users/4711"));
        assert_ne!(hashed(b"/users/4711"), hashed(b"/users/4712"));
        assert_eq!(hashed(b"/users/4711").len(), 16);
    }
}
