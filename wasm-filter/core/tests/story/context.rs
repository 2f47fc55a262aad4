//! Which ids requests and connections get, and what the service sees of them.

use syntrace_filter_core::{Config, Filter};

use crate::fake_host::{FakeHost, filter, report, serve};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn an_untraced_client_gets_one_trace_per_connection() {
    let mut filter = filter();
    let one = report(&mut filter, &FakeHost::routine(1));
    let two = report(&mut filter, &FakeHost::routine(1));
    let other = report(&mut filter, &FakeHost::routine(2));
    assert_eq!(one.trace_id, one.connection_trace_id);
    assert_eq!(
        (&two.trace_id, &two.connection_trace_id),
        (&one.trace_id, &one.trace_id)
    );
    assert_ne!(other.trace_id, one.trace_id);
    assert_ne!(two.span_id, one.span_id);
    assert!(one.parent_span_id.is_empty());
}

#[test]
fn the_service_gets_the_reported_context() {
    let mut filter = filter();
    let host = FakeHost::routine(1);
    let request = report(&mut filter, &host);
    let expected = format!("00-{}-{}-03", hex(&request.trace_id), hex(&request.span_id));
    assert_eq!(host.sent("traceparent"), [expected]);
}

#[test]
fn a_brought_context_names_the_request_and_no_connection() {
    let mut filter = filter();
    let mut host = FakeHost::routine(1);
    host.add_header("traceparent", PARENT);
    host.add_header("tracestate", "a=1");
    host.add_header("tracestate", "b=2");
    let request = report(&mut filter, &host);
    assert_eq!(hex(&request.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(hex(&request.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(
        (request.connection_trace_id.len(), request.trace_flags),
        (0, 0)
    );
    assert_eq!(request.tracestate, "a=1,b=2");
    assert_eq!(host.sent("tracestate"), ["a=1", "b=2"]);
}

#[test]
fn what_the_first_request_decided_holds_for_the_connection() {
    let mut filter = filter();
    let mut traced = FakeHost::routine(1);
    traced.add_header("traceparent", PARENT);
    report(&mut filter, &traced);
    let later = report(&mut filter, &FakeHost::routine(1));
    assert!(later.connection_trace_id.is_empty());
    assert_ne!(hex(&later.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");

    let first = report(&mut filter, &FakeHost::routine(2));
    let mut traced = FakeHost::routine(2);
    traced.add_header("traceparent", PARENT);
    let later = report(&mut filter, &traced);
    assert_eq!(later.connection_trace_id, first.connection_trace_id);
}

#[test]
fn a_long_connection_begins_new_traces_and_keeps_its_id() {
    let config = Config {
        requests_per_trace: 3,
        ..Config::default()
    };
    let mut filter = Filter::new(config, [7; 16]);
    let reports: Vec<_> = (0..7)
        .map(|_| report(&mut filter, &FakeHost::routine(1)))
        .collect();
    assert!(
        reports
            .iter()
            .all(|one| one.connection_trace_id == reports[0].trace_id)
    );
    let mut traces: Vec<_> = reports.iter().map(|one| &one.trace_id).collect();
    traces.dedup();
    assert_eq!(traces.len(), 3);
}

#[test]
fn an_invalid_context_is_replaced_with_its_tracestate() {
    for lines in [&["garbage"][..], &[PARENT, PARENT], &["", PARENT]] {
        let mut host = FakeHost::routine(1);
        for line in lines {
            host.add_header("traceparent", line);
        }
        host.add_header("tracestate", "a=1");
        let request = report(&mut filter(), &host);
        assert_eq!(request.connection_trace_id, request.trace_id);
        assert_eq!(host.sent("traceparent").len(), 1);
        assert!(host.sent("traceparent")[0].contains(&hex(&request.trace_id)));
        assert_eq!(host.sent("tracestate").len(), 0);
        assert_eq!(request.tracestate, "");
    }
}

#[test]
fn streams_that_overlap_share_the_connections_decision() {
    let mut filter = filter();
    let host = FakeHost::routine(1);
    let one = filter.on_request_headers(&host);
    serve(&mut filter, &FakeHost::routine(1));
    filter.on_log(&host, Some(one));
    filter.on_tick(&host);
    let requests = host.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].trace_id, requests[1].trace_id);
}
