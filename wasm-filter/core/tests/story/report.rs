//! What a report says, and that nothing the proxy answers can break it.

use syntrace_filter_core::Attribute;
use syntrace_proto::{Endpoint, Upstream};

use crate::fake_host::{FakeHost, filter, report};

fn loopback(port: u32) -> Option<Endpoint> {
    Some(Endpoint {
        address: vec![127, 0, 0, 1],
        port,
    })
}

#[test]
fn the_first_report_of_a_connection_is_complete() {
    let request = report(&mut filter(), &FakeHost::routine(3));
    assert_eq!(request.downstream_connection, 3);
    assert_eq!(request.started_at_unix_ns, 1_700_000_000_000_000_000);
    assert_eq!((request.duration_ns, request.status), (2_000_000, 200));
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("GET", "/a")
    );
    assert_eq!(
        (&request.local, &request.peer),
        (&loopback(10_000), &loopback(40_000))
    );
    assert_eq!(
        (request.protocol.as_str(), request.grpc_status),
        ("HTTP/1.1", None)
    );
    let upstream = Upstream {
        local: loopback(50_000),
        peer: loopback(8_080),
        cluster: "service_http".to_owned(),
        pool_wait_ns: Some(300_000),
        attempts: 1,
        failure: String::new(),
        first_byte_ns: Some(1_000_000),
    };
    assert_eq!(request.upstream, Some(upstream));
}

#[test]
fn a_routine_report_keeps_the_connections_ends_and_leaves_the_detail_out() {
    let mut filter = filter();
    report(&mut filter, &FakeHost::routine(3));
    let request = report(&mut filter, &FakeHost::routine(3));
    assert_eq!(
        (request.local, request.peer),
        (loopback(10_000), loopback(40_000))
    );
    let upstream = request.upstream.unwrap();
    assert_eq!(
        (upstream.local, upstream.peer),
        (loopback(50_000), loopback(8_080))
    );
    assert_eq!(
        (upstream.pool_wait_ns, upstream.first_byte_ns),
        (None, None)
    );
}

#[test]
fn what_is_remarkable_is_reported_in_detail() {
    for (attribute, value) in [
        (Attribute::ResponseFlags, 0x20),
        (Attribute::ResponseCode, 0),
        (Attribute::ResponseCode, 503),
        (Attribute::RequestDuration, 10_000_000),
    ] {
        let mut filter = filter();
        report(&mut filter, &FakeHost::routine(3));
        let mut host = FakeHost::routine(3);
        host.set_integer(attribute, value);
        let request = report(&mut filter, &host);
        assert_eq!(
            request.response_details, "via_upstream",
            "{attribute:?} {value}"
        );
    }
}

#[test]
fn a_new_upstream_connection_is_reported_in_detail() {
    let mut filter = filter();
    report(&mut filter, &FakeHost::routine(3));
    let mut host = FakeHost::routine(3);
    host.set_text(Attribute::UpstreamLocalAddress, "127.0.0.1:50001");
    assert_eq!(
        report(&mut filter, &host).upstream.unwrap().pool_wait_ns,
        Some(300_000)
    );
    assert_eq!(
        report(&mut filter, &host).upstream.unwrap().pool_wait_ns,
        None
    );
}

#[test]
fn a_failed_connect_says_what_envoy_says() {
    let mut host = FakeHost::routine(3);
    host.attributes.remove(&Attribute::UpstreamLocalAddress);
    host.set_integer(Attribute::ResponseCode, 503);
    host.set_integer(Attribute::ResponseFlags, 0x20);
    host.set_text(
        Attribute::UpstreamFailure,
        "delayed connect error: Connection refused",
    );
    let request = report(&mut filter(), &host);
    let upstream = request.upstream.unwrap();
    assert_eq!((request.status, request.response_flags), (503, 0x20));
    assert_eq!((upstream.local, upstream.peer), (None, loopback(8_080)));
    assert_eq!(
        upstream.failure,
        "delayed connect error: Connection refused"
    );
}

#[test]
fn without_direct_addresses_envoys_own_are_reported() {
    let mut host = FakeHost::routine(3);
    host.attributes.remove(&Attribute::DirectLocalAddress);
    host.attributes.remove(&Attribute::DirectPeerAddress);
    host.set_text(Attribute::DestinationAddress, "[::1]:10000");
    host.set_text(Attribute::SourceAddress, "[::ffff:192.0.2.1]:40000");
    let request = report(&mut filter(), &host);
    assert_eq!(request.local.unwrap().address.len(), 16);
    assert_eq!(request.peer.unwrap().address, [192, 0, 2, 1]);
}

#[test]
fn a_grpc_call_reports_its_status_and_a_plain_request_none() {
    let mut host = FakeHost::routine(3);
    host.add_header("content-type", "application/grpc+proto");
    let request = report(&mut filter(), &host);
    assert_eq!((request.grpc, request.grpc_status), (true, Some(2)));
}

#[test]
fn a_request_answered_before_the_filter_saw_it_is_reported_too() {
    let mut filter = filter();
    let mut host = FakeHost::routine(3);
    host.set_text(Attribute::RequestMethod, "PUT");
    host.set_text(Attribute::RequestUrlPath, "/denied");
    filter.on_log(&host, None);
    filter.on_tick(&host);
    let requests = host.requests();
    assert_eq!(
        (requests[0].method.as_str(), requests[0].path.as_str()),
        ("PUT", "/denied")
    );
    assert_eq!(host.sent("traceparent").len(), 0);
}

#[test]
fn without_a_connection_number_every_request_stands_alone() {
    let mut filter = filter();
    let mut host = FakeHost::routine(3);
    host.attributes.remove(&Attribute::ConnectionId);
    let one = report(&mut filter, &host);
    host.set_text(Attribute::DirectPeerAddress, "127.0.0.1:40001");
    let other = report(&mut filter, &host);
    assert_eq!(
        (one.downstream_connection, one.connection_trace_id.len()),
        (0, 0)
    );
    assert_ne!(one.trace_id, other.trace_id);
    assert_eq!(other.peer, loopback(40_001));
}

#[test]
fn no_answer_of_the_proxy_breaks_a_report() {
    for garbage in [
        &b""[..],
        b"\xff",
        &[0xff; 4],
        &[0xff; 8],
        &[0xff; 9],
        &[b'x'; 100_000],
    ] {
        let mut filter = filter();
        let mut host = FakeHost::routine(3);
        for attribute in Attribute::ALL {
            host.attributes.insert(attribute, garbage.to_vec());
        }
        host.headers.clear();
        for name in [
            ":method",
            ":path",
            ":authority",
            "content-type",
            "traceparent",
            "tracestate",
            "",
        ] {
            host.headers.push((name.to_owned(), garbage.to_vec()));
        }
        let request = report(&mut filter, &host);
        assert_eq!((request.trace_id.len(), request.span_id.len()), (16, 8));
        assert!(prost::Message::encoded_len(&request) < 8_192);
    }
}

#[test]
fn a_proxy_that_knows_nothing_still_gets_a_report() {
    let mut host = FakeHost::routine(3);
    host.attributes.clear();
    host.headers.clear();
    let request = report(&mut filter(), &host);
    assert_eq!((request.status, request.upstream), (0, None));
}
