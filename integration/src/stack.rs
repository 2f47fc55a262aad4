//! Everything at once: the bridge, the probe, the services and the gateway, started in the order in which
//! nothing is missed and ended in the reverse.

use crate::{
    bridge::Bridge,
    envoy::{Envoy, Gateway},
    probe::Probe,
    sandbox::Sandbox,
    services::Services,
};

/// A gateway that is watched from both sides.
#[derive(Debug)]
pub struct Stack {
    /// The gateway, with the filter in it.
    pub envoy: Envoy,
    /// What it leads to.
    pub services: Services,
    /// The view from the kernel; `None` where only the proxy watches.
    pub probe: Option<Probe>,
    /// Where both views meet.
    pub bridge: Bridge,
}

impl Stack {
    /// Starts all parts and waits until each is ready.
    ///
    /// # Errors
    ///
    /// Fails if a part does.
    pub fn start(sandbox: &Sandbox) -> anyhow::Result<Self> {
        Self::start_with(sandbox, Gateway::shipped())
    }

    /// Starts all parts around `gateway` and waits until each is ready.
    ///
    /// # Errors
    ///
    /// Fails if a part does.
    pub fn start_with(sandbox: &Sandbox, gateway: Gateway) -> anyhow::Result<Self> {
        let bridge = Bridge::start(sandbox)?;
        let probe = Some(Probe::start(sandbox)?);
        Ok(Self {
            bridge,
            probe,
            services: Services::start(sandbox)?,
            envoy: gateway.start(sandbox)?,
        })
    }

    /// Starts all parts but the probe.
    ///
    /// # Errors
    ///
    /// Fails if a part does.
    pub fn start_without_probe(sandbox: &Sandbox) -> anyhow::Result<Self> {
        let bridge = Bridge::start(sandbox)?;
        Ok(Self {
            bridge,
            probe: None,
            services: Services::start(sandbox)?,
            envoy: Envoy::start(sandbox)?,
        })
    }
}
