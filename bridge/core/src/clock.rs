//! Converts the proxy's times to the kernel's clock, by measured samples of both.
//!
//! The wall clock may be stepped; then samples before and after the step disagree about how far it is ahead. A
//! run of samples that agree is an era. A wall-clock time belongs to the era that covers it; where the clock
//! was set back, two may: the later one is meant, because reports come soon after what they describe; but not one
//! after their arrival. Covers the clocks of one host.

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
        self.to_boot_by(at, BootNanos(u64::MAX))
    }

    /// Converts a wall-clock time that lies at or before `latest`; if it can lie only after that, `latest` is
    /// mistaken.
    pub(crate) fn to_boot_by(&self, at: UnixNanos, latest: BootNanos) -> Option<BootNanos> {
        let mut moments = self.moments(at);
        if let Some(moment) = moments.next() {
            let earlier = || moments.find(|&moment| moment <= latest);
            let fits = Some(moment).filter(|&moment| moment <= latest);
            return fits.or_else(earlier).or(Some(moment));
        }
        let all = self.eras.iter();
        let all = all.filter_map(|era| self.samples.get(era.samples.clone()));
        let era = all
            .min_by_key(|era| distance(era, at))
            .filter(|era| distance(era, at) <= DISTANCE_MAX_NS)?;
        moment(era, at)
    }

    /// Returns whether a wall-clock time that lies at or before `latest` means one moment only: around a step it
    /// may mean two. One that was long ago is not meant, because reports come soon after what they describe.
    pub(crate) fn is_sure(&self, at: UnixNanos, latest: BootNanos) -> bool {
        let Some(meant) = self.to_boot_by(at, latest) else {
            return true;
        };
        let mut moments = self.moments(at).filter(|&moment| moment <= latest);
        moments.all(|moment| {
            let apart_ns = meant.0.abs_diff(moment.0);
            apart_ns <= NOISE_NS || apart_ns > LATE_NS
        })
    }

    /// Returns what a wall-clock time may mean: a moment in each era that covers it, the latest era first.
    fn moments(&self, at: UnixNanos) -> impl Iterator<Item = BootNanos> {
        let covering = self.eras.iter().rev();
        let covering = covering.filter(move |era| era.covers.contains(&at));
        covering.filter_map(move |era| moment(self.samples.get(era.samples.clone())?, at))
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
    /// The wall clock was stepped somewhere between two samples: both eras reach over all of that gap. Not over a
    /// gap in which nobody can have looked at the clock: then the machine slept, or one of both samples is wrong.
    fn era(&self, samples: Range<usize>) -> Option<Era> {
        let gap_ns = |before: Option<usize>| {
            let pair = before.and_then(|before| self.samples.get(before..before + 2));
            let gap_ns = match pair {
                Some([a, b]) => b.boot.since_ns(a.boot),
                _ => REACH_NS,
            };
            match gap_ns {
                0..=DISTANCE_MAX_NS => gap_ns,
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

/// Returns the moment that a wall-clock time means in an era.
fn moment(era: &[ClockSample], at: UnixNanos) -> Option<BootNanos> {
    let sample = nearest(era, at.0, |sample| sample.unix.0)?;
    Some(sample.to_boot(at))
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
mod tests;
