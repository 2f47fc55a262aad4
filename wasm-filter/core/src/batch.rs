//! Facts on their way to the bridge: numbered, batched, bounded, sent one batch at a time.
//!
//! Each fact gets the next sequence number when it is recorded. A batch that the bridge did not
//! take is sent again under the same numbers, so that the bridge can tell a repetition from news.
//! A fact that is lost leaves its number unused, and the cumulative losses say why.
//!
//! A fact is written when it is recorded, as a field of its batch; a batch is then a head and such fields,
//! one after the other. The memory for all that may wait is taken once, with the configuration: under load
//! nothing grows. What is never used of it never becomes resident.

use std::{collections::VecDeque, mem};

use crate::wire::{self, Message, batch, fact, varint_len};

/// Version of the wire's meaning.
const SCHEMA: u64 = 1;

/// What a batch needs beside its facts, bytes: its sender, its losses.
const HEAD_BYTES: usize = 512;

/// Facts that wait, and the numbers of those that do not any more.
#[derive(Debug)]
pub(crate) struct Queue {
    limits: Limits,
    /// Number of the next fact.
    next_seq: u64,
    /// All facts that wait, encoded, oldest first: those of `closed`, then those of `open`.
    encoded: VecDeque<u8>,
    /// Takes new facts.
    open: Facts,
    /// Waits to be sent, oldest first.
    closed: VecDeque<Facts>,
    /// The losses named in the batch on its way: the front of `closed`.
    in_flight: Option<Losses>,
    losses: Losses,
    /// The losses that the bridge knows of.
    acknowledged: Losses,
    /// Batches that the bridge keeps, and facts in them.
    n_accepted: u64,
    n_delivered: u64,
    /// Buffers to use again: for what precedes a fact, and for a batch.
    head: Vec<u8>,
    body: Vec<u8>,
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

/// Facts with consecutive numbers.
#[derive(Clone, Copy, Debug, Default)]
struct Facts {
    first_seq: u64,
    count: usize,
    /// Of their encoding, bytes.
    len: usize,
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
            encoded: VecDeque::new(),
            open: Facts::default(),
            closed: VecDeque::new(),
            in_flight: None,
            losses: Losses::default(),
            acknowledged: Losses::default(),
            n_accepted: 0,
            n_delivered: 0,
            head: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Records a fact, which is a `Request`; the oldest batch that is not on its way makes room for it.
    pub(crate) fn push(&mut self, request: &Message) {
        // Two lengths below 2^28 and two tags: a `Request` in a `Fact` in a `Batch`.
        let fact_len = 1 + varint_len(request.len()) + request.len();
        let len = 1 + varint_len(fact_len) + fact_len;
        while self.encoded.len() + len > self.limits.queue_bytes && self.drop_oldest() {}
        if self.encoded.len() + len > self.limits.queue_bytes {
            self.close();
            self.next_seq += 1;
            self.open.first_seq = self.next_seq;
            self.losses.queue_full += 1;
            return;
        }
        if self.open.len + len > self.limits.batch_bytes() {
            self.close();
        }
        let mut head = Message::reusing(mem::take(&mut self.head));
        head.length(batch::FACTS, fact_len);
        head.length(fact::REQUEST, request.len());
        self.head = head.into_bytes();
        self.encoded.extend(&self.head);
        self.encoded.extend(request.as_bytes());
        self.open.len += len;
        self.open.count += 1;
        self.next_seq += 1;
        if self.open.count >= self.limits.batch_facts {
            self.close();
        }
    }

    /// Holds back at most this much from now on, and takes the memory for it. Where that cannot be had, it is
    /// taken as it is needed.
    pub(crate) fn limit(&mut self, limits: Limits) {
        self.limits = limits;
        let queue_bytes = limits.queue_bytes.saturating_sub(self.encoded.len());
        self.encoded
            .try_reserve_exact(queue_bytes)
            .unwrap_or_default();
        let batch_bytes = HEAD_BYTES + limits.batch_bytes();
        self.body.clear();
        self.body.try_reserve_exact(batch_bytes).unwrap_or_default();
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
        u64::try_from(self.encoded.len()).unwrap_or(u64::MAX)
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
    pub(crate) fn poll_batch(&mut self, sender: &Message) -> Option<&[u8]> {
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
        let mut body = Message::reusing(mem::take(&mut self.body));
        body.uint(batch::SCHEMA, SCHEMA);
        body.message(batch::SENDER, sender);
        body.uint(batch::FIRST_SEQ, facts.first_seq);
        self.losses.write(&mut body);
        self.body = body.into_bytes();
        let (front, back) = self.encoded.as_slices();
        let split = facts.len.min(front.len());
        for part in [front.get(..split), back.get(..facts.len - split)] {
            self.body.extend_from_slice(part.unwrap_or_default());
        }
        self.in_flight = Some(self.losses);
        Some(&self.body)
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
        self.forget(0, facts);
        match answer {
            Answer::Accepted => {
                self.acknowledged = told;
                self.n_accepted += 1;
                self.n_delivered += facts.count();
            }
            Answer::Refused => self.losses.refused += facts.count(),
            Answer::Unavailable => {}
        }
    }

    /// Closes the open batch, if there is anything in it.
    fn close(&mut self) {
        if self.open.count == 0 {
            return;
        }
        let next = Facts {
            first_seq: self.next_seq,
            ..Facts::default()
        };
        self.closed.push_back(mem::replace(&mut self.open, next));
    }

    /// Gives up the oldest closed batch that is not on its way; false if there is none.
    fn drop_oldest(&mut self) -> bool {
        let kept = match self.in_flight {
            Some(_) => self.closed.front().copied(),
            None => None,
        };
        let Some(facts) = self.closed.remove(usize::from(kept.is_some())) else {
            return false;
        };
        self.forget(kept.map_or(0, |kept| kept.len), facts);
        self.losses.queue_full += facts.count();
        true
    }

    /// Forgets the encoding of `facts`, before which `start` bytes wait.
    fn forget(&mut self, start: usize, facts: Facts) {
        let end = (start + facts.len).min(self.encoded.len());
        self.encoded.drain(start.min(end)..end);
        // What little still waits is moved to where the memory begins: so the same part of it is used again
        // and again, which is in the processor's caches, and the rest is never touched.
        if self.encoded.len() <= facts.len {
            self.encoded = Vec::from(mem::take(&mut self.encoded)).into();
        }
    }
}

// === impl Facts ===

impl Facts {
    fn count(self) -> u64 {
        u64::try_from(self.count).unwrap_or(u64::MAX)
    }
}

// === impl Limits ===

impl Limits {
    /// Returns how many bytes a batch may have: a quarter, so that there is room for what is on its way, what
    /// waits, and what comes in. A fact that is larger is a batch of its own.
    const fn batch_bytes(self) -> usize {
        self.queue_bytes / 4
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

#[cfg(test)]
mod tests;
