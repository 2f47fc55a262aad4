//! A gray release through dye: a share of all traces takes the new release, in the same request and every time.

use std::collections::{BTreeMap, BTreeSet};

use syntrace_integration::{paths, requirements, sandbox::Sandbox};

use crate::gateway::{self, Answer, Connection, Gateway, Request, Setup};

/// One in ten by the id of their trace, as `envoy/README.md` shows it; the gateway's route matches the header.
const SETTINGS: &str = r#"{"dye": {"header": "x-dye", "baggage": "dye", "rules": [{"set": "gray=v2", "percent": 10}]}}"#;
const WORKERS: u32 = 2;
const CONNECTIONS: usize = 1_000;
const REQUESTS: usize = 3;
/// How many of 1,000 are dyed: 100, and seven standard deviations of 9.5 to either side.
const DYED: std::ops::RangeInclusive<usize> = 34..=166;

#[test]
fn one_trace_in_ten_takes_the_new_release_and_each_trace_always_the_same() {
    if !requirements::are_met() {
        return;
    }
    let module = paths::filter().unwrap();
    let setup = Setup {
        module: &module,
        settings: SETTINGS,
        capabilities: None,
        failure_policy: "FAIL_RELOAD",
        pause: "0.01s",
        vm_id: "syntrace",
    };
    let sandbox = Sandbox::new().unwrap();
    let envoy = Gateway::start(&sandbox, std::slice::from_ref(&setup), WORKERS).unwrap();
    let ask = |plan: &[Connection]| envoy.ask(&sandbox, plan).unwrap();

    // Traces of the filter's own: each connection has one, and stays with its release.
    let mut releases: BTreeMap<String, bool> = BTreeMap::new();
    for answers in ask(&vec![connection(None, REQUESTS); CONNECTIONS]) {
        let seen: BTreeSet<_> = answers.iter().map(release).collect();
        assert_eq!(seen.len(), 1, "{seen:?}");
        releases.extend(seen);
    }
    assert_eq!(releases.len(), CONNECTIONS);
    let dyed = releases.values().filter(|is_new| **is_new).count();
    assert!(DYED.contains(&dyed), "{dyed} of {CONNECTIONS}");

    // The same traces, brought by requests on other connections, to whichever worker.
    let again: Vec<_> = releases
        .keys()
        .map(|trace| connection(Some(trace), 1))
        .collect();
    let again: BTreeMap<_, _> = ask(&again).iter().flatten().map(release).collect();
    assert_eq!(again, releases);
}

#[cfg(test)]
fn connection(trace: Option<&str>, requests: usize) -> Connection {
    let traceparent = |trace| format!("00-{trace}-00f067aa0ba902b7-01");
    let headers = trace.map(|trace| ("traceparent".to_owned(), traceparent(trace)));
    Connection {
        port: gateway::port(0),
        requests: vec![
            Request {
                path: "/".to_owned(),
                headers: headers.into_iter().collect(),
            };
            requests
        ],
    }
}

/// Returns a request's trace, and whether the new release got it: with the dye in both places, then.
#[cfg(test)]
fn release(answer: &Answer) -> (String, bool) {
    let lines = gateway::received(answer).unwrap();
    let value = |name: &str| {
        let line = lines.iter().find(|line| line.0 == name);
        line.map(|(_, value)| value.as_str())
    };
    let is_new = value("x-release") == Some("v2");
    let dye = (value("x-dye"), value("baggage"));
    assert_eq!(dye.0, is_new.then_some("gray=v2"));
    assert_eq!(dye.1.is_some(), is_new, "{dye:?}");
    let trace = value("traceparent").unwrap().split('-').nth(1).unwrap();
    (trace.to_owned(), is_new)
}
