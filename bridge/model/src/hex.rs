//! Lower-case hexadecimal, the only case that W3C Trace Context allows.

use alloc::string::String;
use core::{fmt, str};

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Writes `bytes` as lower-case hexadecimal.
pub(crate) fn write(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = [0; 32];
    bytes.chunks(text.len() / 2).try_for_each(|bytes| {
        fill(bytes, &mut text);
        let digits = text.get(..2 * bytes.len()).unwrap_or_default();
        // Digits are text.
        f.write_str(str::from_utf8(digits).unwrap_or_default())
    })
}

/// Appends `bytes` as lower-case hexadecimal.
pub(crate) fn push(bytes: &[u8], text: &mut String) {
    text.extend(digits(bytes).flatten().map(char::from));
}

/// Writes `bytes` as lower-case hexadecimal over the beginning of `text`, as far as that is long enough.
pub(crate) fn fill(bytes: &[u8], text: &mut [u8]) {
    let (pairs, _) = text.as_chunks_mut::<2>();
    for (pair, digits) in pairs.iter_mut().zip(digits(bytes)) {
        *pair = digits;
    }
}

fn digits(bytes: &[u8]) -> impl Iterator<Item = [u8; 2]> {
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
    bytes
        .iter()
        .map(move |byte| [digit(byte >> 4), digit(byte & 0x0f)])
}

/// Reads exactly `N` bytes from `2 * N` lower-case digits; `None` for anything else.
pub(crate) fn read<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

fn digit(text: u8) -> Option<u8> {
    match text {
        b'0'..=b'9' => Some(text - b'0'),
        b'a'..=b'f' => Some(text - b'a' + 10),
        _ => None,
    }
}
