//! Connections whose addresses the proxy does not tell as the kernel sees them: PROXY protocol, and redirection.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod world;

use syntrace_core::{
    fact::{Report, Snapshot},
    record::{Join, Missing},
};
use syntrace_model::Opening;
use world::*;

#[test]
fn addresses_that_proxy_protocol_replaced_are_joined_by_the_direct_ones_or_not_at_all() {
    let told_by_proxy = ends("192.0.2.1:8080", "203.0.113.9:4444");
    let hidden = Report {
        downstream: Some(told_by_proxy),
        direct: None,
        ..request(1, from_client(5001), 11.0, 20.0)
    };
    let record = told(vec![client(10.3)], hidden.clone());
    assert_eq!(record.received_on, Join::Missing(Missing::AddressHidden));
    let direct = Report {
        direct: Some(from_client(5001)),
        ..hidden
    };
    assert!(told(vec![client(10.3)], direct).received_on.is_certain());
}

#[test]
fn a_redirection_is_joined_by_the_process_and_never_by_the_client_s_end_alone() {
    let named = ends("198.51.100.200:443", "192.0.2.2:5001");
    let unknown = Report {
        downstream: Some(named),
        direct: None,
        ..request(1, from_client(5001), 11.0, 20.0)
    };
    let record = told(vec![client(10.3)], unknown.clone());
    assert_eq!(record.received_on, Join::Missing(Missing::ProcessUnknown));
    // What carried it to the service tells which process the proxy is.
    let upstream = socket(2, Opening::Active, to_service(6001), 5.0, 60.0);
    let report = served(unknown, 6001, 0.0, 4.0);
    let elsewhere = Snapshot {
        cookie: 3,
        netns: 8,
        owner_pid: 9,
        ..client(10.3)
    };
    let record = told(vec![client(10.3), upstream, elsewhere], report);
    let Join::To {
        connection,
        confidence,
        ..
    } = record.received_on
    else {
        panic!("not joined")
    };
    assert_eq!(connection, client(10.3).id());
    assert_eq!(confidence.name(), "likely");
}

/// The client's connection, which a proxy in front on the gateway's host accepted, and the one between both.
fn through_a_proxy_in_front() -> Vec<Snapshot> {
    let of = |pid, socket| Snapshot {
        owner_pid: pid,
        owner_tid: pid,
        ..socket
    };
    let between = ends("127.0.0.1:8081", "127.0.0.1:7000");
    vec![
        of(50, accepted(1, 10.0, 500.0)),
        of(
            50,
            socket(2, Opening::Active, between.mirrored(), 10.5, 500.0),
        ),
        of(1, socket(3, Opening::Passive, between, 10.5, 500.0)),
    ]
}

/// A request on the gateway's connection from a proxy in front, which named its own; the socket's ends are not told.
fn named_by_a_proxy_in_front(n: u64, from: f64, until: f64) -> Report {
    Report {
        direct: None,
        ..request(n, from_client(5001), from, until)
    }
}

#[test]
fn the_socket_of_a_proxy_in_front_is_not_certain_before_the_gateway_s_process_is_known() {
    let mut sockets = through_a_proxy_in_front();
    sockets.push(socket(4, Opening::Active, to_service(6001), 5.0, 500.0));
    let first = named_by_a_proxy_in_front(1, 11.0, 12.0);
    let second = served(named_by_a_proxy_in_front(2, 50.0, 60.0), 6001, 0.0, 5.0);
    let third = named_by_a_proxy_in_front(3, 70.0, 80.0);
    let told = tell(sockets, vec![first, second, third]);
    let joins: Vec<_> = told
        .requests
        .iter()
        .map(|r| found(&r.received_on))
        .collect();
    let hidden = Err(Missing::AddressHidden);
    assert_eq!(joins, [Ok((1, LIKELY)), hidden, hidden]);
    // Nothing was learnt from the first: neither whose the socket is, nor what it is called.
    let other_s = &told.connections[0];
    assert_eq!(other_s.trace_id, kernel_id(1));
    assert_eq!(other_s.requests.len(), 1);
}

#[test]
fn behind_a_proxy_in_front_the_direct_ends_are_joined_from_the_first_request_on() {
    let direct = Report {
        direct: Some(ends("127.0.0.1:8081", "127.0.0.1:7000")),
        ..named_by_a_proxy_in_front(1, 11.0, 12.0)
    };
    let record = told(through_a_proxy_in_front(), direct);
    assert_eq!(found(&record.received_on), Ok((3, CERTAIN)));
}

#[test]
fn ends_that_are_not_said_to_be_the_socket_s_own_are_certain_once_the_process_is_known() {
    let untold = |n, from: f64| Report {
        direct: None,
        ..request(n, from_client(5001), from, from + 5.0)
    };
    let upstream = socket(2, Opening::Active, to_service(6001), 5.0, 90.0);
    let joined = |owner_pid| {
        let client = Snapshot {
            owner_pid,
            ..client(10.3)
        };
        let reports = vec![
            untold(1, 20.0),
            served(untold(2, 40.0), 6001, 0.0, 2.0),
            untold(3, 60.0),
        ];
        let told = tell(vec![client, upstream.clone()], reports);
        let joins = told.requests.iter().map(|r| found(&r.received_on));
        joins.collect::<Vec<_>>()
    };
    let certain = Ok((1, CERTAIN));
    assert_eq!(joined(1), [Ok((1, LIKELY)), certain, certain]);
    // Tables of `sock_diag` do not say whose it is.
    assert_eq!(joined(0), [Ok((1, LIKELY)); 3]);
}

#[test]
fn a_socket_that_has_the_number_is_certain_though_its_ends_are_not_said_to_be_its_own() {
    let first = request(1, from_client(5001), 20.0, 30.0);
    let second = Report {
        direct: None,
        ..request(2, from_client(5001), 40.0, 50.0)
    };
    let nobody_s = Snapshot {
        owner_pid: 0,
        ..client(10.3)
    };
    let told = tell(vec![nobody_s], vec![first, second]);
    assert!(told.requests.iter().all(|r| r.received_on.is_certain()));
}

#[test]
fn why_a_socket_with_these_ends_did_not_carry_a_request_is_said_whichever_ends_are_told() {
    let why = |direct: bool, number, from, until| {
        let first = request(1, from_client(5001), 20.0, 30.0);
        let second = Report {
            downstream_connection: number,
            direct: direct.then_some(from_client(5001)),
            ..request(2, from_client(5001), from, until)
        };
        let open = established(&accepted(1, 15.0, 90.0));
        let told = tell(vec![open], vec![first, second]);
        found(&told.requests[1].received_on).map(|(cookie, _)| cookie)
    };
    for direct in [true, false] {
        assert_eq!(why(direct, 5001, 40.0, 50.0), Ok(1));
        assert_eq!(why(direct, 77, 40.0, 50.0), Err(Missing::NumberDiffers));
        assert_eq!(why(direct, 77, 2.0, 40.0), Err(Missing::TimeDiffers));
    }
    // What began after the request says nothing of it.
    assert_eq!(why(true, 77, 2.0, 5.0), Err(Missing::NoConnection));
    assert_eq!(why(false, 77, 2.0, 5.0), Err(Missing::AddressHidden));
}

#[test]
fn a_socket_of_another_process_or_of_nobody_is_told_from_one_that_does_not_fit() {
    let why = |owner_pid| {
        let upstream = socket(2, Opening::Active, to_service(6001), 5.0, 90.0);
        let elsewhere = Snapshot {
            owner_pid,
            ..client(10.3)
        };
        let redirected = Report {
            downstream: Some(ends("198.51.100.200:443", "192.0.2.2:5001")),
            direct: None,
            ..served(request(1, from_client(5001), 20.0, 30.0), 6001, 0.0, 5.0)
        };
        found(&told(vec![elsewhere, upstream], redirected).received_on)
    };
    assert_eq!(why(1), Ok((1, LIKELY)));
    assert_eq!(why(9), Err(Missing::AddressHidden));
    assert_eq!(why(0), Err(Missing::ProcessUnknown));
}

#[test]
fn of_equal_ends_in_two_namespaces_the_gateway_s_are_joined_without_the_direct_ones_too() {
    let upstream = socket(2, Opening::Active, to_service(6001), 5.0, 60.0);
    let elsewhere = Snapshot {
        cookie: 3,
        netns: 8,
        owner_pid: 9,
        ..client(10.3)
    };
    let untold = Report {
        direct: None,
        ..request(1, from_client(5001), 11.0, 20.0)
    };
    let report = served(untold, 6001, 0.0, 4.0);
    let record = told(vec![client(10.3), upstream, elsewhere], report);
    assert_eq!(found(&record.received_on), Ok((1, CERTAIN)));
}
