//! Lets time advance when nothing else arrives: appends the bridge's own readings of both clocks.
//!
//! The bridge is a sender like any other. Its facts are numbered on over restarts of the process, and from 0, in a new
//! epoch, after a reboot: with the kernel's run the ledger begins again, and would count the earlier numbers as missing.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use prost::Message as _;
use syntrace_core::fact::{Batch, Fact, SenderId};
use syntrace_model::{BootId, BootNanos};
use syntrace_proto as wire;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::Folder;
use crate::{
    clock,
    log::{AppendError, Log},
};

/// How often the bridge reads both clocks.
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
    /// Goes on with the numbers that a fold has seen in this run of the kernel, or begins.
    #[must_use]
    pub fn after(folder: &Folder, boot: BootId) -> Self {
        let coverage = (folder.boot() == boot).then(|| folder.reconciler().coverage());
        let mut senders = coverage.into_iter().flat_map(|coverage| coverage.senders);
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
                next_seq: known.received + known.missing,
                sender: known.sender,
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

/// Converts a boot time that lies ahead to tokio's clock.
///
/// Tokio's clock stops while the host is suspended: the interval makes up for it.
fn instant(at: BootNanos) -> Instant {
    Instant::now() + Duration::from_nanos(at.since_ns(clock::boot()))
}
