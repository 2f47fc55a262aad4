//! What probes do on this host, and what they may still do: by what the kernel says of them.

use std::{collections::BTreeMap, fs, path::Path};

use rustix::process::Pid;

use crate::{claim::claims, pins::Pins, privileges::Held};

/// Returns one line for each cgroup that a probe follows, or for which something is pinned below
/// `bpffs`.
#[must_use]
pub fn status(bpffs: &Path) -> Vec<String> {
    let mut cgroups: BTreeMap<u64, (Option<u32>, bool)> = BTreeMap::new();
    for (cgroup_id, process) in claims() {
        cgroups.entry(cgroup_id).or_default().0 = Some(process);
    }
    for (cgroup_id, _) in Pins::all(bpffs) {
        cgroups.entry(cgroup_id).or_default().1 = true;
    }
    let line = |(cgroup_id, (process, is_pinned)): (u64, (Option<u32>, bool))| {
        let process = process.map_or_else(
            || {
                "no probe is running; what it left waits for a successor, or for `detach`"
                    .to_owned()
            },
            |process| format!("process {process}, {}", privileges_of(process)),
        );
        let pinned = if is_pinned { "pinned" } else { "not pinned" };
        format!("cgroup {cgroup_id}: {process}; {pinned}")
    };
    cgroups.into_iter().map(line).collect()
}

/// Names the capabilities that `process` holds, and what those of its threads that hold others; and
/// whether it can gain others.
fn privileges_of(process: u32) -> String {
    let own = held_by(process);
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter();
    let others = threads.flatten().flatten().filter_map(|thread| {
        let number = thread.file_name().to_str()?.parse().ok()?;
        let held = held_by(number).filter(|held| Some(*held) != own && !held.is_nothing())?;
        let name = fs::read_to_string(thread.path().join("comm")).ok()?;
        Some(format!("; thread {}: {held}", name.trim_end()))
    });
    let own = own.map_or_else(|| "unknown".to_owned(), |own| own.to_string());
    let held: String = std::iter::once(own).chain(others).collect();
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let gains = if status.contains("NoNewPrivs:\t1") {
        "no new ones"
    } else {
        "may gain others"
    };
    format!("capabilities: {held} ({gains})")
}

/// Returns what the thread numbered `number` holds; `None` if it is gone.
fn held_by(number: u32) -> Option<Held> {
    let pid = Pid::from_raw(i32::try_from(number).ok()?)?;
    Held::of(Some(pid)).ok()
}
