//! Says what this machine lacks for the tests on the real kernel, loudly.

use std::{
    env,
    path::{Path, PathBuf},
};

use syntrace_test_requirements::Requirement;

use crate::cgroup;

/// Programs of the system that the sandbox runs.
const PROGRAMS: [&str; 10] = [
    "ip", "setpriv", "nft", "tcpdump", "curl", "h2load", "haproxy", "sh", "mount", "umount",
];

/// The oldest kernel on which the probe sees connections.
const KERNEL: (u32, u32) = (6, 10);

/// Returns whether the test can run here; otherwise says what is missing, and the test should return.
///
/// # Panics
///
/// With `REQUIRE_KERNEL=1`, where a skip is a failure.
#[must_use]
pub fn are_met() -> bool {
    let missing = missing();
    Requirement::Kernel.is_met(missing.is_empty(), &missing.join(", "))
}

/// Lists what is missing, in words.
#[must_use]
pub fn missing() -> Vec<String> {
    let mut missing = Vec::new();
    if !rustix::process::geteuid().is_root() {
        missing.push("root (CAP_BPF, CAP_NET_ADMIN, CAP_SYS_ADMIN)".to_owned());
    }
    if cgroup::mount_point().is_err() {
        missing.push("cgroup v2".to_owned());
    }
    if !Path::new("/sys/kernel/btf/vmlinux").exists() || kernel() < KERNEL {
        let (major, minor) = KERNEL;
        missing.push(format!("Linux {major}.{minor} with BTF"));
    }
    missing.extend(
        PROGRAMS
            .iter()
            .filter(|program| !is_installed(program))
            .map(|program| format!("`{program}`")),
    );
    missing
}

/// Returns the running kernel's version; 0.0 if it cannot be told.
fn kernel() -> (u32, u32) {
    let release = rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned();
    let mut numbers = release
        .split(['.', '-'])
        .map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn is_installed(program: &str) -> bool {
    let directories = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&directories)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|at: PathBuf| at.join(program).is_file())
}
