//! SipHash (Aumasson and Bernstein, 2012) over whole 64-bit words.
//!
//! Whole words only: every message here is built of `u64`s, and the verifier likes fixed loops.

use core::hint::black_box;

use crate::wide::Wide;

/// Returns the SipHash-2-4 of `message`, each word read as 8 little-endian bytes, under `key`.
#[inline]
#[must_use]
pub fn siphash24<const N: usize>(key: Wide, message: [u64; N]) -> u64 {
    apart::<2, 4, N>(key, message)
}

/// Returns the SipHash-1-3 in the same way: unguessable, as what hash tables need, for half of the
/// work. No MAC.
#[inline(always)]
#[must_use]
pub fn siphash13<const N: usize>(key: Wide, message: [u64; N]) -> u64 {
    hash::<1, 3, N>(key, message)
}

#[cold]
#[inline(never)]
fn apart<const C: u32, const D: u32, const N: usize>(key: Wide, message: [u64; N]) -> u64 {
    hash::<C, D, N>(key, message)
}

#[inline(always)]
fn hash<const C: u32, const D: u32, const N: usize>(key: Wide, message: [u64; N]) -> u64 {
    let mut state = State::<C, D>::under(key);
    state.absorb_all(message);
    state.v2 ^= 0xff;
    state.squeeze()
}

/// The state, of which `C` rounds take a word in, and `D` give a word out.
struct State<const C: u32, const D: u32> {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl<const C: u32, const D: u32> State<C, D> {
    #[inline]
    fn under(key: Wide) -> Self {
        let [low, high] = key.0.map(u64::from_le);
        Self {
            v0: low ^ 0x736f_6d65_7073_6575,
            v1: high ^ 0x646f_7261_6e64_6f6d,
            v2: low ^ 0x6c79_6765_6e65_7261,
            v3: high ^ 0x7465_6462_7974_6573,
        }
    }

    #[inline]
    fn absorb_all<const N: usize>(&mut self, message: [u64; N]) {
        for word in message {
            self.absorb(word);
        }
        // The last block: the message's length in bytes, modulo 256, in the top byte.
        self.absorb((N as u64 * 8) << 56);
    }

    /// A loop, whose bound the compiler does not see: what a program's run costs is in good part to fetch its
    /// code. The kernel's verifier knows the bound.
    #[inline]
    fn squeeze(&mut self) -> u64 {
        for _ in 0..black_box(u64::from(D)) {
            self.round();
        }
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }

    #[inline]
    fn absorb(&mut self, word: u64) {
        self.v3 ^= word;
        for _ in 0..C {
            self.round();
        }
        self.v0 ^= word;
    }

    #[inline]
    const fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v2 = self.v2.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `vectors_sip64` of the reference implementation, for its messages 00, 01, 02, ... of 0, 8
    /// and 16 bytes under the key 00 01 .. 0f.
    #[test]
    fn the_reference_vectors_hold() {
        let key = core::array::from_fn(|at| at as u8);
        let words = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let empty = [0x31, 0x0e, 0x0e, 0xdd, 0x47, 0xdb, 0x6f, 0x72];
        let eight = [0x62, 0x24, 0x93, 0x9a, 0x79, 0xf5, 0xf5, 0x93];
        let sixteen = [0xdb, 0x9b, 0xc2, 0x57, 0x7f, 0xcc, 0x2a, 0x3f];
        assert_eq!(siphash24(Wide::from_bytes(key), []).to_le_bytes(), empty);
        assert_eq!(
            siphash24(Wide::from_bytes(key), [words[0]]).to_le_bytes(),
            eight
        );
        assert_eq!(
            siphash24(Wide::from_bytes(key), words).to_le_bytes(),
            sixteen
        );
    }

    #[test]
    fn with_fewer_rounds_it_is_the_standard_librarys() {
        extern crate std;
        use std::hash::{DefaultHasher, Hasher as _};

        let mut hasher = DefaultHasher::new();
        hasher.write(&7_u64.to_le_bytes());
        hasher.write(&8_u64.to_le_bytes());
        assert_eq!(siphash13(Wide::ZERO, [7, 8]), hasher.finish());
    }
}
