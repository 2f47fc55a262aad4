//! Reads the host's two clocks, and which run of the kernel they belong to; nothing else in the bridge does.

use std::{fs, io};

use rustix::time::{ClockId, Timespec, clock_gettime};
use syntrace_model::{BootId, BootNanos, ClockSample, UnixNanos};

/// Returns `CLOCK_BOOTTIME`.
#[must_use]
pub fn boot() -> BootNanos {
    BootNanos(nanos(clock_gettime(ClockId::Boottime)))
}

/// Returns the run of the kernel.
///
/// # Errors
///
/// If `/proc` does not say it.
pub fn boot_id() -> io::Result<BootId> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let id = u128::from_str_radix(&digits, 16);
    let id = id.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(BootId(id.to_be_bytes()))
}

/// Reads both clocks; the wall clock between two readings of the other, of which it keeps the middle.
#[must_use]
pub fn sample() -> ClockSample {
    let before = boot();
    let unix = UnixNanos(nanos(clock_gettime(ClockId::Realtime)));
    let after = boot();
    ClockSample {
        boot: before.plus_ns(after.since_ns(before) / 2),
        unix,
    }
}

/// A clock that stands before its beginning reads 0.
fn nanos(at: Timespec) -> u64 {
    let seconds = u64::try_from(at.tv_sec).unwrap_or(0);
    let below = u64::try_from(at.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_go_forward() {
        let first = sample();
        let second = sample();
        assert!(second.boot >= first.boot);
        assert!(first.unix > UnixNanos(1_600_000_000_000_000_000));
    }
}
