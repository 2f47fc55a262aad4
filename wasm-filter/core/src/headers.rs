//! What one pass over the request headers finds.
//!
//! Values are bytes that a client chose: each is bounded, and none is trusted to be text.

use syntrace_model::b3::B3Headers;

use crate::{
    config::{PathForm, Rules},
    pairs::Pairs,
    wire::{Message, request},
};

/// Longest value that a report carries, bytes; longer ones are cut.
const MAX_TEXT_BYTES: usize = 1_024;

/// Longest list of several lines that is read, bytes: more than any participant has to pass on.
const MAX_LIST_BYTES: usize = 16 << 10;

/// The request headers that matter to the filter, where they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Incoming<'a> {
    pub(crate) method: &'a [u8],
    /// With the query string.
    pub(crate) target: &'a [u8],
    pub(crate) authority: &'a [u8],
    /// Envoy's `x-request-id`.
    pub(crate) request_id: &'a [u8],
    /// The content type is gRPC's.
    pub(crate) is_grpc: bool,
    pub(crate) traceparent: Lines<'a>,
    pub(crate) tracestate: List,
    pub(crate) b3: Lines<'a>,
    pub(crate) b3_headers: B3Headers<'a>,
    pub(crate) has_b3_headers: bool,
    pub(crate) house_id: Lines<'a>,
    pub(crate) dye: Lines<'a>,
    pub(crate) baggage: List,
}

/// The lines of a header that should be one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines<'a> {
    pub(crate) first: &'a [u8],
    pub(crate) count: usize,
}

/// The lines of a header that is a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct List {
    /// Every line, joined in order by commas (RFC 9110, section 5.3).
    pub(crate) joined: Vec<u8>,
    pub(crate) count: usize,
}

// === impl Incoming ===

impl<'a> Incoming<'a> {
    /// Reads the header lines, whose names are in lower case.
    pub(crate) fn read(lines: Pairs<'a>, rules: &Rules) -> Self {
        let mut incoming = Self::default();
        let house_id = rules.house_id.as_ref().map(|id| id.header.as_bytes());
        let dye = rules.dye.as_ref().and_then(|dye| dye.header.as_deref());
        for (name, value) in lines {
            match name {
                b":method" => incoming.method = value,
                b":path" => incoming.target = value,
                b":authority" => incoming.authority = value,
                b"x-request-id" => incoming.request_id = value,
                b"content-type" => incoming.is_grpc = is_grpc(value),
                b"traceparent" => incoming.traceparent.add(value),
                b"tracestate" => incoming.tracestate.add(value),
                b"baggage" => incoming.baggage.add(value),
                b"b3" => incoming.b3.add(value),
                _ if name.starts_with(b"x-b3-") => incoming.add_b3(name, value),
                _ if Some(name) == house_id => incoming.house_id.add(value),
                _ if Some(name) == dye.map(str::as_bytes) => incoming.dye.add(value),
                _ => {}
            }
        }
        incoming
    }

    /// Returns the path without the query string.
    pub(crate) fn path(&self) -> &'a [u8] {
        without_query(self.target)
    }

    /// Writes what a report says of it.
    pub(crate) fn describe(&self, path: PathForm, report: &mut Message) {
        report.text(request::METHOD, self.method, MAX_TEXT_BYTES);
        path.write(self.path(), MAX_TEXT_BYTES, report);
        report.text(request::AUTHORITY, self.authority, MAX_TEXT_BYTES);
        report.text(request::REQUEST_ID, self.request_id, MAX_TEXT_BYTES);
        report.bool(request::GRPC, self.is_grpc);
    }

    fn add_b3(&mut self, name: &[u8], value: &'a [u8]) {
        let field = match name {
            b"x-b3-traceid" => &mut self.b3_headers.trace_id,
            b"x-b3-spanid" => &mut self.b3_headers.span_id,
            b"x-b3-sampled" => &mut self.b3_headers.sampled,
            b"x-b3-flags" => &mut self.b3_headers.flags,
            b"x-b3-parentspanid" => {
                self.has_b3_headers = true;
                return;
            }
            _ => return,
        };
        self.has_b3_headers = true;
        // A second line makes the context invalid: no field of B3 is empty.
        *field = Some(if field.is_none() { value } else { b"" });
    }
}

// === impl Lines ===

impl<'a> Lines<'a> {
    fn add(&mut self, value: &'a [u8]) {
        if self.count == 0 {
            self.first = value;
        }
        self.count += 1;
    }

    /// Returns the one line; two name two senders, and neither can be believed.
    pub(crate) const fn only(&self) -> Option<&'a [u8]> {
        match self.count {
            1 => Some(self.first),
            _ => None,
        }
    }
}

// === impl List ===

impl List {
    fn add(&mut self, line: &[u8]) {
        self.count += 1;
        if line.is_empty() || self.joined.len() > MAX_LIST_BYTES {
            return;
        }
        if !self.joined.is_empty() {
            self.joined.push(b',');
        }
        self.joined.extend_from_slice(line);
    }
}

fn without_query(path: &[u8]) -> &[u8] {
    path.split(|byte| matches!(byte, b'?' | b'#'))
        .next()
        .unwrap_or_default()
}

/// Returns whether a content type is `application/grpc`, `application/grpc+proto`, ...
fn is_grpc(content_type: &[u8]) -> bool {
    match content_type.strip_prefix(b"application/grpc") {
        Some([]) | Some([b'+' | b';', ..]) => true,
        Some(_) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairs;

    fn read(lines: &[(&str, &str)], check: impl FnOnce(Incoming<'_>)) {
        let lines: Vec<_> = lines
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .collect();
        let buffer = pairs::write(&lines);
        check(Incoming::read(Pairs::new(&buffer), &Rules::default()));
    }

    #[test]
    fn the_query_string_is_left_out() {
        for target in ["/a?token=secret", "/a#x", "/a"] {
            read(&[(":path", target)], |incoming| {
                assert_eq!(incoming.path(), b"/a");
            });
        }
    }

    #[test]
    fn the_lines_of_a_list_are_joined_in_order() {
        let lines = [
            ("tracestate", "a=1"),
            ("tracestate", ""),
            ("tracestate", "b=2"),
        ];
        read(&lines, |incoming| {
            assert_eq!(incoming.tracestate.joined, b"a=1,b=2");
            assert_eq!(incoming.tracestate.count, 3);
        });
    }

    #[test]
    fn of_two_lines_that_should_be_one_neither_counts() {
        let lines = [("traceparent", "x"), ("traceparent", "x"), ("b3", "0")];
        read(&lines, |incoming| {
            assert_eq!(incoming.traceparent.only(), None);
            assert_eq!(incoming.b3.only(), Some(&b"0"[..]));
        });
        let lines = [("x-b3-traceid", "1"), ("x-b3-traceid", "1")];
        read(&lines, |incoming| {
            assert_eq!(incoming.b3_headers.trace_id, Some(&b""[..]));
        });
    }

    #[test]
    fn a_giant_list_is_bounded() {
        let line = "a=1,".repeat(5_000);
        let lines = [("baggage", line.as_str()); 10];
        read(&lines, |incoming| {
            assert!(incoming.baggage.joined.len() <= MAX_LIST_BYTES + line.len());
        });
    }

    #[test]
    fn only_grpcs_own_content_types_are_grpc() {
        for (content_type, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;a=b", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            read(&[("content-type", content_type)], |incoming| {
                assert_eq!(incoming.is_grpc, expected, "{content_type}");
            });
        }
    }
}
