//! What several runs tell of an interval, in whatever order their batches come.

mod take_overs;

use syntrace_model::{BootId, ClockSample, UnixNanos};

use super::*;
use crate::fact::{Incident, IncidentKind, Sampling};

const MS: u64 = 1_000_000;

/// A batch, and the moment at which it was closed.
type Closed = (u64, Batch);

/// What arrived.
#[derive(Default)]
struct Arrived {
    ledger: Ledger,
    gaps: Gaps,
}

impl Arrived {
    fn of<'a>(batches: impl IntoIterator<Item = &'a Closed>) -> Self {
        let mut arrived = Self::default();
        for (closed_at, batch) in batches {
            arrived.add(BootNanos(*closed_at), batch);
        }
        arrived
    }

    fn add(&mut self, closed_at: BootNanos, batch: &Batch) {
        let new = self.ledger.note(batch);
        for (place, fact) in batch.facts.iter().enumerate() {
            if new.contains(place) {
                let seq = batch.first_seq + place as u64;
                self.gaps.note(&batch.sender, seq, fact);
            }
        }
        if new.contains(0) {
            self.gaps.note_losses(batch, closed_at);
        }
    }

    fn told(&self, from: u64, until: u64) -> Told {
        let told = |gaps: &Gaps| gaps.told(&self.ledger, BootNanos(from), BootNanos(until));
        let mut restored = Gaps::default();
        let (timelines, known_from) = self.gaps.checkpoint();
        restored.restore(&timelines, known_from);
        assert_eq!(told(&restored), told(&self.gaps));
        told(&self.gaps)
    }

    fn may_lack_succession(&self, from: u64, until: u64) -> bool {
        let (from, until) = (BootNanos(from), BootNanos(until));
        self.gaps.may_lack_succession(&self.ledger, from, until)
    }

    fn told_in_ms(&self, from: u64, until: u64) -> Told {
        self.told(from * MS, until * MS)
    }
}

fn sender(epoch: u64) -> SenderId {
    SenderId {
        name: "probe".into(),
        epoch,
    }
}

fn seen(at: u64) -> Fact {
    Fact::Incident(Incident {
        at: BootNanos(at),
        boot: BootId([1; 16]),
        cookie: 1,
        netns: 0,
        local: "192.0.2.1:80".parse().unwrap(),
        peer: None,
        kind: IncidentKind::AcceptOverflow,
        count: 1,
        queue: None,
    })
}

/// A batch that begins with the clock when it is closed.
fn closed(epoch: u64, first_seq: u64, at: u64, seen_at: &[u64]) -> Closed {
    let clock = Fact::Clock(ClockSample {
        boot: BootNanos(at),
        unix: UnixNanos(at),
    });
    let facts = std::iter::once(clock).chain(seen_at.iter().copied().map(seen));
    let batch = Batch {
        sender: sender(epoch),
        first_seq,
        facts: facts.collect(),
        losses: Vec::new(),
        goodbye: false,
    };
    (at, batch)
}

fn in_ms(epoch: u64, first_seq: u64, at: u64, seen_at: &[u64]) -> Closed {
    let seen_at: Vec<_> = seen_at.iter().map(|at| at * MS).collect();
    closed(epoch, first_seq, at * MS, &seen_at)
}

/// What two runs tell of which the second takes over at 500 ms.
fn taken_over() -> [Closed; 5] {
    [
        in_ms(1, 0, 100, &[50, 90]),
        in_ms(1, 3, 300, &[150, 290]),
        in_ms(1, 6, 500, &[350, 450]),
        in_ms(2, 0, 600, &[480, 590]),
        in_ms(2, 3, 800, &[650, 790]),
    ]
}

#[test]
fn what_a_probe_told_completely_stays_complete_when_another_takes_over() {
    let [first, second, third, next, last] = &taken_over();
    for batches in [
        [first, second, third, next, last],
        [next, last, first, second, third],
        [first, next, second, last, third],
    ] {
        let arrived = Arrived::of(batches);
        assert_eq!(arrived.told_in_ms(200, 250), Told::All, "by the first");
        assert_eq!(arrived.told_in_ms(460, 470), Told::All, "by the first");
        assert_eq!(arrived.told_in_ms(660, 700), Told::All, "by the second");
        assert_eq!(arrived.told_in_ms(400, 700), Told::Perhaps, "by neither");
        assert_eq!(arrived.told_in_ms(510, 560), Told::Perhaps, "by neither");
        assert_eq!(arrived.told_in_ms(10, 200), Told::Perhaps, "by nobody");
        assert!(!arrived.may_lack_succession(200 * MS, 700 * MS));
        assert!(!arrived.gaps.may_lack_any(&arrived.ledger));
    }
}

#[test]
fn what_either_lost_is_lost_from_wherever_it_may_be() {
    let [first, second, third, next, last] = &taken_over();
    let of_first = Arrived::of([next, last, first, third]);
    assert_eq!(of_first.told_in_ms(200, 250), Told::NotAll);
    assert_eq!(of_first.told_in_ms(660, 700), Told::All);
    assert!(of_first.may_lack_succession(200 * MS, 700 * MS));
    assert!(!of_first.may_lack_succession(660 * MS, 700 * MS));
    assert!(of_first.gaps.may_lack_any(&of_first.ledger));
    // The first did not read what the second tells first: its numbers begin at 0.
    let of_second = Arrived::of([first, second, third, last]);
    assert_eq!(of_second.told_in_ms(200, 250), Told::All, "long before");
    assert_eq!(of_second.told_in_ms(470, 490), Told::NotAll);
    assert_eq!(of_second.told_in_ms(400, 700), Told::NotAll);
    assert!(of_second.may_lack_succession(200 * MS, 450 * MS));
    assert!(of_second.gaps.may_lack_any(&of_second.ledger));
    // Nobody tells whether the first ended in order.
    let no_end = Arrived::of([first, second, next, last]);
    assert_eq!(no_end.told_in_ms(200, 250), Told::All);
    assert_eq!(no_end.told_in_ms(400, 450), Told::Perhaps);
}

#[test]
fn what_a_run_told_to_another_bridge_is_not_lost() {
    let later = [in_ms(1, 70, 100, &[50, 90]), in_ms(1, 73, 300, &[150])];
    let arrived = Arrived::of(&later);
    assert_eq!(arrived.told_in_ms(120, 200), Told::All);
    assert_eq!(arrived.told_in_ms(20, 60), Told::Perhaps);
    assert!(!arrived.may_lack_succession(20 * MS, 200 * MS));
    assert!(!arrived.gaps.may_lack_any(&arrived.ledger));
}

#[test]
fn sockets_that_a_successor_found_do_not_show_that_it_read_all_since() {
    // It looked at 320 ms, and what the first told last is lost.
    let [first, second, ..] = &taken_over();
    let found = in_ms(2, 0, 600, &[320, 330, 590]);
    let arrived = Arrived::of([&found, first, second]);
    assert_eq!(arrived.told_in_ms(350, 450), Told::Perhaps);
    assert_eq!(arrived.told_in_ms(560, 580), Told::Perhaps);
}

#[test]
fn what_each_counts_as_lost_is_of_its_own_time() {
    let [first, second, third, next, last] = taken_over();
    let counting = |(at, batch): Closed, count| {
        let losses = vec![("ring_full".into(), count)];
        (at, Batch { losses, ..batch })
    };
    let second = counting(second, 2);
    let third = counting(third, 2);
    for batches in [
        [&first, &second, &third, &next, &last],
        [&next, &last, &third, &second, &first],
    ] {
        let arrived = Arrived::of(batches);
        assert_eq!(arrived.told_in_ms(200, 250), Told::NotAll);
        assert_eq!(arrived.told_in_ms(360, 400), Told::All);
        assert_eq!(arrived.told_in_ms(660, 700), Told::All);
        assert!(arrived.may_lack_succession(200 * MS, 700 * MS));
        assert!(!arrived.may_lack_succession(360 * MS, 700 * MS));
        assert!(arrived.gaps.may_lack_any(&arrived.ledger));
    }
}

#[test]
fn of_too_many_runs_the_oldest_goes_and_nothing_of_its_time_is_complete() {
    let run = |epoch: u64| {
        let from = 1_000 * epoch;
        let later = in_ms(epoch, 2, from + 300, &[from + 200]);
        [in_ms(epoch, 0, from, &[from]), later]
    };
    let mut batches: Vec<_> = (1..=5).flat_map(run).collect();
    for _ in 0..2 {
        let arrived = Arrived::of(&batches);
        assert_eq!(arrived.gaps.timelines.len(), TIMELINES_MAX);
        assert_eq!(arrived.told_in_ms(1_100, 1_150), Told::Perhaps);
        assert!(arrived.may_lack_succession(1_100 * MS, 1_150 * MS));
        assert_eq!(arrived.told_in_ms(2_100, 2_150), Told::All);
        assert!(!arrived.may_lack_succession(2_100 * MS, 5_150 * MS));
        assert!(arrived.gaps.may_lack_any(&arrived.ledger));
        batches.reverse();
    }
    // Of one that told in their time too, the rest is known, but not whether it is all.
    let longer = [in_ms(1, 0, 500, &[]), in_ms(1, 1, 9_000, &[8_900])];
    batches.retain(|(_, batch)| batch.sender.epoch > 1);
    batches.extend((6..=7).flat_map(run));
    let arrived = Arrived::of(longer.iter().chain(&batches));
    assert_eq!(arrived.told_in_ms(4_100, 4_150), Told::Perhaps);
    assert_eq!(arrived.told_in_ms(5_100, 5_150), Told::All);
}

#[test]
fn a_run_whose_numbers_are_no_longer_known_is_not_known_to_be_whole() {
    let batches = taken_over();
    let mut arrived = Arrived::of(&batches);
    arrived.ledger = Arrived::of(batches.iter().take(3)).ledger;
    assert_eq!(arrived.told_in_ms(200, 250), Told::Perhaps);
    assert!(arrived.may_lack_succession(200 * MS, 250 * MS));
    assert!(arrived.gaps.may_lack_any(&arrived.ledger));
}

#[test]
fn what_one_run_left_out_may_be_missing_whatever_another_reports() {
    for sampled in [1, 2] {
        let [mut first, second, third, mut next, last] = taken_over();
        let (at, one_in) = (BootNanos(100 * MS), 8);
        let batch = if sampled == 1 {
            &mut first.1
        } else {
            &mut next.1
        };
        batch.facts.push(Fact::Sampling(Sampling { at, one_in }));
        let arrived = Arrived::of(&[first, second, third, next, last]);
        let was_sampled = |from, until| {
            let (from, until) = (BootNanos(from * MS), BootNanos(until * MS));
            arrived.gaps.was_sampled(from, until)
        };
        assert!(was_sampled(110, 120), "by run {sampled}");
        assert!(!was_sampled(10, 20), "by run {sampled}");
    }
}
