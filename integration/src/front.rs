//! A proxy in front of the gateway that speaks PROXY protocol to it: HAProxy, in the client's namespace.

use std::{fs, net::SocketAddr, time::Duration};

use crate::{
    envoy,
    process::{Process, Program},
    sandbox::{CLIENT, GATEWAY, Sandbox},
};

/// Where it listens.
pub const PORT: u16 = 8000;

/// It holds nothing that takes time.
const START_DEADLINE: Duration = Duration::from_secs(10);

/// Starts HAProxy, which passes every connection on to the gateway behind a header of PROXY protocol's
/// version 1 or 2, and waits until it listens.
///
/// # Errors
///
/// Fails if HAProxy is missing or does not come up.
pub fn start(sandbox: &Sandbox, version: u8) -> anyhow::Result<Process> {
    let send = if version == 1 {
        "send-proxy"
    } else {
        "send-proxy-v2"
    };
    let configuration = sandbox.directory().join("haproxy.cfg");
    let lines = [
        "defaults".to_owned(),
        "  mode tcp".to_owned(),
        "  timeout connect 5s".to_owned(),
        "  timeout client 60s".to_owned(),
        "  timeout server 60s".to_owned(),
        "listen front".to_owned(),
        format!("  bind {CLIENT}:{PORT}"),
        format!("  server gateway {GATEWAY}:{} {send}", envoy::PORT),
        String::new(),
    ];
    fs::write(&configuration, lines.join("\n"))?;
    let mut process = Program::new("haproxy", &sandbox.watched, "haproxy")
        .inside(&sandbox.client)
        .args(["-db".as_ref(), "-f".as_ref(), configuration.as_os_str()])
        .start(sandbox.directory())?;
    process.wait_for_port(PORT, START_DEADLINE)?;
    Ok(process)
}

/// Returns where clients come in.
#[must_use]
pub fn address() -> SocketAddr {
    (CLIENT, PORT).into()
}
