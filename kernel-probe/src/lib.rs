//! The kernel view: loads the eBPF programs, reads their snapshots and the kernel's table of sockets,
//! sends what they say to the bridge.
//!
//! Nothing is decided here about connections: the programs and `syntrace-ebpf-common` say what
//! was seen, the bridge says what it means.
#![forbid(unsafe_code)]

mod attach;
mod bridge;
mod check;
mod claim;
mod clock;
mod counters;
mod detach;
mod diag;
mod endpoint;
mod events;
mod explain;
mod followed;
mod handover;
mod host;
mod kernel_types;
mod lease;
mod listeners;
mod load_error;
mod loader;
mod manifest;
mod members;
mod mibs;
mod network;
mod observer;
mod older_listeners;
mod outbox;
mod pins;
mod poll;
mod pressure;
mod privileges;
mod process;
mod record;
mod reset_reasons;
mod run;
mod rung;
mod sender;
mod settings;
mod status;
mod survey;
mod translate;
mod view;
mod watch;

pub use attach::AttachError;
pub use bridge::{BridgeAddress, ParseBridgeAddressError};
pub use check::{Report, check};
pub use claim::ClaimError;
pub use detach::{DetachError, Detached, Scope, detach};
pub use explain::{Cause, Explanation, explain};
pub use load_error::LoadError;
pub use manifest::{Manifest, ManifestError};
pub use members::Whose;
pub use network::{Network, ParseNetworkError};
pub use privileges::Held;
pub use process::{ProcessError, process};
pub use record::{RecordError, record, replay};
pub use run::{Destination, RunError, Succession, run};
pub use rung::{Capability, Ladder, Missing, ParseCapabilityError};
pub use settings::{
    CgroupError, MeshKeyError, MeshKeys, ParseRingBytesError, RingBytes, Settings, cgroup,
};
pub use status::status;
pub use syntrace_ebpf_common::MAX_NETWORKS;
pub use watch::watch;
