//! The kernel view: loads the eBPF programs, reads their snapshots, sends them to the bridge.
//!
//! Nothing is decided here about connections: the programs and `syntrace-ebpf-common` say what
//! was seen, the bridge says what it means.
#![forbid(unsafe_code)]

mod bridge;
mod check;
mod clock;
mod counters;
mod events;
mod lease;
mod loader;
mod network;
mod offsets;
mod outbox;
mod run;
mod rung;
mod sender;
mod settings;
mod translate;

pub use bridge::{BridgeAddress, ParseBridgeAddressError};
pub use check::check;
pub use loader::LoadError;
pub use network::{Network, ParseNetworkError};
pub use run::{RunError, run};
pub use rung::{Capability, Ladder, Missing};
pub use settings::{CgroupError, MeshKey, MeshKeyError, Settings, cgroup};
