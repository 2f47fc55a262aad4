//! The clock that the programs' times are of.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Returns `CLOCK_BOOTTIME`.
pub(crate) fn boot_time() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
