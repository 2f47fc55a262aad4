//! 16 bytes that the programs carry about: an address, or an id.

/// 16 bytes, in two words as they lie in memory: eBPF would go over bytes one by one.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wide(pub [u64; 2]);

impl Wide {
    /// All zero.
    pub const ZERO: Self = Self([0; 2]);

    /// Returns the same as bytes, in their order.
    #[inline]
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        let [first, second] = self.0;
        let [a, b, c, d, e, f, g, h] = first.to_ne_bytes();
        let [i, j, k, l, m, n, o, p] = second.to_ne_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }

    /// Returns these bytes as words.
    #[inline]
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
        Self([
            u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
            u64::from_ne_bytes([i, j, k, l, m, n, o, p]),
        ])
    }

    /// Joins four half words, in their order.
    #[inline]
    #[must_use]
    pub const fn join([a, b, c, d]: [u32; 4]) -> Self {
        Self([word(a, b), word(c, d)])
    }

    /// Returns the four half words.
    #[inline]
    #[must_use]
    pub const fn split(self) -> [u32; 4] {
        let [first, second] = self.0;
        let [a, b] = halves(first);
        let [c, d] = halves(second);
        [a, b, c, d]
    }

    /// Returns the IPv4-mapped IPv6 address (RFC 4291, section 2.5.5.2) of `address`, four bytes as
    /// they lie in memory.
    #[inline]
    #[must_use]
    pub const fn mapped(address: u32) -> Self {
        Self::join([0, 0, u32::from_ne_bytes([0, 0, 0xff, 0xff]), address])
    }

    /// Returns whether all is zero.
    #[inline]
    #[must_use]
    pub const fn is_zero(self) -> bool {
        let [first, second] = self.0;
        first | second == 0
    }
}

/// Returns the word in which `first` lies before `second`.
#[inline]
const fn word(first: u32, second: u32) -> u64 {
    if cfg!(target_endian = "little") {
        first as u64 | (second as u64) << 32
    } else {
        (first as u64) << 32 | second as u64
    }
}

#[inline]
const fn halves(word: u64) -> [u32; 2] {
    if cfg!(target_endian = "little") {
        [word as u32, (word >> 32) as u32]
    } else {
        [(word >> 32) as u32, word as u32]
    }
}

#[cfg(test)]
mod tests {
    use crate::address::mapped;

    use super::*;

    const BYTES: [u8; 16] = *b"0123456789abcdef";

    #[test]
    fn bytes_and_halves_keep_their_order() {
        let wide = Wide::from_bytes(BYTES);
        assert_eq!(wide.to_bytes(), BYTES);
        let halves = wide.split();
        assert_eq!(halves[1].to_ne_bytes(), *b"4567");
        assert_eq!(Wide::join(halves), wide);
    }

    #[test]
    fn an_ipv4_address_is_mapped_as_its_bytes_are() {
        let wide = Wide::mapped(u32::from_ne_bytes([192, 0, 2, 1]));
        assert_eq!(wide.to_bytes(), mapped([192, 0, 2, 1]));
    }

    #[test]
    fn only_zero_is_zero() {
        assert!(Wide::ZERO.is_zero());
        assert!(!Wide([0, 1]).is_zero());
    }
}
