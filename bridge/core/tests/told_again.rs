//! A socket that is told of more than once, by two probes or by two runs of one: which word counts, whatever order
//! they come in.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod world;

use syntrace_core::{
    Confidence, Limits, Reconciler,
    fact::{Batch, Counters, Fact, Origin, SenderId, Snapshot, TagState, Watch},
    record::Missing,
};
use syntrace_model::{Opening, Outcome};
use world::*;

/// The same while it is open.
fn open() -> Snapshot {
    established(&accepted(1, 10.0, 90.0))
}

/// What a probe tells that did not see the handshake, at a moment in milliseconds.
fn backfilled(seen_at: f64) -> Snapshot {
    Snapshot {
        seen_at: boot(seen_at),
        syn_at: None,
        syn_ack_at: None,
        established_at: None,
        minted: kernel_id(0x99),
        watch: Watch {
            origin: Origin::Backfilled,
            ..Watch::default()
        },
        ..open()
    }
}

fn sender(name: &str, epoch: u64) -> SenderId {
    SenderId {
        name: name.into(),
        epoch,
    }
}

/// The first of them is this sender's `n`th fact, after the two that every story begins with.
fn of_sockets(from: SenderId, n: u64, sockets: Vec<Snapshot>) -> Batch {
    let sockets = sockets.into_iter().map(Fact::Connection).collect();
    batch(from, 2 + n, sockets)
}

fn goodbye(from: SenderId) -> Batch {
    Batch {
        goodbye: true,
        ..batch(from, 1_000, Vec::new())
    }
}

/// Lets senders tell, each at its time in milliseconds; the first probe has told of its rung and the clock.
fn in_turn(turns: Vec<(f64, Batch)>) -> Reconciler {
    let mut reconciler = Reconciler::new(Limits::default());
    reconciler.handle_batch(batch(probe(), 0, preamble()));
    for (at, batch) in turns {
        reconciler.handle_timeout(boot(at));
        reconciler.handle_batch(batch);
    }
    reconciler
}

/// How a request from 60 to 70 ms is joined after these turns.
fn joined(turns: Vec<(f64, Batch)>) -> Result<(u64, Confidence), Missing> {
    let mut reconciler = in_turn(turns);
    let report = request(1, from_client(5001), 60.0, 70.0);
    reconciler.handle_batch(batch(filter(), 0, vec![Fact::Request(report.into())]));
    found(&settle(&mut reconciler).requests[0].received_on)
}

/// What becomes known of the socket, told in this order and in the other.
fn merged(mut words: Vec<Snapshot>) -> Snapshot {
    let told = |words| {
        let mut reconciler = in_turn(vec![(95.0, of_sockets(probe(), 0, words))]);
        reconciler.drain();
        settle(&mut reconciler).connections.remove(0)
    };
    let forwards = told(words.clone());
    words.reverse();
    assert_eq!(forwards, told(words));
    forwards.socket.unwrap()
}

#[test]
fn a_socket_is_watched_while_one_of_the_probes_that_told_of_it_is() {
    let one = || (20.0, of_sockets(probe(), 0, vec![open()]));
    let other = || (30.0, of_sockets(sender("other", 1), 0, vec![open()]));
    assert_eq!(joined(vec![one(), other()]), Ok((1, CERTAIN)));
    let first_leaves = vec![one(), other(), (40.0, goodbye(probe()))];
    assert_eq!(joined(first_leaves), Ok((1, CERTAIN)));
    let alone = vec![one(), (40.0, goodbye(probe()))];
    assert_eq!(joined(alone), Ok((1, LIKELY)));
    // What was told of to its end needs no watch.
    let ended = (40.0, of_sockets(probe(), 1, vec![accepted(1, 10.0, 90.0)]));
    assert_eq!(
        joined(vec![one(), ended, (50.0, goodbye(probe()))]),
        Ok((1, CERTAIN))
    );
}

#[test]
fn a_probe_does_not_end_what_a_probe_of_another_name_watches() {
    let elsewhere = Snapshot {
        cookie: 7,
        ..socket(7, Opening::Passive, from_client(5007), 10.0, 90.0)
    };
    let turns = vec![
        (20.0, of_sockets(probe(), 0, vec![open()])),
        (30.0, of_sockets(sender("other", 1), 0, vec![elsewhere])),
    ];
    assert_eq!(joined(turns), Ok((1, CERTAIN)));
    let succeeded = vec![
        (20.0, of_sockets(probe(), 0, vec![open()])),
        (30.0, of_sockets(sender("probe", 2), 0, vec![])),
        (
            40.0,
            of_sockets(sender("probe", 2), 0, vec![backfilled(40.0)]),
        ),
    ];
    assert_eq!(joined(succeeded), Ok((1, CERTAIN)));
}

#[test]
fn what_a_run_that_has_ended_tells_late_does_not_put_in_doubt_what_the_next_one_watches() {
    let next = sender("probe", 2);
    let later = Snapshot {
        seen_at: boot(41.0),
        ..open()
    };
    let turns = vec![
        (20.0, of_sockets(probe(), 0, vec![open()])),
        (40.0, of_sockets(next, 0, vec![backfilled(40.0)])),
        (50.0, of_sockets(probe(), 1, vec![open()])),
        (51.0, of_sockets(probe(), 2, vec![later])),
    ];
    assert_eq!(joined(turns), Ok((1, CERTAIN)));
}

#[test]
fn a_run_that_ended_with_nothing_left_and_tells_late_does_not_succeed_the_next_one() {
    let other = socket(7, Opening::Passive, from_client(5007), 10.0, 15.0);
    let turns = vec![
        (20.0, of_sockets(sender("probe", 2), 0, vec![open()])),
        (30.0, of_sockets(probe(), 0, vec![other])),
    ];
    assert_eq!(joined(turns), Ok((1, CERTAIN)));
}

#[test]
fn what_a_run_that_has_ended_tells_long_after_does_not_stay_for_ever() {
    let other = socket(7, Opening::Passive, from_client(5007), 10.0, 90.0);
    let turns = vec![
        (20.0, of_sockets(probe(), 0, vec![established(&other)])),
        (
            40.0,
            of_sockets(sender("probe", 2), 0, vec![backfilled(40.0)]),
        ),
        (50.0, batch(filter(), 0, vec![])),
        (11_000.0, batch(filter(), 0, vec![])),
        (12_000.0, of_sockets(probe(), 1, vec![established(&other)])),
        (13_000.0, batch(filter(), 0, vec![])),
        (24_000.0, batch(filter(), 0, vec![])),
    ];
    let reconciler = in_turn(turns);
    assert_eq!(reconciler.coverage().connections_live, 1);
    assert_eq!(reconciler.coverage().connections_unseen, 2);
}

#[test]
fn a_connection_that_ended_waits_for_its_requests_though_its_probe_is_gone() {
    let dialled = socket(2, Opening::Active, to_service(6001), 5.0, 9_000.0);
    let turns = vec![
        (20.0, of_sockets(probe(), 0, vec![established(&dialled)])),
        (
            30.0,
            of_sockets(sender("probe", 2), 0, vec![backfilled(30.0)]),
        ),
        (40.0, of_sockets(probe(), 1, vec![dialled])),
        (11_000.0, batch(filter(), 0, vec![])),
    ];
    let mut reconciler = in_turn(turns);
    let report = request(1, from_client(5001), 8_000.0, 12_000.0);
    let report = served(report, 6001, 0.0, 3_500.0);
    reconciler.handle_batch(batch(filter(), 0, vec![Fact::Request(report.into())]));
    let told = settle(&mut reconciler);
    let served_by = told.requests[0].served_by.as_ref().unwrap();
    assert_eq!(found(served_by).unwrap().0, 2);
}

#[test]
fn all_that_a_probe_tells_of_a_socket_is_in_its_record() {
    let told_of = Snapshot {
        outcome: Outcome::ResetByPeer,
        syn_at: Some(boot(10.0)),
        syn_ack_at: Some(boot(10.1)),
        accepted_at: Some(boot(10.3)),
        errno: 104,
        counters: Counters {
            srtt_us: 1,
            min_rtt_us: 2,
            segments_out: 3,
            segments_in: 4,
            bytes_acked: 5,
            bytes_received: 6,
            ..Counters::default()
        },
        watch: Watch {
            origin: Origin::Polled,
            first_seen_at: Some(boot(90.0)),
            one_in: 4,
            accepted_exactly: true,
            accept_deferred: true,
            reset_reason: "TCP_RESET".into(),
            mark: 8,
            cgroup: 9,
        },
        ..accepted(1, 10.0, 90.0)
    };
    assert_eq!(merged(vec![told_of.clone()]), told_of);
    let coverage = tell(vec![told_of.clone()], vec![])
        .connections
        .remove(0)
        .coverage;
    assert!(!coverage.evicted && !coverage.no_goodbye && !coverage.close_missing);
    let without = |change: fn(&mut Snapshot)| {
        let mut other = told_of.clone();
        change(&mut other);
        assert_eq!(merged(vec![other.clone()]), other);
    };
    without(|other| other.errno = 0);
    without(|other| other.watch.reset_reason = "".into());
    without(|other| (other.errno, other.watch.reset_reason) = (0, "".into()));
}

#[test]
fn of_several_owners_the_latest_counts_and_an_owner_once_known_stays_known() {
    let owned = |seen_at: f64, pid, tid| Snapshot {
        seen_at: boot(seen_at),
        owner_pid: pid,
        owner_tid: tid,
        ..open()
    };
    let owner = |words: Vec<Snapshot>| {
        let socket = merged(words);
        (socket.owner_pid, socket.owner_tid)
    };
    assert_eq!(owner(vec![owned(20.0, 1, 2), owned(30.0, 0, 0)]), (1, 2));
    assert_eq!(owner(vec![owned(20.0, 0, 0), owned(30.0, 1, 2)]), (1, 2));
    assert_eq!(owner(vec![owned(20.0, 1, 2), owned(30.0, 3, 4)]), (3, 4));
}

#[test]
fn what_is_told_at_the_same_moment_is_later_with_more_segments() {
    let counted = |segments_out, segments_in, pid| Snapshot {
        owner_pid: pid,
        counters: Counters {
            segments_out,
            segments_in,
            ..Counters::default()
        },
        ..open()
    };
    let known = merged(vec![counted(3, 3, 1), counted(6, 1, 2)]);
    assert_eq!((known.owner_pid, known.counters.segments_out), (2, 6));
}

#[test]
fn a_socket_that_was_watched_from_its_begin_keeps_its_id_when_another_run_finds_it() {
    let known = merged(vec![open(), backfilled(40.0)]);
    assert_eq!(known.minted, kernel_id(1));
    assert_eq!(known.watch.origin, Origin::Watched);
    assert_eq!(known.seen_at, boot(40.0));
    // Of one run both words are the same; of two that found it, the later one is asked from then on.
    let found_twice = Snapshot {
        minted: kernel_id(0x98),
        ..backfilled(30.0)
    };
    let known = merged(vec![found_twice, backfilled(40.0)]);
    assert_eq!(known.minted, kernel_id(0x99));
}

#[test]
fn only_who_watched_the_handshake_contradicts_its_times() {
    let at_other_times = |origin| {
        let mut other = open();
        other.established_at = Some(boot(10.7));
        other.watch.origin = origin;
        other.seen_at = boot(40.0);
        let words = [vec![open(), other.clone()], vec![other, open()]];
        words.map(|words| joined(vec![(20.0, of_sockets(probe(), 0, words))]))
    };
    assert_eq!(at_other_times(Origin::Watched), [Ok((1, LIKELY)); 2]);
    assert_eq!(at_other_times(Origin::Polled), [Ok((1, CERTAIN)); 2]);
}

#[test]
fn a_contradiction_is_remembered_by_a_fold_that_is_taken_up_again() {
    let mut other = open();
    other.established_at = Some(boot(10.7));
    let told = in_turn(vec![(20.0, of_sockets(probe(), 0, vec![open(), other]))]);
    let mut reconciler = Reconciler::restore(Limits::default(), told.checkpoint());
    let report = request(1, from_client(5001), 60.0, 70.0);
    reconciler.handle_batch(batch(filter(), 0, vec![Fact::Request(report.into())]));
    let record = settle(&mut reconciler).requests.remove(0);
    assert_eq!(found(&record.received_on), Ok((1, LIKELY)));
}

#[test]
fn times_that_cannot_be_are_contradictions_and_those_that_are_equal_are_not() {
    let contradicts = |syn_at: Option<f64>, established_at: Option<f64>, closed_at: f64| {
        let told_of = Snapshot {
            syn_at: syn_at.map(boot),
            syn_ack_at: None,
            established_at: established_at.map(boot),
            closed_at: Some(boot(closed_at)),
            ..accepted(1, 10.0, 90.0)
        };
        let told = tell(vec![told_of], vec![]);
        told.connections[0].coverage.contradictions.clone()
    };
    let ended_before = ["ended_before_begun"];
    assert_eq!(contradicts(Some(20.0), None, 15.0), ended_before);
    assert_eq!(contradicts(None, Some(20.0), 15.0), ended_before);
    assert_eq!(contradicts(Some(10.0), Some(20.0), 15.0), ended_before);
    let none: [&str; 0] = [];
    assert_eq!(contradicts(Some(20.0), Some(20.0), 20.0), none);
    assert_eq!(contradicts(Some(20.0), Some(20.0), 90.0), none);
}

#[test]
fn one_cookie_with_two_pairs_of_ends_is_one_record_whichever_came_first() {
    let other_ends = Snapshot {
        key: from_client(5002),
        ..accepted(1, 10.0, 90.0)
    };
    let known = merged(vec![accepted(1, 10.0, 90.0), other_ends.clone()]);
    assert_eq!(known.key, from_client(5001));
    let told = tell(
        vec![accepted(1, 10.0, 90.0), other_ends.clone(), other_ends],
        vec![],
    );
    assert_eq!(told.connections[0].coverage.contradictions, ["other_ends"]);
}

#[test]
fn a_connect_that_ended_earlier_than_was_said_at_first_fails_no_later_request() {
    let refused = |until: f64, origin| {
        let mut refused = failed(2, to_service(6001), Outcome::Refused, 20.0, until);
        refused.watch.origin = origin;
        refused
    };
    let report = unserved(
        request(1, from_client(5001), 1_000.0, 1_000.4),
        "delayed connect error: 111",
    );
    let failed_by = |sockets| {
        let told = tell(sockets, vec![report.clone()]);
        found(told.requests[0].opened.as_ref().unwrap()).map(|(cookie, _)| cookie)
    };
    let late = refused(1_000.2, Origin::Polled);
    assert_eq!(failed_by(vec![late.clone()]), Ok(2));
    let corrected = vec![late, refused(20.4, Origin::Watched)];
    assert_eq!(failed_by(corrected), Err(Missing::NoConnection));
}

#[test]
fn a_socket_that_is_said_to_have_closed_and_to_be_open_has_not_ended() {
    let both = Snapshot {
        closed_at: Some(boot(30.0)),
        seen_at: boot(40.0),
        ..open()
    };
    let mut reconciler = in_turn(vec![(50.0, of_sockets(probe(), 0, vec![both]))]);
    reconciler.handle_timeout(boot(20_000.0));
    assert_eq!(reconciler.coverage().connections_live, 1);
}

#[test]
fn a_tag_that_is_told_once_stays_known() {
    let with = |tag: bool, seen_at: f64| {
        let seen = Snapshot {
            seen_at: boot(seen_at),
            ..open()
        };
        match tag {
            true => tagged(seen, trace(0x7a), TagState::Believed),
            false => seen,
        }
    };
    for words in [
        [with(true, 20.0), with(false, 30.0)],
        [with(false, 20.0), with(true, 30.0)],
    ] {
        let tag = merged(words.to_vec()).tag.unwrap();
        assert_eq!(tag.id, trace(0x7a));
    }
}
