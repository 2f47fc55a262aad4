//! Reads the ring buffer; an edge that never waits for what comes behind it.

use std::{io, time::Duration};

use aya::maps::{MapData, RingBuf};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{MissedTickBehavior, interval},
};

/// How often the ring is read without being woken: the programs wake only at a watermark.
const DRAIN_EVERY: Duration = Duration::from_millis(50);

/// Records taken before others get their turn.
const TURN: usize = 2048;

/// The ring buffer, with its readiness.
pub(crate) struct Events {
    ring: AsyncFd<RingBuf<MapData>>,
}

impl Events {
    /// Watches `ring`. Must be called within the runtime.
    ///
    /// # Errors
    ///
    /// Fails if the ring's file descriptor cannot be polled.
    pub(crate) fn new(ring: RingBuf<MapData>) -> io::Result<Self> {
        #[expect(
            deprecated,
            reason = "its successor is unsafe; the ring owns its descriptor"
        )]
        let ring = AsyncFd::with_interest(ring, Interest::READABLE)?;
        Ok(Self { ring })
    }

    /// Hands each record to `take`, for ever.
    ///
    /// # Errors
    ///
    /// Fails only if the ring's file descriptor can no longer be polled.
    pub(crate) async fn forward(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        let mut timer = interval(DRAIN_EVERY);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // Cleared before the ring is read: what comes meanwhile makes it ready again.
                ready = self.ring.readable_mut() => ready?.clear_ready(),
                _ = timer.tick() => {}
            }
            while self.take_turn(&mut take) == TURN {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Hands over what is left.
    pub(crate) fn drain(&mut self, mut take: impl FnMut(&[u8])) {
        while self.take_turn(&mut take) > 0 {}
    }

    /// Hands over at most [`TURN`] records; returns how many.
    fn take_turn(&mut self, take: &mut impl FnMut(&[u8])) -> usize {
        let ring = self.ring.get_mut();
        for taken in 0..TURN {
            match ring.next() {
                Some(record) => take(&record),
                None => return taken,
            }
        }
        TURN
    }
}
