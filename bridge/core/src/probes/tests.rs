//! Who watches, who is behind, and how long what a probe left is waited for.

use super::*;

const S: u64 = 1_000_000_000;

fn probe(epoch: u64) -> SenderId {
    SenderId {
        name: "probe".into(),
        epoch,
    }
}

fn at(seconds: u64) -> BootNanos {
    BootNanos(seconds * S)
}

#[test]
fn another_run_ends_what_it_does_not_tell_of_again() {
    let mut probes = Probes::default();
    let first = probes.place(&probe(1), None);
    probes.gain(first);
    assert!(probes.pass(at(100)).is_empty() && probes.watches(first));
    let second = probes.place(&probe(2), None);
    assert!(!probes.watches(first) && probes.watches(second));
    assert!(probes.pass(at(101)).is_empty());
    probes.hear(&probe(1), false, None);
    assert!(!probes.watches(first));
    assert_eq!(probes.pass(at(112)), [first]);
    assert!(probes.pass(at(113)).is_empty());
}

#[test]
fn which_of_two_runs_succeeds_the_other_does_not_depend_on_who_is_heard_first() {
    for is_swapped in [false, true] {
        let mut probes = Probes::default();
        let mut told = [(probe(1), at(10)), (probe(2), at(11))];
        if is_swapped {
            told.reverse();
        }
        for (sender, closed_at) in told {
            probes.place(&sender, Some(closed_at));
            probes.hear(&sender, false, Some(closed_at));
        }
        assert!(probes.is_gone(&probe(1)) && !probes.is_gone(&probe(2)));
        let third = probes.place(&probe(3), None);
        assert!(probes.watches(third) && probes.is_gone(&probe(2)));
    }
}

#[test]
fn what_an_ended_run_tells_after_its_sockets_were_gone_ends_too() {
    for goodbye in [false, true] {
        let mut probes = Probes::default();
        let first = probes.place(&probe(1), None);
        probes.gain(first);
        probes.hear(&probe(1), goodbye, None);
        if !goodbye {
            probes.place(&probe(2), None);
        }
        probes.pass(at(100));
        assert!(probes.pass(at(500)).contains(&first));
        assert!(!probes.pass(at(501)).contains(&first));
        probes.hear(&probe(1), false, None);
        assert!(!probes.watches(first));
        assert!(probes.pass(at(600)).is_empty());
        assert!(probes.pass(at(1_000)).contains(&first));
    }
}

#[test]
fn a_third_run_gives_the_first_no_more_time_and_a_probe_of_another_name_ends_nothing() {
    let mut probes = Probes::default();
    let first = probes.place(&probe(1), None);
    probes.gain(first);
    probes.place(&probe(2), None);
    probes.pass(at(100));
    probes.place(&probe(3), None);
    assert!(probes.pass(at(110)).is_empty());
    assert_eq!(probes.pass(at(111)), [first]);
    let other = SenderId {
        name: "other".into(),
        epoch: 1,
    };
    let third = probes.place(&probe(3), None);
    probes.place(&other, None);
    assert!(probes.watches(third));
}

#[test]
fn the_heir_of_a_map_is_a_run_of_the_same_probe() {
    let mut probes = Probes::default();
    let first = probes.place(&probe(1), None);
    probes.follow(&probe(1), 7);
    let other = SenderId {
        name: "other".into(),
        epoch: 1,
    };
    probes.place(&other, None);
    probes.follow(&other, 7);
    let next = probes.place(&probe(2), None);
    assert_eq!(probes.follower(first, Origin::Watched), first);
    probes.follow(&probe(2), 7);
    assert_eq!(probes.follower(first, Origin::Watched), next);
    assert_eq!(probes.follower(first, Origin::Backfilled), first);
}

#[test]
fn runs_without_sockets_leave_their_places_to_others() {
    let mut probes = Probes::default();
    let idle = SenderId {
        name: "idle".into(),
        epoch: 1,
    };
    let idle = probes.place(&idle, None);
    let kept = probes.place(&probe(1), None);
    probes.gain(kept);
    for epoch in 2..200 {
        let next = probes.place(&probe(epoch), None);
        assert_ne!(next, ProbeId(0));
        assert!(next != idle && next != kept && probes.watches(next));
        assert_eq!(probes.find(&probe(epoch)), Some(next));
    }
    assert!(probes.watches(idle) && !probes.watches(kept));
    assert_eq!(probes.places.len(), PROBES_MAX);
    // All but the two that stay are of the latest.
    let known = |epoch: &u64| probes.find(&probe(*epoch)).is_some();
    let latest: Vec<_> = (2..200).filter(known).collect();
    assert_eq!(latest, (200 - 62..200).collect::<Vec<_>>());
}

#[test]
fn a_probe_may_be_silent_for_just_so_long() {
    let mut probes = Probes::default();
    let only = probes.place(&probe(1), None);
    probes.hear(&probe(1), false, None);
    probes.heard_by(at(100));
    probes.pass(at(130));
    assert!(probes.watches(only));
    probes.pass(BootNanos(at(130).0 + 1));
    assert!(!probes.watches(only));
    assert!(!probes.left_silently(ProbeId(0)));
    assert!(!probes.is_gone(&probe(7)));
}

#[test]
fn silence_is_doubt_until_the_probe_is_heard_again() {
    let mut probes = Probes::default();
    let only = probes.place(&probe(1), None);
    probes.gain(only);
    probes.pass(at(100));
    probes.pass(at(131));
    assert!(!probes.watches(only) && probes.left_silently(only));
    probes.hear(&probe(1), false, None);
    assert!(probes.watches(only));
    probes.pass(at(132));
    probes.hear(&probe(1), true, None);
    assert!(!probes.watches(only) && !probes.left_silently(only));
    probes.pass(at(133));
    assert_eq!(probes.pass(at(500)), [only]);
}

#[test]
fn a_probe_whose_batch_was_old_when_it_came_is_behind_until_a_new_one_comes() {
    let mut probes = Probes::default();
    probes.place(&probe(1), None);
    probes.hear(&probe(1), false, Some(at(97)));
    probes.heard_by(at(100));
    assert_eq!(probes.behind(), Some(at(97)));
    probes.hear(&probe(1), false, Some(at(100).minus_ns(BEHIND_NS)));
    assert_eq!(probes.behind(), None, "it is not known when it came");
    probes.heard_by(at(100));
    assert_eq!(probes.behind(), None, "not more behind than any");
    probes.hear(&probe(1), false, Some(at(101)));
    probes.heard_by(at(104));
    // Silence is no news, and neither is what was told before.
    probes.hear(&probe(1), false, Some(at(97)));
    probes.heard_by(at(110));
    assert_eq!(probes.behind(), Some(at(101)));
    probes.hear(&probe(1), false, Some(at(110)));
    probes.heard_by(at(110));
    assert_eq!(probes.behind(), None);
    probes.hear(&probe(1), false, Some(at(97)));
    probes.heard_by(at(120));
    assert_eq!(probes.behind(), None);
    probes.hear(&probe(1), true, Some(at(111)));
    probes.heard_by(at(121));
    assert_eq!(probes.behind(), None);
}

#[test]
fn probes_without_number_cost_bounded_memory_and_are_believed() {
    let mut probes = Probes::default();
    let name = |n: usize| SenderId {
        name: n.to_string().into(),
        epoch: 1,
    };
    for n in 0..1_000 {
        let id = probes.place(&name(n), None);
        probes.gain(id);
        assert!(probes.watches(id));
    }
    assert_eq!(probes.places.len(), PROBES_MAX);
}

#[test]
fn a_batch_without_a_clock_is_heard_too() {
    let mut probes = Probes::default();
    let first = probes.place(&probe(1), Some(at(1)));
    probes.hear(&probe(1), false, Some(at(1)));
    probes.heard_by(at(1));
    probes.hear(&probe(1), false, None);
    probes.heard_by(at(20));
    probes.pass(at(40));
    assert!(probes.watches(first));
}
