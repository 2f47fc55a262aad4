//! Runs the real parts on the real kernel: a sandbox of network namespaces and a cgroup, a packet
//! capture, Envoy, the bridge and the probe, each a guard that ends what it started.
//!
//! The parts are driven only as an operator would: their programs, signals and HTTP. Nothing of the
//! host outside the sandbox is touched, and nothing of it stays.
#![forbid(unsafe_code)]

pub mod api;
pub mod benchmarks;
pub mod bpffs;
pub mod bridge;
pub mod capture;
pub mod cgroup;
pub mod clients;
pub mod deadline;
pub mod demo;
pub mod envoy;
pub mod front;
pub mod interrupt;
pub mod kept;
pub mod load;
pub mod netns;
pub mod paths;
pub mod pcap;
pub mod probe;
pub mod process;
pub mod requirements;
pub mod sandbox;
pub mod services;
pub mod stack;
pub mod steady;
pub mod sweep;
