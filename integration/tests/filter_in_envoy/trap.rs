//! What clients see when a filter traps, by callback and by failure policy. The shipped module has no trap that
//! is known: `wasm-filter/examples/trap.rs` traps when it is told to.
//!
//! `envoy/README.md` says the same to operators.

use std::{path::Path, time::Duration};

use syntrace_integration::{
    deadline::{self, Look},
    paths, requirements,
    sandbox::Sandbox,
};

use crate::gateway::{self, Answer, Connection, Gateway, Request, Setup};

/// Callbacks of a stream: a request's header asks for the trap.
const OF_A_STREAM: [(&str, u16); 2] = [("headers", 503), ("log", 200)];
/// Callbacks of the worker: the trap comes 50 ms after each start of the VM.
const OF_THE_WORKER: [&str; 2] = ["tick", "answer"];

/// The pause that the shipped configurations have.
const SHORT: &str = "0.01s";
/// Envoy's default, and what it means for the longest time in which requests are refused.
const DEFAULT: &str = "1s";
const SOON: Duration = Duration::from_secs(10);

/// Requests that follow a trap.
const FOLLOWING: usize = 50;

#[test]
fn a_trap_of_a_stream_costs_one_request_at_most_where_the_vm_is_loaded_again_soon() {
    let Some((sandbox, module)) = ready() else {
        return;
    };
    let policies = [
        ("FAIL_RELOAD", SHORT),
        ("FAIL_OPEN", DEFAULT),
        ("FAIL_CLOSED", DEFAULT),
    ];
    let combinations: Vec<_> = policies
        .iter()
        .flat_map(|policy| OF_A_STREAM.map(|trap| (*policy, trap)))
        .collect();
    let names: Vec<_> = combinations
        .iter()
        .map(|(policy, trap)| format!("{policy:?}{trap:?}"))
        .collect();
    let setups: Vec<_> = combinations
        .iter()
        .zip(&names)
        .map(|((policy, _), vm_id)| setup(&module, "", *policy, vm_id))
        .collect();
    let envoy = Gateway::start(&sandbox, &setups, 1).unwrap();
    for (index, ((policy, _), (callback, status))) in combinations.iter().enumerate() {
        let mut requests = vec![request(None), request(Some(callback))];
        requests.resize(2 + FOLLOWING, request(None));
        let answers = ask(&envoy, &sandbox, index, requests);
        let seen: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        let following = if *policy == "FAIL_CLOSED" { 503 } else { 200 };
        let mut expected = vec![200, *status];
        expected.resize(2 + FOLLOWING, following);
        assert_eq!(seen, expected, "{policy} {callback}");
    }
    let stats = envoy.stats(&sandbox, "vm_reload_success").unwrap();
    let reloads: Vec<_> = (0..setups.len())
        .map(|index| stats.get(&format!("wasm.filter-{index}.vm_reload_success")))
        .collect();
    assert_eq!(reloads, [1, 1, 0, 0, 0, 0].each_ref().map(Some));
}

#[test]
fn with_envoys_own_pause_a_second_trap_refuses_requests_until_it_is_over() {
    let Some((sandbox, module)) = ready() else {
        return;
    };
    let setups = [setup(&module, "", ("FAIL_RELOAD", DEFAULT), "vm")];
    let envoy = Gateway::start(&sandbox, &setups, 1).unwrap();
    let traps = || vec![request(Some("log")), request(None)];
    let refused = deadline::wait("a refused request", SOON, || {
        let answers = envoy.ask(&sandbox, &[connection(0, traps())])?;
        let refused = answers.iter().flatten().any(|answer| answer.status == 503);
        Ok(look(refused, "all were served"))
    });
    refused.unwrap();
    let healed = deadline::wait("the pause to be over", SOON, || {
        let answers = envoy.ask(&sandbox, &[connection(0, vec![request(None)])])?;
        Ok(look(
            answers.iter().flatten().all(|answer| answer.status == 200),
            "refused",
        ))
    });
    healed.unwrap();
}

#[test]
fn a_trap_of_the_worker_is_healed_by_loading_it_again_and_harms_nobody_where_it_stays_off() {
    let Some((sandbox, module)) = ready() else {
        return;
    };
    for callback in OF_THE_WORKER {
        let setups = [
            setup(&module, callback, ("FAIL_RELOAD", SHORT), "reload"),
            setup(&module, callback, ("FAIL_OPEN", DEFAULT), "open"),
            setup(&module, callback, ("FAIL_CLOSED", DEFAULT), "closed"),
        ];
        let envoy = Gateway::start(&sandbox, &setups, 1).unwrap();
        // The VM of the last one has trapped when its requests are refused, and so have the others.
        deadline::wait("the trap", SOON, || {
            let answers = envoy.ask(&sandbox, &[connection(2, vec![request(None)])])?;
            Ok(look(
                answers.iter().flatten().all(|answer| answer.status == 503),
                "served",
            ))
        })
        .unwrap();
        let closed = ask(&envoy, &sandbox, 2, vec![request(None); FOLLOWING]);
        assert!(
            closed.iter().all(|answer| answer.status == 503),
            "{callback}"
        );
        let open = ask(&envoy, &sandbox, 1, vec![request(None); FOLLOWING]);
        assert!(open.iter().all(|answer| answer.status == 200), "{callback}");
        // It traps again and again, and every time requests come through after it.
        deadline::wait("three reloads", SOON, || {
            let answers = envoy.ask(&sandbox, &[connection(0, vec![request(None); FOLLOWING])])?;
            let served = answers
                .iter()
                .flatten()
                .filter(|answer| answer.status == 200);
            assert!(served.count() > 0, "{callback}");
            let stats = envoy.stats(&sandbox, "filter-0.vm_reload_success")?;
            Ok(look(stats.values().sum::<u64>() >= 3, "fewer"))
        })
        .unwrap();
    }
}

#[test]
fn a_trap_while_it_is_configured_is_refused_with_the_configuration() {
    let Some((sandbox, module)) = ready() else {
        return;
    };
    let setups = [setup(&module, "configure", ("FAIL_RELOAD", SHORT), "vm")];
    let error = Gateway::start(&sandbox, &setups, 1).unwrap_err();
    let said = format!("{error:#}");
    assert!(said.contains("Unable to create Wasm"), "{said}");
}

fn ready() -> Option<(Sandbox, std::path::PathBuf)> {
    requirements::are_met().then(|| (Sandbox::new().unwrap(), paths::built("trap.wasm").unwrap()))
}

fn setup<'a>(
    module: &'a Path,
    settings: &'a str,
    (failure_policy, pause): (&'a str, &'a str),
    vm_id: &'a str,
) -> Setup<'a> {
    Setup {
        module,
        settings,
        capabilities: None,
        failure_policy,
        pause,
        vm_id,
    }
}

fn request(trap: Option<&str>) -> Request {
    let headers = trap.map(|callback| ("x-trap".to_owned(), callback.to_owned()));
    Request {
        path: "/".to_owned(),
        headers: headers.into_iter().collect(),
    }
}

fn connection(index: usize, requests: Vec<Request>) -> Connection {
    Connection {
        port: gateway::port(index),
        requests,
    }
}

fn ask(envoy: &Gateway, sandbox: &Sandbox, index: usize, requests: Vec<Request>) -> Vec<Answer> {
    let answers = envoy.ask(sandbox, &[connection(index, requests)]).unwrap();
    answers.into_iter().next().unwrap()
}

fn look(is_done: bool, otherwise: &str) -> Look<()> {
    if is_done {
        Look::Done(())
    } else {
        Look::NotYet(otherwise.to_owned())
    }
}
