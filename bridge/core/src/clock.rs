//! Moves the proxy's times to the kernel's clock, by samples of both that were measured.
//!
//! Every sample is kept for a while, because the wall clock may be stepped: a time is moved by the
//! sample that is nearest to it, not by the newest. It knows one host's clocks.

use std::collections::BTreeMap;

use syntrace_model::{BootNanos, ClockSample, UnixNanos};

/// Samples kept; at five a second, the last quarter of an hour.
const SAMPLES_MAX: usize = 4096;

/// Both clocks at the moments at which they were read.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    by_unix: BTreeMap<UnixNanos, BootNanos>,
    by_boot: BTreeMap<BootNanos, UnixNanos>,
}

impl Clock {
    /// Adds a sample; forgets the oldest beyond the bound.
    pub(crate) fn add(&mut self, sample: ClockSample) {
        if let Some(unix) = self.by_boot.insert(sample.boot, sample.unix) {
            self.by_unix.remove(&unix);
        }
        self.by_unix.insert(sample.unix, sample.boot);
        while self.by_boot.len() > SAMPLES_MAX {
            if let Some((_, unix)) = self.by_boot.pop_first() {
                self.by_unix.remove(&unix);
            }
        }
    }

    /// Returns the sample nearest to a wall-clock time; `None` before the first sample.
    pub(crate) fn near_unix(&self, at: UnixNanos) -> Option<ClockSample> {
        let before = self.by_unix.range(..=at).next_back();
        let after = self.by_unix.range(at..).next();
        let (&unix, &boot) = match (before, after) {
            (Some(before), Some(after)) if after.0.since_ns(at) < at.since_ns(*before.0) => after,
            (Some(before), _) => before,
            (None, after) => after?,
        };
        Some(ClockSample { boot, unix })
    }

    /// Returns the sample nearest to a kernel time; `None` before the first sample.
    pub(crate) fn near_boot(&self, at: BootNanos) -> Option<ClockSample> {
        let before = self.by_boot.range(..=at).next_back();
        let after = self.by_boot.range(at..).next();
        let (&boot, &unix) = match (before, after) {
            (Some(before), Some(after)) if after.0.since_ns(at) < at.since_ns(*before.0) => after,
            (Some(before), _) => before,
            (None, after) => after?,
        };
        Some(ClockSample { boot, unix })
    }

    /// Moves a wall-clock time to the kernel's clock; `None` before the first sample.
    pub(crate) fn to_boot(&self, at: UnixNanos) -> Option<BootNanos> {
        Some(self.near_unix(at)?.to_boot(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(boot: u64, unix: u64) -> ClockSample {
        ClockSample {
            boot: BootNanos(boot),
            unix: UnixNanos(unix),
        }
    }

    #[test]
    fn a_time_is_moved_by_the_sample_nearest_to_it() {
        let mut clock = Clock::default();
        clock.add(sample(100, 1_000));
        clock.add(sample(200, 5_000));
        assert_eq!(clock.to_boot(UnixNanos(1_010)), Some(BootNanos(110)));
        assert_eq!(clock.to_boot(UnixNanos(4_990)), Some(BootNanos(190)));
        assert_eq!(clock.near_boot(BootNanos(190)), Some(sample(200, 5_000)));
    }

    #[test]
    fn nothing_can_be_moved_before_the_first_sample() {
        assert_eq!(Clock::default().to_boot(UnixNanos(1)), None);
    }

    #[test]
    fn the_oldest_samples_are_forgotten() {
        let mut clock = Clock::default();
        for n in 0..=SAMPLES_MAX as u64 {
            clock.add(sample(n, n));
        }
        assert_eq!(clock.by_boot.len(), SAMPLES_MAX);
        assert_eq!(clock.by_unix.len(), SAMPLES_MAX);
    }
}
