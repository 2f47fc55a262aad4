//! What the bridge reports about itself and its senders.

use jiff::Timestamp;

use super::{envoy::Envoy, host::Host};
use crate::cli::{
    answers::{Coverage, Health, Request},
    bridge::{AskError, Bridge},
    list::{self, Kind},
};

/// Everything that was found.
#[derive(Debug)]
pub(super) struct Evidence {
    pub(super) host: Host,
    pub(super) bridge: Result<BridgeFound, AskError>,
    pub(super) bridge_address: String,
    pub(super) envoy: Result<Envoy, AskError>,
    pub(super) envoy_address: String,
    pub(super) bridge_cluster: String,
}

/// The bridge's answer.
#[derive(Clone, Debug)]
pub(super) struct BridgeFound {
    pub(super) health: Health,
    pub(super) coverage: Coverage,
    /// When the newest request began by its proxy's clock, and what time it was here.
    pub(super) newest: Option<(Timestamp, Timestamp)>,
}

/// Asks the bridge.
pub(super) async fn of_bridge(bridge: &Bridge) -> Result<BridgeFound, AskError> {
    let health = bridge.shape(&bridge.json("/readyz", &[]).await?)?;
    let coverage = bridge.shape(&bridge.json("/v1/coverage", &[]).await?)?;
    let newest = list::page(bridge, Kind::Requests, &[("limit", "1")]).await?;
    let newest = newest
        .rows
        .first()
        .map(|row| bridge.shape::<Request>(&row.value));
    let newest = newest.transpose()?;
    Ok(BridgeFound {
        health,
        coverage,
        newest: newest.map(|request| (request.started_at, Timestamp::now())),
    })
}
