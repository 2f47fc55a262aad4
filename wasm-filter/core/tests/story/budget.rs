//! The exact number of host calls, which is what a request costs.

use syntrace_filter_core::Attribute;

use crate::fake_host::{FakeHost, filter, serve};

/// All headers, the connection's number, `traceparent`; then time, duration, status, flags and both
/// ends of the upstream connection.
const ROUTINE: usize = 3 + 6;

#[test]
fn a_routine_request_on_a_kept_connection_costs_nine_host_calls() {
    let mut filter = filter();
    let host = FakeHost::routine(1);
    serve(&mut filter, &host);
    for _ in 0..10 {
        assert_eq!(serve(&mut filter, &host), ROUTINE);
    }
}

#[test]
fn a_brought_context_costs_nothing_more() {
    let mut filter = filter();
    let mut host = FakeHost::routine(1);
    host.add_header(
        "traceparent",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    );
    host.add_header("tracestate", "a=1");
    serve(&mut filter, &host);
    assert_eq!(serve(&mut filter, &host), ROUTINE);
}

#[test]
fn a_grpc_call_costs_one_more() {
    let mut filter = filter();
    let mut host = FakeHost::routine(1);
    host.add_header("content-type", "application/grpc");
    host.set_integer(Attribute::ResponseGrpcStatus, 0);
    serve(&mut filter, &host);
    assert_eq!(serve(&mut filter, &host), ROUTINE + 1);
}

#[test]
fn the_first_request_of_a_connection_costs_its_ends_and_the_detail() {
    assert_eq!(serve(&mut filter(), &FakeHost::routine(1)), ROUTINE + 3 + 8);
}

#[test]
fn nothing_of_the_connection_is_asked_twice() {
    let mut filter = filter();
    let host = FakeHost::routine(1);
    serve(&mut filter, &host);
    serve(&mut filter, &host);
    for attribute in [
        Attribute::DirectPeerAddress,
        Attribute::DirectLocalAddress,
        Attribute::RequestProtocol,
    ] {
        let asked = host.asked.borrow();
        assert_eq!(asked.iter().filter(|asked| **asked == attribute).count(), 1);
    }
}

#[test]
fn a_tick_without_news_costs_nothing() {
    let mut filter = filter();
    let host = FakeHost::routine(1);
    filter.on_tick(&host);
    assert_eq!(host.calls.get(), 0);
    serve(&mut filter, &host);
    filter.on_tick(&host);
    filter.on_call_response(&host, Some(202));
    let before = host.calls.get();
    filter.on_tick(&host);
    assert_eq!(host.calls.get(), before);
}
