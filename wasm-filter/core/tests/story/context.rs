//! Which ids requests and connections get, and what the service sees of them.

use syntrace_proto::LinkKind;

use crate::fake_host::{FakeHost, ended, filter, filter_with, report, serve};

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
    assert_eq!(host.sent("tracestate"), ["a=1,b=2"]);
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
    let mut filter = filter_with(r#"{"requests_per_trace": 3}"#);
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
    let links: Vec<_> = reports.iter().map(|one| one.links.len()).collect();
    assert_eq!(links, [0, 0, 0, 1, 0, 0, 1]);
    let link = &reports[3].links[0];
    assert_eq!(
        (link.kind(), &link.trace_id),
        (LinkKind::Rotated, &reports[2].trace_id)
    );
    assert_eq!(link.span_id, reports[2].span_id);
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
fn an_invalid_tracestate_is_dropped_and_its_traceparent_kept() {
    let many: Vec<_> = (0..33).map(|number| format!("k{number}=1")).collect();
    let many = many.join(",");
    for tracestate in ["A=1", "a=1,b", "a", &many] {
        let mut host = FakeHost::routine(1);
        host.add_header("traceparent", PARENT);
        host.add_header("tracestate", tracestate);
        let request = report(&mut filter(), &host);
        assert_eq!(hex(&request.parent_span_id), "00f067aa0ba902b7");
        assert_eq!(
            (request.tracestate.as_str(), host.sent("tracestate").len()),
            ("", 0)
        );
    }
}

#[test]
fn the_own_entry_in_tracestate_comes_first() {
    let mut filter = filter_with(r#"{"tracestate_key": "syn"}"#);
    let mut host = FakeHost::routine(1);
    host.add_header("traceparent", PARENT);
    host.add_header("tracestate", "a=1, syn=old");
    host.add_header("tracestate", "b=2");
    let request = report(&mut filter, &host);
    let expected = format!("syn={},a=1,b=2", hex(&request.span_id));
    assert_eq!(host.sent("tracestate"), [expected.as_str()]);
    assert_eq!(request.tracestate, expected);
    let fresh = FakeHost::routine(2);
    let request = report(&mut filter, &fresh);
    assert_eq!(
        fresh.sent("tracestate"),
        [format!("syn={}", hex(&request.span_id))]
    );
}

#[test]
fn the_first_valid_format_in_the_configured_order_counts() {
    let b3 = "64fe8b2a57d3eff7-e457b5a2e4d86bd1-0";
    for (configuration, parent) in [
        ("", "00f067aa0ba902b7"),
        (r#"{"read": ["b3", "w3c"]}"#, "e457b5a2e4d86bd1"),
        (r#"{"read": ["b3_multi", "b3"]}"#, "05e3ac9a4f6e3b90"),
        (r#"{"read": []}"#, ""),
    ] {
        let mut host = FakeHost::routine(1);
        host.add_header("traceparent", PARENT);
        host.add_header("b3", b3);
        host.add_header("x-b3-traceid", "80f198ee56343ba864fe8b2a57d3eff7");
        host.add_header("x-b3-spanid", "05E3AC9A4F6E3B90");
        host.add_header("tracestate", "a=1");
        let request = report(&mut filter_with(configuration), &host);
        assert_eq!(hex(&request.parent_span_id), parent, "{configuration}");
        let n_tracestate = usize::from(parent == "00f067aa0ba902b7");
        assert_eq!(
            host.sent("tracestate").len(),
            n_tracestate,
            "{configuration}"
        );
    }
}

#[test]
fn b3_is_written_in_both_its_forms() {
    let mut filter = filter_with(r#"{"write": ["b3", "b3_multi"]}"#);
    let mut host = FakeHost::routine(1);
    host.add_header("b3", "64fe8b2a57d3eff7-e457b5a2e4d86bd1-d-05e3ac9a4f6e3b90");
    host.add_header("x-b3-parentspanid", "05e3ac9a4f6e3b90");
    let request = report(&mut filter, &host);
    assert_eq!(hex(&request.trace_id), "000000000000000064fe8b2a57d3eff7");
    let span = hex(&request.span_id);
    assert_eq!(host.sent("b3"), [format!("64fe8b2a57d3eff7-{span}-1")]);
    assert_eq!(host.sent("x-b3-traceid"), ["64fe8b2a57d3eff7"]);
    assert_eq!(host.sent("x-b3-spanid"), [span]);
    assert_eq!(host.sent("x-b3-sampled"), ["1"]);
    assert_eq!(
        (
            host.sent("x-b3-parentspanid").len(),
            host.sent("traceparent").len()
        ),
        (0, 0)
    );
}

#[test]
fn a_house_id_becomes_the_trace_id() {
    let mut filter = filter_with(
        r#"{"read": ["house"], "write": ["w3c", "house"],
            "house_id": {"header": "x-trace", "pattern": "t-{uuid}"}}"#,
    );
    let mut host = FakeHost::routine(1);
    host.add_header("x-trace", "t-f6fa4506-31a1-465e-8161-46136cce11f8");
    let request = report(&mut filter, &host);
    assert_eq!(hex(&request.trace_id), "f6fa450631a1465e816146136cce11f8");
    assert_eq!(
        (
            request.parent_span_id.len(),
            request.connection_trace_id.len()
        ),
        (0, 0)
    );
    let fresh = FakeHost::routine(2);
    let request = report(&mut filter, &fresh);
    let id = fresh.sent("x-trace")[0].replace('-', "");
    assert_eq!(id, format!("t{}", hex(&request.trace_id)));
}

#[test]
fn an_untrusted_edge_begins_anew_and_only_its_own_clients_do() {
    let mut filter = filter_with(
        r#"{"context": "restart", "edges": [{"networks": ["127.0.0.0/8"], "context": "continue"},
            {"networks": ["192.0.2.0/24"], "context": "ignore"}]}"#,
    );
    let ends = |peer: &str| format!("192.0.2.1:80 {peer} 192.0.2.1:80 {peer}");
    for (number, peer, parent, links) in [
        (1, "127.0.0.1:4", "00f067aa0ba902b7", 0),
        (2, "198.51.100.1:4", "", 1),
        (3, "192.0.2.9:4", "", 0),
    ] {
        let mut host = FakeHost::routine(number);
        host.set_text(
            syntrace_filter_core::Attribute::ConnectionAddresses,
            &ends(peer),
        );
        host.add_header("traceparent", PARENT);
        host.add_header("tracestate", "a=1");
        host.add_header("b3", "0");
        let request = report(&mut filter, &host);
        assert_eq!(hex(&request.parent_span_id), parent, "{peer}");
        assert_eq!(request.links.len(), links, "{peer}");
        let n_passed_on = usize::from(!parent.is_empty());
        assert_eq!(host.sent("tracestate").len(), n_passed_on, "{peer}");
        assert_eq!(host.sent("b3").len(), n_passed_on, "{peer}");
        assert_eq!(request.connection_trace_id.is_empty(), !parent.is_empty());
        if links == 1 {
            assert_eq!(
                hex(&request.links[0].trace_id),
                "4bf92f3577b34da6a3ce929d0e0e4736"
            );
            assert_eq!(request.links[0].kind(), LinkKind::Restarted);
        }
    }
}

#[test]
fn a_filter_that_only_watches_writes_nothing_and_adopts_what_the_tracer_wrote() {
    let mut filter = filter_with(r#"{"mode": "observe"}"#);
    let mut host = FakeHost::routine(1);
    filter.on_request_headers(&host, 9);
    assert_eq!(host.calls.get(), 0);
    host.add_header("traceparent", PARENT);
    host.add_header("tracestate", "a=1");
    let request = ended(&mut filter, &host);
    assert_eq!(hex(&request.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(hex(&request.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(
        (request.tracestate.as_str(), request.method.as_str()),
        ("a=1", "GET")
    );
    assert_eq!(host.sent("traceparent"), [PARENT]);
}

#[test]
fn each_plugin_of_a_vm_follows_its_own_rules() {
    let mut filter = filter_with(r#"{"context": "restart"}"#);
    let mut other = FakeHost::routine(1);
    other.set_text(syntrace_filter_core::Attribute::PluginName, "other");
    filter.configure(&other, 2, b"{}").unwrap();
    other.add_header("traceparent", PARENT);
    assert_eq!(report(&mut filter, &other).parent_span_id.len(), 8);
    let mut first = FakeHost::routine(2);
    first.add_header("traceparent", PARENT);
    assert_eq!(report(&mut filter, &first).parent_span_id.len(), 0);
    // An update replaces the rules of its name, and a wrong one changes nothing.
    let host = FakeHost::routine(3);
    filter.configure(&host, 3, b"{}").unwrap();
    assert!(filter.configure(&host, 4, b"[]").is_err());
    assert_eq!(report(&mut filter, &first).parent_span_id.len(), 8);
}

#[test]
fn streams_that_overlap_share_the_connections_decision() {
    let mut filter = filter();
    let host = FakeHost::routine(1);
    filter.on_request_headers(&host, 77);
    serve(&mut filter, &FakeHost::routine(1));
    filter.on_log(&host, 77);
    filter.on_tick(&host);
    let requests = host.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].trace_id, requests[1].trace_id);
}
