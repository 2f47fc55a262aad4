//! Converts the proxy's times to the kernel's clock, by measured samples of both.
//!
//! The wall clock may be stepped; then samples before and after the step disagree about how far it is ahead. A
//! run of samples that agree is an era. A wall-clock time belongs to the era that covers it; where the clock
//! was set back, two may: the later one is meant, because reports come soon after what they describe. Covers
//! the clocks of one host.

use std::ops::{Range, RangeInclusive};

use syntrace_model::{BootNanos, ClockSample, UnixNanos};

/// Samples kept; at six a second, the last eleven minutes.
const SAMPLES_MAX: usize = 4096;

/// How much two samples may disagree, nanoseconds: the noise of reading two clocks one after the other.
const NOISE_NS: u64 = 2_000_000;

/// No report is this old, nanoseconds: longer than any sensible grace period.
const LATE_NS: u64 = 10_000_000_000;

/// How far the first era reaches before its first sample, and the last after its last, nanoseconds.
const REACH_NS: u64 = 1_500_000_000;

/// How far from all samples a wall-clock time may lie, nanoseconds: beyond, it is a mistake.
const DISTANCE_MAX_NS: u64 = 3_600_000_000_000;

/// Both clocks at the moments at which they were read.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// By boot time.
    samples: Vec<ClockSample>,
    /// Runs of samples between which the wall clock was not stepped, in order; none is empty.
    eras: Vec<Era>,
}

/// A run of samples between which the wall clock was not stepped.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Era {
    samples: Range<usize>,
    /// From when to when it reaches, on the wall clock.
    covers: RangeInclusive<UnixNanos>,
}

// === impl Clock ===

impl Clock {
    /// Adds a sample; forgets the oldest beyond the bound. Returns whether a new era became known: times
    /// converted before may be wrong.
    pub(crate) fn add(&mut self, sample: ClockSample) -> bool {
        let place = self.samples.partition_point(|known| *known < sample);
        if self.samples.get(place) == Some(&sample) {
            return false;
        }
        let eras = self.eras.len();
        self.samples.insert(place, sample);
        if self.samples.len() > SAMPLES_MAX {
            self.samples.remove(0);
        }
        self.divide();
        self.eras.len() > eras
    }

    /// Returns all samples, by boot time.
    pub(crate) fn samples(&self) -> &[ClockSample] {
        &self.samples
    }

    /// Returns the sample nearest to a kernel time; `None` before the first sample.
    pub(crate) fn near_boot(&self, at: BootNanos) -> Option<ClockSample> {
        nearest(&self.samples, at.0, |sample| sample.boot.0)
    }

    /// Returns whether there is no sample.
    pub(crate) const fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Converts a wall-clock time to the kernel's clock; `None` before the first sample, and for a time that is
    /// far from all samples.
    pub(crate) fn to_boot(&self, at: UnixNanos) -> Option<BootNanos> {
        let covering = self.covering(at).next();
        let era = covering.or_else(|| {
            let all = self
                .eras
                .iter()
                .filter_map(|era| self.samples.get(era.samples.clone()));
            all.min_by_key(|era| distance(era, at))
                .filter(|era| distance(era, at) <= DISTANCE_MAX_NS)
        })?;
        let sample = nearest(era, at.0, |sample| sample.unix.0)?;
        Some(sample.to_boot(at))
    }

    /// Returns whether a wall-clock time means one moment only: around a step it may mean two. One that was
    /// long ago is not meant, because reports come soon after what they describe.
    pub(crate) fn is_sure(&self, at: UnixNanos) -> bool {
        let mut moments = self
            .covering(at)
            .filter_map(|era| Some(nearest(era, at.0, |sample| sample.unix.0)?.to_boot(at)));
        let Some(latest) = moments.next() else {
            return true;
        };
        moments.all(|moment| {
            let apart_ns = latest.0.abs_diff(moment.0);
            apart_ns <= NOISE_NS || apart_ns > LATE_NS
        })
    }

    /// Returns the eras that cover a wall-clock time, the latest first.
    fn covering(&self, at: UnixNanos) -> impl Iterator<Item = &[ClockSample]> {
        let covering = self.eras.iter().rev();
        let covering = covering.filter(move |era| era.covers.contains(&at));
        covering.filter_map(|era| self.samples.get(era.samples.clone()))
    }

    /// Divides the samples into eras.
    fn divide(&mut self) {
        self.eras.clear();
        let mut ends = Vec::new();
        for (n, pair) in self.samples.windows(2).enumerate() {
            if let [a, b] = pair
                && is_step(*a, *b)
            {
                ends.push(n + 1);
            }
        }
        ends.push(self.samples.len());
        let mut from = 0;
        for until in ends {
            self.eras.extend(self.era(from..until));
            from = until;
        }
    }

    /// Returns the era of some samples; `None` of none.
    ///
    /// The wall clock was stepped somewhere between two samples: both eras reach over all of that gap.
    fn era(&self, samples: Range<usize>) -> Option<Era> {
        let gap_ns = |before: Option<usize>| {
            let pair = before.and_then(|before| self.samples.get(before..before + 2));
            match pair {
                Some([a, b]) => b.boot.since_ns(a.boot),
                _ => REACH_NS,
            }
        };
        let era = self.samples.get(samples.clone())?;
        let from = era.first()?.unix;
        let from = from.minus_ns(gap_ns(samples.start.checked_sub(1)));
        let until = era.last()?.unix;
        let until = until.plus_ns(gap_ns(samples.end.checked_sub(1)));
        Some(Era {
            samples,
            covers: from..=until,
        })
    }
}

/// Returns whether the wall clock was stepped between two samples; it may drift by a thousandth.
fn is_step(a: ClockSample, b: ClockSample) -> bool {
    let expected = a.to_unix(b.boot);
    let drift_ns = b.boot.since_ns(a.boot) / 1_000;
    expected.0.abs_diff(b.unix.0) > NOISE_NS + drift_ns
}

/// Returns how far a wall-clock time lies outside an era.
fn distance(era: &[ClockSample], at: UnixNanos) -> u64 {
    let (Some(first), Some(last)) = (era.first(), era.last()) else {
        return u64::MAX;
    };
    first.unix.since_ns(at).max(at.since_ns(last.unix))
}

/// Returns the sample nearest to a moment, of samples in its order.
fn nearest(
    samples: &[ClockSample],
    at: u64,
    moment: impl Fn(&ClockSample) -> u64,
) -> Option<ClockSample> {
    let after = samples.partition_point(|sample| moment(sample) < at);
    let before = after.checked_sub(1).and_then(|before| samples.get(before));
    let nearest = match (before, samples.get(after)) {
        (Some(before), Some(after)) => {
            let distance = |sample| moment(sample).abs_diff(at);
            let is_nearer = distance(before) <= distance(after);
            Some(if is_nearer { before } else { after })
        }
        (before, after) => before.or(after),
    };
    nearest.copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn sample(boot: u64, unix: u64) -> ClockSample {
        ClockSample {
            boot: BootNanos(boot),
            unix: UnixNanos(unix),
        }
    }

    /// Samples every 200 ms from `boot` for ten seconds, the wall clock `ahead` of it.
    fn era(clock: &mut Clock, boot: u64, ahead: u64) {
        for n in 0..=50 {
            let boot = boot + n * S / 5;
            clock.add(sample(boot, boot + ahead));
        }
    }

    #[test]
    fn a_time_is_moved_by_the_sample_nearest_to_it() {
        let mut clock = Clock::default();
        clock.add(sample(100, 1_000));
        clock.add(sample(200, 1_101));
        assert_eq!(clock.to_boot(UnixNanos(1_010)), Some(BootNanos(110)));
        assert_eq!(clock.to_boot(UnixNanos(1_090)), Some(BootNanos(189)));
        assert_eq!(clock.near_boot(BootNanos(190)), Some(sample(200, 1_101)));
    }

    #[test]
    fn nothing_can_be_moved_before_the_first_sample() {
        assert_eq!(Clock::default().to_boot(UnixNanos(1)), None);
    }

    #[test]
    fn a_step_back_spoils_no_time_before_or_after_it() {
        let mut clock = Clock::default();
        era(&mut clock, 100 * S, 1_000 * S);
        era(&mut clock, 110 * S + 1, 995 * S);
        // Before the step, in what the clock shows once only.
        assert_eq!(
            clock.to_boot(UnixNanos(1_102 * S)),
            Some(BootNanos(102 * S))
        );
        // After it, while the clock shows the same times for a second time.
        for seconds in 111..120 {
            let shown = UnixNanos((seconds + 995) * S);
            assert_eq!(clock.to_boot(shown), Some(BootNanos(seconds * S)));
        }
    }

    #[test]
    fn what_comes_right_after_a_step_back_is_not_taken_for_the_past() {
        let mut clock = Clock::default();
        era(&mut clock, 100 * S, 1_000 * S);
        clock.add(sample(110 * S + 1, 1_105 * S));
        assert_eq!(
            clock.to_boot(UnixNanos(1_105 * S)),
            Some(BootNanos(110 * S + 1))
        );
        // Not covered by the new era yet: it was before the step.
        let before = UnixNanos(1_109 * S);
        assert_eq!(clock.to_boot(before), Some(BootNanos(109 * S)));
    }

    #[test]
    fn a_step_forwards_leaves_both_sides_where_they_were() {
        let mut clock = Clock::default();
        era(&mut clock, 100 * S, 1_000 * S);
        era(&mut clock, 110 * S + 1, 5_000 * S);
        assert_eq!(
            clock.to_boot(UnixNanos(1_105 * S)),
            Some(BootNanos(105 * S))
        );
        assert_eq!(
            clock.to_boot(UnixNanos(5_115 * S)),
            Some(BootNanos(115 * S))
        );
    }

    #[test]
    fn a_time_that_is_far_from_all_samples_is_none() {
        let mut clock = Clock::default();
        era(&mut clock, 100 * S, 1_000_000 * S);
        assert_eq!(clock.to_boot(UnixNanos(0)), None);
        assert_eq!(clock.to_boot(UnixNanos(i64::MAX as u64)), None);
        assert!(clock.to_boot(UnixNanos(1_003_000 * S)).is_some());
    }

    #[test]
    fn a_suspended_machine_is_no_step() {
        let mut clock = Clock::default();
        era(&mut clock, 100 * S, 1_000 * S);
        era(&mut clock, 9_000 * S, 1_000 * S);
        assert_eq!(clock.eras.len(), 1);
        assert_eq!(
            clock.to_boot(UnixNanos(10_005 * S)),
            Some(BootNanos(9_005 * S))
        );
    }

    #[test]
    fn samples_in_any_order_give_the_same_times() {
        let samples = [
            sample(100, 1_000),
            sample(200 * S, 5_000 * S),
            sample(300, 1_200),
        ];
        let mut clock = Clock::default();
        for sample in samples {
            clock.add(sample);
        }
        let mut backwards = Clock::default();
        for sample in samples.into_iter().rev() {
            backwards.add(sample);
        }
        assert_eq!(clock.samples, backwards.samples);
        assert_eq!(clock.eras, backwards.eras);
    }

    #[test]
    fn a_time_that_is_shown_twice_is_sure_only_if_one_of_both_moments_is_long_ago() {
        let stepped_back = |by: u64| {
            let mut clock = Clock::default();
            era(&mut clock, 100 * S, 9_000 * S);
            era(&mut clock, 110 * S + 1, 9_000 * S - by);
            clock.is_sure(UnixNanos(9_111 * S - by))
        };
        assert!(!stepped_back(5 * S));
        assert!(!stepped_back(LATE_NS));
        assert!(stepped_back(LATE_NS + 1));
        assert!(stepped_back(1_800 * S));
    }

    #[test]
    fn a_step_that_is_taken_back_at_once_leaves_no_doubt() {
        // By how much the wall clock is behind after it was set forth and back.
        let behind_by = |by: u64| {
            let mut clock = Clock::default();
            era(&mut clock, 100 * S, 1_000 * S);
            clock.add(sample(110 * S + S / 5, 6_000 * S));
            era(&mut clock, 110 * S + 2 * S / 5, 1_000 * S - by);
            assert_eq!(clock.eras.len(), 3);
            clock.is_sure(UnixNanos(1_110 * S + S / 5 - by / 2))
        };
        assert!(behind_by(0));
        assert!(behind_by(NOISE_NS));
        assert!(!behind_by(NOISE_NS + 1));
    }

    #[test]
    fn a_clock_that_drifts_by_a_thousandth_is_not_stepped() {
        let eras = |apart: u64, ahead: u64| {
            let mut clock = Clock::default();
            clock.add(sample(0, 1_000 * S));
            clock.add(sample(apart, 1_000 * S + apart + ahead));
            clock.eras.len()
        };
        assert_eq!(eras(100 * S, S / 10), 1);
        assert_eq!(eras(100 * S, S / 10 + NOISE_NS), 1);
        assert_eq!(eras(100 * S, S / 10 + NOISE_NS + 1), 2);
    }

    #[test]
    fn a_sample_that_is_told_again_is_kept_once_and_of_two_at_one_moment_the_first_counts() {
        let mut clock = Clock::default();
        for _ in 0..2 {
            clock.add(sample(100, 1_000));
            clock.add(sample(150, 1_000));
        }
        assert_eq!(clock.samples.len(), 2);
        assert_eq!(clock.to_boot(UnixNanos(1_000)), Some(BootNanos(100)));
    }

    #[test]
    fn the_oldest_samples_are_forgotten() {
        let mut clock = Clock::default();
        for n in 0..=SAMPLES_MAX as u64 {
            clock.add(sample(n, n));
        }
        let eras: Vec<_> = clock.eras.iter().map(|era| era.samples.clone()).collect();
        assert_eq!(eras, vec![0..clock.samples.len()]);
        assert_eq!(clock.samples.len(), SAMPLES_MAX);
        assert_eq!(
            clock.samples.last(),
            Some(&sample(SAMPLES_MAX as u64, SAMPLES_MAX as u64))
        );
    }
}
