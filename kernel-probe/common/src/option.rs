//! The tag as a TCP option: kind, length, ExID, trace id.
//!
//! Kind 253 is for experiments (RFC 4727); RFC 6994 asks for an ExID behind the length, which is
//! also the version of this format. 20 bytes are what a default Linux SYN leaves free.

/// TCP option kind of the shared experiment (RFC 6994).
pub const KIND: u8 = 253;

/// Tells our experiment, and this format of the tag, from others of the same kind.
pub const EX_ID: [u8; 2] = *b"SY";

/// Length of the whole option, in bytes.
pub const TAG_OPTION_LEN: usize = 20;

/// What `bpf_load_hdr_opt` searches for: kind, length of the search, ExID.
pub const SEARCH: [u8; 4] = [KIND, 4, EX_ID[0], EX_ID[1]];

/// Returns the option that carries `id`.
#[inline]
#[must_use]
pub const fn encode_tag(id: [u8; 16]) -> [u8; TAG_OPTION_LEN] {
    let mut option = [0; TAG_OPTION_LEN];
    let (head, tail) = option.split_at_mut(4);
    head.copy_from_slice(&[KIND, TAG_OPTION_LEN as u8, EX_ID[0], EX_ID[1]]);
    tail.copy_from_slice(&id);
    option
}

/// Returns the id that `option` carries; `None` unless it is exactly of this format.
///
/// An id of all zero is none (W3C Trace Context forbids it).
#[inline]
#[must_use]
pub fn decode_tag(option: &[u8; TAG_OPTION_LEN]) -> Option<[u8; 16]> {
    let ([kind, length, ex_0, ex_1], id) = option.split_first_chunk()?;
    let ours = *kind == KIND && *length == TAG_OPTION_LEN as u8 && [*ex_0, *ex_1] == EX_ID;
    let id: [u8; 16] = *id.first_chunk()?;
    (ours && u128::from_ne_bytes(id) != 0).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u8; 16] = *b"0123456789abcdef";

    #[test]
    fn an_id_survives_the_option() {
        assert_eq!(decode_tag(&encode_tag(ID)), Some(ID));
    }

    #[test]
    fn another_kind_length_or_experiment_carries_no_tag() {
        for at in 0..4 {
            let mut option = encode_tag(ID);
            option[at] ^= 1;
            assert_eq!(decode_tag(&option), None, "byte {at}");
        }
    }

    #[test]
    fn an_id_of_all_zero_is_no_tag() {
        assert_eq!(decode_tag(&encode_tag([0; 16])), None);
    }
}
