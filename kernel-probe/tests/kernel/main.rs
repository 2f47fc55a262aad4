//! The probe on a real kernel: own cgroup, own network namespaces, a small receiver for a bridge.
//!
//! Needs root, cgroup v2, `ip` and `nft`, for some tests `tcpdump`, `ss`, `stdbuf`, `python3` or
//! `bpftool`; otherwise says so and passes, unless `REQUIRE_KERNEL=1`, then fails.
#![forbid(unsafe_code)]
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test says by panicking what went wrong, in its helpers too"
)]

mod burst;
mod capture;
mod cases;
mod cgroup;
mod connections;
mod conversation;
mod cookies;
mod crossed;
mod forged;
mod middlebox;
mod neighbour;
mod netns;
mod probe;
mod process;
mod receiver;
mod ss;
mod stats;
mod table;
mod tags;
mod told;
mod traffic;
#[path = "../life/waiting.rs"]
mod waiting;
mod wire;
mod witnesses;

use std::{
    env,
    io::{self, Write as _},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use syntrace_test_requirements::Requirement;

/// A namespace's or the host's loopback network.
const LOOPBACK: &str = "127.0.0.0/8";

/// Tests move the whole process between cgroups: one at a time.
static TURN: Mutex<()> = Mutex::new(());

/// Waits for this test's turn; `None` if the machine lacks something, which is said.
fn turn(tools: &[&str]) -> Option<MutexGuard<'static, ()>> {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_missing =
        |tool: &&&str| !env::split_paths(&path).any(|folder| folder.join(tool).is_file());
    let missing = if !rustix::process::geteuid().is_root() {
        Some("root")
    } else if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        Some("a kernel with BTF")
    } else if cgroup::mount().is_none() {
        Some("cgroup v2")
    } else {
        tools.iter().find(is_missing).copied()
    };
    Requirement::Kernel
        .is_met(missing.is_none(), missing.unwrap_or_default())
        .then(|| TURN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Prints a line past the test harness.
fn say(line: &str) {
    let mut harness = io::stderr();
    writeln!(harness, "{line}").unwrap();
}
