//! Trace and span ids of W3C Trace Context, never all zero.

use core::{fmt, str};

use crate::hex;

/// Names a trace: 16 bytes in network order, at least one of them not zero.
///
/// Source: W3C Trace Context, `trace-id`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId([u8; 16]);

/// Names a span within a trace: 8 bytes in network order, at least one of them not zero.
///
/// Source: W3C Trace Context, `parent-id`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId([u8; 8]);

/// Text that is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    /// The text is not the right number of lower-case hexadecimal digits.
    #[error("expected {digits} lower-case hexadecimal digits")]
    Hex {
        /// Digits that were expected.
        digits: usize,
    },
    /// The id is all zero, which the recommendation forbids.
    #[error("an id must not be all zero")]
    Zero,
}

macro_rules! id {
    ($name:ident, $len:literal) => {
        // === impl $name ===

        impl $name {
            /// Returns the id of these bytes, in network order; `None` if they are all zero.
            #[must_use]
            pub fn new(bytes: [u8; $len]) -> Option<Self> {
                (bytes != [0; $len]).then_some(Self(bytes))
            }

            /// Returns the id of a slice of exactly this length that is not all zero.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                Self::new(bytes.try_into().ok()?)
            }

            /// Returns the bytes, in network order.
            #[must_use]
            pub const fn to_bytes(self) -> [u8; $len] {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex::write(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl str::FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let bytes =
                    hex::read(text.as_bytes()).ok_or(ParseIdError::Hex { digits: 2 * $len })?;
                Self::new(bytes).ok_or(ParseIdError::Zero)
            }
        }
    };
}

id!(TraceId, 16);
id!(SpanId, 8);

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn an_id_survives_its_text_form() {
        let text = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(text.parse::<TraceId>().unwrap().to_string(), text);
    }

    #[test]
    fn upper_case_wrong_length_and_all_zero_are_refused() {
        let hex = Err(ParseIdError::Hex { digits: 16 });
        assert_eq!("00F067AA0BA902B7".parse::<SpanId>(), hex);
        assert_eq!("00f067aa0ba902b".parse::<SpanId>(), hex);
        assert_eq!("00f067aa0ba902b70".parse::<SpanId>(), hex);
        assert_eq!(
            "0000000000000000".parse::<SpanId>(),
            Err(ParseIdError::Zero)
        );
    }
}
