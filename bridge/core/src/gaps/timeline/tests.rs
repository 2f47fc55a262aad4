//! What one run tells of an interval, by its numbers and its counts.

use super::*;

const BUCKET: u64 = 1 << BUCKET_SHIFT;

fn timeline() -> Timeline {
    Timeline::new(SenderId {
        name: "probe".into(),
        epoch: 1,
    })
}

/// What facts with these numbers tell, seen in these buckets; the first is a clock.
fn known(facts: &[(u64, u64)]) -> Timeline {
    let mut timeline = timeline();
    for &(seq, bucket) in facts {
        timeline.note(seq, BootNanos(bucket * BUCKET));
    }
    let clock = facts.first().unwrap().1;
    timeline.note_clock(BootNanos(clock * BUCKET));
    timeline
}

fn around(timeline: &Timeline, from: u64, until: u64) -> Around {
    timeline.around(BootNanos(from * BUCKET), BootNanos(until * BUCKET))
}

/// What a batch tells that counts so many facts as lost.
fn counting(cause: &str, count: u64) -> Batch {
    Batch {
        sender: timeline().sender,
        first_seq: 0,
        facts: Vec::new(),
        losses: vec![(cause.into(), count)],
        goodbye: false,
    }
}

fn restored(timeline: &Timeline) -> Timeline {
    Timeline::restore(&timeline.checkpoint())
}

#[test]
fn a_time_lies_between_the_facts_before_and_after_it() {
    let timeline = known(&[(3, 1), (4, 5), (9, 5), (11, 8), (15, 12)]);
    let shown = |before, within, after| Around {
        before,
        within,
        after,
    };
    assert_eq!(
        around(&timeline, 4, 6),
        shown(Some(3), Some((4, 9)), Some(11))
    );
    assert_eq!(
        around(&timeline, 10, 10),
        shown(Some(9), Some((11, 11)), Some(15))
    );
    assert_eq!(
        around(&timeline, 0, 1),
        shown(None, Some((3, 3)), Some(4)),
        "nothing came before it"
    );
    let after = around(&timeline, 20, 22);
    assert_eq!(after.before, Some(15));
    assert_eq!((after.within, after.after), (None, None));
}

#[test]
fn a_gap_at_the_very_end_of_an_interval_is_within_it() {
    let timeline = known(&[(1, 1), (10, 10), (12, 13)]);
    let around = around(&timeline, 9, 10);
    assert_eq!((around.before, around.after), (Some(1), Some(12)));
}

#[test]
fn a_fact_long_after_an_interval_does_not_prove_it_complete() {
    let timeline = known(&[(1, 1), (2, 10), (3, 500)]);
    let around = around(&timeline, 9, 10);
    assert_eq!(around.after, None);
}

#[test]
fn what_a_run_tells_from_before_its_first_clock_does_not_show_that_it_was_there() {
    let mut timeline = timeline();
    timeline.note(1, BootNanos(2 * BUCKET));
    timeline.note(2, BootNanos(20 * BUCKET));
    assert_eq!(around(&timeline, 10, 11).before, None);
    timeline.note_clock(BootNanos(15 * BUCKET));
    assert_eq!(around(&timeline, 10, 11).before, None);
    assert!(!timeline.told_before(BootNanos(15 * BUCKET)));
    // Facts are out of order by less than two buckets.
    assert!(timeline.told_before(BootNanos(18 * BUCKET)));
    // An earlier batch came later.
    timeline.note_clock(BootNanos(3 * BUCKET));
    timeline.note_clock(BootNanos(30 * BUCKET));
    assert_eq!(around(&timeline, 10, 11).before, Some(1));
    assert_eq!(around(&restored(&timeline), 10, 11).before, Some(1));
}

#[test]
fn losses_without_a_number_are_between_two_batches_whatever_order_they_come_in() {
    let mut batches = [(100, 2), (150, 2), (200, 3), (250, 3)];
    for _ in 0..2 {
        batches.reverse();
        let mut timeline = timeline();
        for (closed_at, count) in batches.iter().chain(&batches) {
            let batch = counting("ring_full", *count);
            timeline.note_losses(&batch, BootNanos(closed_at * BUCKET));
        }
        assert_eq!(timeline.counts.len(), 4);
        let counted = |from: u64, until: u64| {
            timeline.were_counted(BootNanos(from * BUCKET), BootNanos(until * BUCKET))
        };
        assert!(counted(160, 170) && counted(120, 220) && counted(90, 95));
        assert!(counted(120, 390), "nothing came after it");
        assert!(!counted(1, 2), "what was lost long after it");
        assert!(!counted(110, 120) && !counted(210, 260) && !counted(400, 410));
        assert!(!counted(120, 150), "the next batch tells until then");
        let shortly_after = BootNanos(100 * BUCKET + DISORDER_NS / 2);
        assert!(timeline.were_counted(shortly_after, BootNanos(120 * BUCKET)));
        assert!(timeline.have_counted());
        assert_eq!(restored(&timeline).counts, timeline.counts);
    }
    let mut timeline = timeline();
    timeline.note_losses(&counting("bridge_away", 7), BootNanos(100 * BUCKET));
    assert!(!timeline.were_counted(BootNanos(90 * BUCKET), BootNanos(95 * BUCKET)));
    assert!(!timeline.have_counted());
}

#[test]
fn two_that_one_batch_counts_may_be_of_any_time_since_the_one_before() {
    let mut timeline = timeline();
    for (closed_at, count) in [(100, 1), (200, 2), (300, 4)] {
        let batch = counting("ring_full", count);
        timeline.note_losses(&batch, BootNanos(closed_at * BUCKET));
    }
    let two = |from: u64, until: u64| {
        timeline.counted_at_once(BootNanos(from * BUCKET), BootNanos(until * BUCKET)) >= 2
    };
    assert!(two(150, 260) && two(210, 290) && two(250, 350));
    assert!(!two(0, 150), "one, and one");
    assert!(!two(300, 350) && !two(201, 220), "long before, or after");
}

#[test]
fn the_first_batch_after_an_interval_counts_what_was_lost_of_it_and_the_next_does_not() {
    let mut timeline = timeline();
    for (closed_at, count) in [(100, 0), (200, 0), (201, 2)] {
        let batch = counting("ring_full", count);
        timeline.note_losses(&batch, BootNanos(closed_at * BUCKET));
    }
    let lost = |from: u64, until: u64| {
        timeline.counted_at_once(BootNanos(from * BUCKET), BootNanos(until * BUCKET))
    };
    assert_eq!((lost(150, 190), lost(150, 200), lost(150, 201)), (0, 0, 2));
}

#[test]
fn the_latest_that_is_known_of_a_run_is_a_fact_or_a_count() {
    let mut timeline = timeline();
    timeline.note_losses(&counting("ring_full", 0), BootNanos(9 * BUCKET));
    timeline.note(0, BootNanos(5 * BUCKET));
    assert_eq!(timeline.latest(), 9);
    timeline.note(1, BootNanos(12 * BUCKET));
    assert_eq!(timeline.latest(), 12);
}

#[test]
fn what_was_seen_long_ago_is_after_a_number_that_is_known() {
    let mut timeline = timeline();
    timeline.note_clock(BootNanos(0));
    for n in 0..2 * BUCKETS_MAX as u64 {
        timeline.note(n, BootNanos(n * BUCKET));
    }
    let (last, period) = (2 * BUCKETS_MAX as u64 - 1, 1 << OLDER_SHIFT);
    let before = |from: u64| around(&timeline, from, last - 20).before;
    assert_eq!(before(3 * period + 9), Some(3 * period));
    assert_eq!(before(0), None);
    // What was seen as the interval began is within it.
    let from = BootNanos(3 * period * BUCKET + DISORDER_NS);
    let until = BootNanos((last - 20) * BUCKET);
    assert_eq!(timeline.around(from, until).before, Some(2 * period));
    let state = timeline.checkpoint();
    let restored = restored(&timeline);
    assert_eq!(restored.checkpoint(), state);
    assert_eq!(restored.older.len(), timeline.older.len());
}

#[test]
fn of_batches_in_a_row_with_the_same_count_two_are_kept_whatever_order_they_come_in() {
    let counts = [(1, 0), (2, 0), (3, 0), (4, 5), (5, 5), (6, 5), (7, 9)];
    let kept = |order: &[usize]| {
        let mut timeline = timeline();
        for &(at, count) in order.iter().filter_map(|&n| counts.get(n)) {
            timeline.note_losses(&counting("ring_full", count), BootNanos(at));
        }
        let counts = timeline.counts.into_iter();
        counts.map(|(at, _)| at.0).collect::<Vec<_>>()
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
    let mut timeline = timeline();
    for n in 0..3 * BUCKETS_MAX as u64 {
        timeline.note(n, BootNanos(n * BUCKET));
    }
    assert_eq!(timeline.buckets.len(), BUCKETS_MAX);
    for n in 0..2 * COUNTS_MAX as u64 {
        timeline.note_losses(&counting("ring_full", 0), BootNanos(n));
    }
    assert_eq!(timeline.counts.len(), 2);
    for n in 0..2 * COUNTS_MAX as u64 {
        timeline.note_losses(&counting("ring_full", n), BootNanos(n + 10_000));
    }
    assert_eq!(timeline.counts.len(), COUNTS_MAX);
}

#[test]
fn a_run_tells_of_what_came_before_only_from_the_bucket_after_its_first_clock_on() {
    let mut timeline = timeline();
    timeline.note_clock(BootNanos(15 * BUCKET));
    let told_before = |bucket| timeline.told_before(BootNanos(bucket * BUCKET + DISORDER_NS));
    assert!(!told_before(15) && told_before(16));
}
