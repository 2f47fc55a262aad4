//! The log of batches: what is appended is folded, once, in the order of its position.
//!
//! Every accepted batch goes through here, and the sender is told so only after [`Log::append`]. It is
//! kept in memory, within a bound: a batch that has no room is refused, never dropped.

use std::sync::{Arc, Mutex, PoisonError};

use syntrace_core::fact::{Batch, Fact};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Where a batch stands in the log, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);

/// The end at which batches are appended.
#[derive(Debug)]
pub struct Log {
    tail: Mutex<Tail>,
    room: Arc<Semaphore>,
}

/// The end at which batches are read.
#[derive(Debug)]
pub struct Reader {
    entries: mpsc::UnboundedReceiver<Entry>,
}

/// One appended batch; it takes up its room until it is dropped.
#[derive(Debug)]
pub struct Entry {
    /// Where it stands.
    pub position: Position,
    /// What was appended.
    pub batch: Batch,
    _room: OwnedSemaphorePermit,
}

/// Why a batch was not appended. The sender keeps it and may send it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Too much waits to be folded.
    #[error("the log is full")]
    Busy,
    /// The bridge ends.
    #[error("the log is closed")]
    Closed,
}

#[derive(Debug)]
struct Tail {
    next: Position,
    /// Absent once the log is closed.
    entries: Option<mpsc::UnboundedSender<Entry>>,
}

// === impl Log ===

impl Log {
    /// Returns both ends of a log with room for `bytes` of batches that are not folded yet.
    #[must_use]
    pub fn new(bytes: usize) -> (Self, Reader) {
        let (sender, entries) = mpsc::unbounded_channel();
        let tail = Tail {
            next: Position(0),
            entries: Some(sender),
        };
        let room = Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS)));
        let tail = Mutex::new(tail);
        (Self { tail, room }, Reader { entries })
    }

    /// Appends a batch that was decoded from `encoded`; it will be folded when this returns its position.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; then nothing was appended.
    pub async fn append(&self, encoded: &[u8], batch: Batch) -> Result<Position, AppendError> {
        let bytes = encoded.len() + batch.facts.len() * size_of::<Fact>();
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(permits);
        let Ok(_room) = room else {
            return Err(AppendError::Busy);
        };
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let position = tail.next;
        let entries = tail.entries.as_ref().ok_or(AppendError::Closed)?;
        let entry = Entry {
            position,
            batch,
            _room,
        };
        if entries.send(entry).is_err() {
            return Err(AppendError::Closed);
        }
        tail.next = Position(position.0 + 1);
        Ok(position)
    }

    /// Takes no more; the reader ends after what was appended.
    pub fn close(&self) {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.entries = None;
    }

    /// Waits until nobody reads any more; at once if the log is closed.
    pub async fn abandoned(&self) {
        let entries = {
            let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
            tail.entries.clone()
        };
        if let Some(entries) = entries {
            entries.closed().await;
        }
    }

    /// Returns whether [`Self::append`] may succeed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.entries
            .as_ref()
            .is_some_and(|entries| !entries.is_closed())
    }
}

// === impl Reader ===

impl Reader {
    /// Waits for the next entry; `None` once the log is closed and all was read.
    pub async fn next(&mut self) -> Option<Entry> {
        self.entries.recv().await
    }
}

#[cfg(test)]
mod tests {
    use syntrace_core::fact::SenderId;

    use super::*;

    #[tokio::test]
    async fn batches_are_read_in_the_order_of_their_positions_until_the_log_is_closed() {
        let (log, mut reader) = Log::new(100);
        assert_eq!(log.append(b"a", batch(0)).await, Ok(Position(0)));
        assert_eq!(log.append(b"b", batch(1)).await, Ok(Position(1)));
        log.close();
        assert_eq!(log.append(b"c", batch(2)).await, Err(AppendError::Closed));
        assert_eq!(reader.next().await.unwrap().batch, batch(0));
        assert_eq!(reader.next().await.unwrap().batch, batch(1));
        assert!(reader.next().await.is_none());
    }

    #[tokio::test]
    async fn a_batch_without_room_is_refused_until_another_was_folded() {
        let (log, mut reader) = Log::new(3);
        assert_eq!(log.append(b"ab", batch(0)).await, Ok(Position(0)));
        assert_eq!(log.append(b"cd", batch(1)).await, Err(AppendError::Busy));
        drop(reader.next().await);
        assert_eq!(log.append(b"cd", batch(1)).await, Ok(Position(1)));
    }

    #[tokio::test]
    async fn a_log_that_nobody_reads_takes_nothing_and_says_so() {
        let (log, reader) = Log::new(100);
        assert!(log.is_open());
        drop(reader);
        log.abandoned().await;
        assert!(!log.is_open());
        assert_eq!(log.append(b"a", batch(0)).await, Err(AppendError::Closed));
    }

    fn batch(first_seq: u64) -> Batch {
        let sender = SenderId {
            name: "probe".into(),
            epoch: 7,
        };
        Batch {
            sender,
            first_seq,
            facts: Vec::new(),
            losses: Vec::new(),
            goodbye: false,
        }
    }
}
