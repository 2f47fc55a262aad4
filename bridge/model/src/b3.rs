//! The B3 headers of Zipkin, in one header (`b3`) and in several (`x-b3-*`).
//!
//! Ids of 64 bits are widened with zeros on the left, and written as short as they came.

use alloc::string::String;

use crate::{SpanId, TraceFlags, TraceId, hex};

/// The context that B3 headers carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct B3 {
    /// The sender's trace and span; absent where only the sampling decision was sent.
    pub ids: Option<(TraceId, SpanId)>,
    /// The decision; `None` leaves it to the receiver.
    pub sampling: Option<Sampling>,
}

/// A sampling decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// Do not record.
    Deny,
    /// Record.
    Accept,
    /// Record, whatever samplers say.
    Debug,
}

/// The values of the several headers, as they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct B3Headers<'a> {
    /// `x-b3-traceid`.
    pub trace_id: Option<&'a [u8]>,
    /// `x-b3-spanid`.
    pub span_id: Option<&'a [u8]>,
    /// `x-b3-sampled`.
    pub sampled: Option<&'a [u8]>,
    /// `x-b3-flags`.
    pub flags: Option<&'a [u8]>,
}

/// Text that is not a B3 context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseB3Error {
    /// The trace id is not 16 or 32 hexadecimal digits that are not all zero.
    #[error("B3 trace id must be 16 or 32 hexadecimal digits, not all zero")]
    TraceId,
    /// The span id is not 16 hexadecimal digits that are not all zero.
    #[error("B3 span id must be 16 hexadecimal digits, not all zero")]
    SpanId,
    /// The sampling decision is none.
    #[error("B3 sampling must be 0, 1 or d")]
    Sampling,
    /// The parent's span id is not 16 hexadecimal digits.
    #[error("B3 parent span id must be 16 hexadecimal digits")]
    Parent,
    /// There are more than four fields.
    #[error("b3 has more fields than trace id, span id, sampling and parent")]
    Fields,
}

// === impl B3 ===

impl B3 {
    /// Reads the single header: `{trace}-{span}[-{sampling}[-{parent}]]`, or a decision alone.
    ///
    /// # Errors
    ///
    /// [`ParseB3Error`] names the first field that is wrong.
    pub fn parse(header: &[u8]) -> Result<Self, ParseB3Error> {
        if let [decision] = header {
            let sampling = Sampling::parse(&[*decision]).ok_or(ParseB3Error::Sampling)?;
            return Ok(Self {
                ids: None,
                sampling: Some(sampling),
            });
        }
        let mut fields = header.split(|byte| *byte == b'-');
        let trace_id = fields.next().and_then(trace_id);
        let trace_id = trace_id.ok_or(ParseB3Error::TraceId)?;
        let span_id = fields.next().and_then(span_id);
        let span_id = span_id.ok_or(ParseB3Error::SpanId)?;
        let sampling = match fields.next() {
            None => None,
            Some(field) => Some(Sampling::parse(field).ok_or(ParseB3Error::Sampling)?),
        };
        if let Some(parent) = fields.next()
            && read::<8>(parent).is_none()
        {
            return Err(ParseB3Error::Parent);
        }
        if fields.next().is_some() {
            return Err(ParseB3Error::Fields);
        }
        Ok(Self {
            ids: Some((trace_id, span_id)),
            sampling,
        })
    }

    /// Reads the several headers; `None` if none of them is there.
    ///
    /// # Errors
    ///
    /// [`ParseB3Error`] names the first header that is wrong, or missing beside its companion.
    pub fn parse_headers(headers: &B3Headers<'_>) -> Result<Option<Self>, ParseB3Error> {
        if *headers == B3Headers::default() {
            return Ok(None);
        }
        let sampling = match (headers.flags, headers.sampled) {
            (Some(b"1"), _) => Some(Sampling::Debug),
            (_, None) => None,
            // Older senders wrote words.
            (_, Some(b"true")) => Some(Sampling::Accept),
            (_, Some(b"false")) => Some(Sampling::Deny),
            (_, Some(b"d")) => return Err(ParseB3Error::Sampling),
            (_, Some(sampled)) => Some(Sampling::parse(sampled).ok_or(ParseB3Error::Sampling)?),
        };
        let ids = match (headers.trace_id, headers.span_id) {
            (None, None) => None,
            (trace, span) => {
                let trace_id = trace.and_then(trace_id).ok_or(ParseB3Error::TraceId)?;
                let span_id = span.and_then(span_id).ok_or(ParseB3Error::SpanId)?;
                Some((trace_id, span_id))
            }
        };
        Ok(Some(Self { ids, sampling }))
    }

    /// Returns the W3C flags of the decision; a deferred one is taken for "record".
    #[must_use]
    pub fn flags(&self) -> TraceFlags {
        match self.sampling {
            Some(Sampling::Deny) => TraceFlags::default(),
            Some(Sampling::Accept | Sampling::Debug) | None => TraceFlags::SAMPLED,
        }
    }
}

// === impl Sampling ===

impl Sampling {
    /// Returns the decision that W3C flags stand for.
    #[must_use]
    pub const fn from_flags(flags: TraceFlags) -> Self {
        if flags.is_sampled() {
            Self::Accept
        } else {
            Self::Deny
        }
    }

    /// Returns the field of the single header.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::Deny => "0",
            Self::Accept => "1",
            Self::Debug => "d",
        }
    }

    fn parse(field: &[u8]) -> Option<Self> {
        match field {
            b"0" => Some(Self::Deny),
            b"1" => Some(Self::Accept),
            b"d" => Some(Self::Debug),
            _ => None,
        }
    }
}

/// Writes the single header.
#[must_use]
pub fn to_header(trace_id: TraceId, span_id: SpanId, sampling: Sampling) -> String {
    let mut header = trace_id_text(trace_id);
    header.push('-');
    hex::push(&span_id.to_bytes(), &mut header);
    header.push('-');
    header.push_str(sampling.field());
    header
}

/// Writes a trace id as B3 does: 16 digits where the left half is zero, 32 otherwise.
#[must_use]
pub fn trace_id_text(trace_id: TraceId) -> String {
    let mut text = String::with_capacity(32 + 1 + 16 + 2);
    match trace_id.to_bytes() {
        [0, 0, 0, 0, 0, 0, 0, 0, low @ ..] => hex::push(&low, &mut text),
        bytes => hex::push(&bytes, &mut text),
    }
    text
}

fn trace_id(field: &[u8]) -> Option<TraceId> {
    match read::<8>(field) {
        Some([a, b, c, d, e, f, g, h]) => {
            TraceId::new([0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d, e, f, g, h])
        }
        None => TraceId::new(read(field)?),
    }
}

fn span_id(field: &[u8]) -> Option<SpanId> {
    SpanId::new(read(field)?)
}

/// B3 is written in lower case, and read in any.
fn read<const N: usize>(field: &[u8]) -> Option<[u8; N]> {
    hex::read(&field.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
    const SPAN: &str = "e457b5a2e4d86bd1";

    fn ids() -> Option<(TraceId, SpanId)> {
        Some((TRACE.parse().unwrap(), SPAN.parse().unwrap()))
    }

    #[test]
    fn the_specifications_examples_are_read() {
        let both = "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1";
        for (header, ids, sampling) in [
            (
                "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90",
                ids(),
                Some(Sampling::Accept),
            ),
            (both, ids(), None),
            (
                "80F198EE56343BA864FE8B2A57D3EFF7-e457b5a2e4d86bd1-d",
                ids(),
                Some(Sampling::Debug),
            ),
            ("0", None, Some(Sampling::Deny)),
        ] {
            assert_eq!(
                B3::parse(header.as_bytes()),
                Ok(B3 { ids, sampling }),
                "{header}"
            );
        }
    }

    #[test]
    fn an_id_of_64_bits_is_widened_and_written_as_it_came() {
        let header = "64fe8b2a57d3eff7-e457b5a2e4d86bd1-1";
        let (trace_id, span_id) = B3::parse(header.as_bytes()).unwrap().ids.unwrap();
        assert_eq!(
            trace_id,
            "000000000000000064fe8b2a57d3eff7".parse().unwrap()
        );
        assert_eq!(to_header(trace_id, span_id, Sampling::Accept), header);
    }

    #[test]
    fn each_wrong_field_is_named() {
        use ParseB3Error as E;
        for (header, error) in [
            ("", E::TraceId),
            ("x", E::Sampling),
            ("80f198ee56343ba8-", E::SpanId),
            ("80f198ee56343ba8", E::SpanId),
            ("0000000000000000-e457b5a2e4d86bd1", E::TraceId),
            ("80f198ee56343ba8-e457b5a2e4d86bd1-2", E::Sampling),
            ("80f198ee56343ba8-e457b5a2e4d86bd1-1-05", E::Parent),
            (
                "80f198ee56343ba8-e457b5a2e4d86bd1-1-e457b5a2e4d86bd1-",
                E::Fields,
            ),
        ] {
            assert_eq!(B3::parse(header.as_bytes()), Err(error), "{header}");
        }
    }

    #[test]
    fn several_headers_say_what_one_does() {
        let headers = B3Headers {
            trace_id: Some(TRACE.as_bytes()),
            span_id: Some(SPAN.as_bytes()),
            ..B3Headers::default()
        };
        let read = |headers: &B3Headers<'_>| B3::parse_headers(headers).unwrap().unwrap();
        assert_eq!(read(&headers).ids, ids());
        for (sampled, flags, sampling) in [
            (None, None, None),
            (Some(&b"0"[..]), None, Some(Sampling::Deny)),
            (Some(b"true"), None, Some(Sampling::Accept)),
            (Some(b"0"), Some(&b"1"[..]), Some(Sampling::Debug)),
        ] {
            let headers = B3Headers {
                sampled,
                flags,
                ..headers
            };
            assert_eq!(read(&headers).sampling, sampling);
        }
    }

    #[test]
    fn a_decision_may_come_without_ids_and_ids_only_together() {
        assert_eq!(B3::parse_headers(&B3Headers::default()), Ok(None));
        let denied = B3Headers {
            sampled: Some(b"0"),
            ..B3Headers::default()
        };
        assert_eq!(B3::parse_headers(&denied).unwrap().unwrap().ids, None);
        let half = B3Headers {
            trace_id: Some(TRACE.as_bytes()),
            ..B3Headers::default()
        };
        assert_eq!(B3::parse_headers(&half), Err(ParseB3Error::SpanId));
    }
}
