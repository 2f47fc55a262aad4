//! The services behind the gateway: HTTP/1.1 and gRPC, in Python, each in its own namespace.

use std::{fs, net::Ipv4Addr, time::Duration};

use crate::{
    cgroup::Cgroup,
    netns::Namespace,
    paths,
    process::{Process, Program},
    sandbox::{SERVICE_GRPC, SERVICE_HTTP, Sandbox},
};

/// Python and gRPC take a moment to load on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// Where the HTTP/1.1 service listens.
pub const HTTP_PORT: u16 = 8080;
/// Where [`fast`] listens, if asked to.
pub const FAST_PORT: u16 = 8081;
/// Where [`silent`] listens, if asked to.
pub const SILENT_PORT: u16 = 8082;
/// Where the sink of [`sinks`] listens.
pub const SINK_PORT: u16 = 4317;
/// Where the gRPC service listens.
pub const GRPC_PORT: u16 = 50051;

/// Starts the HTTP/1.1 service as a member of `cgroup`, and waits until it listens.
///
/// # Errors
///
/// Fails if Python is missing or the service does not come up.
pub fn http1(
    sandbox: &Sandbox,
    cgroup: &Cgroup,
    namespace: &Namespace,
    address: Ipv4Addr,
    port: u16,
) -> anyhow::Result<Process> {
    let mut process = python(sandbox, cgroup, namespace, "http1", address, port)?;
    process.wait_for_port(port, START_DEADLINE)?;
    Ok(process)
}

/// Starts one of our services in Python; `services/<name>.py` is given where to listen.
fn python(
    sandbox: &Sandbox,
    cgroup: &Cgroup,
    namespace: &Namespace,
    name: &str,
    address: Ipv4Addr,
    port: u16,
) -> anyhow::Result<Process> {
    Program::new(&format!("service-{name}"), cgroup, paths::python()?)
        .inside(namespace)
        .args([paths::own(&format!("services/{name}.py"))])
        .args([address.to_string(), port.to_string()])
        .start(sandbox.directory())
}

/// Starts a service that listens and never accepts, and waits until it listens.
///
/// # Errors
///
/// Fails if Python is missing or the service does not come up.
pub fn silent(
    sandbox: &Sandbox,
    namespace: &Namespace,
    address: Ipv4Addr,
) -> anyhow::Result<Process> {
    let cgroup = &sandbox.watched;
    let mut process = python(sandbox, cgroup, namespace, "silent", address, SILENT_PORT)?;
    process.wait_for_port(SILENT_PORT, START_DEADLINE)?;
    Ok(process)
}

/// Starts, on the gateway's loopback, what a benchmark needs: [`fast`], and a sink for Envoy's own telemetry.
///
/// # Errors
///
/// Fails if either does not come up.
pub fn sinks(sandbox: &Sandbox) -> anyhow::Result<[Process; 2]> {
    let here = Ipv4Addr::LOCALHOST;
    let gateway = &sandbox.gateway;
    let mut sink = python(sandbox, &sandbox.watched, gateway, "sink", here, SINK_PORT)?;
    sink.wait_for_port(SINK_PORT, START_DEADLINE)?;
    Ok([fast(sandbox, gateway, here, FAST_PORT)?, sink])
}

/// Starts a service that answers HTTP/1.1 and HTTP/2 at once, and waits until it listens.
///
/// # Errors
///
/// Fails if Envoy, which it is made of, does not come up.
pub fn fast(
    sandbox: &Sandbox,
    namespace: &Namespace,
    address: Ipv4Addr,
    port: u16,
) -> anyhow::Result<Process> {
    let template = fs::read_to_string(paths::own("services/service.yaml"))?;
    let configuration = sandbox.directory().join("service.yaml");
    let rendered = template
        .replace("${LISTEN}", &address.to_string())
        .replace("${LISTEN_PORT}", &port.to_string());
    fs::write(&configuration, rendered)?;
    let mut process = Program::new("service-fast", &sandbox.watched, paths::envoy()?)
        .inside(namespace)
        .args(["--disable-hot-restart", "--log-level", "warning"])
        .args(["--concurrency", "1", "-c"])
        .args([&configuration])
        .start(sandbox.directory())?;
    process.wait_for_port(port, START_DEADLINE)?;
    Ok(process)
}

/// Both services, listening.
#[derive(Debug)]
pub struct Services {
    _http: Process,
    _grpc: Process,
}

impl Services {
    /// Starts both and waits until they listen; connects to neither.
    ///
    /// # Errors
    ///
    /// Fails if Python is missing or a service does not come up.
    pub fn start(sandbox: &Sandbox) -> anyhow::Result<Self> {
        let start = |namespace, name, address, port| {
            python(sandbox, &sandbox.watched, namespace, name, address, port)
        };
        let mut http = start(&sandbox.service_http, "http1", SERVICE_HTTP, HTTP_PORT)?;
        let mut grpc = start(&sandbox.service_grpc, "grpc_echo", SERVICE_GRPC, GRPC_PORT)?;
        http.wait_for_port(HTTP_PORT, START_DEADLINE)?;
        grpc.wait_for_port(GRPC_PORT, START_DEADLINE)?;
        Ok(Self {
            _http: http,
            _grpc: grpc,
        })
    }
}
