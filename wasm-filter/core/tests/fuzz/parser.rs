//! Fuzz target: the readers of propagation headers take any bytes, and what they write they read again.

use syntrace_model::{
    Traceparent,
    b3::{self, B3, B3Headers},
    baggage,
    tracestate::{self, Tracestate},
};

/// Reads `input` as each header.
pub(crate) fn run(input: &[u8]) {
    if let Ok(read) = Traceparent::parse(input) {
        let written = read.to_header();
        assert_eq!(Traceparent::parse(&written), Ok(read));
        assert_eq!(written.get(3..52), input.get(3..52));
    }
    if let Ok(list) = Tracestate::parse(input) {
        let again = list.to_header();
        assert_eq!(Tracestate::parse(again.as_bytes()).as_ref(), Ok(&list));
        let with = list.to_header_with("own", "1");
        assert!(with.starts_with("own=1") && with.len() <= tracestate::MAX_BYTES);
        assert!(Tracestate::parse(with.as_bytes()).is_ok());
    }
    if let Ok(B3 {
        ids: Some((trace_id, span_id)),
        sampling: Some(sampling),
    }) = B3::parse(input)
    {
        let written = b3::to_header(trace_id, span_id, sampling);
        let read = B3::parse(written.as_bytes()).map(|read| (read.ids, read.sampling));
        assert_eq!(read, Ok((Some((trace_id, span_id)), Some(sampling))));
    }
    let mut fields = input.split(|byte| *byte == b'\n');
    let headers = B3Headers {
        trace_id: fields.next(),
        span_id: fields.next(),
        sampled: fields.next(),
        flags: fields.next(),
    };
    let _any = B3::parse_headers(&headers);
    if let Some(written) = baggage::with(input, "own", Some("a,b %")) {
        assert!(written.len() <= baggage::MAX_BYTES);
        let members = || baggage::members(written.as_bytes());
        assert!(members().count() <= baggage::MAX_MEMBERS);
        let own: Vec<_> = members().filter(|member| member.key == "own").collect();
        assert!(own.len() == 1 && own.iter().all(|member| member.decoded() == "a,b %"));
    }
}
