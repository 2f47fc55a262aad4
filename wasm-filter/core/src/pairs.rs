//! The form in which the proxy-wasm ABI passes header lines and lists: a count, the lengths of each name
//! and value, then the bytes, each followed by a zero.

/// Reads pairs in place, in order; bytes that are not of the form end it early.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a> {
    lengths: &'a [[u8; 8]],
    bytes: &'a [u8],
}

// === impl Pairs ===

impl<'a> Pairs<'a> {
    /// Returns the pairs in `buffer`; none if it is not of the form.
    #[must_use]
    pub fn new(buffer: &'a [u8]) -> Self {
        Self::try_new(buffer).unwrap_or(Self {
            lengths: &[],
            bytes: &[],
        })
    }

    fn try_new(buffer: &'a [u8]) -> Option<Self> {
        let (count, rest) = buffer.split_first_chunk::<4>()?;
        let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
        let (lengths, bytes) = rest.split_at_checked(count.checked_mul(8)?)?;
        let (lengths, _) = lengths.as_chunks();
        Some(Self { lengths, bytes })
    }

    fn take(&mut self, length: [u8; 4]) -> Option<&'a [u8]> {
        let length = usize::try_from(u32::from_le_bytes(length)).ok()?;
        let (taken, rest) = self.bytes.split_at_checked(length)?;
        let (_zero, rest) = rest.split_first()?;
        self.bytes = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[a, b, c, d, e, f, g, h], lengths) = self.lengths.split_first()?;
        self.lengths = lengths;
        let name = self.take([a, b, c, d])?;
        let value = self.take([e, f, g, h])?;
        Some((name, value))
    }
}

/// Writes pairs; a count or a length beyond 32 bits is none that the ABI can pass, and cut.
#[must_use]
pub fn write(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
    let length = |len: usize| u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
    let mut buffer = length(pairs.len()).to_vec();
    for (name, value) in pairs {
        buffer.extend(length(name.len()));
        buffer.extend(length(value.len()));
    }
    for (name, value) in pairs {
        for part in [name, value] {
            buffer.extend_from_slice(part);
            buffer.push(0);
        }
    }
    buffer
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_list_as_envoy_writes_it_is_read() {
        let buffer = [
            2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, b'a', b'b', 0, 0, b'c', 0,
            0,
        ];
        let values: Vec<_> = Pairs::new(&buffer).map(|(value, _)| value).collect();
        assert_eq!(values, [&b"ab"[..], b"c"]);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(pairs: Vec<(Vec<u8>, Vec<u8>)>) {
            let pairs: Vec<_> = pairs.iter().map(|(name, value)| (&name[..], &value[..])).collect();
            let buffer = write(&pairs);
            prop_assert_eq!(Pairs::new(&buffer).collect::<Vec<_>>(), pairs);
        }

        #[test]
        fn no_bytes_break_the_reader(buffer: Vec<u8>) {
            prop_assert!(Pairs::new(&buffer).count() <= buffer.len());
        }
    }
}
