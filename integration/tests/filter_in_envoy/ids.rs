//! Ids never repeat: between connections, workers, VMs, lives of an Envoy that is started the same way again, and the
//! two processes of a hot restart.

use std::{collections::BTreeSet, fs, path::PathBuf};

use syntrace_integration::{paths, requirements, sandbox::Sandbox};

use crate::gateway::{self, Connection, Gateway, Request, Restart, Setup};

const LIVES: usize = 3;
const WORKERS: u32 = 2;
const CONNECTIONS: usize = 100;
const REQUESTS: usize = 3;

/// The ids that services have seen so far, of which none may come twice.
#[derive(Debug, Default)]
struct Ids {
    traces: BTreeSet<String>,
    spans: BTreeSet<String>,
}

/// What processes of one base id share; Envoy leaves it behind.
struct SharedMemory(PathBuf);

#[test]
fn no_id_repeats_between_connections_workers_vms_or_lives_of_an_envoy() {
    if !requirements::are_met() {
        return;
    }
    let module = paths::filter().unwrap();
    let setups = ["syntrace", "another-vm"].map(|vm_id| setup(&module, vm_id));
    let sandbox = Sandbox::new().unwrap();
    let mut ids = Ids::default();
    for _ in 0..LIVES {
        let envoy = Gateway::start(&sandbox, &setups, WORKERS).unwrap();
        for index in 0..setups.len() {
            ids.take(&envoy, &sandbox, index);
        }
    }
    ids.are(LIVES * setups.len());
}

#[test]
fn no_id_repeats_between_the_processes_of_a_hot_restart() {
    if !requirements::are_met() {
        return;
    }
    let module = paths::filter().unwrap();
    let setups = [setup(&module, "syntrace")];
    let sandbox = Sandbox::new().unwrap();
    // Not the base id of any other Envoy on this machine.
    let base_id = std::process::id();
    let _shared = SharedMemory(format!("/dev/shm/envoy_shared_memory_{}", base_id * 10).into());
    let restart = Restart::Hot(base_id);
    let mut envoy = Gateway::start_with(&sandbox, &setups, WORKERS, restart).unwrap();
    let mut ids = Ids::default();
    ids.take(&envoy, &sandbox, 0);
    for _ in 1..LIVES {
        envoy.succeed(&sandbox, WORKERS, restart).unwrap();
        ids.take(&envoy, &sandbox, 0);
    }
    ids.are(LIVES);
}

// === impl Ids ===

#[cfg(test)]
impl Ids {
    /// Sends requests over new connections to the listener at `index`, and takes the ids that the service sees.
    fn take(&mut self, envoy: &Gateway, sandbox: &Sandbox, index: usize) {
        let request = Request {
            path: "/".to_owned(),
            headers: Vec::new(),
        };
        let connection = Connection {
            port: gateway::port(index),
            requests: vec![request; REQUESTS],
        };
        let plan = vec![connection; CONNECTIONS];
        for answers in envoy.ask(sandbox, &plan).unwrap() {
            let mut of_connection = BTreeSet::new();
            for answer in &answers {
                let headers = gateway::received(answer).unwrap();
                let (_, header) = headers.iter().find(|line| line.0 == "traceparent").unwrap();
                let fields: Vec<_> = header.split('-').map(str::to_owned).collect();
                of_connection.insert(fields[1].clone());
                assert!(self.spans.insert(fields[2].clone()), "{header}");
            }
            assert_eq!(of_connection.len(), 1, "a connection has one trace");
            for trace in of_connection {
                assert!(self.traces.insert(trace.clone()), "{trace}");
            }
        }
    }

    /// Checks that they are those of so many times [`Self::take`].
    fn are(&self, times: usize) {
        assert_eq!(self.traces.len(), times * CONNECTIONS);
        assert_eq!(self.spans.len(), times * CONNECTIONS * REQUESTS);
    }
}

// === impl SharedMemory ===

#[expect(
    clippy::print_stderr,
    reason = "whoever runs the tests has to know what is left behind"
)]
impl Drop for SharedMemory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            eprintln!("{} stays behind: {error}", self.0.display());
        }
    }
}

#[cfg(test)]
fn setup<'a>(module: &'a std::path::Path, vm_id: &'a str) -> Setup<'a> {
    Setup {
        module,
        settings: "",
        capabilities: None,
        failure_policy: "FAIL_RELOAD",
        pause: "0.01s",
        vm_id,
    }
}
