//! What the demo's clients do, and what they and other witnesses say of it.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    capture::Capture,
    clients::{self, Connect, Exchange, Version},
    deadline::{self, Look},
    envoy::{CLOSED_PORT, Counters, Envoy, PORT},
    pcap::Opening,
    sandbox::Sandbox,
};

/// An idle worker accepts at once.
const ACCEPT_DEADLINE: Duration = Duration::from_secs(10);

/// The captures, begun before the traffic.
#[derive(Debug)]
pub struct Captures {
    client: Capture,
    gateway: Capture,
}

/// What happened, by the word of everyone but the parts under test.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Every request, by its client.
    pub exchanges: Vec<Exchange>,
    /// Every connect without a request, by its client.
    pub connects: Vec<Connect>,
    /// Every SYN and SYN-ACK that crossed the client's or the gateway's namespace, once each.
    pub openings: Vec<Opening>,
    /// What Envoy counted.
    pub counters: Counters,
}

impl Captures {
    /// Starts capturing at the client and at the gateway.
    ///
    /// # Errors
    ///
    /// Fails if tcpdump cannot listen.
    pub fn start(sandbox: &Sandbox) -> anyhow::Result<Self> {
        Ok(Self {
            client: Capture::start(sandbox, &sandbox.client)?,
            gateway: Capture::start(sandbox, &sandbox.gateway)?,
        })
    }

    /// Returns what either has seen so far; what both have seen is there once.
    ///
    /// # Errors
    ///
    /// Fails if a file is gone.
    pub fn openings(&self) -> anyhow::Result<Vec<Opening>> {
        let mut openings = self.gateway.openings()?;
        let at_client = self.client.openings()?;
        openings.extend(
            at_client
                .into_iter()
                .filter(|opening| !openings.contains(opening))
                .collect::<Vec<_>>(),
        );
        Ok(openings)
    }
}

/// Runs all clients, one after the other, and collects what they say.
fn run(sandbox: &Sandbox) -> anyhow::Result<(Vec<Exchange>, Vec<Connect>)> {
    let mut exchanges = clients::curl(
        sandbox,
        PORT,
        Version::Http1,
        &["/hello", "/hello?again", "/status/404"],
    )?;
    exchanges.extend(clients::curl(
        sandbox,
        PORT,
        Version::Http2,
        &["/status/201"],
    )?);
    exchanges.extend(clients::grpc(sandbox, PORT)?);
    exchanges.extend(clients::curl(sandbox, PORT, Version::Http1, &["/dead"])?);
    let connects = vec![
        clients::connect(sandbox, PORT)?,
        clients::connect(sandbox, CLOSED_PORT)?,
    ];
    Ok((exchanges, connects))
}

/// Runs all clients and asks Envoy what it counted meanwhile; the captures are for the caller to read.
///
/// # Errors
///
/// Fails if a client does, or if Envoy has not accepted the clients' connections.
pub fn run_counted(sandbox: &Sandbox, envoy: &Envoy) -> anyhow::Result<Evidence> {
    let (exchanges, connects) = run(sandbox)?;
    let of_requests = exchanges.iter().map(|exchange| exchange.local);
    let of_connects = connects
        .iter()
        .filter(|connect| !connect.refused)
        .map(|connect| connect.local);
    let accepted = of_requests
        .chain(of_connects)
        .collect::<BTreeSet<_>>()
        .len();
    // The last client may be gone before Envoy has accepted it.
    let counters = deadline::wait("Envoy to accept every connection", ACCEPT_DEADLINE, || {
        let counters = envoy.counters(sandbox)?;
        let is_done = usize::try_from(counters.downstream_connections).is_ok_and(|n| n >= accepted);
        Ok(if is_done {
            Look::Done(counters)
        } else {
            Look::NotYet(format!("{counters:?}, expected {accepted}"))
        })
    })?;
    Ok(Evidence {
        exchanges,
        connects,
        openings: Vec::new(),
        counters,
    })
}
