//! The probe's life on a real kernel: less privileges, successors, crashes, and what is left behind.
//!
//! Needs root, cgroup v2, bpffs, `ip`, `nft`, `unshare` and `capsh`; otherwise says so and passes,
//! unless `REQUIRE_KERNEL=1`, then fails.
#![forbid(unsafe_code)]
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test says by panicking what went wrong, in its helpers too"
)]

mod again;
mod bpffs;
#[expect(dead_code, reason = "the target `kernel` uses the rest")]
#[path = "../kernel/cgroup.rs"]
mod cgroup;
mod check;
mod client;
mod clock;
mod elf;
mod handshakes;
mod in_kernel;
mod ladder;
mod listeners;
mod manifest;
#[expect(dead_code, reason = "the target `kernel` uses the rest")]
#[path = "../kernel/netns.rs"]
mod netns;
mod only_tags;
mod orders;
mod poll;
mod pressure;
mod probe;
mod receiver;
mod record;
mod refusals;
mod rejections;
mod site;
#[path = "../kernel/stats.rs"]
mod stats;
mod succession;
mod switched_off;
#[expect(dead_code, reason = "the target `kernel` uses the rest")]
#[path = "../kernel/traffic.rs"]
mod traffic;
mod waiting;
mod watch;
mod withdrawn;

use std::{
    env,
    io::{self, Write as _},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use syntrace_test_requirements::Requirement;

/// Tests move the whole process between cgroups: one at a time.
static TURN: Mutex<()> = Mutex::new(());

/// Waits for this test's turn; `None` if the machine lacks something, which is said.
fn turn() -> Option<MutexGuard<'static, ()>> {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_missing =
        |tool: &&str| !env::split_paths(&path).any(|folder| folder.join(tool).is_file());
    let missing = if !rustix::process::geteuid().is_root() {
        Some("root")
    } else if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        Some("a kernel with BTF")
    } else if cgroup::mount().is_none() {
        Some("cgroup v2")
    } else {
        ["ip", "nft", "unshare", "capsh", "bpftool"]
            .into_iter()
            .find(is_missing)
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
