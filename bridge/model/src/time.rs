//! Two clocks, two types: the kernel's `CLOCK_BOOTTIME` and the proxy's wall clock.
//!
//! Nothing here reads a clock. The only way from one to the other is a [`ClockSample`], measured
//! by the probe.

/// A point in time on `CLOCK_BOOTTIME`: nanoseconds since boot, suspension included.
///
/// Source: `bpf_ktime_get_boot_ns()`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootNanos(pub u64);

/// A point in time on the wall clock: nanoseconds since 1970-01-01 00:00:00 UTC.
///
/// Source: Envoy's `request.time`; OpenTelemetry's `time_unix_nano`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixNanos(pub u64);

/// Both clocks of one host, read at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClockSample {
    /// `CLOCK_BOOTTIME` at the moment.
    pub boot: BootNanos,
    /// `CLOCK_REALTIME` at the moment.
    pub unix: UnixNanos,
}

macro_rules! arithmetic {
    ($name:ident) => {
        // === impl $name ===

        impl $name {
            /// Returns the nanoseconds from `earlier` until this; 0 if this comes first.
            #[must_use]
            pub const fn since_ns(self, earlier: Self) -> u64 {
                self.0.saturating_sub(earlier.0)
            }

            /// Returns the moment `ns` nanoseconds later, at most the end of time.
            #[must_use]
            pub const fn plus_ns(self, ns: u64) -> Self {
                Self(self.0.saturating_add(ns))
            }

            /// Returns the moment `ns` nanoseconds before, at least the beginning of time.
            #[must_use]
            pub const fn minus_ns(self, ns: u64) -> Self {
                Self(self.0.saturating_sub(ns))
            }
        }
    };
}

arithmetic!(BootNanos);
arithmetic!(UnixNanos);

// === impl ClockSample ===

impl ClockSample {
    /// Moves a kernel time to the wall clock, as far as no step came between.
    #[must_use]
    pub const fn to_unix(self, at: BootNanos) -> UnixNanos {
        if at.0 >= self.boot.0 {
            self.unix.plus_ns(at.since_ns(self.boot))
        } else {
            self.unix.minus_ns(self.boot.since_ns(at))
        }
    }

    /// Moves a wall-clock time to the kernel's clock, as far as no step came between.
    #[must_use]
    pub const fn to_boot(self, at: UnixNanos) -> BootNanos {
        if at.0 >= self.unix.0 {
            self.boot.plus_ns(at.since_ns(self.unix))
        } else {
            self.boot.minus_ns(self.unix.since_ns(at))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_moves_times_both_ways() {
        let sample = ClockSample {
            boot: BootNanos(100),
            unix: UnixNanos(1_000_000),
        };
        assert_eq!(sample.to_unix(BootNanos(130)), UnixNanos(1_000_030));
        assert_eq!(sample.to_unix(BootNanos(70)), UnixNanos(999_970));
        assert_eq!(sample.to_boot(UnixNanos(1_000_030)), BootNanos(130));
        assert_eq!(sample.to_boot(UnixNanos(0)), BootNanos(0));
    }

    #[test]
    fn no_length_of_time_is_negative() {
        assert_eq!(BootNanos(5).since_ns(BootNanos(9)), 0);
    }
}
