//! The ways that facts take: into batches, some of them lost, late, twice, and out of order.

use syntrace_core::{
    Limits, Output, Reconciler,
    fact::{Batch, Fact, SenderId},
};
use syntrace_model::BootNanos;

use super::{Sender, World, random::Random, worker::MS};

/// Facts that a sender collects at most.
const BATCH_MAX: usize = 32;
/// How long it collects.
const COLLECTS: u64 = 50 * MS;

/// How facts travel; shares are in a million.
#[derive(Clone, Copy, Debug)]
pub struct Hops {
    pub seed: u64,
    /// Facts lost at their sender; a fourth as many batches are lost on their way. At a 32nd of
    /// as many moments the kernel's ring is full: a few facts are lost before they have a number, and only counted.
    pub lost: u64,
    /// Longest delay; within the grace period nothing may be late.
    pub delay: u64,
    /// Batches that take long.
    pub slow: u64,
    /// Batches that come again.
    pub again: u64,
    /// Batches that come after the grace period.
    pub late: u64,
}

/// Batches in the order of their arrival, and what did not arrive.
#[derive(Clone, Debug, Default)]
pub struct Travelled {
    pub arrivals: Vec<(u64, Batch)>,
    pub sent: u64,
    pub lost: u64,
}

impl Hops {
    /// In order, at once, and all of it.
    pub const STRAIGHT: Self = Self {
        seed: 0,
        lost: 0,
        delay: 0,
        slow: 0,
        again: 0,
        late: 0,
    };
}

/// Sends all facts of a world.
pub fn travel(world: World, hops: Hops) -> Travelled {
    travel_all(world.senders, hops)
}

/// Sends all that some senders see.
pub fn travel_all(senders: Vec<Sender>, hops: Hops) -> Travelled {
    let mut random = Random::new(hops.seed ^ 0x0f0f);
    let mut ring = Random::new(hops.seed ^ 0x2b2b);
    let mut travelled = Travelled::default();
    let mut arrivals: Vec<(u64, u64, Batch)> = Vec::new();
    for sender in senders {
        let id = SenderId {
            name: sender.name.into(),
            epoch: sender.epoch,
        };
        let sent = sender.facts.len() as u64;
        travelled.sent += sent;
        let (mut begun, mut last, mut seq) = (0, 0, 0);
        // As many as the sender had lost in its ring when it last read the clock, as many as it has.
        let (mut counted, mut uncounted) = (0, 0);
        let mut ring_full = 0;
        let mut facts: Vec<Fact> = Vec::new();
        for seen in sender.facts {
            let is_of_ring = matches!(seen.fact, Fact::Connection(_) | Fact::Incident(_));
            if is_of_ring && ring.in_million(hops.lost / 32) {
                ring_full = ring.between(2, 9);
            }
            if is_of_ring && ring_full > 0 {
                ring_full -= 1;
                uncounted += 1;
                travelled.lost += 1;
                continue;
            }
            let is_lost = random.in_million(hops.lost);
            let full = facts.len() >= BATCH_MAX || seen.at > begun + COLLECTS;
            if (full || is_lost) && !facts.is_empty() {
                let batch = batch(&id, seq, std::mem::take(&mut facts), counted);
                travelled.lost += send(&mut arrivals, &mut random, hops, last, batch);
            }
            if facts.is_empty() {
                begun = seen.at;
            }
            last = seen.at;
            if matches!(seen.fact, Fact::Clock(_)) {
                counted = uncounted;
            }
            if is_lost {
                travelled.lost += 1;
            } else {
                facts.push(seen.fact);
            }
            seq += 1;
        }
        if !facts.is_empty() {
            let batch = batch(&id, seq, facts, counted);
            travelled.lost += send(&mut arrivals, &mut random, hops, last, batch);
        }
    }
    arrivals.sort_unstable_by_key(|(at, tie, _)| (*at, *tie));
    let arrived = arrivals.into_iter().map(|(at, _, batch)| (at, batch));
    travelled.arrivals = arrived.collect();
    travelled
}

/// The facts before the one with this number; so many were lost in the ring.
fn batch(sender: &SenderId, until: u64, facts: Vec<Fact>, counted: u64) -> Batch {
    let ring_full = (counted > 0).then(|| ("ring_full".into(), counted));
    Batch {
        sender: sender.clone(),
        first_seq: until - facts.len() as u64,
        facts,
        losses: ring_full.into_iter().collect(),
        goodbye: false,
    }
}

/// Returns how many facts were lost.
fn send(
    arrivals: &mut Vec<(u64, u64, Batch)>,
    random: &mut Random,
    hops: Hops,
    at: u64,
    batch: Batch,
) -> u64 {
    if random.in_million(hops.lost / 4) {
        return batch.facts.len() as u64;
    }
    let slow = random.in_million(hops.slow);
    let mut at = at + random.below(if slow { hops.delay } else { hops.delay / 20 });
    if hops.late > 0 && random.in_million(hops.late) {
        at += random.between(2_500 * MS, 20_000 * MS);
    }
    if random.in_million(hops.again) {
        let again = at + random.below(10_000 * MS);
        arrivals.push((again, random.next(), batch.clone()));
    }
    arrivals.push((at, random.next(), batch));
    0
}

/// Feeds what arrived, the time passing at every arrival, and settles everything at the end; `take` gets
/// what comes out.
pub fn feed(
    arrivals: impl IntoIterator<Item = (u64, Batch)>,
    limits: Limits,
    mut take: impl FnMut(Output),
) -> Reconciler {
    let mut reconciler = Reconciler::new(limits);
    for (at, batch) in arrivals {
        reconciler.handle_timeout(BootNanos(at));
        while let Some(output) = reconciler.poll_output() {
            take(output);
        }
        reconciler.handle_batch(batch);
    }
    reconciler.drain();
    while let Some(output) = reconciler.poll_output() {
        take(output);
    }
    reconciler
}
