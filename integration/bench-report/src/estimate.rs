//! One number from many, and how far it can be trusted.
//!
//! Medians, because other work on the machine only ever makes a run slower; intervals by resampling,
//! because nothing is known of the distribution.

/// Resamples behind an interval.
const RESAMPLES: usize = 2_000;

/// A number and its spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Its 95 % interval; absent for an exact count.
    pub interval: Option<(f64, f64)>,
    /// From how many measurements.
    pub n: usize,
}

impl Estimate {
    /// Returns a number that was counted, not sampled; `n` things were counted.
    #[must_use]
    pub const fn exact(value: f64, n: usize) -> Self {
        Self {
            value,
            interval: None,
            n,
        }
    }
}

/// Returns the median and its 95 % bootstrap interval; not a number if there are no samples.
///
/// The same samples give the same interval.
#[must_use]
pub fn median(samples: &[f64]) -> Estimate {
    resampled(samples, |samples| middle(samples.to_vec()))
}

/// Returns the median of `a / b`, pair by pair: both of a pair were measured one after the other.
#[must_use]
pub fn ratios(pairs: &[(f64, f64)]) -> Estimate {
    let ratios: Vec<_> = pairs.iter().map(|(a, b)| a / b).collect();
    median(&ratios)
}

/// Returns the ratio of the median `a` to the median `b`, for numbers so small beside their noise that the
/// ratio of one pair says nothing.
#[must_use]
pub fn ratio_of_medians(pairs: &[(f64, f64)]) -> Estimate {
    resampled(pairs, |pairs| {
        let of = |side: fn(&(f64, f64)) -> f64| middle(pairs.iter().map(side).collect());
        of(|pair| pair.0) / of(|pair| pair.1)
    })
}

/// Returns a number made of samples, and the spread of the same number made of resamples.
fn resampled<T: Copy>(samples: &[T], number: impl Fn(&[T]) -> f64) -> Estimate {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let mut numbers: Vec<_> = (0..RESAMPLES)
        .map(|_| {
            let resample = samples
                .iter()
                .filter_map(|_| samples.get(chance.below(samples.len())));
            number(&resample.copied().collect::<Vec<_>>())
        })
        .collect();
    numbers.sort_by(f64::total_cmp);
    let at = |share: f64| numbers.get((RESAMPLES as f64 * share) as usize).copied();
    Estimate {
        value: number(samples),
        interval: at(0.025).zip(at(0.975)),
        n: samples.len(),
    }
}

fn middle(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    let half = samples.len() / 2;
    let upper = samples.get(half).copied().unwrap_or(f64::NAN);
    if samples.len() % 2 == 1 {
        return upper;
    }
    let lower = half.checked_sub(1).and_then(|below| samples.get(below));
    lower.map_or(upper, |lower| f64::midpoint(*lower, upper))
}

/// Numbers that look random and are the same each time (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) as usize % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_lies_within_its_interval_and_an_outlier_does_not_move_it() {
        let samples = [10.0, 11.0, 9.0, 10.5, 9.5, 10.2, 9.8, 500.0];
        let estimate = median(&samples);
        let (low, high) = estimate.interval.unwrap();
        assert_eq!(estimate.value, 10.1);
        assert!(low <= estimate.value && estimate.value <= high && high < 500.0);
        assert_eq!(estimate, median(&samples));
    }

    #[test]
    fn a_ratio_is_taken_pair_by_pair() {
        assert_eq!(ratios(&[(1.0, 2.0), (10.0, 20.0), (3.0, 6.0)]).value, 0.5);
    }

    #[test]
    fn a_ratio_of_medians_survives_a_pair_whose_own_ratio_is_nonsense() {
        let pairs = [(2.0, 4.0), (2.1, 3.9), (1.9, 0.001), (2.0, 4.1), (2.0, 4.0)];
        let estimate = ratio_of_medians(&pairs);
        assert_eq!(estimate.value, 0.5);
        assert_eq!(estimate.n, 5);
    }

    #[test]
    fn no_samples_give_no_number() {
        assert!(median(&[]).value.is_nan());
    }
}
