//! Which tags were believed already: each is believed once.
//!
//! A Bloom filter for each of the last ticks, in words of which one holds all bits of a tag, so
//! that one compare-and-exchange decides. A signed tag names its tick, so it is looked for where it
//! was remembered, for as long as it is valid at all. Its word is the one that it counts, so that
//! tags which follow each other share a line of the processor's cache; who mints unsigned tags may
//! choose it, as it might choose what hashes to it. A tag may be taken for another that came before
//! (one of 10,000 at 500 a second, one of 100 at 5,000, of many hosts; less, of one), never the other way round.

use crate::{mint::count_of, wide::Wide};

/// Words for all ticks; a power of two.
pub const REPLAY_WORDS: u32 = TICKS << WORD_BITS;

/// Ticks that are remembered: a tag is valid for three.
const TICKS: u32 = 4;

const WORD_BITS: u32 = 16;

/// Bits of a word that stand for tags; the others say whose tick they are.
const FILTER_BITS: u32 = 48;

const FILTER_MASK: u64 = (1 << FILTER_BITS) - 1;

/// A tag, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Borne {
    /// Which word remembers it, below [`REPLAY_WORDS`].
    pub word: u32,
    stamp: u64,
    bits: u64,
}

impl Borne {
    /// Returns where `tag`, of this tick, is remembered.
    #[inline]
    #[must_use]
    pub const fn of(tag: Wide, tick: u64) -> Self {
        let [first, second] = tag.0;
        let folded = first ^ second;
        let mixed = folded.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self {
            word: (tick as u32 % TICKS) << WORD_BITS | count_of(tag) as u32,
            stamp: tick << FILTER_BITS,
            bits: bit(mixed) | bit(mixed >> 12) | bit(mixed >> 24) | bit(mixed >> 36),
        }
    }

    /// Returns the word to put in the place of `word`; `None` if it was borne before.
    #[inline]
    #[must_use]
    pub const fn remember(self, word: u64) -> Option<u64> {
        if word & !FILTER_MASK != self.stamp {
            return Some(self.stamp | self.bits);
        }
        if word & self.bits == self.bits {
            None
        } else {
            Some(word | self.bits)
        }
    }
}

/// Returns the bit of a filter that the lowest 12 bits of `mixed` choose.
#[inline]
const fn bit(mixed: u64) -> u64 {
    1 << (((mixed & 0xfff) * FILTER_BITS as u64) >> 12)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{vec, vec::Vec};

    use crate::{
        config::Config,
        mint::{TagOrigin, mint_tag},
        siphash::siphash24,
    };

    use super::*;

    #[test]
    fn a_tag_is_remembered_once() {
        let borne = Borne::of(Wide([7; 2]), 5);
        let word = borne.remember(0).unwrap();
        assert_eq!(borne.remember(word), None);
    }

    #[test]
    fn a_tag_is_remembered_as_long_as_it_is_valid() {
        let mut words = words();
        assert!(believe(&mut words, tag(1), 5));
        for later in 6..=8 {
            for number in 0..1000 {
                believe(&mut words, tag(1000 * later + number), later);
            }
            assert!(!believe(&mut words, tag(1), 5), "in tick {later}");
        }
    }

    #[test]
    fn an_old_tick_makes_room_for_a_new_one() {
        let mut words = words();
        for number in 0..10_000 {
            believe(&mut words, tag(number), 5);
        }
        let refused = (0..10_000).filter(|&number| !believe(&mut words, tag(number), 9));
        assert!(refused.count() < 10);
    }

    #[test]
    fn few_tags_are_taken_for_others() {
        let refused = |tags: u64| {
            let mut words = words();
            let refused = (0..tags).filter(|&number| !believe(&mut words, tag(number), 5));
            refused.count() as f64 / tags as f64
        };
        assert!(refused(500 * 69) < 0.0001);
        assert!(refused(5_000 * 69) < 0.01);
    }

    #[test]
    fn tags_that_follow_each_other_stand_side_by_side_and_are_taken_for_none() {
        let mut words = words();
        let config = Config {
            host_key: Wide([3; 2]),
            ..Config::EMPTY
        };
        let minted = |before| {
            let of = TagOrigin {
                syn_at: u64::from(before),
                processor: 3,
                before,
            };
            mint_tag(&config, of)
        };
        let word = |before| Borne::of(minted(before), 5).word & 0xffff;
        for before in 0..1 << WORD_BITS {
            assert_eq!(word(before + 1), (word(before) + 1) & 0xffff);
            assert!(believe(&mut words, minted(before), 5), "{before}");
            assert!(!believe(&mut words, minted(before), 5), "{before}");
        }
    }

    fn words() -> Vec<u64> {
        vec![0; REPLAY_WORDS as usize]
    }

    fn believe(words: &mut [u64], tag: Wide, tick: u64) -> bool {
        let borne = Borne::of(tag, tick);
        let word = &mut words[borne.word as usize];
        borne.remember(*word).map(|next| *word = next).is_some()
    }

    fn tag(number: u64) -> Wide {
        let half = |word: u64| siphash24(Wide([3; 2]), [number, word]);
        Wide([half(0), half(1)])
    }
}
