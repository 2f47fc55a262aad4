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
