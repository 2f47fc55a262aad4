//! When facts were lost, by their numbers and by counts.

use super::*;
use crate::fact::{Incident, IncidentKind};

const BUCKET: u64 = 1 << BUCKET_SHIFT;

fn sender(epoch: u64) -> SenderId {
    SenderId {
        name: "probe".into(),
        epoch,
    }
}

fn seen(at: u64) -> Fact {
    Fact::Incident(Incident {
        at: BootNanos(at),
        boot: syntrace_model::BootId([1; 16]),
        cookie: 1,
        netns: 0,
        local: "192.0.2.1:80".parse().unwrap(),
        peer: None,
        kind: IncidentKind::AcceptOverflow,
        count: 1,
        queue: None,
    })
}

fn known(buckets: &[(u64, u64)]) -> Gaps {
    let mut gaps = Gaps::default();
    for &(seq, bucket) in buckets {
        gaps.note(&sender(1), seq, &seen(bucket * BUCKET));
    }
    gaps
}

fn around(gaps: &Gaps, from: u64, until: u64) -> Option<(u64, u64, bool)> {
    let around = gaps.around(BootNanos(from * BUCKET), BootNanos(until * BUCKET))?;
    let is_enclosed = around.from_before && around.until_after;
    Some((around.first, around.last, is_enclosed))
}

#[test]
fn a_time_lies_between_the_facts_before_and_after_it() {
    let gaps = known(&[(3, 1), (4, 5), (9, 5), (11, 8), (15, 12)]);
    assert_eq!(around(&gaps, 4, 6), Some((3, 11, true)));
    assert_eq!(around(&gaps, 10, 10), Some((9, 15, true)));
    assert_eq!(around(&gaps, 0, 1), Some((3, 4, false)));
    assert_eq!(around(&gaps, 10, 13), Some((9, 15, false)));
    assert_eq!(around(&gaps, 20, 22), None, "nothing came after it");
}

#[test]
fn a_gap_at_the_very_end_of_an_interval_is_within_it() {
    let gaps = known(&[(1, 1), (10, 10), (12, 13)]);
    assert_eq!(around(&gaps, 9, 10), Some((1, 12, true)));
}

#[test]
fn a_fact_long_after_an_interval_does_not_prove_it_complete() {
    let gaps = known(&[(1, 1), (2, 10), (3, 500)]);
    assert_eq!(around(&gaps, 9, 10), Some((1, 2, false)));
}

#[test]
fn losses_without_a_number_are_between_two_batches_whatever_order_they_come_in() {
    let told = |closed_at: u64, cause: &str, count| {
        let batch = Batch {
            sender: sender(1),
            first_seq: 0,
            facts: Vec::new(),
            losses: vec![(cause.into(), count)],
            goodbye: false,
        };
        (batch, BootNanos(closed_at * BUCKET))
    };
    let mut batches = [
        told(100, "ring_full", 2),
        told(150, "ring_full", 2),
        told(200, "ring_full", 3),
        told(250, "ring_full", 3),
    ];
    for _ in 0..2 {
        batches.reverse();
        let mut gaps = Gaps::default();
        for (batch, closed_at) in batches.iter().chain(&batches) {
            gaps.note_losses(batch, *closed_at);
        }
        assert_eq!(gaps.counts.len(), 4);
        let counted = |from: u64, until: u64| {
            gaps.were_counted(BootNanos(from * BUCKET), BootNanos(until * BUCKET))
        };
        assert!(counted(160, 170) && counted(120, 220) && counted(90, 95));
        assert!(counted(120, 390), "nothing came after it");
        assert!(!counted(1, 2), "what was lost long after it");
        assert!(!counted(110, 120) && !counted(210, 260) && !counted(400, 410));
        assert!(!counted(120, 150), "the next batch tells until then");
        let shortly_after = BootNanos(100 * BUCKET + DISORDER_NS / 2);
        assert!(gaps.were_counted(shortly_after, BootNanos(120 * BUCKET)));
        assert!(gaps.have_counted());
        let (sender, state) = gaps.checkpoint();
        let mut restored = Gaps::default();
        restored.restore(sender, &state);
        assert_eq!(restored.counts, gaps.counts);
    }
    let (batch, closed_at) = told(100, "bridge_away", 7);
    let mut gaps = Gaps::default();
    gaps.note_losses(&batch, closed_at);
    assert!(!gaps.were_counted(BootNanos(90 * BUCKET), BootNanos(95 * BUCKET)));
    assert!(!gaps.have_counted());
}

#[test]
fn another_run_of_the_probe_starts_over() {
    let mut gaps = Gaps::default();
    gaps.note(&sender(1), 70, &seen(BUCKET));
    gaps.note(&sender(2), 0, &seen(2 * BUCKET));
    assert_eq!(around(&gaps, 0, 3), Some((0, 0, false)));
}

#[test]
fn what_was_seen_long_ago_is_after_a_number_that_is_known() {
    let mut gaps = Gaps::default();
    for n in 0..2 * BUCKETS_MAX as u64 {
        gaps.note(&sender(1), n, &seen(n * BUCKET));
    }
    let (last, period) = (2 * BUCKETS_MAX as u64 - 1, 1 << OLDER_SHIFT);
    let since = |from: u64| around(&gaps, from, last - 20).unwrap().0;
    assert_eq!(since(3 * period + 9), 3 * period);
    assert_eq!(since(0), last + 1 - BUCKETS_MAX as u64);
    let (sender, state) = gaps.checkpoint();
    let mut restored = Gaps::default();
    restored.restore(sender, &state);
    assert_eq!(restored.checkpoint().1, state);
    assert_eq!(restored.older.len(), gaps.older.len());
}

#[test]
fn of_batches_in_a_row_with_the_same_count_two_are_kept_whatever_order_they_come_in() {
    let counts = [(1, 0), (2, 0), (3, 0), (4, 5), (5, 5), (6, 5), (7, 9)];
    let kept = |order: &[usize]| {
        let mut gaps = Gaps::default();
        for &(at, count) in order.iter().filter_map(|&n| counts.get(n)) {
            let batch = Batch {
                sender: sender(1),
                first_seq: 0,
                facts: Vec::new(),
                losses: vec![("ring_full".into(), count)],
                goodbye: false,
            };
            gaps.note_losses(&batch, BootNanos(at));
        }
        gaps.counts
            .into_iter()
            .map(|(at, _)| at.0)
            .collect::<Vec<_>>()
    };
    for order in [
        [0, 1, 2, 3, 4, 5, 6],
        [6, 5, 4, 3, 2, 1, 0],
        [3, 0, 6, 2, 5, 1, 4],
        [1, 4, 0, 5, 2, 3, 6],
    ] {
        assert_eq!(kept(&order), [1, 3, 4, 6, 7], "{order:?}");
    }
}

#[test]
fn a_long_life_costs_bounded_memory() {
    let mut gaps = Gaps::default();
    for n in 0..3 * BUCKETS_MAX as u64 {
        gaps.note(&sender(1), n, &seen(n * BUCKET));
    }
    assert_eq!(gaps.buckets.len(), BUCKETS_MAX);
    let batch = Batch {
        sender: sender(1),
        first_seq: 0,
        facts: Vec::new(),
        losses: Vec::new(),
        goodbye: false,
    };
    for n in 0..2 * COUNTS_MAX as u64 {
        gaps.note_losses(&batch, BootNanos(n));
    }
    assert_eq!(gaps.counts.len(), 2);
    for n in 0..2 * COUNTS_MAX as u64 {
        let batch = Batch {
            losses: vec![("ring_full".into(), n)],
            ..batch.clone()
        };
        gaps.note_losses(&batch, BootNanos(n + 10_000));
    }
    assert_eq!(gaps.counts.len(), COUNTS_MAX);
}
