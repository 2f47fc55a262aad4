//! Probes that take over from each other, in many ways: whatever is lost, nothing is told completely that was not.

use std::collections::BTreeSet;

use super::*;

/// Numbers from a seed (xorshift).
struct Chance(u64);

impl Chance {
    const fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for n in (1..all.len()).rev() {
            all.swap(n, self.below(n as u64 + 1) as usize);
        }
    }
}

/// What one batch told: what happened, and what was lost of that before it had a number.
struct Sent {
    events: Vec<u64>,
    unnumbered: Vec<u64>,
    has_arrived: bool,
}

/// What happened while probes took over from each other, and what arrived of it.
#[derive(Default)]
struct World {
    batches: Vec<Closed>,
    /// When something happened of which no fact arrived.
    lost: Vec<u64>,
    /// The same, where the fact next to it in the kernel's order did not arrive either, though one of its run did
    /// later.
    lost_two: Vec<(u64, u64)>,
    end: u64,
}

impl World {
    /// Runs in a row read one queue. One stops reading before it reads the clock for the last time; the next has
    /// looked for sockets by then, and reads on. Some batches are lost, and what comes last before a crash.
    fn of(seed: u64) -> Self {
        let mut chance = Chance(seed * 2 + 1);
        let mut world = Self::default();
        let mut queue = Vec::new();
        let mut at = 1_000 * MS;
        for epoch in 1..=2 + chance.below(2) {
            let (mut seq, mut ring_full) = (0, 0);
            let mut found = vec![at.saturating_sub(chance.below(120 * MS))];
            let n_batches = 3 + chance.below(3);
            let mut told = Vec::new();
            let is_killed = chance.below(3) == 0;
            for n in 0..n_batches {
                let until = at + (20 + chance.below(60)) * MS;
                while at < until {
                    // Just before the end of one batch nothing is, as all has been read when it is closed.
                    queue.push(at);
                    at += (1 + chance.below(20)) * MS;
                }
                at = at.max(until);
                let is_last = n + 1 == n_batches;
                let unread = if is_last {
                    at - chance.below(60 * MS)
                } else {
                    at
                };
                let read = queue.iter().position(|&happened| happened >= unread);
                let mut events: Vec<_> = queue.drain(..read.unwrap_or(queue.len())).collect();
                let n_lost = match chance.below(8) {
                    0 => chance.below(4).min(events.len() as u64) as usize,
                    _ => 0,
                };
                let place = chance.below((events.len() - n_lost + 1) as u64) as usize;
                let unnumbered: Vec<_> = events.drain(place..place + n_lost).collect();
                ring_full += n_lost as u64;
                let seen: Vec<_> = found.drain(..).chain(events.iter().copied()).collect();
                let (closed_at, batch) = closed(epoch, seq, at, &seen);
                let losses = vec![("ring_full".into(), ring_full)];
                let goodbye = is_last && !is_killed;
                let batch = Batch {
                    losses,
                    goodbye,
                    ..batch
                };
                seq += batch.facts.len() as u64;
                // Of each run something arrives soon.
                let may_be_lost = n != 1;
                let is_dropped = chance.below(6) == 0 || is_last && is_killed;
                let has_arrived = !(may_be_lost && is_dropped);
                if has_arrived {
                    world.batches.push((closed_at, batch));
                }
                told.push(Sent {
                    events,
                    unnumbered,
                    has_arrived,
                });
                at += MS;
            }
            world.note_lost(&told);
        }
        world.end = at;
        world
    }

    fn note_lost(&mut self, sent: &[Sent]) {
        let last = sent.iter().rposition(|batch| batch.has_arrived);
        for (n, batch) in sent.iter().enumerate() {
            let numbered = batch.events.iter().filter(|_| !batch.has_arrived);
            let numbered: Vec<_> = numbered.copied().collect();
            for lost in [&numbered, &batch.unnumbered] {
                self.lost.extend(lost);
                if last >= Some(n) {
                    let pairs = lost.iter().zip(lost.iter().skip(1));
                    self.lost_two.extend(pairs.map(|(one, two)| (*one, *two)));
                }
            }
        }
    }
}

#[test]
fn nothing_that_is_lost_is_told_completely_and_no_order_changes_what_is_told() {
    let mut n_told = BTreeSet::new();
    for seed in 0..2_000 {
        let World {
            mut batches,
            lost,
            lost_two,
            end,
        } = World::of(seed);
        let arrived = Arrived::of(&batches);
        let mut chance = Chance(seed + 9_999);
        let again: Vec<_> = batches
            .iter()
            .filter(|_| chance.below(3) == 0)
            .cloned()
            .collect();
        batches.extend(again);
        chance.shuffle(&mut batches);
        let shuffled = Arrived::of(&batches);
        assert_eq!(shuffled.gaps.checkpoint(), arrived.gaps.checkpoint());
        for _ in 0..100 {
            let from = 900 * MS + chance.below(end - 900 * MS);
            let until = from + chance.below(100 * MS);
            let is_within = |at: &u64| (from..=until).contains(at);
            let (told, may_lack) = (
                arrived.told(from, until),
                arrived.may_lack_succession(from, until),
            );
            assert_eq!(shuffled.told(from, until), told);
            assert_eq!(shuffled.may_lack_succession(from, until), may_lack);
            let lacks = |told: Told| format!("seed {seed}: {told:?} from {from} until {until}");
            if lost.iter().any(is_within) {
                assert_ne!(told, Told::All, "{}", lacks(told));
            }
            // Nobody listened before.
            let is_heard = arrived.gaps.is_heard_before(BootNanos(from));
            let has_lost_two =
                |(one, two): &(u64, u64)| is_heard && is_within(one) && is_within(two);
            if lost_two.iter().any(has_lost_two) {
                assert!(may_lack, "{}", lacks(told));
            }
            if told == Told::NotAll || may_lack {
                assert!(arrived.gaps.may_lack_any(&arrived.ledger));
            }
            n_told.insert((told == Told::All, may_lack));
        }
    }
    assert_eq!(n_told.len(), 4, "each occurs");
}
