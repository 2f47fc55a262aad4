//! Writes Protocol Buffers field by field, straight into the bytes that are sent.
//!
//! By hand, where `prost` would do: it writes a message from a struct, and to fill one costs an allocation
//! for each of its texts, in a place where a microsecond counts. The fields are those of
//! `bridge/proto/proto/syntrace.proto`; the stories under `tests/` read them by `prost`.

use std::borrow::Cow;

/// Fields of `Batch`.
pub(crate) mod batch {
    pub(crate) const SCHEMA: u32 = 1;
    pub(crate) const SENDER: u32 = 2;
    pub(crate) const FIRST_SEQ: u32 = 3;
    pub(crate) const FACTS: u32 = 4;
    pub(crate) const LOSSES: u32 = 5;
}

/// Fields of `Sender`.
pub(crate) mod sender {
    pub(crate) const NAME: u32 = 1;
    pub(crate) const EPOCH: u32 = 2;
}

/// Fields of `Loss`.
pub(crate) mod loss {
    pub(crate) const CAUSE: u32 = 1;
    pub(crate) const COUNT: u32 = 2;
}

/// Fields of `Fact`.
pub(crate) mod fact {
    pub(crate) const REQUEST: u32 = 3;
}

/// Fields of `Endpoint`.
pub(crate) mod endpoint {
    pub(crate) const ADDRESS: u32 = 1;
    pub(crate) const PORT: u32 = 2;
}

/// Fields of `Request`.
pub(crate) mod request {
    pub(crate) const DOWNSTREAM_CONNECTION: u32 = 1;
    pub(crate) const CONNECTION_TRACE_ID: u32 = 2;
    pub(crate) const TRACE_ID: u32 = 3;
    pub(crate) const SPAN_ID: u32 = 4;
    pub(crate) const PARENT_SPAN_ID: u32 = 5;
    pub(crate) const TRACE_FLAGS: u32 = 6;
    pub(crate) const TRACESTATE: u32 = 7;
    pub(crate) const STARTED_AT_UNIX_NS: u32 = 8;
    pub(crate) const DURATION_NS: u32 = 9;
    pub(crate) const LOCAL: u32 = 10;
    pub(crate) const PEER: u32 = 11;
    pub(crate) const METHOD: u32 = 12;
    pub(crate) const PATH: u32 = 13;
    pub(crate) const AUTHORITY: u32 = 14;
    pub(crate) const PROTOCOL: u32 = 15;
    pub(crate) const STATUS: u32 = 16;
    pub(crate) const GRPC_STATUS: u32 = 17;
    pub(crate) const RESPONSE_FLAGS: u32 = 18;
    pub(crate) const RESPONSE_DETAILS: u32 = 19;
    pub(crate) const REQUEST_BYTES: u32 = 20;
    pub(crate) const RESPONSE_BYTES: u32 = 21;
    pub(crate) const REQUEST_ID: u32 = 22;
    pub(crate) const UPSTREAM: u32 = 23;
    pub(crate) const DYE: u32 = 24;
    pub(crate) const GRPC: u32 = 25;
    pub(crate) const DIRECT_LOCAL: u32 = 26;
    pub(crate) const DIRECT_PEER: u32 = 27;
    pub(crate) const TLS_HANDSHAKE_NS: u32 = 28;
    pub(crate) const LINKS: u32 = 29;
    pub(crate) const BAGGAGE: u32 = 30;
    pub(crate) const ROUTE: u32 = 31;
    pub(crate) const MARK: u32 = 32;
    pub(crate) const TCP_SESSION: u32 = 33;
    pub(crate) const SERVER_NAME: u32 = 34;
    pub(crate) const HEADERS: u32 = 35;
    pub(crate) const HEAD_NS: u32 = 36;
    pub(crate) const DIRECT: u32 = 37;
}

/// Fields of `Upstream`.
pub(crate) mod upstream {
    pub(crate) const LOCAL: u32 = 1;
    pub(crate) const PEER: u32 = 2;
    pub(crate) const CLUSTER: u32 = 3;
    pub(crate) const POOL_WAIT_NS: u32 = 4;
    pub(crate) const ATTEMPTS: u32 = 5;
    pub(crate) const FAILURE: u32 = 6;
    pub(crate) const FIRST_BYTE_NS: u32 = 7;
}

/// Fields of `Link`.
pub(crate) mod link {
    pub(crate) const TRACE_ID: u32 = 1;
    pub(crate) const SPAN_ID: u32 = 2;
    pub(crate) const KIND: u32 = 3;
}

/// Fields of `Mark`.
pub(crate) mod mark {
    pub(crate) const REASON: u32 = 1;
    pub(crate) const AT_UNIX_NS: u32 = 2;
}

/// Fields of `Header`.
pub(crate) mod header {
    pub(crate) const NAME: u32 = 1;
    pub(crate) const VALUE: u32 = 2;
    pub(crate) const RESPONSE: u32 = 3;
}

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH: u32 = 2;

/// A message, as far as it is written. Fields may come in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message(Vec<u8>);

// === impl Message ===

impl Message {
    /// Returns a message for which `bytes` are likely enough.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Writes into a buffer that was used before.
    pub(crate) fn reusing(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self(buffer)
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// Writes a number or a choice, unless it is 0.
    pub(crate) fn uint(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.some_uint(field, Some(value));
        }
    }

    /// Writes a number that may be 0, if there is one.
    pub(crate) fn some_uint(&mut self, field: u32, value: Option<u64>) {
        if let Some(value) = value {
            self.tag(field, VARINT);
            self.varint(value);
        }
    }

    pub(crate) fn bool(&mut self, field: u32, value: bool) {
        self.uint(field, value.into());
    }

    pub(crate) fn fixed64(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.tag(field, FIXED64);
            self.0.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// Writes bytes, unless there are none.
    pub(crate) fn bytes(&mut self, field: u32, value: &[u8]) {
        if !value.is_empty() {
            self.length(field, value.len());
            self.0.extend_from_slice(value);
        }
    }

    /// Writes at most `limit` bytes of text; what is longer is cut, what is not UTF-8 is replaced.
    pub(crate) fn text(&mut self, field: u32, value: &[u8], limit: usize) {
        if value.len() <= limit && str::from_utf8(value).is_ok() {
            self.bytes(field, value);
        } else {
            self.bytes(field, text(value, limit).as_bytes());
        }
    }

    /// Writes a message, also an empty one.
    pub(crate) fn message(&mut self, field: u32, message: &Self) {
        self.length(field, message.len());
        self.append(message);
    }

    /// Writes the fields of another message.
    pub(crate) fn append(&mut self, message: &Self) {
        self.0.extend_from_slice(&message.0);
    }

    /// Begins a field of `len` bytes, which the caller writes.
    pub(crate) fn length(&mut self, field: u32, len: usize) {
        self.tag(field, LENGTH);
        self.varint(u64::try_from(len).unwrap_or(u64::MAX));
    }

    fn tag(&mut self, field: u32, kind: u32) {
        self.varint((field << 3 | kind).into());
    }

    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            let [low, ..] = value.to_le_bytes();
            self.0.push(low | 0x80);
            value >>= 7;
        }
        let [low, ..] = value.to_le_bytes();
        self.0.push(low);
    }
}

/// Returns how many bytes a length takes.
pub(crate) const fn varint_len(mut value: usize) -> usize {
    let mut len = 1;
    while value > 0x7f {
        value >>= 7;
        len += 1;
    }
    len
}

/// Returns text of at most `limit` bytes; what is longer is cut, what is not UTF-8 is replaced.
pub(crate) fn text(value: &[u8], limit: usize) -> Cow<'_, str> {
    let head = value.get(..limit).unwrap_or(value);
    let mut text = String::from_utf8_lossy(head);
    while text.len() > limit {
        text.to_mut().pop();
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;
    use syntrace_proto::{Endpoint, Mark};

    use super::*;

    #[test]
    fn text_keeps_its_bound_whatever_its_bytes_are() {
        assert_eq!(text(b"abc", 2), "ab");
        assert_eq!(text("\u{e9}\u{e9}".as_bytes(), 3), "\u{e9}");
        assert_eq!(text(&[0xff; 4], 4), "\u{fffd}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_prost_writes(address: Vec<u8>, port: u32, at: u64, reason: Vec<u8>) {
            let mut message = Message::default();
            message.bytes(endpoint::ADDRESS, &address);
            message.uint(endpoint::PORT, port.into());
            prop_assert_eq!(message.into_bytes(), Endpoint { address, port }.encode_to_vec());
            let mut message = Message::default();
            message.text(mark::REASON, &reason, 64);
            message.fixed64(mark::AT_UNIX_NS, at);
            let read = Mark::decode(&message.into_bytes()[..]).unwrap();
            prop_assert_eq!((read.reason, read.at_unix_ns), (text(&reason, 64).into_owned(), at));
        }

        #[test]
        fn a_length_takes_as_many_bytes_as_it_says(len in 0_usize..0x1000_0000) {
            let mut message = Message::default();
            message.varint(len as u64);
            prop_assert_eq!(message.len(), varint_len(len));
        }
    }
}
