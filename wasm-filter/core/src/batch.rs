//! Facts on their way to the bridge: numbered, batched, bounded, sent one batch at a time.
//!
//! Each fact gets the next sequence number when it is recorded. A batch that the bridge did not
//! take is sent again under the same numbers, so that the bridge can tell a repetition from news.
//! A fact that is lost leaves its number unused, and the cumulative losses say why.
//!
//! A fact is written when it is recorded, as a field of its batch; a batch is then a head and such fields,
//! one after the other.

use std::{collections::VecDeque, mem};

use crate::wire::{self, Message, batch, fact, varint_len};

/// Version of the wire's meaning.
const SCHEMA: u64 = 1;

/// Facts that wait, and the numbers of those that do not any more.
#[derive(Debug)]
pub(crate) struct Queue {
    limits: Limits,
    /// Number of the next fact.
    next_seq: u64,
    /// Takes new facts.
    open: Facts,
    /// Waits to be sent, oldest first.
    closed: VecDeque<Facts>,
    /// Bytes in `open` and `closed`.
    bytes: usize,
    /// The losses named in the batch on its way: the front of `closed`.
    in_flight: Option<Losses>,
    losses: Losses,
    /// The losses that the bridge knows of.
    acknowledged: Losses,
    /// Batches that the bridge keeps, and facts in them.
    n_accepted: u64,
    n_delivered: u64,
    /// A buffer to use again.
    spare: Vec<u8>,
}

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Most facts in one batch.
    pub(crate) batch_facts: usize,
    /// Most bytes in all batches.
    pub(crate) queue_bytes: usize,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The bridge keeps it.
    Accepted,
    /// The bridge will never take it: sending it again is of no use.
    Refused,
    /// The bridge could not be reached, or asks to come again.
    Unavailable,
}

/// Encoded facts with consecutive numbers.
#[derive(Debug, Default)]
struct Facts {
    first_seq: u64,
    count: usize,
    encoded: Vec<u8>,
}

/// Facts lost since the epoch began, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Losses {
    queue_full: u64,
    refused: u64,
}

// === impl Queue ===

impl Queue {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            next_seq: 0,
            open: Facts::default(),
            closed: VecDeque::new(),
            bytes: 0,
            in_flight: None,
            losses: Losses::default(),
            acknowledged: Losses::default(),
            n_accepted: 0,
            n_delivered: 0,
            spare: Vec::new(),
        }
    }

    /// Records a fact, which is a `Request`; the oldest batch that is not on its way makes room for it.
    pub(crate) fn push(&mut self, request: &Message) {
        // Two lengths below 2^28 and two tags: a `Request` in a `Fact` in a `Batch`.
        let fact_len = 1 + varint_len(request.len()) + request.len();
        let len = 1 + varint_len(fact_len) + fact_len;
        while self.bytes + len > self.limits.queue_bytes && self.drop_oldest() {}
        if self.bytes + len > self.limits.queue_bytes {
            self.close();
            self.next_seq += 1;
            self.open.first_seq = self.next_seq;
            self.losses.queue_full += 1;
            return;
        }
        let mut encoded = Message::reusing(mem::take(&mut self.open.encoded));
        encoded.length(batch::FACTS, fact_len);
        encoded.message(fact::REQUEST, request);
        self.open.encoded = encoded.into_bytes();
        self.open.count += 1;
        self.next_seq += 1;
        self.bytes += len;
        // A quarter each: room for what is on its way, what waits, and what comes in.
        if self.open.count >= self.limits.batch_facts
            || self.open.encoded.len() >= self.limits.queue_bytes / 4
        {
            self.close();
        }
    }

    /// Holds back at most this much from now on.
    pub(crate) const fn limit(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Returns how many facts were recorded, the lost ones among them.
    pub(crate) const fn n_recorded(&self) -> u64 {
        self.next_seq
    }

    /// Returns how many facts were lost, whatever the cause.
    pub(crate) const fn n_lost(&self) -> u64 {
        self.losses.queue_full + self.losses.refused
    }

    /// Returns how many batches the bridge keeps.
    pub(crate) const fn n_accepted(&self) -> u64 {
        self.n_accepted
    }

    /// Returns how many facts the bridge said that it keeps.
    ///
    /// Of each fact that was recorded this or [`Self::n_lost`] counts it, or it waits.
    pub(crate) const fn n_delivered(&self) -> u64 {
        self.n_delivered
    }

    /// Returns how many bytes wait.
    pub(crate) fn bytes(&self) -> u64 {
        u64::try_from(self.bytes).unwrap_or(u64::MAX)
    }

    /// Returns whether there is nothing to tell the bridge.
    pub(crate) fn is_silent(&self) -> bool {
        self.open.count == 0 && self.closed.is_empty() && self.losses == self.acknowledged
    }

    /// Returns whether a batch waits that will not grow any more.
    pub(crate) fn has_full_batch(&self) -> bool {
        !self.closed.is_empty()
    }

    /// Returns the batch to send now; [`Self::handle_answer`] must follow before there is another.
    pub(crate) fn poll_batch(&mut self, sender: &Message) -> Option<Vec<u8>> {
        if self.in_flight.is_some() {
            return None;
        }
        if self.closed.is_empty() {
            self.close();
        }
        if self.closed.is_empty() && self.losses != self.acknowledged {
            self.closed.push_back(Facts {
                first_seq: self.next_seq,
                ..Facts::default()
            });
        }
        let facts = self.closed.front()?;
        let mut body = Message::with_capacity(facts.encoded.len() + sender.len() + 64);
        body.uint(batch::SCHEMA, SCHEMA);
        body.message(batch::SENDER, sender);
        body.uint(batch::FIRST_SEQ, facts.first_seq);
        self.losses.write(&mut body);
        let mut body = body.into_bytes();
        body.extend_from_slice(&facts.encoded);
        self.in_flight = Some(self.losses);
        Some(body)
    }

    /// Feeds what became of the batch on its way.
    pub(crate) fn handle_answer(&mut self, answer: Answer) {
        let Some(told) = self.in_flight.take() else {
            return;
        };
        if answer == Answer::Unavailable {
            return;
        }
        let Some(facts) = self.closed.pop_front() else {
            return;
        };
        self.bytes = self.bytes.saturating_sub(facts.encoded.len());
        match answer {
            Answer::Accepted => {
                self.acknowledged = told;
                self.n_accepted += 1;
                self.n_delivered += count(&facts);
            }
            Answer::Refused => self.losses.refused += count(&facts),
            Answer::Unavailable => {}
        }
        self.spare = facts.encoded;
        self.spare.clear();
    }

    /// Closes the open batch, if there is anything in it.
    fn close(&mut self) {
        if self.open.count == 0 {
            return;
        }
        let next = Facts {
            first_seq: self.next_seq,
            count: 0,
            encoded: mem::take(&mut self.spare),
        };
        self.closed.push_back(mem::replace(&mut self.open, next));
    }

    /// Gives up the oldest closed batch that is not on its way; false if there is none.
    fn drop_oldest(&mut self) -> bool {
        let oldest = usize::from(self.in_flight.is_some());
        let Some(facts) = self.closed.remove(oldest) else {
            return false;
        };
        self.bytes = self.bytes.saturating_sub(facts.encoded.len());
        self.losses.queue_full += count(&facts);
        true
    }
}

// === impl Answer ===

impl Answer {
    /// Reads the HTTP status of the bridge's answer; `None` if none came.
    pub(crate) const fn from_status(status: Option<u16>) -> Self {
        match status {
            Some(200..=299) => Self::Accepted,
            None | Some(408 | 425 | 429 | 500..) => Self::Unavailable,
            Some(_) => Self::Refused,
        }
    }
}

// === impl Losses ===

impl Losses {
    fn write(self, to: &mut Message) {
        for (cause, count) in [("queue_full", self.queue_full), ("refused", self.refused)] {
            if count > 0 {
                let mut loss = Message::default();
                loss.bytes(wire::loss::CAUSE, cause.as_bytes());
                loss.uint(wire::loss::COUNT, count);
                to.message(batch::LOSSES, &loss);
            }
        }
    }
}

fn count(facts: &Facts) -> u64 {
    u64::try_from(facts.count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
