//! What makes a connection fit a request, and fit it tightly: one story for each condition.

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
    fact::{Fact, Report, SenderId, Snapshot, TagState},
    record::{IdSource, Join, Missing, RequestRecord},
};
use syntrace_model::{Opening, Outcome};
use world::*;

/// A connection to the service, from one port.
fn dialled(cookie: u64, from: f64, until: f64) -> Snapshot {
    socket(cookie, Opening::Active, to_service(6001), from, until)
}

/// A request from the client's port on the proxy's connection with this number.
fn numbered(n: u64, number: u64, from: f64, until: f64) -> Report {
    Report {
        downstream_connection: number,
        ..request(n, from_client(5001), from, until)
    }
}

/// A request from 100 to 120 ms that waited for its connection for `waited`, and then 5 ms for its answer.
fn asked(sockets: Vec<Snapshot>, waited: f64) -> RequestRecord {
    let report = served(
        request(1, from_client(5001), 100.0, 120.0),
        6001,
        waited,
        5.0,
    );
    tell(sockets, vec![report]).requests.remove(0)
}

fn served_by(record: &RequestRecord) -> Result<(u64, Confidence), Missing> {
    found(record.served_by.as_ref().unwrap())
}

#[test]
fn a_socket_that_is_known_under_one_number_is_joined_to_no_other() {
    let open = established(&accepted(1, 10.0, 90.0));
    let reports = [numbered(1, 4, 20.0, 30.0), numbered(2, 5, 60.0, 70.0)];
    let told = tell(vec![open], reports.to_vec());
    assert_eq!(found(&told.requests[0].received_on), Ok((1, CERTAIN)));
    let other = &told.requests[1].received_on;
    assert_eq!(found(other), Err(Missing::NumberDiffers));
}

#[test]
fn a_request_that_seems_to_precede_its_socket_is_certain_by_its_number() {
    let second = |number| {
        let reports = vec![numbered(1, 4, 20.0, 30.0), numbered(2, number, 9.0, 40.0)];
        let told = tell(vec![accepted(1, 10.0, 90.0)], reports);
        found(&told.requests[1].received_on)
    };
    assert_eq!(second(4), Ok((1, CERTAIN)));
    let alone = tell(
        vec![accepted(1, 10.0, 90.0)],
        vec![numbered(2, 4, 9.0, 40.0)],
    );
    assert_eq!(found(&alone.requests[0].received_on), Ok((1, LIKELY)));
}

#[test]
fn direct_addresses_are_not_hidden_by_a_proxy_in_front_whoever_owns_the_socket() {
    let other_s = Snapshot {
        owner_pid: 9,
        ..accepted(1, 50.0, 90.0)
    };
    let sockets = vec![dialled(2, 5.0, 95.0), other_s];
    let joined = |direct| {
        let plain = served(request(1, from_client(5001), 60.0, 70.0), 6001, 0.0, 5.0);
        let report = Report { direct, ..plain };
        let told = tell(sockets.clone(), vec![report]);
        found(&told.requests[0].received_on)
    };
    assert_eq!(joined(Some(from_client(5001))), Ok((1, LIKELY)));
    assert_eq!(joined(None), Err(Missing::AddressHidden));
}

#[test]
fn a_connection_whose_handshake_was_not_done_carried_no_request() {
    let mut slow = dialled(2, 110.0, 900.0);
    slow.established_at = Some(boot(130.0));
    let record = asked(vec![slow], 0.0);
    assert_eq!(served_by(&record), Err(Missing::NoConnection));
    // As far as clocks may disagree.
    let report = request(1, from_client(5001), 100.0, 120.0);
    let told = tell(
        vec![dialled(2, 122.0, 900.0)],
        vec![served(report, 6001, 0.0, 0.0)],
    );
    assert_eq!(served_by(&told.requests[0]), Ok((2, LIKELY)));
}

#[test]
fn a_connection_that_was_there_before_the_probe_carries_requests() {
    let mut old = dialled(2, 50.0, 900.0);
    (old.syn_at, old.syn_ack_at, old.established_at) = (None, None, None);
    old.outcome = Outcome::Established;
    (old.closed_at, old.seen_at) = (None, boot(50.0));
    assert_eq!(served_by(&asked(vec![old], 0.0)), Ok((2, CERTAIN)));
}

#[test]
fn a_handshake_that_began_before_the_head_was_there_is_perhaps_another_request_s() {
    let opened = |from| {
        let mut report = served(request(1, from_client(5001), 100.0, 120.0), 6001, 3.0, 5.0);
        report.http.head_ns = Some(2_000_000);
        let told = tell(vec![dialled(2, from, 900.0)], vec![report]);
        found(told.requests[0].opened.as_ref().unwrap())
    };
    assert_eq!(opened(100.5), Ok((2, LIKELY)));
    assert_eq!(opened(102.1), Ok((2, CERTAIN)));
}

#[test]
fn what_has_a_direct_address_is_not_looked_for_by_the_client_s_end_alone() {
    let sockets = vec![dialled(2, 5.0, 900.0), accepted(1, 50.0, 900.0)];
    let plain = served(request(1, from_client(5001), 60.0, 70.0), 6001, 0.0, 5.0);
    let elsewhere = Some(ends("198.51.100.200:443", "192.0.2.2:5001"));
    let received_on = |report| found(&tell(sockets.clone(), vec![report]).requests[0].received_on);
    let redirected = Report {
        downstream: elsewhere,
        direct: None,
        ..plain.clone()
    };
    assert_eq!(received_on(redirected), Ok((1, LIKELY)));
    let direct = Report {
        direct: elsewhere,
        ..plain
    };
    assert_eq!(received_on(direct), Err(Missing::NoConnection));
}

#[test]
fn another_run_of_the_filter_numbers_anew() {
    let mut reconciler = Reconciler::new(Limits::default());
    let report = |n, number, from, until| Fact::Request(numbered(n, number, from, until).into());
    let mut kernel = preamble();
    kernel.push(Fact::Connection(accepted(1, 10.0, 90.0)));
    kernel.push(clock_after(&numbered(2, 5, 60.0, 70.0)));
    reconciler.handle_batch(batch(probe(), 0, kernel));
    reconciler.handle_batch(batch(filter(), 0, vec![report(1, 4, 20.0, 30.0)]));
    let next = SenderId {
        epoch: 9,
        ..filter()
    };
    reconciler.handle_batch(batch(next, 0, vec![report(2, 5, 60.0, 70.0)]));
    let told = settle(&mut reconciler);
    for record in &told.requests {
        assert_eq!(found(&record.received_on), Ok((1, CERTAIN)));
    }
}

#[test]
fn a_connection_that_had_ended_before_a_request_was_given_to_one_did_not_carry_it() {
    let record = asked(vec![dialled(2, 50.0, 94.9)], 0.0);
    assert_eq!(served_by(&record), Err(Missing::NoConnection));
    // As far as clocks may disagree.
    let record = asked(vec![dialled(2, 50.0, 95.1)], 0.0);
    assert_eq!(served_by(&record), Ok((2, LIKELY)));
    let record = asked(vec![dialled(2, 50.0, 100.1)], 0.0);
    assert_eq!(served_by(&record), Ok((2, CERTAIN)));
}

#[test]
fn a_handshake_that_was_waited_for_is_certain_even_if_the_wait_seems_over_before_it() {
    let with = |took: f64, waited: f64| {
        let mut fresh = dialled(2, 100.5, 900.0);
        fresh.established_at = Some(boot(100.5 + took));
        served_by(&asked(vec![fresh], waited))
    };
    assert_eq!(with(0.9, 1.0), Ok((2, CERTAIN)));
    // One that took longer was not.
    assert_eq!(with(1.1, 1.0), Ok((2, LIKELY)));
}

#[test]
fn of_many_sockets_whose_close_was_never_told_the_youngest_that_was_there_is_the_one() {
    let lost = |cookie, from| established(&accepted(cookie, from, 99.0));
    let joined = |sockets: Vec<Snapshot>| {
        let told = tell(sockets, vec![numbered(1, 4, 70.0, 80.0)]);
        found(&told.requests[0].received_on)
    };
    let three = vec![lost(1, 10.0), lost(2, 30.0), accepted(3, 60.0, 90.0)];
    assert_eq!(joined(three), Ok((3, CERTAIN)));
    let at_the_start = vec![lost(1, 10.0), accepted(3, 70.0, 90.0)];
    assert_eq!(joined(at_the_start), Ok((3, CERTAIN)));
}

#[test]
fn a_handshake_of_which_only_one_end_was_told_is_a_begin() {
    let without_begin = Snapshot {
        syn_at: None,
        syn_ack_at: None,
        ..accepted(1, 50.0, 90.0)
    };
    let without_end = Snapshot {
        established_at: None,
        ..accepted(1, 50.0, 90.0)
    };
    let joined = |half| {
        let told = tell(vec![half], vec![numbered(1, 4, 20.0, 80.0)]);
        found(&told.requests[0].received_on)
    };
    assert_eq!(joined(without_begin), Err(Missing::TimeDiffers));
    // One whose handshake is not known to be done was perhaps not there.
    assert_eq!(joined(without_end), Err(Missing::NoConnection));
}

#[test]
fn a_request_that_ends_after_its_socket_did_not_come_in_on_it() {
    let joined = |from, until| {
        let told = tell(
            vec![accepted(1, 10.0, 50.0)],
            vec![numbered(1, 4, from, until)],
        );
        found(&told.requests[0].received_on)
    };
    assert_eq!(joined(45.0, 54.9), Ok((1, CERTAIN)));
    assert_eq!(joined(45.0, 55.1), Err(Missing::TimeDiffers));
}

#[test]
fn a_join_names_a_connection_by_the_trace_id_of_its_record() {
    let upstream = tagged(dialled(2, 50.0, 900.0), trace(0x7a), TagState::Answered);
    let report = served(numbered(1, 4, 100.0, 120.0), 6001, 0.0, 5.0);
    let told = tell(vec![accepted(1, 10.0, 900.0), upstream], vec![report]);
    let record = &told.requests[0];
    let joins = [&record.received_on, record.served_by.as_ref().unwrap()];
    for (join, connection) in joins.into_iter().zip(&told.connections) {
        let Join::To { trace_id, .. } = join else {
            panic!("not joined: {join:?}")
        };
        assert_eq!(*trace_id, connection.trace_id);
    }
    assert_eq!(told.connections[1].trace_id, trace(0x7a));
}

#[test]
fn a_connection_that_only_the_proxy_saw_and_did_not_name_is_called_as_its_first_request() {
    let report = Report {
        connection_trace_id: None,
        trace_id: trace(3),
        ..request(1, from_client(5001), 20.0, 30.0)
    };
    let told = tell(Vec::new(), vec![report]);
    let connection = &told.connections[0];
    assert_eq!(connection.trace_id, trace(3));
    assert_eq!(connection.trace_id_source, IdSource::Request);
}

#[test]
fn a_request_fits_tightly_if_it_began_before_the_end_of_its_socket_and_ended_after_its_handshake() {
    let joined = |socket, from, until| {
        let told = tell(vec![socket], vec![numbered(1, 4, from, until)]);
        found(&told.requests[0].received_on)
    };
    let closed = accepted(1, 10.0, 50.0);
    assert_eq!(joined(closed.clone(), 50.2, 51.0), Ok((1, CERTAIN)));
    assert_eq!(joined(closed, 50.4, 51.0), Ok((1, LIKELY)));
    let slow = Snapshot {
        established_at: Some(boot(80.5)),
        ..accepted(1, 10.0, 90.0)
    };
    assert_eq!(joined(slow.clone(), 50.0, 80.3), Ok((1, CERTAIN)));
    assert_eq!(joined(slow, 50.0, 80.1), Ok((1, LIKELY)));
}

#[test]
fn a_connect_that_is_not_known_to_have_succeeded_carried_no_request() {
    let refused = failed(2, to_service(6001), Outcome::Refused, 90.0, 101.0);
    assert_eq!(
        served_by(&asked(vec![refused], 0.0)),
        Err(Missing::NoConnection)
    );
}

#[test]
fn a_connection_that_is_said_to_have_closed_and_to_be_open_failed_no_handshake() {
    let failed_by = |outcome| {
        let broken = Snapshot {
            outcome,
            ..dialled(2, 99.0, 119.9)
        };
        let report = unserved(request(1, from_client(5001), 100.0, 120.0), "TLS error");
        let told = tell(vec![broken], vec![report]);
        found(told.requests[0].opened.as_ref().unwrap()).map(|(cookie, _)| cookie)
    };
    assert_eq!(failed_by(Outcome::Closed), Ok(2));
    assert_eq!(failed_by(Outcome::Established), Err(Missing::NoConnection));
}
