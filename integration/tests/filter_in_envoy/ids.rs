//! Ids never repeat: between connections, workers, and lives of an Envoy that is started the same way again.

use std::collections::BTreeSet;

use syntrace_integration::{paths, requirements, sandbox::Sandbox};

use crate::gateway::{self, Connection, Gateway, Request, Setup};

const LIVES: usize = 3;
const WORKERS: u32 = 2;
const CONNECTIONS: usize = 100;
const REQUESTS: usize = 3;

#[test]
fn no_id_repeats_between_connections_workers_or_lives_of_an_envoy() {
    if !requirements::are_met() {
        return;
    }
    let module = paths::filter().unwrap();
    let setup = Setup {
        module: &module,
        settings: "",
        capabilities: None,
        failure_policy: "FAIL_RELOAD",
        pause: "0.01s",
        vm_id: "syntrace",
    };
    let sandbox = Sandbox::new().unwrap();
    let connection = Connection {
        port: gateway::port(0),
        requests: vec![
            Request {
                path: "/".to_owned(),
                headers: Vec::new(),
            };
            REQUESTS
        ],
    };
    let plan = vec![connection; CONNECTIONS];
    let (mut traces, mut spans) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..LIVES {
        let envoy = Gateway::start(&sandbox, std::slice::from_ref(&setup), WORKERS).unwrap();
        for answers in envoy.ask(&sandbox, &plan).unwrap() {
            let mut of_connection = BTreeSet::new();
            for answer in &answers {
                let headers = gateway::received(answer).unwrap();
                let (_, header) = headers.iter().find(|line| line.0 == "traceparent").unwrap();
                let fields: Vec<_> = header.split('-').map(str::to_owned).collect();
                of_connection.insert(fields[1].clone());
                assert!(spans.insert(fields[2].clone()), "{header}");
            }
            assert_eq!(of_connection.len(), 1, "a connection has one trace");
            for trace in of_connection {
                assert!(traces.insert(trace.clone()), "{trace}");
            }
        }
    }
    assert_eq!(traces.len(), LIVES * CONNECTIONS);
    assert_eq!(spans.len(), LIVES * CONNECTIONS * REQUESTS);
}
