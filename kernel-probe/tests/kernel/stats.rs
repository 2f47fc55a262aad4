//! How often and how long the programs of a process ran, from the kernel's own statistics.

use std::{fs, ops::Sub};

const ENABLED: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// `BPF_PROG_TYPE_SOCK_OPS` of the UAPI.
const SOCK_OPS: u64 = 13;

/// Switches the statistics back when dropped.
pub(crate) struct Stats {
    before: String,
}

/// What the programs cost since they were loaded, or between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Runs of `sock_ops` programs.
    pub(crate) sock_ops_runs: u64,
    /// Runs of all others.
    pub(crate) other_runs: u64,
    /// Run time of all, nanoseconds.
    pub(crate) ns: u64,
}

impl Stats {
    /// Switches the statistics on; one user at a time.
    pub(crate) fn new() -> Self {
        let before = fs::read_to_string(ENABLED).unwrap();
        fs::write(ENABLED, "1").unwrap();
        Self { before }
    }
}

impl Drop for Stats {
    fn drop(&mut self) {
        drop(fs::write(ENABLED, &self.before));
    }
}

impl Cost {
    /// Returns what all programs cost that the process `pid` holds.
    pub(crate) fn of(pid: u32) -> Self {
        let mut cost = Self::default();
        for fd in fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap() {
            // A descriptor may be closed meanwhile: then it is no program's.
            let info = fs::read_to_string(fd.unwrap().path()).unwrap_or_default();
            let field = |name: &str| {
                let mut lines = info.lines().filter_map(|line| line.split_once(":\t"));
                lines.find(|(key, _)| *key == name)?.1.parse::<u64>().ok()
            };
            let Some(runs) = field("run_cnt") else {
                continue;
            };
            if field("prog_type") == Some(SOCK_OPS) {
                cost.sock_ops_runs += runs;
            } else {
                cost.other_runs += runs;
            }
            cost.ns += field("run_time_ns").unwrap();
        }
        cost
    }
}

impl Sub for Cost {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            sock_ops_runs: self.sock_ops_runs - earlier.sock_ops_runs,
            other_runs: self.other_runs - earlier.other_runs,
            ns: self.ns - earlier.ns,
        }
    }
}
