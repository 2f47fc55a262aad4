//! Everything that is measured, running: bridge, probe, three equal gateways with a service each, and sinks for what
//! Envoy's own telemetry sends. Each gateway has the first processor to itself while it is measured.

use std::{collections::BTreeMap, env, fs, net::SocketAddr, time::Duration};

use anyhow::Context as _;
use syntrace_integration::{
    bridge::{self, Bridge},
    cgroup::Cgroup,
    netns::Namespace,
    paths,
    probe::Probe,
    process::{self, Process, Program},
    sandbox::{GATEWAY, SERVICE_HTTP, Sandbox},
    services,
};

use crate::{
    client::{self, Orders, Outcome},
    gateway::{CERTIFICATE, Extra, Gateway},
    worker::Worker,
};

/// The gateways' worker has this processor, all else the other.
pub(crate) const WORKER_CPU: &str = "0";
pub(crate) const OTHER_CPU: &str = "1";
const START_DEADLINE: Duration = Duration::from_secs(60);
/// More than any load takes.
pub(crate) const LOAD_DEADLINE: Duration = Duration::from_secs(300);

/// Which of the equal gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Which {
    /// Nobody watches it.
    Plain,
    /// Nobody watches it either: what differs from the first is noise.
    PlainAgain,
    /// In the probe's cgroup, with its client and its service.
    Watched,
}

/// A gateway with its own service.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) gateway: Gateway,
    pub(crate) worker: Worker,
    _envoy: Process,
    _service: Process,
    cgroup: Cgroup,
}

/// All of it; dropped in this order.
#[derive(Debug)]
pub(crate) struct World {
    sides: BTreeMap<Which, Side>,
    _sink: Process,
    pub(crate) probe: Probe,
    pub(crate) bridge: Bridge,
    pub(crate) tools: Cgroup,
    pub(crate) sandbox: Sandbox,
}

impl World {
    /// Starts everything; `bridge_options` are those of a bridge that keeps what it gets, none of one that does not.
    pub(crate) fn start(bridge_options: &[&str]) -> anyhow::Result<Self> {
        let own = std::process::id();
        process::run("taskset", ["-a", "-p", "-c", OTHER_CPU, &own.to_string()])?;
        let sandbox = Sandbox::new()?;
        let tools = sandbox.watching.child("tools")?;
        reuse_ports(&sandbox.client)?;
        make_certificate(&sandbox)?;
        let data = sandbox.directory().join("data").display().to_string();
        let mut options = bridge_options.to_vec();
        if !options.is_empty() {
            options.extend(["--data-dir", &data]);
        }
        let mut bridge = Bridge::start_with(&sandbox, &bridge::facts_url(&sandbox), &options)?;
        let mut probe = Probe::start(&sandbox)?;
        // They inherit this program's processor; said again for threads that chose otherwise.
        for id in [bridge.process().id(), probe.process().id()] {
            process::run("taskset", ["-a", "-p", "-c", OTHER_CPU, &id.to_string()])?;
        }
        let sink = sink(&sandbox, &tools)?;
        let mut sides = BTreeMap::new();
        for (number, which) in [Which::Plain, Which::PlainAgain, Which::Watched]
            .into_iter()
            .enumerate()
        {
            sides.insert(which, Side::start(&sandbox, which, number as u16)?);
        }
        Ok(Self {
            sides,
            _sink: sink,
            probe,
            bridge,
            tools,
            sandbox,
        })
    }

    pub(crate) fn side(&self, which: Which) -> anyhow::Result<&Side> {
        self.sides
            .get(&which)
            .context("a gateway that was not started")
    }

    /// Returns the processor time that the probe and the bridge used so far, microseconds.
    pub(crate) fn watching_us(&self) -> anyhow::Result<u64> {
        let others = ["tools", "plain", "plain-again"];
        let mut used = used_us(&self.sandbox.watching)?;
        for other in others {
            used = used.saturating_sub(used_at(&self.sandbox.watching.path().join(other))?);
        }
        Ok(used)
    }

    /// Lets the probe and the bridge run only while nobody else wants their processor, or as everybody.
    pub(crate) fn set_yielding(&mut self, yielding: bool) -> anyhow::Result<()> {
        let policy = if yielding { "--idle" } else { "--other" };
        for id in [self.bridge.process().id(), self.probe.process().id()] {
            process::run(
                "chrt",
                ["--all-tasks", policy, "--pid", "0", &id.to_string()],
            )?;
        }
        Ok(())
    }

    /// Runs the client against a listener.
    pub(crate) fn client(&self, which: Which, orders: &Orders) -> anyhow::Result<Outcome> {
        self.client_in(&self.sandbox.client, which, orders)
    }

    fn client_in(
        &self,
        namespace: &Namespace,
        which: Which,
        orders: &Orders,
    ) -> anyhow::Result<Outcome> {
        let side = self.side(which)?;
        let printed = Program::new(client::NAME, &side.cgroup, "taskset")
            .inside(namespace)
            .args([
                "-c".as_ref(),
                OTHER_CPU.as_ref(),
                env::current_exe()?.as_os_str(),
            ])
            .args([client::NAME, &serde_json::to_string(orders)?])
            .start(self.sandbox.directory())?
            .finish(LOAD_DEADLINE)?;
        serde_json::from_str(&printed).with_context(|| format!("reading {printed}"))
    }

    /// Runs the client against the service itself, beside it.
    pub(crate) fn client_beside_service(
        &self,
        which: Which,
        orders: &Orders,
    ) -> anyhow::Result<Outcome> {
        self.client_in(&self.sandbox.service_http, which, orders)
    }

    /// Returns where a gateway's service listens.
    pub(crate) fn service_address(&self, which: Which) -> anyhow::Result<SocketAddr> {
        Ok((SERVICE_HTTP, self.side(which)?.gateway.service_port).into())
    }

    /// Runs h2load against a listener; returns what it printed.
    pub(crate) fn h2load(
        &self,
        which: Which,
        options: &[&str],
        url: &str,
    ) -> anyhow::Result<String> {
        self.start_h2load(which, options, url)?
            .finish(LOAD_DEADLINE)
    }

    /// Starts h2load against a listener.
    pub(crate) fn start_h2load(
        &self,
        which: Which,
        options: &[&str],
        url: &str,
    ) -> anyhow::Result<Process> {
        Program::new("h2load", &self.side(which)?.cgroup, "taskset")
            .inside(&self.sandbox.client)
            .args(["-c", OTHER_CPU, "h2load", "-t", "1"])
            .args(options)
            .args([url])
            .start(self.sandbox.directory())
    }
}

impl Side {
    fn start(sandbox: &Sandbox, which: Which, number: u16) -> anyhow::Result<Self> {
        let (name, parent) = match which {
            Which::Plain => ("plain", &sandbox.watching),
            Which::PlainAgain => ("plain-again", &sandbox.watching),
            Which::Watched => ("watched", &sandbox.watched),
        };
        let cgroup = parent.child(name)?;
        let gateway = Gateway {
            name,
            first_port: 20_000 + 100 * number,
            service_port: 8_090 + number,
            admin_port: 9_901 + number,
        };
        let service = service(sandbox, &cgroup, name, gateway.service_port)?;
        let configuration = sandbox.directory().join(format!("gateway-{name}.json"));
        fs::write(&configuration, gateway.bootstrap(sandbox)?.to_string())?;
        let mut envoy = pinned(&format!("gateway-{name}"), &cgroup, WORKER_CPU)?
            .inside(&sandbox.gateway)
            .args([&configuration])
            .start(sandbox.directory())?;
        for extra in Extra::ALL {
            envoy.wait_for_port(gateway.port(extra, true), START_DEADLINE)?;
        }
        Ok(Self {
            worker: Worker::of(envoy.id())?,
            gateway,
            _envoy: envoy,
            _service: service,
            cgroup,
        })
    }

    /// Returns the address of a listener.
    pub(crate) fn address(&self, extra: Extra, tls: bool) -> SocketAddr {
        (GATEWAY, self.gateway.port(extra, tls)).into()
    }

    /// Returns the processor time of client, gateway and service so far, microseconds.
    pub(crate) fn used_us(&self) -> anyhow::Result<u64> {
        used_us(&self.cgroup)
    }
}

/// Names Envoy with one worker, to be run on one processor; its configuration is the next argument.
fn pinned(name: &str, cgroup: &Cgroup, cpu: &str) -> anyhow::Result<Program> {
    Ok(Program::new(name, cgroup, "taskset")
        .args(["-c".as_ref(), cpu.as_ref(), paths::envoy()?.as_os_str()])
        .args([
            "--disable-hot-restart",
            "--log-level",
            "warning",
            "--concurrency",
            "1",
            "-c",
        ]))
}

/// Starts a service that answers as fast as Envoy itself.
fn service(sandbox: &Sandbox, cgroup: &Cgroup, name: &str, port: u16) -> anyhow::Result<Process> {
    let rendered = fs::read_to_string(paths::own("services/service.yaml"))?
        .replace("${LISTEN}", &SERVICE_HTTP.to_string())
        .replace("${LISTEN_PORT}", &port.to_string());
    let configuration = sandbox.directory().join(format!("service-{name}.yaml"));
    fs::write(&configuration, rendered)?;
    let mut service = pinned(&format!("service-{name}"), cgroup, OTHER_CPU)?
        .inside(&sandbox.service_http)
        .args([&configuration])
        .start(sandbox.directory())?;
    service.wait_for_port(port, START_DEADLINE)?;
    Ok(service)
}

fn sink(sandbox: &Sandbox, cgroup: &Cgroup) -> anyhow::Result<Process> {
    let mut sink = Program::new("sink", cgroup, paths::python()?)
        .inside(&sandbox.gateway)
        .args([paths::own("services/sink.py")])
        .args(["127.0.0.1", &services::SINK_PORT.to_string()])
        .start(sandbox.directory())?;
    sink.wait_for_port(services::SINK_PORT, START_DEADLINE)?;
    Ok(sink)
}

/// Lets a client that closes connections first have its ports again after a second, and more of them.
fn reuse_ports(namespace: &Namespace) -> anyhow::Result<()> {
    let set = |setting: &str| {
        process::run(
            "ip",
            [
                "netns",
                "exec",
                namespace.name(),
                "sysctl",
                "-q",
                "-w",
                setting,
            ],
        )
    };
    set("net.ipv4.tcp_tw_reuse=1")?;
    set("net.ipv4.ip_local_port_range=10000 65000")
}

fn make_certificate(sandbox: &Sandbox) -> anyhow::Result<()> {
    let [certificate, key] =
        CERTIFICATE.map(|file| sandbox.directory().join(file).display().to_string());
    let new = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ];
    let names = [
        "-subj",
        "/CN=gateway",
        "-keyout",
        &key,
        "-out",
        &certificate,
    ];
    process::run("openssl", new.into_iter().chain(names))
}

/// Returns the processor time of a group so far, microseconds.
pub(crate) fn used_us(cgroup: &Cgroup) -> anyhow::Result<u64> {
    used_at(cgroup.path())
}

fn used_at(path: &std::path::Path) -> anyhow::Result<u64> {
    let file = path.join("cpu.stat");
    let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    text.lines()
        .find_map(|line| line.strip_prefix("usage_usec ")?.parse().ok())
        .with_context(|| format!("{} has no usage", file.display()))
}
