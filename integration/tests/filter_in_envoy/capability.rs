//! A capability that is not granted: the request passes all the same, or Envoy refuses the configuration and the
//! filter says which call it lacks. Each capability of the shipped configuration is taken away once.

use std::{collections::BTreeSet, fs};

use syntrace_integration::{paths, requirements, sandbox::Sandbox};

use crate::gateway::{self, Connection, Gateway, Request, Setup};

/// Without these the filter cannot do its work at all, and says so when it is configured.
const NEEDED: [&str; 3] = [
    "proxy_get_buffer_bytes",
    "proxy_set_tick_period_milliseconds",
    "random_get",
];

#[test]
fn without_any_one_capability_every_request_passes() {
    if !requirements::are_met() {
        return;
    }
    let all = shipped();
    let optional: Vec<_> = all
        .iter()
        .filter(|name| !NEEDED.contains(&name.as_str()))
        .collect();
    assert!(optional.len() > 15, "{optional:?}");
    let granted: Vec<Vec<&str>> = optional.iter().map(|taken| without(&all, taken)).collect();
    let ids: Vec<_> = optional
        .iter()
        .map(|taken| format!("without-{taken}"))
        .collect();
    let module = paths::filter().unwrap();
    let setups: Vec<_> = granted
        .iter()
        .zip(&ids)
        .map(|(granted, vm_id)| setup(&module, granted, vm_id))
        .collect();
    let sandbox = Sandbox::new().unwrap();
    let envoy = Gateway::start(&sandbox, &setups, 1).unwrap();
    let request = Request {
        path: "/".to_owned(),
        headers: vec![("baggage".to_owned(), "a=1".to_owned())],
    };
    let plan: Vec<_> = (0..setups.len())
        .map(|index| Connection {
            port: gateway::port(index),
            requests: vec![request.clone(); 5],
        })
        .collect();
    // Twice: ticks, and the calls that they make, lie between.
    for _ in 0..2 {
        let answers = envoy.ask(&sandbox, &plan).unwrap();
        for (answers, taken) in answers.iter().zip(&optional) {
            for answer in answers {
                assert_eq!(answer.status, 200, "without {taken}");
                let headers = gateway::received(answer).unwrap();
                assert!(
                    headers.iter().any(|line| line.1 == "a=1"),
                    "without {taken}"
                );
            }
        }
    }
    let traps = envoy.stats(&sandbox, "vm_reload").unwrap();
    assert_eq!(traps.values().sum::<u64>(), 0, "{traps:?}");
}

#[test]
fn without_a_needed_capability_the_configuration_is_refused_and_the_call_named() {
    if !requirements::are_met() {
        return;
    }
    let all = shipped();
    let module = paths::filter().unwrap();
    for taken in NEEDED {
        assert!(all.contains(taken), "{taken}");
        let granted = without(&all, taken);
        let sandbox = Sandbox::new().unwrap();
        let error = Gateway::start(&sandbox, &[setup(&module, &granted, "vm")], 1).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains(taken), "without {taken}: {error}");
    }
}

/// Reads the capabilities that the shipped gateway grants.
fn shipped() -> BTreeSet<String> {
    let text = fs::read_to_string(paths::root().join("envoy/gateway.yaml")).unwrap();
    let (_, list) = text.split_once("allowed_capabilities:\n").unwrap();
    list.lines()
        .map_while(|line| line.trim().strip_suffix(": {}"))
        .map(str::to_owned)
        .collect()
}

fn without<'a>(all: &'a BTreeSet<String>, taken: &str) -> Vec<&'a str> {
    all.iter()
        .map(String::as_str)
        .filter(|name| *name != taken)
        .collect()
}

fn setup<'a>(module: &'a std::path::Path, granted: &'a [&'a str], vm_id: &'a str) -> Setup<'a> {
    Setup {
        module,
        settings: "{}",
        capabilities: Some(granted),
        failure_policy: "FAIL_RELOAD",
        pause: "0.01s",
        vm_id,
    }
}
