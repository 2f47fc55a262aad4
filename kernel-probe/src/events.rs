//! Reads the ring buffer; an edge that never waits for what comes behind it.
//!
//! Who writes a record wakes the reader only if that has read everything before. So it sleeps for as
//! long as nothing happens, and waits for more before it reads: under load it is woken once for
//! hundreds of records.

use std::{io, time::Duration};

use syntrace_cgroup_link::Ring;
use tokio::{
    io::{Interest, unix::AsyncFd},
    task::yield_now,
    time::sleep,
};

/// How long a record waits for others to be read with it.
const GATHER_FOR: Duration = Duration::from_millis(50);

/// Records taken before others get their turn.
const TURN: usize = 2048;

/// The ring buffer, with its readiness.
pub(crate) struct Events {
    ring: AsyncFd<Ring>,
    /// A turn ended before all was read.
    is_behind: bool,
}

impl Events {
    /// Watches `ring`. Must be called within the runtime.
    ///
    /// # Errors
    ///
    /// Fails if the ring's file descriptor cannot be polled.
    pub(crate) fn new(ring: Ring) -> io::Result<Self> {
        #[expect(
            deprecated,
            reason = "its successor is unsafe; the ring owns its descriptor"
        )]
        let ring = AsyncFd::with_interest(ring, Interest::READABLE)?;
        Ok(Self {
            ring,
            is_behind: false,
        })
    }

    /// Returns how many bytes of records the ring holds.
    pub(crate) fn ring_bytes(&self) -> usize {
        self.ring.get_ref().bytes()
    }

    /// Waits until there is something to read, and other records have had time to join it; while the
    /// reader is behind, only until others have had their turn.
    ///
    /// # Errors
    ///
    /// Fails only if the ring's file descriptor can no longer be polled.
    pub(crate) async fn gathered(&mut self) -> io::Result<()> {
        if self.is_behind {
            yield_now().await;
            return Ok(());
        }
        let mut ready = self.ring.readable_mut().await?;
        sleep(GATHER_FOR).await;
        // Cleared before the ring is read: what comes meanwhile makes it ready again.
        ready.clear_ready();
        Ok(())
    }

    /// Hands the records of one turn to `take`.
    ///
    /// # Errors
    ///
    /// Fails only if the ring can no longer be read.
    pub(crate) fn read(&mut self, take: impl FnMut(&[u8])) -> io::Result<()> {
        self.is_behind = self.ring.get_mut().take(TURN, take)? == TURN;
        Ok(())
    }

    /// Hands over what is left, at once.
    ///
    /// # Errors
    ///
    /// Fails only if the ring can no longer be read.
    pub(crate) fn drain(&mut self, take: impl FnMut(&[u8])) -> io::Result<()> {
        self.ring.get_mut().take(usize::MAX, take).map(|_taken| ())
    }
}
