//! The layout of a segment: a head, then entries, each with its position and two checksums.
//!
//! All integers are little-endian. An entry's head can be checked by itself: so a damaged batch is stepped
//! over by its length, and behind a damaged head the next whole entry is looked for, byte by byte. It says
//! by its position how many are missing. What no whole entry follows is a write that was torn.
//!
//! | head | bytes | entry | bytes |
//! | --- | --- | --- | --- |
//! | `SYNTLOG` and the version, 2 | 8 | length of the batch | 4 |
//! | boot id | 16 | CRC-32 of the batch | 4 |
//! | position of the first entry | 8 | `CLOCK_BOOTTIME` of its arrival, ns | 8 |
//! | CRC-32 of the above | 4 | position | 8 |
//! | | | CRC-32 of the above | 4 |
//! | | | the batch as it was received | length |
//!
//! Layout 1 is read too. Its entries have one checksum, behind the length, of all that follows, and no
//! position: they are counted, and end where one is not whole.

use syntrace_model::{BootId, BootNanos};

use super::Position;

/// Length of a segment's head, bytes.
pub(crate) const HEAD_LEN: usize = 8 + 16 + 8 + 4;

/// Length of an entry without its batch, bytes.
pub(crate) const ENTRY_LEN: usize = 4 + 4 + 8 + 8 + 4;

/// Longest batch of an entry; a longer one is damage.
const BATCH_MAX: usize = 64 << 20;

const MAGIC: [u8; 7] = *b"SYNTLOG";

const VERSION: u8 = 2;

/// The layout of the entries in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// As of version 1.
    Counted,
    /// As of this version.
    Numbered,
}

/// The head of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The run of the kernel whose times the entries have.
    pub(crate) boot: BootId,
    /// Of its first entry.
    pub(crate) first: Position,
}

/// Why a segment's head cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadError {
    /// It is not whole.
    #[error("the head of a segment is damaged")]
    Damaged,
    /// A newer bridge wrote it.
    #[error("a segment has the layout {0} of a newer bridge; this one knows those up to {VERSION}")]
    Version(u8),
}

/// One entry of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// Where it stands.
    pub(crate) position: Position,
    /// When it arrived.
    pub(crate) at: BootNanos,
    /// The batch as it was received; absent if it is damaged.
    pub(crate) batch: Option<&'a [u8]>,
}

/// The entries of a segment, over whatever is damaged between them.
#[derive(Debug)]
pub(crate) struct Frames<'a> {
    layout: Layout,
    rest: &'a [u8],
    next: Position,
    skipped: usize,
}

/// Returns the head as bytes.
pub(crate) fn head(head: Head) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_LEN);
    bytes.extend_from_slice(&MAGIC);
    bytes.push(VERSION);
    bytes.extend_from_slice(&head.boot.0);
    bytes.extend_from_slice(&head.first.0.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// Takes the head off the front, whole or not.
///
/// # Errors
///
/// [`HeadError`].
pub(crate) fn take_head(bytes: &mut &[u8]) -> Result<(Head, Layout), HeadError> {
    let whole = bytes.split_off(..HEAD_LEN);
    try_head(whole.unwrap_or_default()).unwrap_or(Err(HeadError::Damaged))
}

fn try_head(whole: &[u8]) -> Option<Result<(Head, Layout), HeadError>> {
    let (mut said, checksum) = whole.split_last_chunk::<4>()?;
    if crc32fast::hash(said) != u32::from_le_bytes(*checksum) || take(&mut said)? != MAGIC {
        return None;
    }
    let [version] = take(&mut said)?;
    let layout = match version {
        1 => Layout::Counted,
        VERSION => Layout::Numbered,
        _ => return Some(Err(HeadError::Version(version))),
    };
    let head = Head {
        boot: BootId(take(&mut said)?),
        first: Position(u64::from_le_bytes(take(&mut said)?)),
    };
    Some(Ok((head, layout)))
}

/// Appends an entry, which is whole when it is numbered.
pub(crate) fn put(at: BootNanos, batch: &[u8], to: &mut Vec<u8>) {
    // The bound on bodies is far below; a longer one would be read as damage.
    let length = u32::try_from(batch.len()).unwrap_or(u32::MAX);
    to.extend_from_slice(&length.to_le_bytes());
    to.extend_from_slice(&crc32fast::hash(batch).to_le_bytes());
    to.extend_from_slice(&at.0.to_le_bytes());
    to.extend_from_slice(&[0; 8 + 4]);
    to.extend_from_slice(batch);
}

/// Numbers the entries that were put behind each other.
pub(crate) fn number(mut entries: &mut [u8], first: Position) {
    let mut position = first;
    while let Some((head, rest)) = entries.split_first_chunk_mut::<ENTRY_LEN>()
        && let (said, checksum) = head.split_at_mut(ENTRY_LEN - 4)
        && let Some(length) = said.first_chunk().copied()
        && let Some(number) = said.last_chunk_mut()
    {
        *number = position.0.to_le_bytes();
        checksum.copy_from_slice(&crc32fast::hash(said).to_le_bytes());
        position = position.after();
        let length = u32::from_le_bytes(length) as usize;
        entries = rest.get_mut(length..).unwrap_or_default();
    }
}

// === impl Frames ===

impl<'a> Frames<'a> {
    /// Returns the entries after a head; the first has position `first`.
    pub(crate) const fn new(bytes: &'a [u8], first: Position, layout: Layout) -> Self {
        Self {
            layout,
            rest: bytes,
            next: first,
            skipped: 0,
        }
    }

    /// Returns the position after the last entry that was found.
    pub(crate) const fn end(&self) -> Position {
        self.next
    }

    /// Returns how many bytes belong to no whole entry, before the last that was found.
    pub(crate) const fn skipped(&self) -> usize {
        self.skipped
    }

    /// Returns what lies after the last entry that was found.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes an entry of layout 1 off the front, if it is whole.
    fn counted(&mut self) -> Option<Frame<'a>> {
        let mut rest = self.rest;
        let length = u32::from_le_bytes(take(&mut rest)?) as usize;
        let expected = u32::from_le_bytes(take(&mut rest)?);
        let checked = rest.get(..8 + length)?;
        let at = BootNanos(u64::from_le_bytes(take(&mut rest)?));
        let batch = rest.split_off(..length)?;
        if length == 0 || crc32fast::hash(checked) != expected {
            return None;
        }
        let position = self.next;
        self.next = position.after();
        self.rest = rest;
        Some(Frame {
            position,
            at,
            batch: Some(batch),
        })
    }

    /// Returns the entry at the front, and its length in bytes, if as many are missing as may be in what
    /// was skipped before it.
    fn front(&self, from: &'a [u8], skipped: usize) -> Option<(Frame<'a>, usize)> {
        let mut rest = from;
        let head = rest.split_off(..ENTRY_LEN)?;
        let (mut said, checksum) = head.split_last_chunk::<4>()?;
        let length = u32::from_le_bytes(take(&mut said)?) as usize;
        // Where the rest is looked through byte by byte, most of it ends here.
        if length == 0 || length > BATCH_MAX.min(rest.len()) {
            return None;
        }
        let expected = u32::from_le_bytes(take(&mut said)?);
        let at = BootNanos(u64::from_le_bytes(take(&mut said)?));
        let position = Position(u64::from_le_bytes(take(&mut said)?));
        let missing = position.0.checked_sub(self.next.0)?;
        if missing > (skipped / ENTRY_LEN) as u64
            || crc32fast::hash(head.get(..ENTRY_LEN - 4)?) != u32::from_le_bytes(*checksum)
        {
            return None;
        }
        let batch = rest.split_off(..length)?;
        let batch = (crc32fast::hash(batch) == expected).then_some(batch);
        let frame = Frame {
            position,
            at,
            batch,
        };
        Some((frame, ENTRY_LEN + length))
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        if self.layout == Layout::Counted {
            return self.counted();
        }
        let mut skipped = 0;
        while let Some(from) = self.rest.get(skipped..).filter(|from| !from.is_empty()) {
            let Some((frame, length)) = self.front(from, skipped) else {
                skipped += 1;
                continue;
            };
            let damaged = if frame.batch.is_none() { length } else { 0 };
            self.skipped += skipped + damaged;
            self.next = frame.position.after();
            self.rest = from.get(length..).unwrap_or_default();
            return Some(frame);
        }
        None
    }
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

    const BATCHES: [&[u8]; 4] = [b"one", b"two", b"three", b"four"];

    #[test]
    fn what_was_put_is_taken() {
        let bytes = [head(HEAD), entries()].concat();
        let mut rest = bytes.as_slice();
        assert_eq!(take_head(&mut rest), Ok((HEAD, Layout::Numbered)));
        let mut frames = frames(rest, 42);
        for (position, batch) in (42..).zip(BATCHES) {
            let frame = Frame {
                position: Position(position),
                at: BootNanos(9),
                batch: Some(batch),
            };
            assert_eq!(frames.next(), Some(frame));
        }
        assert_eq!(frames.next(), None);
        assert_eq!((frames.end(), frames.skipped()), (Position(46), 0));
        assert!(frames.rest().is_empty());
    }

    #[test]
    fn a_head_is_not_taken_when_any_byte_is_missing_or_another() {
        let whole = head(HEAD);
        for end in 0..whole.len() {
            let damaged = Err(HeadError::Damaged);
            assert_eq!(take_head(&mut &whole[..end]), damaged, "{end} bytes");
        }
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x40;
            let taken = take_head(&mut damaged.as_slice());
            assert_eq!(taken, Err(HeadError::Damaged), "byte {place}");
        }
    }

    #[test]
    fn a_whole_head_of_a_newer_layout_is_told_from_a_damaged_one() {
        let mut bytes = head(HEAD);
        bytes[7] = 3;
        let end = HEAD_LEN - 4;
        let checksum = crc32fast::hash(&bytes[..end]).to_le_bytes();
        bytes[end..].copy_from_slice(&checksum);
        assert_eq!(take_head(&mut bytes.as_slice()), Err(HeadError::Version(3)));
    }

    #[test]
    fn whichever_byte_is_another_only_its_entry_is_missing_and_it_is_known_which() {
        let whole = entries();
        let ends = [31, 62, 95, 127];
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x40;
            let hit = ends.iter().position(|&end| place < end).unwrap();
            let mut frames = frames(&damaged, 42);
            let whole: Vec<_> = frames
                .by_ref()
                .filter(|frame| frame.batch.is_some())
                .collect();
            let expected = (42..).zip(BATCHES).enumerate();
            let expected: Vec<_> = expected
                .filter(|(index, _)| *index != hit)
                .map(|(_, (position, batch))| (Position(position), Some(batch)))
                .collect();
            let found: Vec<_> = whole
                .iter()
                .map(|frame| (frame.position, frame.batch))
                .collect();
            assert_eq!(found, expected, "byte {place}");
            // Of a last entry whose head is damaged nobody can say that it was one.
            let is_torn = (95..95 + ENTRY_LEN).contains(&place);
            let end = if is_torn { 45 } else { 46 };
            assert_eq!(frames.end(), Position(end), "byte {place}");
            assert_eq!(frames.rest().is_empty(), !is_torn, "byte {place}");
        }
    }

    #[test]
    fn a_tail_that_was_cut_off_anywhere_is_no_entry() {
        let whole = entries();
        for end in 95..whole.len() {
            let mut frames = frames(&whole[..end], 42);
            assert_eq!(frames.by_ref().count(), 3, "{end} bytes");
            assert_eq!(frames.rest().len(), end - 95);
        }
    }

    #[test]
    fn an_entry_that_says_it_stands_where_it_cannot_is_none() {
        let mut bytes = vec![0xa5; 10];
        bytes.append(&mut entries());
        assert_eq!(frames(&bytes, 41).count(), 0, "one is missing in 10 bytes");
        assert_eq!(frames(&bytes, 43).count(), 3, "it came before");
        assert_eq!(frames(&bytes, 42).count(), 4);
    }

    #[test]
    fn zeros_are_neither_head_nor_entry() {
        assert_eq!(take_head(&mut [0; 64].as_slice()), Err(HeadError::Damaged));
        assert_eq!(frames(&[0; 64], 0).count(), 0);
    }

    fn frames(bytes: &[u8], first: u64) -> Frames<'_> {
        Frames::new(bytes, Position(first), Layout::Numbered)
    }

    fn entries() -> Vec<u8> {
        let mut bytes = Vec::new();
        for batch in BATCHES {
            put(BootNanos(9), batch, &mut bytes);
        }
        number(&mut bytes, HEAD.first);
        bytes
    }
}
