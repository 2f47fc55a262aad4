//! A socket that is reported more than once, by two probes or by two runs of one: which report counts, whatever
//! order they come in.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod world;

use syntrace_core::{
    Limits, Reconciler,
    fact::{Counters, Fact, Origin, Snapshot, TagState, Watch},
    record::Missing,
};
use syntrace_model::Outcome;
use world::{
    turns::{backfilled, in_turn, joined, of_sockets, open},
    *,
};

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
fn what_only_grows_is_the_most_that_was_told_and_once_deferred_an_accept_stays_so() {
    let counted = |seen_at: f64, n| Snapshot {
        seen_at: boot(seen_at),
        counters: Counters {
            syn_retransmits: n,
            syn_ack_retransmits: n,
            retransmits: n,
            ..Counters::default()
        },
        watch: Watch {
            accept_deferred: n > 0,
            ..Watch::default()
        },
        ..open()
    };
    let known = merged(vec![counted(20.0, 3), counted(30.0, 1)]);
    let counters = known.counters;
    assert_eq!(
        (counters.syn_retransmits, counters.syn_ack_retransmits),
        (3, 3)
    );
    assert_eq!(counters.retransmits, 3);
    assert!(known.watch.accept_deferred);
    assert!(
        merged(vec![counted(20.0, 3), counted(30.0, 0)])
            .watch
            .accept_deferred
    );
}

#[test]
fn of_several_places_that_a_socket_was_in_the_latest_counts() {
    let marked = |seen_at: f64, mark| {
        let mut seen = open();
        (seen.seen_at, seen.watch.mark) = (boot(seen_at), mark);
        seen
    };
    let mark = |words: [Snapshot; 2]| merged(words.to_vec()).watch.mark;
    assert_eq!(mark([marked(20.0, 9), marked(30.0, 7)]), 7);
    assert_eq!(mark([marked(20.0, 7), marked(30.0, 9)]), 9);
    assert_eq!(mark([marked(20.0, 7), marked(20.0, 9)]), 9);
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
fn an_id_of_the_kernel_view_that_no_record_can_have_shown_is_no_alias() {
    let tag = |word| tagged(word, trace(0x7a), TagState::Believed);
    let aliases = |opened| {
        let words = vec![opened, tag(accepted(1, 10.0, 90.0))];
        let connection = tell(words, vec![]).connections.remove(0);
        assert_eq!(connection.trace_id, trace(0x7a));
        connection.aliases
    };
    assert_eq!(aliases(tag(open())), []);
    assert_eq!(aliases(open()), [kernel_id(1)]);
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
