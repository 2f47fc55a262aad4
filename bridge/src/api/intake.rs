//! Limits how many batches are read and decoded at the same time, which bounds their memory. A sender that is
//! slow with its body loses its place to one that waits for a place.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::Instant,
};

/// Batches that are read and decoded at the same time.
const BATCHES_MAX: usize = 8;

/// How long a body may take to arrive while others wait for its place.
const PATIENCE: Duration = Duration::from_secs(1);

/// The places of one listener. Clones have the same.
#[derive(Clone, Debug)]
pub(super) struct Intake {
    places: Arc<Semaphore>,
    arriving: Arc<Mutex<Arriving>>,
}

/// Bodies that are not here yet, by when they began.
#[derive(Debug, Default)]
struct Arriving {
    began: u64,
    bodies: BTreeMap<u64, Body>,
}

#[derive(Debug)]
struct Body {
    began_at: Instant,
    leave: oneshot::Sender<()>,
}

/// The place of one batch, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    arriving: Arc<Mutex<Arriving>>,
    number: u64,
    told: oneshot::Receiver<()>,
    _place: OwnedSemaphorePermit,
}

// === impl Intake ===

impl Default for Intake {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(BATCHES_MAX)),
            arriving: Arc::default(),
        }
    }
}

impl Intake {
    /// Takes a place; `None` if there is none, and no sender has been slow for long.
    pub(super) async fn take(&self) -> Option<Place> {
        let places = Arc::clone(&self.places);
        let place = match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => place,
            Err(_full) if self.make_room() => places.acquire_owned().await.ok()?,
            Err(_full) => return None,
        };
        let (leave, told) = oneshot::channel();
        let began_at = Instant::now();
        let mut arriving = lock(&self.arriving);
        arriving.began += 1;
        let number = arriving.began;
        arriving.bodies.insert(number, Body { began_at, leave });
        drop(arriving);
        Some(Place {
            arriving: Arc::clone(&self.arriving),
            number,
            told,
            _place: place,
        })
    }

    /// Tells the body that has been arriving the longest to make room; false if that is not long.
    fn make_room(&self) -> bool {
        let mut arriving = lock(&self.arriving);
        let Some(longest) = arriving.bodies.first_entry() else {
            return false;
        };
        longest.get().began_at.elapsed() >= PATIENCE && longest.remove().leave.send(()).is_ok()
    }
}

// === impl Place ===

impl Place {
    /// Waits for the body, which keeps the place from then on; `None` if another needs the place first.
    pub(super) async fn arrival<T>(&mut self, body: impl Future<Output = T>) -> Option<T> {
        let arrived = tokio::select! {
            biased;
            body = body => Some(body),
            Ok(()) = &mut self.told => None,
        };
        self.is_here();
        arrived
    }

    fn is_here(&self) {
        lock(&self.arriving).bodies.remove(&self.number);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.is_here();
    }
}

fn lock(arriving: &Mutex<Arriving>) -> MutexGuard<'_, Arriving> {
    arriving.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_slowest_body_makes_room_and_one_that_is_here_stays() {
        let intake = Intake::default();
        let mut places = Vec::new();
        for _ in 0..BATCHES_MAX {
            places.push(intake.take().await.unwrap());
        }
        assert_eq!(places[0].arrival(ready(7)).await, Some(7));
        assert!(intake.take().await.is_none(), "nobody has been slow yet");
        advance(PATIENCE).await;
        let mut slowest = places.remove(1);
        let slow = async move {
            assert_eq!(slowest.arrival(pending::<()>()).await, None);
        };
        let (another, ()) = tokio::join!(intake.take(), slow);
        assert!(another.is_some());
        places.truncate(1);
        for _ in 1..BATCHES_MAX - 1 {
            places.push(intake.take().await.unwrap());
        }
        assert!(intake.take().await.is_none(), "the one that is here stays");
    }
}
