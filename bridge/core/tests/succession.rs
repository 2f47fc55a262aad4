//! Two sockets with the same ends, one after the other: what a join says where the facts that tell them apart are
//! lost, or contradict each other.

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
    fact::{Batch, Fact, Origin, Report, Snapshot, Watch},
    record::{Missing, RequestRecord},
};
use syntrace_model::{Opening, Outcome};
use world::{turns::clock_at, *};

/// Facts that are lost between 2 s and a request at 5 s.
#[derive(Clone, Copy)]
enum Lost {
    Nothing,
    /// So many that had a number.
    Numbered(u64),
    /// So many that had none, as the probe counts them.
    Counted(u64),
    /// The same, before the first 100 ms were over.
    CountedBefore(u64),
}

fn counting(batch: Batch, count: u64) -> Batch {
    Batch {
        losses: vec![("ring_full".into(), count)],
        ..batch
    }
}

/// A request at 5 s, where these sockets were reported by 0.1 s, and then this was lost.
fn after_losses(sockets: Vec<Snapshot>, lost: Lost, report: Report) -> RequestRecord {
    let (numbered, before, after) = match lost {
        Lost::Nothing => (0, 0, 0),
        Lost::Numbered(count) => (count, 0, 0),
        Lost::Counted(count) => (0, 0, count),
        Lost::CountedBefore(count) => (0, count, count),
    };
    let sockets = sockets.into_iter().map(Fact::Connection);
    let first: Vec<_> = preamble()
        .into_iter()
        .chain(sockets)
        .chain([clock_at(100.0)])
        .collect();
    let next = first.len() as u64;
    let mut reconciler = Reconciler::new(Limits::default());
    reconciler.handle_batch(counting(batch(probe(), 0, first), before));
    let later = vec![preamble().remove(0), clock_at(2_000.0)];
    let later = batch(probe(), next + numbered, later);
    reconciler.handle_batch(counting(later, after));
    let last = vec![preamble().remove(0), clock_after(&report)];
    let last = batch(probe(), next + numbered + 2, last);
    reconciler.handle_batch(counting(last, after));
    reconciler.handle_batch(batch(filter(), 0, vec![Fact::Request(report.into())]));
    settle(&mut reconciler).requests.remove(0)
}

fn asked() -> Report {
    served(
        request(1, from_client(5001), 5_000.0, 5_010.0),
        6001,
        0.0,
        5.0,
    )
}

fn served_by(record: &RequestRecord) -> Result<(u64, Confidence), Missing> {
    found(record.served_by.as_ref().unwrap())
}

/// How sure each side of the request is, where both of its sockets were last seen as they were opened.
fn sides(lost: Lost) -> [Confidence; 2] {
    let client = established(&accepted(1, 90.0, 9_000.0));
    let service = established(&socket(2, Opening::Active, to_service(6001), 90.0, 9_000.0));
    let record = after_losses(vec![client, service], lost, asked());
    [found(&record.received_on), served_by(&record)].map(|side| side.unwrap().1)
}

#[test]
fn a_socket_whose_end_may_be_lost_is_not_certain_on_either_side_however_the_loss_shows() {
    assert_eq!(sides(Lost::Nothing), [CERTAIN; 2]);
    assert_eq!(sides(Lost::Numbered(4)), [LIKELY; 2]);
    assert_eq!(sides(Lost::Counted(4)), [LIKELY; 2]);
}

#[test]
fn one_lost_fact_is_not_the_end_of_one_socket_and_the_start_of_another() {
    assert_eq!(sides(Lost::Numbered(1)), [CERTAIN; 2]);
    assert_eq!(sides(Lost::Counted(1)), [CERTAIN; 2]);
}

#[test]
fn what_was_lost_before_a_socket_was_seen_says_nothing_of_its_end() {
    let client = established(&accepted(1, 1_000.0, 9_000.0));
    let service = established(&socket(
        2,
        Opening::Active,
        to_service(6001),
        1_000.0,
        9_000.0,
    ));
    let record = after_losses(vec![client, service], Lost::CountedBefore(4), asked());
    assert_eq!(found(&record.received_on), Ok((1, CERTAIN)));
    assert_eq!(served_by(&record), Ok((2, CERTAIN)));
}

#[test]
fn a_socket_whose_end_was_seen_after_a_loss_carried_the_request() {
    let sockets = vec![
        accepted(1, 90.0, 9_000.0),
        socket(2, Opening::Active, to_service(6001), 90.0, 9_000.0),
    ];
    for lost in [Lost::Numbered(4), Lost::Counted(4)] {
        let record = after_losses(sockets.clone(), lost, asked());
        assert_eq!(found(&record.received_on), Ok((1, CERTAIN)));
        assert_eq!(served_by(&record), Ok((2, CERTAIN)));
    }
}

#[test]
fn a_handshake_after_the_request_was_given_to_a_connection_is_not_what_it_waited_for() {
    let asked = |from: f64, answered: f64| {
        let report = request(1, from_client(5001), 20.0, 29.9);
        let report = served(report, 6001, 1.0, answered);
        let opened = socket(3, Opening::Active, to_service(6001), from, 90.0);
        told(vec![client(10.3), opened], report)
    };
    let opened = |record: &RequestRecord| record.opened.as_ref().map(|join| found(join).unwrap().0);
    let before = asked(20.5, 0.0);
    assert_eq!(served_by(&before), Ok((3, CERTAIN)));
    assert_eq!(found(before.opened.as_ref().unwrap()), Ok((3, CERTAIN)));
    // By no more than the sources disagree about.
    let soon = asked(30.5, 0.0);
    assert_eq!(served_by(&soon), Ok((3, LIKELY)));
    assert_eq!(opened(&soon), Some(3));
    let after = asked(35.0, 0.0);
    assert_eq!(served_by(&after), Err(Missing::NoConnection));
    // It was given to the connection before the answer was awaited.
    assert_eq!(served_by(&asked(27.0, 4.0)), Ok((3, LIKELY)));
}

/// A socket that tables showed from `from` on, and no longer at `until`.
fn polled(cookie: u64, from: f64, until: f64, outcome: Outcome) -> Snapshot {
    Snapshot {
        outcome,
        syn_at: None,
        syn_ack_at: None,
        established_at: None,
        watch: Watch {
            origin: Origin::Polled,
            first_seen_at: Some(boot(from)),
            ..Watch::default()
        },
        ..accepted(cookie, from, until)
    }
}

#[test]
fn a_socket_whose_end_nobody_saw_ended_before_the_next_one_with_its_ends() {
    let joined = |from: f64, until: f64| {
        let first = polled(1, 1_000.0, 3_000.0, Outcome::Unknown);
        let next = polled(2, 2_000.0, 2_500.0, Outcome::Closed);
        let record = told(
            vec![first, next],
            request(1, from_client(5001), from, until),
        );
        found(&record.received_on)
    };
    assert_eq!(joined(1_300.0, 1_400.0), Ok((1, LIKELY)));
    assert_eq!(joined(2_100.0, 2_200.0), Ok((2, CERTAIN)));
}

#[test]
fn an_end_that_nobody_saw_is_no_end_if_facts_were_lost() {
    let joined = |outcome, lost| {
        let socket = polled(1, 90.0, 9_000.0, outcome);
        let report = request(1, from_client(5001), 5_000.0, 5_010.0);
        found(&after_losses(vec![socket], lost, report).received_on)
    };
    assert_eq!(joined(Outcome::Unknown, Lost::Nothing), Ok((1, CERTAIN)));
    assert_eq!(joined(Outcome::Unknown, Lost::Counted(2)), Ok((1, LIKELY)));
    assert_eq!(joined(Outcome::Closed, Lost::Counted(2)), Ok((1, CERTAIN)));
}

#[test]
fn an_end_that_was_seen_is_one_though_nobody_knows_how_it_came() {
    let closed = Snapshot {
        outcome: Outcome::Unknown,
        ..accepted(1, 90.0, 9_000.0)
    };
    let report = request(1, from_client(5001), 5_000.0, 5_010.0);
    let record = after_losses(vec![closed], Lost::Counted(2), report);
    assert_eq!(found(&record.received_on), Ok((1, CERTAIN)));
}

#[test]
fn a_socket_that_a_table_showed_after_the_request_was_there_though_facts_were_lost_before() {
    let ended = Snapshot {
        closed_at: None,
        ..polled(1, 90.0, 6_000.0, Outcome::Unknown)
    };
    let report = request(1, from_client(5001), 5_000.0, 5_010.0);
    let record = after_losses(vec![ended], Lost::Counted(2), report);
    assert_eq!(found(&record.received_on), Ok((1, CERTAIN)));
}

#[test]
fn two_sockets_of_one_namespace_that_had_the_same_ends_at_once_are_both_doubted() {
    let sides = |younger: fn(Snapshot) -> Snapshot| {
        let pair = |opening, key| {
            let older = socket(1, opening, key, 10.0, 60.0);
            [older, younger(socket(2, opening, key, 50.0, 90.0))]
        };
        let upstream = pair(Opening::Active, to_service(6001)).map(|one| Snapshot {
            cookie: one.cookie + 2,
            ..one
        });
        let downstream = pair(Opening::Passive, from_client(5001));
        let report = served(request(1, from_client(5001), 20.0, 30.0), 6001, 0.0, 5.0);
        let record = told([downstream, upstream].concat(), report);
        [found(&record.received_on), served_by(&record)]
    };
    assert_eq!(sides(|younger| younger), [Ok((1, LIKELY)), Ok((3, LIKELY))]);
    let elsewhere = |younger| Snapshot {
        netns: GATEWAY + 1,
        owner_pid: 9,
        ..younger
    };
    assert_eq!(sides(elsewhere), [Ok((1, CERTAIN)), Ok((3, CERTAIN))]);
}
