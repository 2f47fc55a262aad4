//! Chance that is the same for the same seed: SplitMix64.

/// A source of numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// A number from `low` to below `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low))
    }

    /// True in `n` of a million.
    pub fn in_million(&mut self, n: u64) -> bool {
        self.below(1_000_000) < n
    }

    /// A length around `mean` whose tail is long, at most 20 times as long: a sum of halvings.
    pub fn about(&mut self, mean: u64) -> u64 {
        let halvings = u64::from(self.next().leading_zeros()).min(4);
        let scale = mean / 2 * (halvings + 1);
        self.between(scale / 4, scale.max(2))
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let index = self.below(of.len() as u64) as usize;
        &of[index]
    }
}
