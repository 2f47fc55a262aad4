//! The readers of propagation headers take any bytes, and what they write they read again.

use proptest::prelude::*;
use syntrace_model::{
    SpanId, TraceFlags, TraceId, Traceparent,
    b3::{self, B3, B3Headers, Sampling},
    baggage,
    tracestate::{self, Tracestate},
};

#[cfg(test)]
fn ids() -> impl Strategy<Value = (TraceId, SpanId)> {
    let of = |(trace, span): ([u8; 16], [u8; 8])| Some((TraceId::new(trace)?, SpanId::new(span)?));
    any::<([u8; 16], [u8; 8])>().prop_filter_map("all zero", of)
}

/// Bytes near what is valid.
#[cfg(test)]
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<Vec<u8>>(),
        "[0-9a-fA-F]{2}-[0-9a-f]{31,33}-[0-9a-f]{15,17}-[0-9a-f]{2}(-.*)?"
            .prop_map(String::into_bytes),
        "[0-9a-f]{15,33}-[0-9a-f]{15,17}(-[01d2](-[0-9a-f]{16})?)?".prop_map(String::into_bytes),
        "([a-z0-9@_]{0,3}=[ -~]{0,6},?){0,40}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn a_traceparent_is_read_as_it_was_written((trace_id, parent_id) in ids(), flags: u8) {
        let written = Traceparent { trace_id, parent_id, flags: TraceFlags::from_byte(flags) };
        prop_assert_eq!(Traceparent::parse(&written.to_header()), Ok(written));
    }

    #[test]
    fn what_is_read_as_a_traceparent_is_written_as_one(header in nearly()) {
        if let Ok(read) = Traceparent::parse(&header) {
            let written = read.to_header();
            prop_assert_eq!(&written[2..53], &header[2..53]);
            prop_assert_eq!(&written[..3], b"00-");
        }
    }

    #[test]
    fn b3_is_read_as_it_was_written((trace_id, span_id) in ids(), is_short: bool, is_sampled: bool) {
        let mut bytes = trace_id.to_bytes();
        if is_short {
            bytes[..8].fill(0);
        }
        let Some(trace_id) = TraceId::new(bytes) else { return Ok(()) };
        let sampling = if is_sampled { Sampling::Accept } else { Sampling::Deny };
        let expected = B3 { ids: Some((trace_id, span_id)), sampling: Some(sampling) };
        let header = b3::to_header(trace_id, span_id, sampling);
        prop_assert_eq!(B3::parse(header.as_bytes()), Ok(expected));
        let (trace, span) = (b3::trace_id_text(trace_id), span_id.to_string());
        let headers = B3Headers {
            trace_id: Some(trace.as_bytes()),
            span_id: Some(span.as_bytes()),
            sampled: Some(sampling.field().as_bytes()),
            flags: None,
        };
        prop_assert_eq!(B3::parse_headers(&headers), Ok(Some(expected)));
    }

    #[test]
    fn no_bytes_break_a_reader_and_b3_is_written_as_it_came(header in nearly()) {
        if let Ok(B3 { ids: Some((trace_id, span_id)), sampling: Some(sampling) }) = B3::parse(&header)
            && trace_id.to_bytes()[..8] != [0; 8]
        {
            let written = b3::to_header(trace_id, span_id, sampling);
            prop_assert!(header.to_ascii_lowercase().starts_with(written.as_bytes()));
        }
        for member in baggage::members(&header) {
            prop_assert!(baggage::is_key(member.key) && member.text.len() <= header.len());
        }
    }

    #[test]
    fn a_valid_tracestate_stays_valid_and_bounded_with_an_entry_in_front(header in nearly()) {
        let Ok(list) = Tracestate::parse(&header) else { return Ok(()) };
        let again = list.to_header();
        prop_assert!(Tracestate::parse(again.as_bytes()) == Ok(list.clone()));
        let with = list.to_header_with("own", "1");
        prop_assert!(with.starts_with("own=1") && with.len() <= tracestate::MAX_BYTES);
        prop_assert_eq!(Tracestate::parse(with.as_bytes()).unwrap().get("own"), Some("1"));
    }

    #[test]
    fn a_member_of_baggage_is_read_as_it_was_written(header in nearly(), value: String) {
        if let Some(written) = baggage::with(&header, "own", Some(&value)) {
            let members: Vec<_> = baggage::members(written.as_bytes()).collect();
            prop_assert!(written.len() <= baggage::MAX_BYTES && members.len() <= baggage::MAX_MEMBERS);
            prop_assert_eq!(members.iter().filter(|member| member.key == "own").count(), 1);
            prop_assert_eq!(members.last().unwrap().decoded(), value);
        }
    }
}
