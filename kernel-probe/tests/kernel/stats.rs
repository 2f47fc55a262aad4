//! How often the programs ran, from the kernel's own statistics.

use std::{fs, process::Command};

use serde_json::Value;

use crate::cgroup::Cgroup;

const ENABLED: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// Switches the statistics back when dropped.
pub(crate) struct Stats {
    before: String,
    sock_ops: u64,
}

impl Stats {
    /// Counts the runs of the program that follows connections of `cgroup`.
    pub(crate) fn new(cgroup: &Cgroup) -> Self {
        let before = fs::read_to_string(ENABLED).unwrap();
        fs::write(ENABLED, "1").unwrap();
        let programs = attached(cgroup);
        let sock_ops = programs
            .iter()
            .find(|program| program["name"] == "connections")
            .unwrap();
        Self {
            before,
            sock_ops: sock_ops["id"].as_u64().unwrap(),
        }
    }

    pub(crate) fn runs(&self) -> u64 {
        self.program()["run_cnt"].as_u64().unwrap()
    }

    pub(crate) fn run_time_ns(&self) -> u64 {
        self.program()["run_time_ns"].as_u64().unwrap()
    }

    fn program(&self) -> Value {
        bpftool(&["prog", "show", "id", &self.sock_ops.to_string()])
    }
}

impl Drop for Stats {
    fn drop(&mut self) {
        drop(fs::write(ENABLED, &self.before));
    }
}

/// Returns the programs that are attached to `cgroup`.
pub(crate) fn attached(cgroup: &Cgroup) -> Vec<Value> {
    let shown = bpftool(&["cgroup", "show", cgroup.path().to_str().unwrap()]);
    shown.as_array().cloned().unwrap_or_default()
}

fn bpftool(arguments: &[&str]) -> Value {
    let output = Command::new("bpftool")
        .arg("-j")
        .args(arguments)
        .output()
        .unwrap();
    if output.stdout.trim_ascii().is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(&output.stdout).unwrap()
}
