//! Times around steps of the wall clock, wrong samples, and a machine that slept.

use super::*;

const S: u64 = 1_000_000_000;
const ANY: BootNanos = BootNanos(u64::MAX);

fn sample(boot: u64, unix: u64) -> ClockSample {
    ClockSample {
        boot: BootNanos(boot),
        unix: UnixNanos(unix),
    }
}

/// Samples every 200 ms from `boot` for ten seconds, the wall clock `ahead` of it.
fn era(clock: &mut Clock, boot: u64, ahead: u64) {
    for n in 0..=50 {
        let boot = boot + n * S / 5;
        clock.add(sample(boot, boot + ahead));
    }
}

#[test]
fn a_time_is_moved_by_the_sample_nearest_to_it() {
    let mut clock = Clock::default();
    clock.add(sample(100, 1_000));
    clock.add(sample(200, 1_101));
    assert_eq!(clock.to_boot(UnixNanos(1_010)), Some(BootNanos(110)));
    assert_eq!(clock.to_boot(UnixNanos(1_090)), Some(BootNanos(189)));
    assert_eq!(clock.near_boot(BootNanos(190)), Some(sample(200, 1_101)));
}

#[test]
fn nothing_can_be_moved_before_the_first_sample() {
    assert_eq!(Clock::default().to_boot(UnixNanos(1)), None);
}

#[test]
fn a_step_back_spoils_no_time_before_or_after_it() {
    let mut clock = Clock::default();
    era(&mut clock, 100 * S, 1_000 * S);
    era(&mut clock, 110 * S + 1, 995 * S);
    // Before the step, in what the clock shows once only.
    assert_eq!(
        clock.to_boot(UnixNanos(1_102 * S)),
        Some(BootNanos(102 * S))
    );
    // After it, while the clock shows the same times for a second time.
    for seconds in 111..120 {
        let shown = UnixNanos((seconds + 995) * S);
        assert_eq!(clock.to_boot(shown), Some(BootNanos(seconds * S)));
    }
}

#[test]
fn what_comes_right_after_a_step_back_is_not_taken_for_the_past() {
    let mut clock = Clock::default();
    era(&mut clock, 100 * S, 1_000 * S);
    clock.add(sample(110 * S + 1, 1_105 * S));
    assert_eq!(
        clock.to_boot(UnixNanos(1_105 * S)),
        Some(BootNanos(110 * S + 1))
    );
    // Not covered by the new era yet: it was before the step.
    let before = UnixNanos(1_109 * S);
    assert_eq!(clock.to_boot(before), Some(BootNanos(109 * S)));
}

#[test]
fn a_step_forwards_leaves_both_sides_where_they_were() {
    let mut clock = Clock::default();
    era(&mut clock, 100 * S, 1_000 * S);
    era(&mut clock, 110 * S + 1, 5_000 * S);
    assert_eq!(
        clock.to_boot(UnixNanos(1_105 * S)),
        Some(BootNanos(105 * S))
    );
    assert_eq!(
        clock.to_boot(UnixNanos(5_115 * S)),
        Some(BootNanos(115 * S))
    );
}

#[test]
fn a_time_that_is_far_from_all_samples_is_none() {
    let mut clock = Clock::default();
    era(&mut clock, 100 * S, 1_000_000 * S);
    assert_eq!(clock.to_boot(UnixNanos(0)), None);
    assert_eq!(clock.to_boot(UnixNanos(i64::MAX as u64)), None);
    assert!(clock.to_boot(UnixNanos(1_003_000 * S)).is_some());
}

#[test]
fn a_sample_that_is_wrong_spoils_no_other_time() {
    let wrong = [
        sample(i64::MAX as u64, i64::MAX as u64),
        sample(1, 1_105 * S),
        sample(105 * S + 1, 1),
    ];
    for wrong in wrong {
        let mut clock = Clock::default();
        era(&mut clock, 100 * S, 1_000 * S);
        clock.add(wrong);
        era(&mut clock, 110 * S + 1, 1_000 * S);
        for seconds in 101..119 {
            let shown = UnixNanos((seconds + 1_000) * S + S / 2);
            let meant = Some(BootNanos(seconds * S + S / 2));
            assert_eq!(clock.to_boot(shown), meant, "beside {wrong:?}");
        }
    }
}

#[test]
fn a_suspended_machine_is_no_step() {
    let mut clock = Clock::default();
    era(&mut clock, 100 * S, 1_000 * S);
    era(&mut clock, 9_000 * S, 1_000 * S);
    assert_eq!(clock.eras.len(), 1);
    assert_eq!(
        clock.to_boot(UnixNanos(10_005 * S)),
        Some(BootNanos(9_005 * S))
    );
}

#[test]
fn samples_in_any_order_give_the_same_times() {
    let samples = [
        sample(100, 1_000),
        sample(200 * S, 5_000 * S),
        sample(300, 1_200),
    ];
    let mut clock = Clock::default();
    for sample in samples {
        clock.add(sample);
    }
    let mut backwards = Clock::default();
    for sample in samples.into_iter().rev() {
        backwards.add(sample);
    }
    assert_eq!(clock.samples, backwards.samples);
    assert_eq!(clock.eras, backwards.eras);
}

#[test]
fn a_time_that_is_shown_twice_is_sure_only_if_one_of_both_moments_is_long_ago() {
    let stepped_back = |by: u64| {
        let mut clock = Clock::default();
        era(&mut clock, 100 * S, 9_000 * S);
        era(&mut clock, 110 * S + 1, 9_000 * S - by);
        clock.is_sure(UnixNanos(9_111 * S - by), ANY)
    };
    assert!(!stepped_back(5 * S));
    assert!(!stepped_back(LATE_NS));
    assert!(stepped_back(LATE_NS + 1));
    assert!(stepped_back(1_800 * S));
}

#[test]
fn a_time_that_is_shown_twice_means_the_last_moment_that_is_not_too_late() {
    let mut clock = Clock::default();
    era(&mut clock, 100 * S, 1_000 * S);
    era(&mut clock, 110 * S + 1, 995 * S);
    let shown = UnixNanos(1_107 * S);
    let (first, second) = (BootNanos(107 * S), BootNanos(112 * S));
    let by = |latest| {
        (
            clock.to_boot_by(shown, latest),
            clock.is_sure(shown, latest),
        )
    };
    assert_eq!(by(second), (Some(second), false));
    assert_eq!(by(BootNanos(112 * S - 1)), (Some(first), true));
    assert_eq!(by(first), (Some(first), true));
    // It lies at neither.
    assert_eq!(by(BootNanos(107 * S - 1)), (Some(second), true));
}

#[test]
fn a_step_that_is_taken_back_at_once_leaves_no_doubt() {
    // By how much the wall clock is behind after it was set forth and back.
    let behind_by = |by: u64| {
        let mut clock = Clock::default();
        era(&mut clock, 100 * S, 1_000 * S);
        clock.add(sample(110 * S + S / 5, 6_000 * S));
        era(&mut clock, 110 * S + 2 * S / 5, 1_000 * S - by);
        assert_eq!(clock.eras.len(), 3);
        clock.is_sure(UnixNanos(1_110 * S + S / 5 - by / 2), ANY)
    };
    assert!(behind_by(0));
    assert!(behind_by(NOISE_NS));
    assert!(!behind_by(NOISE_NS + 1));
}

#[test]
fn a_clock_that_drifts_by_a_thousandth_is_not_stepped() {
    let eras = |apart: u64, ahead: u64| {
        let mut clock = Clock::default();
        clock.add(sample(0, 1_000 * S));
        clock.add(sample(apart, 1_000 * S + apart + ahead));
        clock.eras.len()
    };
    assert_eq!(eras(100 * S, S / 10), 1);
    assert_eq!(eras(100 * S, S / 10 + NOISE_NS), 1);
    assert_eq!(eras(100 * S, S / 10 + NOISE_NS + 1), 2);
}

#[test]
fn a_sample_that_is_told_again_is_kept_once_and_of_two_at_one_moment_the_first_counts() {
    let mut clock = Clock::default();
    for _ in 0..2 {
        clock.add(sample(100, 1_000));
        clock.add(sample(150, 1_000));
    }
    assert_eq!(clock.samples.len(), 2);
    assert_eq!(clock.to_boot(UnixNanos(1_000)), Some(BootNanos(100)));
}

#[test]
fn the_oldest_samples_are_forgotten() {
    let mut clock = Clock::default();
    for n in 0..=SAMPLES_MAX as u64 {
        clock.add(sample(n, n));
    }
    let eras: Vec<_> = clock.eras.iter().map(|era| era.samples.clone()).collect();
    assert_eq!(eras, vec![0..clock.samples.len()]);
    assert_eq!(clock.samples.len(), SAMPLES_MAX);
    assert_eq!(
        clock.samples.last(),
        Some(&sample(SAMPLES_MAX as u64, SAMPLES_MAX as u64))
    );
}
