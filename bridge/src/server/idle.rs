//! Connections on which nothing came yet of anybody who may ask: where there is no room for another, the
//! one that has been there the longest makes it. Whoever may ask, and has asked once, stays.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// The silent connections of one listener.
#[derive(Clone, Debug, Default)]
pub(super) struct Silent(Arc<Mutex<Seats>>);

/// By when they came.
#[derive(Debug, Default)]
struct Seats {
    came: u64,
    seats: BTreeMap<u64, oneshot::Sender<()>>,
}

/// The seat of a connection, until it ends.
#[derive(Debug)]
pub(super) struct Seat(Claim);

/// What a request brings along, for whoever knows its sender.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    silent: Silent,
    number: u64,
}

impl Silent {
    /// Seats a new connection; the channel tells it to make room.
    pub(super) fn seat(&self) -> (Seat, oneshot::Receiver<()>) {
        let (leave, told) = oneshot::channel();
        let mut seats = self.seats();
        seats.came += 1;
        let number = seats.came;
        seats.seats.insert(number, leave);
        let silent = self.clone();
        (Seat(Claim { silent, number }), told)
    }

    /// Tells the one that has been silent the longest to make room; false if none is silent.
    pub(super) fn make_room(&self) -> bool {
        let longest = self.seats().seats.pop_first();
        longest.is_some_and(|(_, leave)| leave.send(()).is_ok())
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Returns what a request on this connection brings along.
    pub(super) fn claim(&self) -> Claim {
        self.0.clone()
    }
}

impl Claim {
    /// Says that the request's sender may ask: its connection makes no room any more.
    pub(crate) fn is_known(&self) {
        self.silent.seats().seats.remove(&self.number);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.is_known();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_silent_makes_room_and_who_is_known_stays() {
        let silent = Silent::default();
        let (first, mut first_told) = silent.seat();
        let (_second, mut second_told) = silent.seat();
        let (third, mut third_told) = silent.seat();
        first.claim().is_known();
        drop(third);
        assert!(silent.make_room());
        assert_eq!(second_told.try_recv(), Ok(()));
        assert!(!silent.make_room());
        assert!(first_told.try_recv().is_err() && third_told.try_recv().is_err());
    }
}
