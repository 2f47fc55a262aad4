//! The exact number of host calls, which is what a request costs.
//!
//! `tests/counts.json` holds the numbers; a change of one is a change of that file, to be reviewed as such.

use syntrace_filter_core::Attribute;

use crate::fake_host::{FakeHost, filter, filter_with, serve};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The most that a request may cost, but for one that failed.
const BUDGET: usize = 9;

/// A request of a kind: its configuration, and the proxy that it meets.
type Scenario = (&'static str, &'static str, FakeHost);

fn scenarios() -> Vec<Scenario> {
    let with = |change: &dyn Fn(&mut FakeHost)| {
        let mut host = FakeHost::routine(1);
        change(&mut host);
        host
    };
    vec![
        ("keep_alive_request", "", FakeHost::routine(1)),
        (
            "brought_context",
            "",
            with(&|host| {
                host.add_header("traceparent", PARENT);
                host.add_header("tracestate", "a=1");
            }),
        ),
        (
            "grpc_call",
            "",
            with(&|host| {
                host.add_header("content-type", "application/grpc");
                host.set_integer(Attribute::ResponseGrpcStatus, 0);
            }),
        ),
        (
            "b3_written_too",
            r#"{"write": ["w3c", "b3"]}"#,
            FakeHost::routine(1),
        ),
        (
            "own_tracestate_entry",
            r#"{"tracestate_key": "syn"}"#,
            FakeHost::routine(1),
        ),
        (
            "untrusted_edge",
            r#"{"edges": [{"networks": ["127.0.0.0/8"], "context": "restart"}]}"#,
            with(&|host| host.add_header("traceparent", PARENT)),
        ),
        (
            "dyed_by_a_rule",
            r#"{"dye": {"header": "x-dye", "baggage": "dye", "rules": [{"set": "gray=v2"}]}}"#,
            FakeHost::routine(1),
        ),
        (
            "dyed_before",
            r#"{"dye": {"header": "x-dye", "rules": [{"set": "gray=v2"}]}}"#,
            with(&|host| host.add_header("x-dye", "gray=v2")),
        ),
        (
            "slow",
            "",
            with(&|host| host.set_integer(Attribute::RequestDuration, 20_000_000)),
        ),
        (
            "retried",
            "",
            with(&|host| host.set_integer(Attribute::UpstreamAttempts, 2)),
        ),
        (
            "refused_connect",
            "",
            with(&|host| {
                host.attributes.remove(&Attribute::UpstreamLocalAddress);
                host.attributes.remove(&Attribute::ResponseBackendLatency);
                host.set_integer(Attribute::ResponseCode, 503);
                host.set_integer(Attribute::ResponseFlags, 0x20);
            }),
        ),
        ("observed", r#"{"mode": "observe"}"#, FakeHost::routine(1)),
        (
            "without_expressions",
            "",
            with(&|host| host.can_evaluate = false),
        ),
    ]
}

/// Where the counts are written down.
const COUNTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/counts.json");

/// Callbacks that a request costs: its headers, its end. What Envoy enters the VM for within a host call,
/// to ask for memory, is not counted: it is part of that call.
const VM_ENTRIES: usize = 2;

#[test]
fn every_scenario_costs_what_is_written_down() {
    let mut measured = serde_json::Map::new();
    for (name, configuration, host) in scenarios() {
        let mut filter = filter_with(configuration);
        let of_worker = serve(&mut filter, &host);
        let kept = serve(&mut filter, &host);
        // A worker prepares its expressions with its first request; a connection is read with its own.
        let mut other = FakeHost::routine(2);
        other.headers.clone_from(&host.headers);
        other.attributes.clone_from(&host.attributes);
        other.set_integer(Attribute::ConnectionId, 2);
        other.can_evaluate = host.can_evaluate;
        let of_connection = serve(&mut filter, &other);
        let counts = serde_json::json!({
            "host_calls": kept,
            "host_calls_first_of_connection": of_connection,
            "host_calls_first_of_worker": of_worker,
            "vm_entries": VM_ENTRIES,
        });
        measured.insert(name.to_owned(), counts);
    }
    let measured = serde_json::to_string_pretty(&measured).unwrap() + "\n";
    assert_eq!(
        measured,
        written_down(&measured),
        "UPDATE=1 writes the new counts"
    );
}

/// Reads what is written down; `UPDATE=1` writes it anew before.
#[expect(
    clippy::disallowed_methods,
    reason = "a test keeps its expectations in a file"
)]
#[cfg(test)]
fn written_down(measured: &str) -> String {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(COUNTS, measured).unwrap();
    }
    std::fs::read_to_string(COUNTS).unwrap()
}

#[test]
fn what_is_not_out_of_the_ordinary_keeps_the_budget() {
    for (name, configuration, host) in scenarios() {
        if matches!(name, "refused_connect" | "without_expressions") {
            continue;
        }
        let mut filter = filter_with(configuration);
        serve(&mut filter, &host);
        for _ in 0..10 {
            assert!(serve(&mut filter, &host) <= BUDGET, "{name}");
        }
    }
}

#[test]
fn nothing_of_the_connection_is_asked_twice() {
    let mut filter = filter();
    let host = FakeHost::routine(1);
    serve(&mut filter, &host);
    serve(&mut filter, &host);
    for attribute in [
        Attribute::ConnectionAddresses,
        Attribute::ConnectionTls,
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
    let before = host.calls.get();
    filter.on_tick(&host);
    assert_eq!(host.calls.get(), before);
}
