//! Connections without an authorized request yet: when the listener is full, the oldest is closed. A connection
//! that has made one stays.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// The idle connections of one listener.
#[derive(Clone, Debug, Default)]
pub(super) struct Idle(Arc<Mutex<Slots>>);

/// In the order in which they were accepted.
#[derive(Debug, Default)]
struct Slots {
    accepted: u64,
    open: BTreeMap<u64, oneshot::Sender<()>>,
}

/// The slot of a connection, until it ends.
#[derive(Debug)]
pub(super) struct Slot(Claim);

/// Attached to each request: lets its authorization keep the connection.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    idle: Idle,
    number: u64,
}

impl Idle {
    /// Adds a new connection; the channel tells it to close.
    pub(super) fn enter(&self) -> (Slot, oneshot::Receiver<()>) {
        let (close, closing) = oneshot::channel();
        let mut slots = self.slots();
        slots.accepted += 1;
        let number = slots.accepted;
        slots.open.insert(number, close);
        let idle = self.clone();
        (Slot(Claim { idle, number }), closing)
    }

    /// Closes the oldest idle connection; false if there is none.
    pub(super) fn close_oldest(&self) -> bool {
        let oldest = self.slots().open.pop_first();
        oldest.is_some_and(|(_, close)| close.send(()).is_ok())
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Returns what each request on this connection carries.
    pub(super) fn claim(&self) -> Claim {
        self.0.clone()
    }
}

impl Claim {
    /// The request is authorized: its connection is not idle any more.
    pub(crate) fn keep(&self) {
        self.idle.slots().open.remove(&self.number);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.keep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_idle_connection_is_closed_and_an_authorized_one_stays() {
        let idle = Idle::default();
        let (first, mut first_closing) = idle.enter();
        let (_second, mut second_closing) = idle.enter();
        let (third, mut third_closing) = idle.enter();
        first.claim().keep();
        drop(third);
        assert!(idle.close_oldest());
        assert_eq!(second_closing.try_recv(), Ok(()));
        assert!(!idle.close_oldest());
        assert!(first_closing.try_recv().is_err() && third_closing.try_recv().is_err());
    }
}
