//! Several words about one socket that do not tell the same: what each field is, whatever order they come in;
//! and that every id that was shown still leads to the connection.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod world;

use syntrace_core::{
    Limits, Output, Reconciler,
    answer::Party,
    fact::{Counters, Fact, Origin, SenderId, Snapshot, Tag, TagState},
    record::{ConnectionRecord, Join, PhaseKind, RequestRecord},
};
use syntrace_model::{Opening, Outcome, TraceId};
use world::{
    turns::{backfilled, in_turn, of_sockets, open, sender},
    *,
};

/// The record of the socket, told by these words in every order.
fn in_every_order(words: [Snapshot; 3]) -> ConnectionRecord {
    let orders = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    let told = |order: [usize; 3]| {
        let words = order.map(|n| words[n].clone());
        let mut whole = in_turn(vec![(95.0, of_sockets(probe(), 0, words.to_vec()))]);
        whole.drain();
        let expected = settle(&mut whole).connections.remove(0);
        for cut in 1..3 {
            let (early, late) = words.split_at(cut);
            let first = in_turn(vec![(95.0, of_sockets(probe(), 0, early.to_vec()))]);
            let mut resumed = Reconciler::restore(Limits::default(), first.checkpoint());
            resumed.handle_batch(of_sockets(probe(), cut as u64, late.to_vec()));
            resumed.drain();
            let resumed = settle(&mut resumed).connections.remove(0);
            assert_eq!(resumed, expected, "{order:?} resumed after {cut}");
        }
        expected
    };
    let [first, others @ ..] = orders.map(told);
    for other in others {
        assert_eq!(other, first);
    }
    first
}

fn seen(at: f64, change: impl Fn(&mut Snapshot)) -> Snapshot {
    let mut seen = Snapshot {
        seen_at: boot(at),
        ..open()
    };
    change(&mut seen);
    seen
}

/// Found open by a run that knows neither owner nor tag.
fn found_open(at: f64) -> Snapshot {
    Snapshot {
        owner_pid: 0,
        owner_tid: 0,
        ..backfilled(at)
    }
}

#[test]
fn of_a_tag_the_latest_state_that_was_told_counts() {
    let with = |at, state| {
        seen(at, |seen| {
            seen.tag = Some(Tag {
                id: trace(7),
                state,
            });
        })
    };
    let (sent, answered) = (with(11.0, TagState::Sent), with(12.0, TagState::Answered));
    let known = in_every_order([sent, answered, found_open(50.0)]);
    let tag = known.socket.unwrap().tag.unwrap();
    assert_eq!(tag.state, TagState::Answered);
}

#[test]
fn of_owners_the_latest_that_was_told_counts_each_part_for_itself() {
    let owned = |at, pid, tid| seen(at, |seen| (seen.owner_pid, seen.owner_tid) = (pid, tid));
    let owner = |words| {
        let socket = in_every_order(words).socket.unwrap();
        (socket.owner_pid, socket.owner_tid)
    };
    let words = [owned(11.0, 5, 5), owned(12.0, 5, 7), found_open(50.0)];
    assert_eq!(owner(words), (5, 7));
    let words = [owned(11.0, 5, 5), owned(12.0, 6, 0), found_open(50.0)];
    assert_eq!(owner(words), (6, 5));
}

#[test]
fn of_ids_the_latest_of_who_knew_the_socket_best_counts_and_the_others_lead_to_it() {
    let minted = |at, n| seen(at, |seen| seen.minted = trace(n));
    let known = in_every_order([minted(11.0, 1), minted(12.0, 2), found_open(50.0)]);
    assert_eq!(known.trace_id, trace(2));
    let mut others = vec![trace(1), kernel_id(0x99)];
    others.sort_unstable();
    assert_eq!(known.aliases, others);
}

#[test]
fn what_is_told_at_the_same_moment_is_decided_by_its_content() {
    let same = |change: fn(&mut Snapshot)| seen(11.0, change);
    let known = in_every_order([
        same(|seen| (seen.owner_tid, seen.watch.mark) = (5, 1)),
        same(|seen| (seen.owner_tid, seen.watch.mark) = (6, 2)),
        same(|seen| (seen.counters.retransmits, seen.counters.srtt_us) = (3, 9)),
    ]);
    let socket = known.socket.unwrap();
    let counted = (socket.counters.retransmits, socket.counters.srtt_us);
    assert_eq!(counted, (3, 9));
    assert_eq!(socket.watch.mark, 2);
}

#[test]
fn an_accept_that_is_exact_counts_before_an_upper_bound() {
    let at = |seen_at, accepted_at, exactly| {
        seen(seen_at, |seen| {
            seen.accepted_at = Some(boot(accepted_at));
            seen.watch.accepted_exactly = exactly;
        })
    };
    let known = in_every_order([
        at(20.0, 14.0, true),
        at(30.0, 13.0, false),
        found_open(50.0),
    ]);
    let socket = known.socket.unwrap();
    assert_eq!(socket.accepted_at, Some(boot(14.0)));
    assert!(socket.watch.accepted_exactly);
}

#[test]
fn of_accepts_that_are_equally_exact_the_earliest_counts() {
    for exactly in [false, true] {
        let at = |seen_at, accepted_at| {
            seen(seen_at, |seen| {
                seen.accepted_at = Some(boot(accepted_at));
                seen.watch.accepted_exactly = exactly;
            })
        };
        let known = in_every_order([at(20.0, 14.0), at(21.0, 13.0), at(22.0, 15.0)]);
        let socket = known.socket.unwrap();
        assert_eq!(socket.accepted_at, Some(boot(13.0)));
        assert_eq!(socket.watch.accepted_exactly, exactly);
    }
}

#[test]
fn a_later_word_counts_whatever_its_content() {
    let acked = |at, bytes| seen(at, |seen| seen.counters.bytes_acked = bytes);
    let known = in_every_order([acked(11.0, 900), acked(12.0, 700), acked(13.0, 800)]);
    assert_eq!(known.socket.unwrap().counters.bytes_acked, 800);
}

#[test]
fn an_id_that_every_word_tells_is_no_alias() {
    let owned = |at, tid| seen(at, |seen| seen.owner_tid = tid);
    let known = in_every_order([owned(11.0, 5), owned(12.0, 0), owned(13.0, 0)]);
    assert_eq!(known.socket.unwrap().owner_tid, 5);
    assert_eq!(known.aliases, []);
}

#[test]
fn a_run_that_finds_a_connection_open_takes_nothing_from_what_was_watched() {
    let watched = seen(60.0, |seen| {
        seen.accepted_at = Some(boot(55.0));
        seen.watch.accept_deferred = true;
        seen.watch.accepted_exactly = true;
        seen.counters = Counters {
            syn_ack_retransmits: 3,
            retransmits: 2,
            ..seen.counters
        };
    });
    let known = in_every_order([watched.clone(), found_open(70.0), found_open(80.0)]);
    let socket = known.socket.unwrap();
    assert_eq!(socket.accepted_at, watched.accepted_at);
    assert!(socket.watch.accept_deferred && socket.watch.accepted_exactly);
    let counters = socket.counters;
    assert_eq!((counters.syn_ack_retransmits, counters.retransmits), (3, 2));
    let waited = |phase: &&syntrace_core::record::Phase| phase.kind == PhaseKind::AcceptWait;
    let waited = known.phases.iter().find(waited).unwrap();
    assert_eq!(waited.party, Party::Client);
}

/// What a request was shown that ran on the connection, and what the connection is in the end.
fn shown(
    first: Snapshot,
    report: syntrace_core::fact::Report,
    then: (SenderId, Snapshot),
) -> (RequestRecord, ConnectionRecord) {
    let cookie = first.cookie;
    let mut reconciler = in_turn(vec![(
        95.0,
        of_sockets(probe(), 0, vec![client(10.3), first]),
    )]);
    let facts = vec![clock_after(&report)];
    reconciler.handle_batch(batch(probe(), 9, facts));
    reconciler.handle_batch(batch(filter(), 0, vec![Fact::Request(report.into())]));
    reconciler.handle_timeout(boot(100.0));
    reconciler.handle_timeout(boot(9_000.0));
    let Some(Output::Request(record)) = reconciler.poll_output() else {
        panic!("the request is settled");
    };
    reconciler.handle_batch(of_sockets(then.0, 20, vec![then.1]));
    reconciler.drain();
    let connections = settle(&mut reconciler).connections;
    let is = |record: &ConnectionRecord| record.socket.as_ref().unwrap().cookie == cookie;
    (record, connections.into_iter().find(is).unwrap())
}

fn id_of(join: &Join) -> TraceId {
    match join {
        Join::To { trace_id, .. } => *trace_id,
        Join::Missing(missing) => panic!("{missing:?}"),
    }
}

#[test]
fn the_id_of_a_run_that_found_it_first_leads_to_the_connection_that_another_found_again() {
    let found = |minted, at| Snapshot {
        cookie: 3,
        key: from_client(5003),
        minted,
        ..backfilled(at)
    };
    let mut report = request(1, from_client(5003), 60.0, 70.0);
    report.connection_trace_id = None;
    let again = (sender("probe", 9), found(kernel_id(0x98), 6_000.0));
    let (request, connection) = shown(found(kernel_id(0x99), 20.0), report, again);
    assert_eq!(id_of(&request.received_on), kernel_id(0x99));
    assert_eq!(connection.trace_id, kernel_id(0x98));
    assert_eq!(connection.aliases, [kernel_id(0x99)]);
    assert_eq!(connection.socket.unwrap().watch.origin, Origin::Backfilled);
}

#[test]
fn the_id_that_was_shown_before_a_tag_was_told_leads_to_the_connection() {
    let untagged = established(&socket(
        2,
        Opening::Active,
        to_service(6001),
        10.0,
        90_000.0,
    ));
    let report = served(request(1, from_client(5001), 60.0, 70.0), 6001, 0.0, 5.0);
    let later = Snapshot {
        seen_at: boot(5_500.0),
        ..untagged.clone()
    };
    let told = (probe(), tagged(later, trace(0x7a), TagState::Answered));
    let (request, connection) = shown(untagged, report, told);
    assert_eq!(id_of(&request.served_by.unwrap()), kernel_id(2));
    assert_eq!(connection.trace_id, trace(0x7a));
    assert_eq!(connection.aliases, [kernel_id(2)]);
}

#[test]
fn a_moment_that_another_run_tells_differently_contradicts_none_that_was_watched() {
    let watched = accepted(1, 10.0, 90.0);
    let mut again = Snapshot {
        seen_at: boot(90.2),
        ..watched.clone()
    };
    again.watch.reset_reason = "tcp_close".into();
    for closed_at in [89.9, 90.1] {
        let found = Snapshot {
            outcome: Outcome::Closed,
            closed_at: Some(boot(closed_at)),
            ..backfilled(90.15)
        };
        let known = in_every_order([watched.clone(), again.clone(), found]);
        let none: [&str; 0] = [];
        assert_eq!(known.coverage.contradictions, none);
        let earliest = boot(closed_at.min(90.0));
        assert_eq!(known.socket.unwrap().closed_at, Some(earliest));
    }
}

#[test]
fn a_moment_that_was_watched_twice_contradicts_itself_whatever_another_run_tells() {
    for closed_at in [89.9, 90.1, 90.3] {
        let found = Snapshot {
            outcome: Outcome::Closed,
            closed_at: Some(boot(closed_at)),
            ..backfilled(95.0)
        };
        let watched = [accepted(1, 10.0, 90.0), accepted(1, 10.0, 90.3)];
        let [first, second] = watched;
        let known = in_every_order([first, second, found]);
        assert_eq!(known.coverage.contradictions, ["other_times"]);
    }
}
