//! Connections on which no whole head came yet: where there is no room for another, the one that has been
//! silent the longest makes it. Whoever has asked for something once stays.

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

/// The seat of a connection, until it says something or ends.
#[derive(Debug)]
pub(super) struct Seat {
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
        (Seat { silent, number }, told)
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
    /// Says that a head came whole.
    pub(super) fn speaks(&self) {
        self.silent.seats().seats.remove(&self.number);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.speaks();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_silent_makes_room_and_who_speaks_stays() {
        let silent = Silent::default();
        let (first, mut first_told) = silent.seat();
        let (_second, mut second_told) = silent.seat();
        let (third, mut third_told) = silent.seat();
        first.speaks();
        drop(third);
        assert!(silent.make_room());
        assert_eq!(second_told.try_recv(), Ok(()));
        assert!(!silent.make_room());
        assert!(first_told.try_recv().is_err() && third_told.try_recv().is_err());
    }
}
