//! One Envoy with a listener for each configuration of the filter, and a service behind all of them that tells
//! what it received.

use std::{collections::BTreeMap, fs, net::Ipv4Addr, path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use syntrace_integration::{
    deadline::{self, Look},
    paths,
    process::{Process, Program},
    sandbox::Sandbox,
};

const SERVICE_PORT: u16 = 8_080;
const ADMIN_PORT: u16 = 9_901;
/// The first listener's port; the others follow.
const FIRST_PORT: u16 = 10_000;
/// Envoy compiles the module before it listens.
const START_DEADLINE: Duration = Duration::from_secs(60);
const ANSWER_DEADLINE: Duration = Duration::from_secs(60);

/// How a listener's filter is set up.
#[derive(Clone, Debug)]
pub(crate) struct Setup<'a> {
    pub(crate) module: &'a Path,
    /// The filter's own settings.
    pub(crate) settings: &'a str,
    /// What the module may call and be called by; `None` for everything.
    pub(crate) capabilities: Option<&'a [&'a str]>,
    pub(crate) failure_policy: &'a str,
    /// How long Envoy waits before it loads a VM again that has trapped, as a duration of its own.
    pub(crate) pause: &'a str,
    /// Listeners with the same one share their VM.
    pub(crate) vm_id: &'a str,
}

/// A running Envoy, its successors, and its service.
#[derive(Debug)]
pub(crate) struct Gateway {
    envoys: Vec<Process>,
    _service: Process,
}

/// Whether an Envoy can be replaced by a new process that takes over its sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restart {
    /// It cannot.
    Cold,
    /// It can; the number names the family of processes, as Envoy's `--base-id`.
    Hot(u32),
}

/// The requests of one connection.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Connection {
    pub(crate) port: u16,
    pub(crate) requests: Vec<Request>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
}

/// What a client got.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Answer {
    /// 0 without an answer.
    pub(crate) status: u16,
    pub(crate) body: String,
}

// === impl Gateway ===

impl Gateway {
    /// Starts all of it with `workers`, and waits until every listener is there.
    pub(crate) fn start(
        sandbox: &Sandbox,
        setups: &[Setup<'_>],
        workers: u32,
    ) -> anyhow::Result<Self> {
        Self::start_with(sandbox, setups, workers, Restart::Cold)
    }

    /// The same; `restart` says whether [`Self::succeed`] may follow.
    pub(crate) fn start_with(
        sandbox: &Sandbox,
        setups: &[Setup<'_>],
        workers: u32,
        restart: Restart,
    ) -> anyhow::Result<Self> {
        let local = Ipv4Addr::LOCALHOST.to_string();
        let mut service = Program::new("service-headers", &sandbox.watched, paths::python()?)
            .inside(&sandbox.gateway)
            .args([paths::own("services/headers.py")])
            .args([local, SERVICE_PORT.to_string()])
            .start(sandbox.directory())?;
        let configuration = sandbox.directory().join("envoy.json");
        fs::write(&configuration, bootstrap(setups).to_string())?;
        let mut envoy = envoy(sandbox, workers, restart, 0)?;
        for index in 0..setups.len() {
            envoy.wait_for_port(port(index), START_DEADLINE)?;
        }
        service.wait_for_port(SERVICE_PORT, START_DEADLINE)?;
        Ok(Self {
            envoys: vec![envoy],
            _service: service,
        })
    }

    /// Lets a new process take over from the one that runs, which stays while its connections do.
    pub(crate) fn succeed(
        &mut self,
        sandbox: &Sandbox,
        workers: u32,
        restart: Restart,
    ) -> anyhow::Result<()> {
        const GENERATION: &str = "server.hot_restart_generation";
        let epoch = self.envoys.len();
        self.envoys.push(envoy(sandbox, workers, restart, epoch)?);
        let expected = u64::try_from(epoch)? + 1;
        deadline::wait("the new process to serve", START_DEADLINE, || {
            // Between both nobody answers.
            let stats = self.stats(sandbox, "server.");
            let seen = stats.map(|stats| {
                (
                    stats.get(GENERATION).copied(),
                    stats.get("server.live").copied(),
                )
            });
            Ok(match seen {
                Ok((Some(generation), Some(1))) if generation == expected => Look::Done(()),
                seen => Look::NotYet(format!("{seen:?}")),
            })
        })
    }

    /// Sends requests and returns the answers, connection by connection.
    pub(crate) fn ask(
        &self,
        sandbox: &Sandbox,
        plan: &[Connection],
    ) -> anyhow::Result<Vec<Vec<Answer>>> {
        let file = sandbox.directory().join("plan.json");
        fs::write(&file, serde_json::to_string(plan)?)?;
        let printed = Program::new("client-headers", &sandbox.watched, paths::python()?)
            .inside(&sandbox.gateway)
            .args([paths::own("clients/headers.py")])
            .args(["127.0.0.1".as_ref(), file.as_os_str()])
            .start(sandbox.directory())?
            .finish(ANSWER_DEADLINE)?;
        let answers: Vec<Vec<Answer>> = serde_json::from_str(&printed)?;
        ensure!(answers.len() == plan.len(), "{printed}");
        Ok(answers)
    }

    /// Reads Envoy's counters and gauges whose names contain `filter`.
    pub(crate) fn stats(
        &self,
        sandbox: &Sandbox,
        filter: &str,
    ) -> anyhow::Result<BTreeMap<String, u64>> {
        let url = format!("http://127.0.0.1:{ADMIN_PORT}/stats?filter={filter}");
        let printed = Program::new("admin", &sandbox.watching, "curl")
            .inside(&sandbox.gateway)
            .args(["-q", "-sS", "--fail", "--noproxy", "*", &url])
            .start(sandbox.directory())?
            .finish(ANSWER_DEADLINE)?;
        let pairs = printed.lines().filter_map(|line| line.split_once(": "));
        Ok(pairs
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect())
    }
}

/// Starts the process of this epoch.
fn envoy(
    sandbox: &Sandbox,
    workers: u32,
    restart: Restart,
    epoch: usize,
) -> anyhow::Result<Process> {
    let restart = match restart {
        Restart::Cold => vec!["--disable-hot-restart".to_owned()],
        // The old process outlives the test's questions.
        Restart::Hot(base_id) => [
            "--base-id",
            &base_id.to_string(),
            "--restart-epoch",
            &epoch.to_string(),
            "--drain-time-s",
            "60",
            "--parent-shutdown-time-s",
            "90",
        ]
        .map(str::to_owned)
        .to_vec(),
    };
    Program::new(&format!("envoy-{epoch}"), &sandbox.watched, paths::envoy()?)
        .inside(&sandbox.gateway)
        .args(restart)
        .args(["--log-level", "warning"])
        .args(["--concurrency", &workers.to_string(), "-c"])
        .args([sandbox.directory().join("envoy.json")])
        .start(sandbox.directory())
}

/// Returns where the listener of the setup at `index` is.
pub(crate) fn port(index: usize) -> u16 {
    FIRST_PORT + u16::try_from(index).unwrap_or_default()
}

/// Reads the header lines that the service received.
pub(crate) fn received(answer: &Answer) -> anyhow::Result<Vec<(String, String)>> {
    serde_json::from_str(&answer.body).with_context(|| format!("{answer:?}"))
}

fn bootstrap(setups: &[Setup<'_>]) -> Value {
    let listeners: Vec<_> = setups
        .iter()
        .enumerate()
        .map(|(index, setup)| listener(index, setup))
        .collect();
    json!({
        "node": { "id": "gateway", "cluster": "tests" },
        "admin": { "address": socket(ADMIN_PORT) },
        "static_resources": {
            "listeners": listeners,
            "clusters": [
                { "name": "service", "type": "STATIC", "load_assignment": {
                    "cluster_name": "service",
                    "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": socket(SERVICE_PORT) } }] }]
                } },
                // Nobody listens there: what a request meets does not depend on it.
                { "name": "syntrace_bridge", "type": "STATIC", "load_assignment": {
                    "cluster_name": "syntrace_bridge",
                    "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": socket(9) } }] }]
                } }
            ]
        }
    })
}

fn listener(index: usize, setup: &Setup<'_>) -> Value {
    let name = format!("filter-{index}");
    let mut config = json!({
        "name": name, "root_id": name, "failure_policy": setup.failure_policy,
        "reload_config": { "backoff": { "base_interval": setup.pause, "max_interval": setup.pause } },
        "configuration": {
            "@type": "type.googleapis.com/google.protobuf.StringValue", "value": setup.settings
        },
        "vm_config": {
            "vm_id": setup.vm_id, "runtime": "envoy.wasm.runtime.v8",
            "code": { "local": { "filename": setup.module } }
        }
    });
    if let Some(capabilities) = setup.capabilities {
        let allowed: BTreeMap<_, _> = capabilities.iter().map(|name| (name, json!({}))).collect();
        config["capability_restriction_config"] = json!({ "allowed_capabilities": allowed });
    }
    let filters = "type.googleapis.com/envoy.extensions.filters";
    json!({
        "name": name,
        "address": socket(port(index)),
        "filter_chains": [{ "filters": [{
            "name": "http",
            "typed_config": {
                "@type": format!("{filters}.network.http_connection_manager.v3.HttpConnectionManager"),
                "stat_prefix": name,
                "http_filters": [
                    { "name": name, "typed_config": {
                        "@type": format!("{filters}.http.wasm.v3.Wasm"), "config": config
                    } },
                    { "name": "router", "typed_config": {
                        "@type": format!("{filters}.http.router.v3.Router")
                    } }
                ],
                "route_config": { "virtual_hosts": [{
                    "name": "all", "domains": ["*"],
                    "routes": [
                        // What is dyed for it takes the new release.
                        {
                            "match": { "prefix": "/", "headers": [
                                { "name": "x-dye", "string_match": { "exact": "gray=v2" } }
                            ] },
                            "route": { "cluster": "service" },
                            "request_headers_to_add": [{ "header": { "key": "x-release", "value": "v2" } }]
                        },
                        { "match": { "prefix": "/" }, "route": { "cluster": "service" } }
                    ]
                }] }
            }
        }] }]
    })
}

fn socket(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}
