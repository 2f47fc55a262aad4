//! The network that every test runs in, made anew for each: three hosts' worth of namespaces around a
//! gateway, and the cgroups that say whom the probe watches.
//!
//! ```text
//!  client 192.0.2.2 ── 192.0.2.1 gateway 198.51.100.1 ── 198.51.100.2 service-http
//!                                        203.0.113.1  ── 203.0.113.2  service-grpc
//! ```
//!
//! The addresses are those of RFC 5737, reserved for documentation. Nothing is routed between the links:
//! only the gateway's proxy leads from one to the other.

use std::{
    fs,
    io::{self, Write as _},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    thread,
};

use anyhow::Context as _;

use crate::{
    cgroup::Cgroup,
    interrupt,
    netns::{self, LinkEnd, Namespace},
    process, sweep,
};

/// The client's address.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// The gateway's address towards the client.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The HTTP/1.1 service's address.
pub const SERVICE_HTTP: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
/// The gRPC service's address.
pub const SERVICE_GRPC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
/// Every network of the sandbox.
pub const NETWORKS: [&str; 3] = ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"];

const GATEWAY_TO_HTTP: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const GATEWAY_TO_GRPC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// A network of our own; on drop, and after a panic or Ctrl-C, nothing of it remains.
///
/// The logs of its programs are printed when the test that holds it panics.
#[derive(Debug)]
pub struct Sandbox {
    /// Where the clients live.
    pub client: Namespace,
    /// Where Envoy lives.
    pub gateway: Namespace,
    /// Where the HTTP/1.1 service lives.
    pub service_http: Namespace,
    /// Where the gRPC service lives.
    pub service_grpc: Namespace,
    /// Clients, gateway and services: whom the probe watches.
    pub watched: Cgroup,
    /// The probe, the bridge, captures: whom it does not.
    pub watching: Cgroup,
    // Dropped in this order: the children's cgroups before their parent, the logs last.
    _cgroup: Cgroup,
    directory: Directory,
}

#[derive(Debug)]
struct Directory(PathBuf);

impl Sandbox {
    /// Removes what killed runs left behind, then makes the network.
    ///
    /// # Errors
    ///
    /// Fails if the kernel refuses any of it; what was made is removed.
    pub fn new() -> anyhow::Result<Self> {
        interrupt::install().context("taking over the signals")?;
        let name = sweep::unique_name().context("sweeping what killed runs left behind")?;
        let directory = sweep::directory(&name);
        fs::create_dir(&directory).with_context(|| format!("creating {}", directory.display()))?;
        let directory = Directory(directory);
        let cgroup = Cgroup::create(&name)?;
        let namespace = |role: &str| Namespace::create(&format!("{name}-{role}"));
        let sandbox = Self {
            client: namespace("client")?,
            gateway: namespace("gateway")?,
            service_http: namespace("service-http")?,
            service_grpc: namespace("service-grpc")?,
            watched: cgroup.child("watched")?,
            watching: cgroup.child("watching")?,
            _cgroup: cgroup,
            directory,
        };
        sandbox.connect()?;
        Ok(sandbox)
    }

    fn connect(&self) -> anyhow::Result<()> {
        for (namespace, address, gateway_device, gateway_address) in [
            (&self.client, CLIENT, "to-client", GATEWAY),
            (&self.service_http, SERVICE_HTTP, "to-http", GATEWAY_TO_HTTP),
            (&self.service_grpc, SERVICE_GRPC, "to-grpc", GATEWAY_TO_GRPC),
        ] {
            netns::link(
                LinkEnd {
                    namespace: &self.gateway,
                    device: gateway_device,
                    address: gateway_address,
                },
                LinkEnd {
                    namespace,
                    device: "to-gateway",
                    address,
                },
            )?;
        }
        Ok(())
    }

    /// Returns where the sandbox's files are: logs, sockets, captures.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory.0
    }

    /// Returns the last lines of every program's log.
    #[must_use]
    pub fn log_tails(&self) -> String {
        let entries = fs::read_dir(self.directory())
            .into_iter()
            .flatten()
            .flatten();
        let mut logs: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
        logs.sort();
        let with_lines = logs
            .iter()
            .map(|log| (log, process::tail(log)))
            .filter(|(_, tail)| !tail.is_empty());
        with_lines
            .map(|(log, tail)| format!("{}\n{tail}", log.file_stem().unwrap_or_default().display()))
            .collect()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if thread::panicking() {
            writeln!(
                io::stderr(),
                "the programs' last lines:\n{}",
                self.log_tails()
            )
            .unwrap_or_default();
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed now is found by the next start's sweep.
        fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}
