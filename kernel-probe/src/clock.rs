//! Both clocks of this host, and the id of this boot: the only place that reads them.

use std::{fs, io};

use rustix::time::{ClockId, Timespec, clock_gettime};
use syntrace_proto::Clock;

/// No host is suspended for less, nanoseconds.
const LEAST_SUSPENSION_NS: u64 = 1_000_000;

/// Reads both clocks at one moment.
///
/// Of three tries the one with the shortest time between two looks at `CLOCK_BOOTTIME` counts: an
/// interruption between the two clocks would look like a step of the wall clock.
pub(crate) fn sample() -> Clock {
    let tries = [try_sample(), try_sample(), try_sample()];
    let [first, second, third] = tries;
    let best = if second.0 < first.0 { second } else { first };
    let best = if third.0 < best.0 { third } else { best };
    best.1
}

/// Returns `CLOCK_REALTIME` minus `CLOCK_BOOTTIME`, nanoseconds.
pub(crate) fn wall_offset_ns(clock: &Clock) -> u64 {
    clock.unix_ns.saturating_sub(clock.boot_ns)
}

/// Returns `CLOCK_BOOTTIME` minus `CLOCK_MONOTONIC`, nanoseconds: 0 if the host was never suspended.
pub(crate) fn boot_offset_ns() -> u64 {
    let monotonic = nanos(clock_gettime(ClockId::Monotonic));
    let boot = nanos(clock_gettime(ClockId::Boottime));
    match boot.saturating_sub(monotonic) {
        // What lies between the two looks.
        ..LEAST_SUSPENSION_NS => 0,
        suspended => suspended,
    }
}

/// Returns /proc/sys/kernel/random/boot_id, 16 bytes.
///
/// # Errors
///
/// Fails if the file cannot be read or is not a UUID.
pub(crate) fn boot_id() -> io::Result<[u8; 16]> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let digits: String = text.trim().chars().filter(|&digit| digit != '-').collect();
    match u128::from_str_radix(&digits, 16) {
        Ok(id) if digits.len() == 32 => Ok(id.to_be_bytes()),
        Ok(_) | Err(_) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "boot_id is not a UUID",
        )),
    }
}

/// Returns the time between both looks at `CLOCK_BOOTTIME`, and the sample in their middle.
fn try_sample() -> (u64, Clock) {
    let before = nanos(clock_gettime(ClockId::Boottime));
    let unix_ns = nanos(clock_gettime(ClockId::Realtime));
    let after = nanos(clock_gettime(ClockId::Boottime));
    let width = after.saturating_sub(before);
    (
        width,
        Clock {
            boot_ns: before.saturating_add(width / 2),
            unix_ns,
        },
    )
}

fn nanos(time: Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_passes_and_the_wall_clock_is_later() {
        let (first, second) = (sample(), sample());
        assert!(second.boot_ns >= first.boot_ns);
        assert!(first.unix_ns > first.boot_ns);
        assert_eq!(
            wall_offset_ns(&Clock {
                boot_ns: 3,
                unix_ns: 10
            }),
            7
        );
    }
}
