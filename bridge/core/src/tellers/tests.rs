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
    let mut tellers = Tellers::default();
    let first = tellers.place(&probe(1));
    tellers.gain(first);
    assert!(tellers.pass(at(100)).is_empty() && tellers.watches(first));
    let second = tellers.place(&probe(2));
    assert!(!tellers.watches(first) && tellers.watches(second));
    assert!(tellers.pass(at(101)).is_empty());
    tellers.hear(&probe(1), false, None);
    assert!(!tellers.watches(first));
    assert_eq!(tellers.pass(at(112)), [first]);
    assert!(tellers.pass(at(113)).is_empty());
}

#[test]
fn what_an_ended_run_tells_after_its_sockets_were_gone_ends_too() {
    for goodbye in [false, true] {
        let mut tellers = Tellers::default();
        let first = tellers.place(&probe(1));
        tellers.gain(first);
        tellers.hear(&probe(1), goodbye, None);
        if !goodbye {
            tellers.place(&probe(2));
        }
        tellers.pass(at(100));
        assert!(tellers.pass(at(500)).contains(&first));
        assert!(!tellers.pass(at(501)).contains(&first));
        tellers.hear(&probe(1), false, None);
        assert!(!tellers.watches(first));
        assert!(tellers.pass(at(600)).is_empty());
        assert!(tellers.pass(at(1_000)).contains(&first));
    }
}

#[test]
fn a_third_run_gives_the_first_no_more_time_and_a_probe_of_another_name_ends_nothing() {
    let mut tellers = Tellers::default();
    let first = tellers.place(&probe(1));
    tellers.gain(first);
    tellers.place(&probe(2));
    tellers.pass(at(100));
    tellers.place(&probe(3));
    assert!(tellers.pass(at(110)).is_empty());
    assert_eq!(tellers.pass(at(111)), [first]);
    let other = SenderId {
        name: "other".into(),
        epoch: 1,
    };
    let third = tellers.place(&probe(3));
    tellers.place(&other);
    assert!(tellers.watches(third));
}

#[test]
fn runs_that_are_told_of_nowhere_leave_their_places_to_others() {
    let mut tellers = Tellers::default();
    let idle = tellers.place(&SenderId {
        name: "idle".into(),
        epoch: 1,
    });
    let kept = tellers.place(&probe(1));
    tellers.gain(kept);
    for epoch in 2..200 {
        let next = tellers.place(&probe(epoch));
        assert_ne!(next, TellerId(0));
        assert!(next != idle && next != kept && tellers.watches(next));
        assert_eq!(tellers.find(&probe(epoch)), Some(next));
    }
    assert!(tellers.watches(idle) && !tellers.watches(kept));
    assert_eq!(tellers.places.len(), TELLERS_MAX);
    // All but the two that stay are of the latest.
    let known = |epoch: &u64| tellers.find(&probe(*epoch)).is_some();
    let latest: Vec<_> = (2..200).filter(known).collect();
    assert_eq!(latest, (200 - 62..200).collect::<Vec<_>>());
}

#[test]
fn a_probe_may_be_silent_for_just_so_long() {
    let mut tellers = Tellers::default();
    let only = tellers.place(&probe(1));
    tellers.hear(&probe(1), false, None);
    tellers.heard_by(at(100));
    tellers.pass(at(130));
    assert!(tellers.watches(only));
    tellers.pass(BootNanos(at(130).0 + 1));
    assert!(!tellers.watches(only));
    assert!(!tellers.left_silently(TellerId(0)));
    assert!(!tellers.is_gone(&probe(7)));
}

#[test]
fn silence_is_doubt_until_the_probe_is_heard_again() {
    let mut tellers = Tellers::default();
    let only = tellers.place(&probe(1));
    tellers.gain(only);
    tellers.pass(at(100));
    tellers.pass(at(131));
    assert!(!tellers.watches(only) && tellers.left_silently(only));
    tellers.hear(&probe(1), false, None);
    assert!(tellers.watches(only));
    tellers.pass(at(132));
    tellers.hear(&probe(1), true, None);
    assert!(!tellers.watches(only) && !tellers.left_silently(only));
    tellers.pass(at(133));
    assert_eq!(tellers.pass(at(500)), [only]);
}

#[test]
fn a_probe_whose_batch_was_old_when_it_came_is_behind_until_a_new_one_comes() {
    let mut tellers = Tellers::default();
    tellers.place(&probe(1));
    tellers.hear(&probe(1), false, Some(at(97)));
    tellers.heard_by(at(100));
    assert_eq!(tellers.behind(), Some(at(97)));
    tellers.hear(&probe(1), false, Some(at(100).minus_ns(BEHIND_NS)));
    assert_eq!(tellers.behind(), None, "it is not known when it came");
    tellers.heard_by(at(100));
    assert_eq!(tellers.behind(), None, "not more behind than any");
    tellers.hear(&probe(1), false, Some(at(97)));
    tellers.heard_by(at(100));
    // Silence is no news.
    tellers.heard_by(at(110));
    assert_eq!(tellers.behind(), Some(at(97)));
    tellers.hear(&probe(1), false, Some(at(110)));
    tellers.heard_by(at(110));
    assert_eq!(tellers.behind(), None);
    tellers.heard_by(at(120));
    assert_eq!(tellers.behind(), None);
    tellers.hear(&probe(1), true, Some(at(97)));
    tellers.heard_by(at(121));
    assert_eq!(tellers.behind(), None);
}

#[test]
fn probes_without_number_cost_bounded_memory_and_are_believed() {
    let mut tellers = Tellers::default();
    let name = |n: usize| SenderId {
        name: n.to_string().into(),
        epoch: 1,
    };
    for n in 0..1_000 {
        let id = tellers.place(&name(n));
        tellers.gain(id);
        assert!(tellers.watches(id));
    }
    assert_eq!(tellers.places.len(), TELLERS_MAX);
}
