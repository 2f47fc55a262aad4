//! Lets time pass where nothing else comes: appends the bridge's own readings of both clocks.
//!
//! The bridge is a sender like any other, and its facts are numbered on over restarts.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use prost::Message as _;
use syntrace_core::{
    Coverage,
    fact::{Batch, Fact, SenderId},
};
use syntrace_model::BootNanos;
use syntrace_proto as wire;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{
    clock,
    log::{AppendError, Log},
};

/// How often the bridge tells both clocks.
///
/// A step of the wall clock spoils at most the reports of one interval.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long the bridge waits at least between two readings, however much is due.
const INTERVAL_MIN: Duration = Duration::from_millis(50);

/// Name under which the bridge sends.
const NAME: &str = "bridge";

/// The bridge as a sender.
#[derive(Debug)]
pub struct Ticker {
    sender: SenderId,
    next_seq: u64,
}

impl Ticker {
    /// Goes on with the numbers that a fold has seen, or begins.
    #[must_use]
    pub fn after(coverage: &Coverage) -> Self {
        let mut senders = coverage.senders.iter();
        let known = senders.find(|known| &*known.sender.name == NAME);
        known.map_or_else(
            || Self {
                sender: SenderId {
                    name: NAME.into(),
                    // The standard library seeds each hasher's keys at random.
                    epoch: RandomState::new().build_hasher().finish(),
                },
                next_seq: 0,
            },
            |known| Self {
                sender: known.sender.clone(),
                next_seq: known.received + known.missing,
            },
        )
    }

    /// Appends a reading at each interval, and when something is due, until the log is closed.
    pub async fn run(mut self, log: Arc<Log>, mut due: watch::Receiver<Option<BootNanos>>) {
        loop {
            let (encoded, batch) = self.next();
            match log.append(&encoded, batch).await {
                Ok(_) => self.next_seq += 1,
                Err(AppendError::Closed) => return,
                // The log says so itself.
                Err(AppendError::Busy | AppendError::Failed) => {}
            }
            let now = Instant::now();
            let mut at = now + INTERVAL;
            // What is due later than the next reading needs none of its own; what is due sooner does.
            loop {
                let next = *due.borrow_and_update();
                if let Some(next) = next.map(instant) {
                    at = at.min(next.max(now + INTERVAL_MIN));
                }
                tokio::select! {
                    () = sleep_until(at) => break,
                    changed = due.changed() => if changed.is_err() { return },
                }
            }
        }
    }

    fn next(&self) -> (Vec<u8>, Batch) {
        let sample = clock::sample();
        let body = wire::fact::Body::Clock(wire::Clock {
            boot_ns: sample.boot.0,
            unix_ns: sample.unix.0,
        });
        let encoded = wire::Batch {
            schema: wire::SCHEMA,
            sender: Some(wire::Sender {
                name: self.sender.name.to_string(),
                epoch: self.sender.epoch,
                host_id: String::new(),
            }),
            first_seq: self.next_seq,
            facts: vec![wire::Fact { body: Some(body) }],
            losses: Vec::new(),
            goodbye: false,
        };
        let batch = Batch {
            sender: self.sender.clone(),
            first_seq: self.next_seq,
            facts: vec![Fact::Clock(sample)],
            losses: Vec::new(),
            goodbye: false,
        };
        (encoded.encode_to_vec(), batch)
    }
}

/// Moves a boot time that lies ahead to tokio's clock.
///
/// That one stands still while the host is suspended: the interval makes up for it.
fn instant(at: BootNanos) -> Instant {
    Instant::now() + Duration::from_nanos(at.since_ns(clock::boot()))
}
