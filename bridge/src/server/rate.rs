//! A rate limit: so many per second, with a burst of as many. One number, no lock.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// How much later than now the next one may be due: the burst.
const BURST: Duration = Duration::from_secs(1);

/// The generic cell rate algorithm (ITU-T I.371): each one taken makes the next one due a little later.
#[derive(Debug)]
pub struct Rate {
    began_at: Instant,
    interval_ns: u64,
    /// When the next one is due, nanoseconds after `began_at`.
    due_ns: AtomicU64,
}

impl Rate {
    /// Returns a limit of so many per second; 0 counts as 1.
    #[must_use]
    pub fn per_second(count: u32) -> Self {
        Self {
            began_at: Instant::now(),
            interval_ns: 1_000_000_000 / u64::from(count.max(1)),
            due_ns: AtomicU64::new(0),
        }
    }

    /// Takes one; false if it is too early.
    pub fn try_take(&self) -> bool {
        let now_ns = u64::try_from(self.began_at.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let latest_ns = now_ns.saturating_add(u64::try_from(BURST.as_nanos()).unwrap_or(u64::MAX));
        let next = |due_ns: u64| {
            let next_ns = due_ns.max(now_ns).saturating_add(self.interval_ns);
            (next_ns <= latest_ns).then_some(next_ns)
        };
        let taken = self
            .due_ns
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        taken.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_taken_and_then_so_many_a_second() {
        let rate = Rate::per_second(10);
        assert_eq!(taken(&rate), 10);
        advance(Duration::from_millis(250)).await;
        assert_eq!(taken(&rate), 2);
        advance(Duration::from_secs(60)).await;
        assert_eq!(taken(&rate), 10);
    }

    fn taken(rate: &Rate) -> usize {
        (0..100).filter(|_| rate.try_take()).count()
    }
}
