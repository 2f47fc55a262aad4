//! What a report says, and that nothing the proxy answers can break it.

use prost::Message as _;
use syntrace_filter_core::Attribute;
use syntrace_proto::{Endpoint, Upstream};

use crate::fake_host::{FakeHost, ended, filter, filter_with, report};

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
    assert_eq!(request.route, "everything");
    assert_eq!((request.request_bytes, request.response_bytes), (5, 7));
    assert_eq!((request.direct_local, request.direct_peer), (None, None));
    assert!(request.direct, "both pairs of addresses are the same");
}

#[test]
fn how_long_the_client_took_for_its_headers_is_told_where_that_was_seen() {
    let host = FakeHost::routine(3);
    let request = report(&mut filter(), &host);
    assert_eq!(request.head_ns, Some(100_000_000));
    assert_eq!(ended(&mut filter(), &host).head_ns, None);
}

#[test]
fn a_routine_report_says_where_the_time_went_and_leaves_the_detail_out() {
    let mut filter = filter();
    report(&mut filter, &FakeHost::routine(3));
    let request = report(&mut filter, &FakeHost::routine(3));
    assert_eq!(
        (&request.local, &request.peer),
        (&loopback(10_000), &loopback(40_000))
    );
    assert!(request.direct);
    assert_eq!(
        (request.response_details.as_str(), request.route.as_str()),
        ("", "")
    );
    let upstream = request.upstream.unwrap();
    assert_eq!(
        (upstream.local, upstream.peer),
        (loopback(50_000), loopback(8_080))
    );
    assert_eq!(
        (
            upstream.pool_wait_ns,
            upstream.first_byte_ns,
            upstream.attempts
        ),
        (Some(300_000), Some(1_000_000), 1)
    );
    assert_eq!(upstream.cluster, "service_http");
}

#[test]
fn what_is_remarkable_is_reported_in_detail() {
    for (attribute, value) in [
        (Attribute::ResponseFlags, 0x20),
        (Attribute::ResponseCode, 0),
        (Attribute::ResponseCode, 503),
        (Attribute::RequestDuration, 10_000_000),
        (Attribute::UpstreamAttempts, 2),
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
    host.set_text(Attribute::ClusterName, "other");
    let first = report(&mut filter, &host);
    assert_eq!(first.response_details, "via_upstream");
    let second = report(&mut filter, &host);
    assert_eq!(second.response_details, "");
    assert_eq!(second.upstream.unwrap().cluster, "other");
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
fn behind_a_proxy_protocol_the_sockets_own_ends_are_reported_beside_the_clients() {
    let mut host = FakeHost::routine(3);
    host.set_text(
        Attribute::ConnectionAddresses,
        "127.0.0.1:10000 127.0.0.1:40000 192.0.2.1:443 [2001:db8::1]:7",
    );
    let request = report(&mut filter(), &host);
    assert_eq!(
        (request.direct_local, request.direct_peer),
        (loopback(10_000), loopback(40_000))
    );
    assert_eq!(request.local.unwrap().address, [192, 0, 2, 1]);
    assert_eq!(request.peer.unwrap().address.len(), 16);
    assert!(!request.direct);
}

#[test]
fn without_written_addresses_those_that_envoy_names_are_reported_and_nothing_says_whose_they_are() {
    let mut host = FakeHost::routine(3);
    host.attributes.remove(&Attribute::ConnectionAddresses);
    host.set_text(Attribute::DestinationAddress, "[::1]:10000");
    host.set_text(Attribute::SourceAddress, "[::ffff:192.0.2.1]:40000");
    let request = report(&mut filter(), &host);
    assert_eq!(request.local.unwrap().address.len(), 16);
    assert_eq!(request.peer.unwrap().address, [192, 0, 2, 1]);
    assert_eq!((request.direct_local, request.direct_peer), (None, None));
    assert!(!request.direct);
}

#[test]
fn that_the_ends_are_the_sockets_own_takes_three_bytes_and_their_own_25() {
    let reported = |addresses: Option<&str>| {
        let mut host = FakeHost::routine(3);
        match addresses {
            Some(addresses) => host.set_text(Attribute::ConnectionAddresses, addresses),
            None => {
                host.attributes.remove(&Attribute::ConnectionAddresses);
                host.set_text(Attribute::DestinationAddress, "127.0.0.1:10000");
                host.set_text(Attribute::SourceAddress, "127.0.0.1:40000");
            }
        }
        report(&mut filter(), &host).encoded_len()
    };
    let untold = reported(None);
    let same = "127.0.0.1:10000 127.0.0.1:40000 127.0.0.1:10000 127.0.0.1:40000";
    assert_eq!(reported(Some(same)), untold + 3);
    let other = "127.0.0.2:10000 127.0.0.2:40000 127.0.0.1:10000 127.0.0.1:40000";
    assert_eq!(reported(Some(other)), untold + 25);
}

#[test]
fn a_tls_handshake_is_reported_with_every_request_of_its_connection() {
    let mut filter = filter();
    let mut host = FakeHost::routine(3);
    host.set_text(Attribute::ConnectionTls, "1500000 example.test");
    for _ in 0..2 {
        let request = report(&mut filter, &host);
        assert_eq!(request.tls_handshake_ns, Some(1_500_000));
        assert_eq!(request.server_name, "example.test");
    }
}

#[test]
fn a_tcp_session_has_no_method_path_or_status() {
    let request = ended(&mut filter(), &FakeHost::tcp_session(3));
    assert!(request.tcp_session && request.method.is_empty() && request.path.is_empty());
    assert_eq!((request.status, request.grpc_status), (0, None));
    assert_eq!(request.duration_ns, 100_000_000);
    assert_eq!((request.request_bytes, request.response_bytes), (5, 7));
    assert_eq!(request.server_name, "example.test");
    assert_eq!(request.trace_id, request.connection_trace_id);
    assert_eq!(request.upstream.unwrap().cluster, "service_http");
}

#[test]
fn a_request_that_a_circuit_breaker_stopped_is_marked_once_however_often_it_was_tried() {
    let mut host = FakeHost::routine(3);
    host.set_integer(Attribute::ResponseFlags, 0x8080);
    host.set_integer(Attribute::ResponseCode, 503);
    host.set_integer(Attribute::UpstreamAttempts, 3);
    let mut filter = filter();
    let mark = report(&mut filter, &host).mark.unwrap();
    assert_eq!(mark.reason, "CIRCUIT_OPEN");
    assert_eq!(mark.at_unix_ns, 1_700_000_000_002_000_000);
    assert_eq!(report(&mut filter, &FakeHost::routine(3)).mark, None);
}

#[test]
fn only_listed_headers_and_members_are_reported_and_secrets_never() {
    let mut filter = filter_with(
        r#"{"baggage": ["tenant"], "capture": [{"header": "user-agent"},
            {"header": "authorization", "redact": "length"},
            {"header": "server", "of": "response"}, {"header": "absent"}]}"#,
    );
    let mut host = FakeHost::routine(3);
    host.add_header("user-agent", "curl");
    host.add_header("authorization", "Bearer secret");
    host.add_header("baggage", "user=me,tenant=a%20b;p=1");
    host.response_headers
        .push(("server".to_owned(), b"envoy".to_vec()));
    let request = report(&mut filter, &host);
    let headers: Vec<_> = request
        .headers
        .iter()
        .map(|header| (header.name.as_str(), header.value.as_str(), header.response))
        .collect();
    assert_eq!(
        headers,
        [
            ("user-agent", "curl", false),
            ("authorization", "13", false),
            ("server", "envoy", true)
        ]
    );
    assert_eq!(request.baggage, "tenant=a%20b;p=1");
}

#[test]
fn where_lists_cannot_be_evaluated_each_attribute_is_read_on_its_own() {
    let mut expected = report(&mut filter(), &FakeHost::routine(3));
    let mut host = FakeHost::routine(3);
    host.can_evaluate = false;
    let mut filter = filter();
    let mut request = report(&mut filter, &host);
    for report in [&mut expected, &mut request] {
        report.trace_id.clear();
        report.span_id.clear();
        report.connection_trace_id.clear();
    }
    assert_eq!(request, expected);
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
    let mut host = FakeHost::routine(3);
    host.headers.clear();
    host.set_text(Attribute::RequestMethod, "PUT");
    host.set_text(Attribute::RequestUrlPath, "/denied");
    let request = ended(&mut filter(), &host);
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("PUT", "/denied")
    );
    assert!(!request.tcp_session);
    assert_eq!(host.sent("traceparent").len(), 0);
}

#[test]
fn without_a_connection_number_every_request_stands_alone() {
    let mut filter = filter();
    let mut host = FakeHost::routine(3);
    host.attributes.remove(&Attribute::ConnectionId);
    let one = report(&mut filter, &host);
    host.set_text(
        Attribute::ConnectionAddresses,
        "127.0.0.1:10000 127.0.0.1:40001 127.0.0.1:10000 127.0.0.1:40001",
    );
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
            host.attributes.insert(*attribute, garbage.to_vec());
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
