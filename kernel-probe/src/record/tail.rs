//! The end of a recording that was cut off while it was written: by a full disk, or a crash.
//!
//! Told from damage by its shape alone: it begins as a batch does, and lacks nothing but its end.

use bytes::Buf as _;
use prost::encoding::{WireType, decode_key, decode_varint};

/// The longest varint, in bytes.
const LONGEST_VARINT: usize = 10;

/// The highest number of a field in `syntrace.v1.Batch`.
const FIELDS: u32 = 6;

/// Returns whether `rest` is the beginning of a batch behind its length.
pub(super) fn is_cut_off(mut rest: &[u8]) -> bool {
    if is_begun_varint(rest) {
        return true;
    }
    let Ok(length) = decode_varint(&mut rest) else {
        return false;
    };
    (rest.len() as u64) < length && is_begun_batch(rest)
}

/// Returns whether `body` is some whole fields of a batch, and maybe the beginning of another.
fn is_begun_batch(mut body: &[u8]) -> bool {
    while !body.is_empty() && !is_begun_varint(body) {
        let Ok((field @ 1..=FIELDS, form)) = decode_key(&mut body) else {
            return false;
        };
        let expected = match field {
            2 | 4 | 5 => WireType::LengthDelimited,
            _ => WireType::Varint,
        };
        if form != expected {
            return false;
        }
        if is_begun_varint(body) {
            return true;
        }
        let Ok(number) = decode_varint(&mut body) else {
            return false;
        };
        if form == WireType::LengthDelimited {
            match usize::try_from(number) {
                Ok(length) if length <= body.len() => body.advance(length),
                // The end of this field is cut off.
                Ok(_) | Err(_) => return true,
            }
        }
    }
    true
}

/// Returns whether `bytes` are a varint that goes on behind their end.
fn is_begun_varint(bytes: &[u8]) -> bool {
    bytes.len() < LONGEST_VARINT && bytes.iter().all(|byte| byte & 0x80 != 0)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use syntrace_proto::{Batch, Clock, Fact, Loss, Sender, fact::Body};

    use super::*;

    #[test]
    fn every_beginning_of_a_batch_is_one_that_was_cut_off() {
        let clock = Clock {
            boot_ns: 1,
            unix_ns: 1 << 60,
        };
        let fact = Fact {
            body: Some(Body::Clock(clock)),
        };
        let batch = Batch {
            schema: 1,
            sender: Some(Sender {
                name: "probe".to_owned(),
                epoch: 7,
                host_id: String::new(),
            }),
            first_seq: 300,
            facts: vec![fact; 20],
            losses: vec![Loss {
                cause: "ring_full".to_owned(),
                count: 1,
            }],
            goodbye: true,
        };
        let whole = batch.encode_length_delimited_to_vec();
        for length in 1..whole.len() {
            assert!(is_cut_off(&whole[..length]), "{length}");
        }
        assert!(!is_cut_off(&whole));
    }

    #[test]
    fn what_does_not_begin_as_a_batch_was_not_cut_off() {
        for damage in [b"something else".as_slice(), b"\x7f\x00", b"\x7f\x3a\x01"] {
            assert!(!is_cut_off(damage), "{damage:?}");
        }
    }
}
