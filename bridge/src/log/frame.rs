//! The layout of a segment: a head, then entries, each with its length and checksum.
//!
//! All integers are little-endian. A checksum that does not fit ends what can be read: a write that was
//! cut off is told from a whole one, and so is a damaged one.
//!
//! | head | bytes | entry | bytes |
//! | --- | --- | --- | --- |
//! | `SYNTLOG` and the version, 1 | 8 | length of the batch | 4 |
//! | boot id | 16 | CRC-32 of what follows | 4 |
//! | position of the first entry | 8 | `CLOCK_BOOTTIME` of its arrival, ns | 8 |
//! | CRC-32 of the above | 4 | the batch as it was received | length |

use syntrace_model::{BootId, BootNanos};

use super::Position;

/// Length of a segment's head, bytes.
pub(crate) const HEAD_LEN: usize = 8 + 16 + 8 + 4;

/// Length of an entry without its batch, bytes.
pub(crate) const ENTRY_LEN: usize = 4 + 4 + 8;

/// Longest batch of an entry; a longer one is damage.
const BATCH_MAX: usize = 64 << 20;

const MAGIC: [u8; 8] = *b"SYNTLOG\x01";

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The run of the kernel whose times the entries have.
    pub(crate) boot: BootId,
    /// Of its first entry.
    pub(crate) first: Position,
}

/// One entry as it lies in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// When it arrived.
    pub(crate) at: BootNanos,
    /// The batch as it was received.
    pub(crate) batch: &'a [u8],
}

/// Returns the head as bytes.
pub(crate) fn head(head: Head) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_LEN);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&head.boot.0);
    bytes.extend_from_slice(&head.first.0.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// Takes the head off the front; `None` if it is not whole.
pub(crate) fn take_head(bytes: &mut &[u8]) -> Option<Head> {
    let whole = bytes.split_off(..HEAD_LEN)?;
    let (mut said, checksum) = whole.split_last_chunk::<4>()?;
    if crc32fast::hash(said) != u32::from_le_bytes(*checksum) || take::<8>(&mut said)? != MAGIC {
        return None;
    }
    Some(Head {
        boot: BootId(take(&mut said)?),
        first: Position(u64::from_le_bytes(take(&mut said)?)),
    })
}

/// Appends an entry.
pub(crate) fn put(frame: Frame<'_>, to: &mut Vec<u8>) {
    // The bound on bodies is far below; a longer one would be read as damage.
    let length = u32::try_from(frame.batch.len()).unwrap_or(u32::MAX);
    let at = frame.at.0.to_le_bytes();
    to.extend_from_slice(&length.to_le_bytes());
    to.extend_from_slice(&checksum(&at, frame.batch).to_le_bytes());
    to.extend_from_slice(&at);
    to.extend_from_slice(frame.batch);
}

/// Takes an entry off the front; `None` if it is not whole.
pub(crate) fn take_entry<'a>(bytes: &mut &'a [u8]) -> Option<Frame<'a>> {
    let mut rest = *bytes;
    let length = u32::from_le_bytes(take(&mut rest)?) as usize;
    let expected = u32::from_le_bytes(take(&mut rest)?);
    let at = take::<8>(&mut rest)?;
    let batch = rest.split_off(..length)?;
    if length == 0 || length > BATCH_MAX || checksum(&at, batch) != expected {
        return None;
    }
    *bytes = rest;
    Some(Frame {
        at: BootNanos(u64::from_le_bytes(at)),
        batch,
    })
}

fn checksum(at: &[u8], batch: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(at);
    hasher.update(batch);
    hasher.finalize()
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    bytes.split_off(..N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Head = Head {
        boot: BootId([7; 16]),
        first: Position(42),
    };

    #[test]
    fn what_was_put_is_taken() {
        let mut bytes = head(HEAD);
        put(frame(1, b"one"), &mut bytes);
        put(frame(2, b"two"), &mut bytes);
        let mut rest = bytes.as_slice();
        assert_eq!(take_head(&mut rest), Some(HEAD));
        assert_eq!(take_entry(&mut rest), Some(frame(1, b"one")));
        assert_eq!(take_entry(&mut rest), Some(frame(2, b"two")));
        assert!(rest.is_empty());
    }

    #[test]
    fn an_entry_is_not_taken_when_any_byte_is_missing_or_another() {
        let mut whole = Vec::new();
        put(frame(1, b"one"), &mut whole);
        for end in 0..whole.len() {
            assert_eq!(take_entry(&mut &whole[..end]), None, "{end} bytes");
        }
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x40;
            assert_eq!(take_entry(&mut damaged.as_slice()), None, "byte {place}");
        }
    }

    #[test]
    fn zeros_are_neither_head_nor_entry() {
        assert_eq!(take_head(&mut [0; 64].as_slice()), None);
        assert_eq!(take_entry(&mut [0; 64].as_slice()), None);
    }

    fn frame(at: u64, batch: &[u8]) -> Frame<'_> {
        Frame {
            at: BootNanos(at),
            batch,
        }
    }
}
