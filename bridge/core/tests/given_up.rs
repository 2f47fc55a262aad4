//! Which connection of its kind is given up first when there are too many.

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
    fact::{Batch, Snapshot, TagState},
};
use syntrace_model::{ConnectionId, Opening};
use world::{turns::of_sockets, *};

/// The client's port of each connection.
fn port(cookie: u64) -> u16 {
    5_000 + cookie as u16
}

/// A connection of the client that opened at a moment, milliseconds, and stays open.
fn opened(cookie: u64, at: f64) -> Snapshot {
    let key = from_client(port(cookie));
    established(&socket(cookie, Opening::Passive, key, at, 1e9))
}

/// The reconciler where so many connections are kept, and these are told of in this order.
fn keeping(live_connections: usize, sockets: Vec<Snapshot>) -> Reconciler {
    let limits = Limits {
        live_connections,
        ..Limits::default()
    };
    known(limits, sockets)
}

/// Tells of more sockets, after `n` words about others; returns which ones have been given up since, in order.
fn given_up_for(reconciler: &mut Reconciler, n: u64, more: Vec<Snapshot>) -> Vec<u64> {
    reconciler.handle_batch(of_sockets(probe(), n, more));
    let outputs = std::iter::from_fn(|| reconciler.poll_output());
    let given_up = outputs.filter_map(|output| match output {
        Output::Connection(record) if record.coverage.evicted => Some(record.id),
        Output::Connection(_) | Output::Request(_) => None,
    });
    let cookies = given_up.map(|id| match id {
        ConnectionId::Socket { cookie, .. } => cookie,
        ConnectionId::Proxy { .. } => panic!("not a socket: {id:?}"),
    });
    cookies.collect()
}

/// A request on each of these connections: from when to when, milliseconds.
fn requests_on(ran: impl IntoIterator<Item = (u64, f64, f64)>) -> Batch {
    let reports = ran
        .into_iter()
        .map(|(cookie, from, until)| request(cookie, from_client(port(cookie)), from, until));
    batch(filter(), 0, requests_of(reports.collect()))
}

#[test]
fn a_long_request_keeps_its_connection_longer_than_a_short_one_that_began_after_it() {
    let sockets = (1..=3).map(|cookie| opened(cookie, 10.0 * cookie as f64));
    let mut reconciler = keeping(3, sockets.collect());
    let ran = [(1, 100.0, 900.0), (2, 200.0, 210.0), (3, 950.0, 960.0)];
    reconciler.handle_batch(requests_on(ran));
    reconciler.handle_timeout(boot(20_000.0));
    assert_eq!(reconciler.coverage().requests_settled, 3);
    let given_up = given_up_for(&mut reconciler, 3, vec![opened(4, 20_000.0)]);
    assert_eq!(given_up, [2]);
}

#[test]
fn connections_in_use_that_have_closed_leave_their_room_to_those_that_are_not_used() {
    let at = |cookie| 10.0 * cookie as f64;
    let mut reconciler = keeping(
        10,
        (1..=9).map(|cookie| opened(cookie, at(cookie))).collect(),
    );
    let ran = (1..=9).map(|cookie| (cookie, at(cookie) + 1.0, at(cookie) + 2.0));
    reconciler.handle_batch(requests_on(ran));
    reconciler.handle_timeout(boot(10_000.0));
    let close = |cookie| {
        let key = from_client(port(cookie));
        socket(cookie, Opening::Passive, key, at(cookie), 10_000.0)
    };
    let closed = (2..=9).map(close).collect();
    assert_eq!(given_up_for(&mut reconciler, 9, closed), [0; 0]);
    reconciler.handle_timeout(boot(20_000.0));
    assert_eq!(reconciler.coverage().connections_live, 1);
    let unused = (10..=19).map(|cookie| opened(cookie, 20_000.0 + at(cookie)));
    assert_eq!(given_up_for(&mut reconciler, 17, unused.collect()), [10]);
}

#[test]
fn an_old_connection_that_is_told_of_late_goes_before_the_younger_ones() {
    let at = |cookie| 1_000.0 * cookie as f64;
    let sockets = (1..=12).map(|cookie| opened(cookie, at(cookie)));
    let mut reconciler = keeping(10, sockets.collect());
    let young = vec![opened(13, at(13))];
    assert_eq!(given_up_for(&mut reconciler, 12, young), [1, 2, 3]);
    let old = vec![opened(14, 500.0)];
    assert_eq!(given_up_for(&mut reconciler, 13, old), [14]);
}

#[test]
fn of_connections_that_opened_at_once_the_one_told_first_goes_first_whatever_is_learnt_of_it() {
    let at_once = |cookie| opened(cookie, 950.0 + cookie as f64);
    let tag = tagged(at_once(1), trace(0x7a), TagState::Believed);
    let mut reconciler = keeping(3, vec![at_once(1), at_once(2), at_once(3), tag]);
    let given_up = given_up_for(&mut reconciler, 4, vec![opened(4, 2_000.0)]);
    assert_eq!(given_up, [1]);
}
