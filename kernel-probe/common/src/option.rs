//! The tag as a TCP option: kind, length, ExID, trace id.
//!
//! Kind 253 is for experiments (RFC 4727); RFC 6994 asks for an ExID behind the length, which is
//! also the version of this format. 20 bytes are what a default Linux SYN leaves free.

use crate::wide::Wide;

/// TCP option kind of the shared experiment (RFC 6994).
pub const KIND: u8 = 253;

/// Tells our experiment, and this format of the tag, from others of the same kind.
pub const EX_ID: [u8; 2] = *b"SY";

/// Tells the option that asks for the tag again, of the same kind, and without anything behind this.
const EX_ID_AGAIN: [u8; 2] = *b"SA";

/// Length of the whole option, in bytes.
pub const TAG_OPTION_LEN: usize = 20;

/// The option in words, as it lies in memory: eBPF would go over bytes one by one.
pub type OptionWords = [u32; TAG_OPTION_LEN / 4];

/// What `bpf_load_hdr_opt` searches for, with room for what it finds: kind, length of the search,
/// ExID.
pub const SEARCH: OptionWords = [head(EX_ID, 4), 0, 0, 0, 0];

/// Asks for the tag again: the whole option, and what `bpf_load_hdr_opt` searches for.
///
/// A SYN cookie is all that a host keeps of a SYN, and it has no room for an id.
pub const ASK: u32 = head(EX_ID_AGAIN, size_of::<u32>() as u8);

/// The first word of an option that carries a tag.
pub const TAG_HEAD: u32 = head(EX_ID, TAG_OPTION_LEN as u8);

/// Returns the option that carries `id`.
#[inline]
#[must_use]
pub const fn encode_tag(id: Wide) -> OptionWords {
    let [first, second, third, fourth] = id.split();
    [TAG_HEAD, first, second, third, fourth]
}

/// Returns the id that `option` carries; `None` unless it is exactly of this format.
///
/// An id of all zero is none (W3C Trace Context forbids it).
#[inline]
#[must_use]
pub const fn decode_tag(option: OptionWords) -> Option<Wide> {
    let [found, first, second, third, fourth] = option;
    let id = Wide::join([first, second, third, fourth]);
    if found != TAG_HEAD || id.is_zero() {
        return None;
    }
    Some(id)
}

/// The longest TCP header, in bytes (RFC 9293, data offset 15).
pub const TCP_HEADER_LEN: usize = 60;

/// Bytes of a TCP header without options.
const PLAIN_HEADER_LEN: usize = 20;

const END_OF_LIST: u8 = 0;
const NO_OPERATION: u8 = 1;

/// An option of the tag's kind that is no tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// Ours by its ExID, of another length or without an id.
    Malformed,
    /// Of another experiment.
    OfOthers,
}

/// Returns what stands in the place of a tag in `header`, a TCP header with zeros behind it, that
/// holds no tag.
#[inline]
#[must_use]
pub fn stranger(header: &[u8; TCP_HEADER_LEN]) -> Option<Stranger> {
    let mut at = PLAIN_HEADER_LEN;
    // Each option takes a byte at least.
    for _ in PLAIN_HEADER_LEN..TCP_HEADER_LEN {
        let (&kind, &length) = (header.get(at)?, header.get(at + 1)?);
        if kind == KIND {
            let is_ours = EX_ID == [*header.get(at + 2)?, *header.get(at + 3)?];
            return Some(if is_ours {
                Stranger::Malformed
            } else {
                Stranger::OfOthers
            });
        }
        at += match kind {
            END_OF_LIST => return None,
            NO_OPERATION => 1,
            _ => usize::from(length).max(1),
        };
    }
    None
}

/// Returns the first word of an option of ours: kind, length, ExID.
const fn head(ex_id: [u8; 2], length: u8) -> u32 {
    let [first, second] = ex_id;
    u32::from_ne_bytes([KIND, length, first, second])
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Wide = Wide::from_bytes(*b"0123456789abcdef");

    #[test]
    fn an_id_survives_the_option() {
        assert_eq!(decode_tag(encode_tag(ID)), Some(ID));
    }

    #[test]
    fn the_option_lies_in_memory_as_it_goes_over_the_wire() {
        let mut bytes = [0; TAG_OPTION_LEN];
        for (bytes, word) in bytes.chunks_mut(4).zip(encode_tag(ID)) {
            bytes.copy_from_slice(&word.to_ne_bytes());
        }
        assert_eq!(bytes[..4], [253, 20, b'S', b'Y']);
        assert_eq!(bytes[4..], ID.to_bytes());
    }

    #[test]
    fn who_asks_again_sends_no_tag() {
        assert_eq!(ASK.to_ne_bytes(), [253, 4, b'S', b'A']);
        assert_eq!(decode_tag([ASK, 1, 2, 3, 4]), None);
    }

    #[test]
    fn another_kind_length_or_experiment_carries_no_tag() {
        for at in 0..4 {
            let mut option = encode_tag(ID);
            option[0] ^= 1 << (8 * at);
            assert_eq!(decode_tag(option), None, "byte {at}");
        }
    }

    #[test]
    fn what_is_no_tag_is_told_apart_by_its_ex_id() {
        let table: [(&[u8], _); 8] = [
            (&[], None),
            (&[1, 1, 2, 4, 5, 180, 0], None),
            (&[253, 4, b'S', b'Y'], Some(Stranger::Malformed)),
            (&[1, 1, 253, 4, b'S', b'Y'], Some(Stranger::Malformed)),
            (
                &[2, 4, 5, 180, 253, 6, b'S', b'Z', 0, 0],
                Some(Stranger::OfOthers),
            ),
            (&[0, 253, 4, b'S', b'Y'], None),
            (&[254, 4, b'S', b'Y'], None),
            (&[2, 0, 5, 0, 253, 4], None),
        ];
        for (options, expected) in table {
            let mut header = [0xff; TCP_HEADER_LEN];
            header[PLAIN_HEADER_LEN..].fill(0);
            header[PLAIN_HEADER_LEN..][..options.len()].copy_from_slice(options);
            assert_eq!(stranger(&header), expected, "{options:?}");
        }
    }

    #[test]
    fn a_header_that_is_full_is_gone_through_to_its_end() {
        for length in 0..=255 {
            let mut header = [0; TCP_HEADER_LEN];
            for option in header.chunks_mut(2) {
                option.copy_from_slice(&[2, length]);
            }
            assert!(stranger(&header).is_none(), "{length}");
            header[TCP_HEADER_LEN - 4..].copy_from_slice(&[KIND, 4, EX_ID[0], EX_ID[1]]);
            let is_reached = length == 2 || length == 4;
            assert!(
                !is_reached || stranger(&header) == Some(Stranger::Malformed),
                "{length}"
            );
        }
    }

    #[test]
    fn an_id_of_all_zero_is_no_tag() {
        assert_eq!(decode_tag(encode_tag(Wide::ZERO)), None);
    }
}
