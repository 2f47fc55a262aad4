//! The `traceparent` header of W3C Trace Context, level 2, read and written to the letter.
//!
//! `tracestate` has a reader of its own; neither needs the other.

use core::{fmt, str};

use crate::{ParseIdError, SpanId, TraceId, hex};

/// The context that one `traceparent` header carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traceparent {
    /// The trace the sender belongs to.
    pub trace_id: TraceId,
    /// The sender's span: the parent of what the receiver does.
    pub parent_id: SpanId,
    /// The sender's flags.
    pub flags: TraceFlags,
}

/// The `trace-flags` byte; bits that level 2 does not define are kept off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceFlags(u8);

/// Text that is not a `traceparent` of any version this reader may believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseTraceparentError {
    /// The header is shorter than 55 bytes, or longer than its version allows.
    #[error("traceparent is {actual} bytes, expected 55")]
    Length {
        /// Bytes in the header.
        actual: usize,
    },
    /// A delimiter is not `-`.
    #[error("traceparent fields must be divided by '-'")]
    Delimiter,
    /// The version is not two lower-case digits, or is the forbidden `ff`.
    #[error("traceparent version must be 00 to fe")]
    Version,
    /// The flags are not two lower-case hexadecimal digits.
    #[error("traceparent flags must be two lower-case hexadecimal digits")]
    Flags,
    /// The trace id or the parent id is none.
    #[error(transparent)]
    Id(#[from] ParseIdError),
}

// === impl Traceparent ===

impl Traceparent {
    /// Reads one header value.
    ///
    /// A version above 00 is read as 00 where it begins with a valid one and either ends there or
    /// goes on with `-` (W3C Trace Context, "Versioning of traceparent").
    ///
    /// # Errors
    ///
    /// [`ParseTraceparentError`] names the first field that is wrong.
    pub fn parse(header: &[u8]) -> Result<Self, ParseTraceparentError> {
        let actual = header.len();
        let (fields, rest) = header
            .split_first_chunk::<55>()
            .ok_or(ParseTraceparentError::Length { actual })?;
        let [v0, v1, d0, ids @ .., d2, f0, f1] = fields;
        let (trace_id, ids) = ids.split_at(32);
        let (d1, parent_id) = ids.split_at(1);
        if *d0 != b'-' || d1 != b"-" || *d2 != b'-' {
            return Err(ParseTraceparentError::Delimiter);
        }
        let version = match hex::read::<1>(&[*v0, *v1]) {
            None | Some([0xff]) => return Err(ParseTraceparentError::Version),
            Some([version]) => version,
        };
        match rest {
            [] => {}
            [b'-', ..] if version > 0 => {}
            _ => return Err(ParseTraceparentError::Length { actual }),
        }
        let [flags] = hex::read::<1>(&[*f0, *f1]).ok_or(ParseTraceparentError::Flags)?;
        let trace_id = hex::read(trace_id).ok_or(ParseIdError::Hex { digits: 32 })?;
        let parent_id = hex::read(parent_id).ok_or(ParseIdError::Hex { digits: 16 })?;
        Ok(Self {
            trace_id: TraceId::new(trace_id).ok_or(ParseIdError::Zero)?,
            parent_id: SpanId::new(parent_id).ok_or(ParseIdError::Zero)?,
            flags: TraceFlags::from_byte(flags),
        })
    }
}

impl Traceparent {
    /// Returns the header of version 00, which every participant reads.
    #[must_use]
    pub fn to_header(&self) -> [u8; 55] {
        let mut header = *b"00-00000000000000000000000000000000-0000000000000000-00";
        let (head, flags) = header.split_at_mut(53);
        let (trace_id, parent_id) = head.split_at_mut(36);
        let (_version, trace_id) = trace_id.split_at_mut(3);
        hex::fill(&self.trace_id.to_bytes(), trace_id);
        hex::fill(&self.parent_id.to_bytes(), parent_id);
        hex::fill(&[self.flags.to_byte()], flags);
        header
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.to_header()).unwrap_or_default())
    }
}

// === impl TraceFlags ===

impl TraceFlags {
    /// The caller may have recorded its side (`sampled`).
    pub const SAMPLED: Self = Self(0x01);
    /// At least the right-most 7 bytes of the trace id are random (level 2, `random-trace-id`).
    pub const RANDOM: Self = Self(0x02);

    /// Keeps the bits that level 2 defines: a participant must not pass on the others.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte & (Self::SAMPLED.0 | Self::RANDOM.0))
    }

    /// Returns whether the caller may have recorded its side.
    #[must_use]
    pub const fn is_sampled(self) -> bool {
        self.0 & Self::SAMPLED.0 != 0
    }

    /// Returns the byte as it stands in the header.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        self.0
    }

    /// Returns the flags of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString};

    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn the_recommendations_example_survives_its_text_form() {
        let parsed = Traceparent::parse(EXAMPLE.as_bytes()).unwrap();
        assert_eq!(parsed.flags, TraceFlags::SAMPLED);
        assert_eq!(parsed.to_string(), EXAMPLE);
    }

    #[test]
    fn a_future_version_is_read_up_to_what_is_known() {
        let expected = Traceparent::parse(EXAMPLE.as_bytes());
        for suffix in ["", "-what-the-future-brings"] {
            let future = format!("cc{}{suffix}", &EXAMPLE[2..]);
            assert_eq!(Traceparent::parse(future.as_bytes()), expected);
        }
        let glued = format!("cc{}.x", &EXAMPLE[2..]);
        assert!(Traceparent::parse(glued.as_bytes()).is_err());
    }

    #[test]
    fn each_wrong_field_is_named() {
        use ParseTraceparentError as E;
        let cases: [(&str, E); 7] = [
            ("", E::Length { actual: 0 }),
            (
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
                E::Length { actual: 56 },
            ),
            (
                "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                E::Version,
            ),
            (
                "00-4bf92f3577b34da6a3ce929d0e0e4736.00f067aa0ba902b7-01",
                E::Delimiter,
            ),
            (
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0G",
                E::Flags,
            ),
            (
                "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
                E::Id(ParseIdError::Zero),
            ),
            (
                "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
                E::Id(ParseIdError::Hex { digits: 32 }),
            ),
        ];
        for (header, error) in cases {
            assert_eq!(
                Traceparent::parse(header.as_bytes()),
                Err(error),
                "{header}"
            );
        }
    }

    #[test]
    fn undefined_flags_are_not_passed_on() {
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff";
        let parsed = Traceparent::parse(header.as_bytes()).unwrap();
        assert_eq!(parsed.flags.to_byte(), 0x03);
    }
}
