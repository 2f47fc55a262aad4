//! What a probe has in the kernel: links, programs and maps, by their numbers, as `bpftool` lists them.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt as _, process::Command};

use serde_json::Value;

use crate::cgroup::Cgroup;

/// Numbers of what belongs to one cgroup's probe.
#[derive(Debug)]
pub(crate) struct InKernel {
    links: BTreeSet<u64>,
    programs: BTreeSet<u64>,
    maps: BTreeSet<u64>,
}

impl InKernel {
    /// Lists the links to `cgroup`, their programs, and those programs' maps.
    pub(crate) fn of(cgroup: &Cgroup) -> Self {
        let cgroup_id = fs::metadata(cgroup.path()).unwrap().ino();
        let mut links = listed("link");
        links.retain(|link| link["cgroup_id"].as_u64() == Some(cgroup_id));
        let programs = ids(&links, "prog_id");
        let mut listed = listed("prog");
        listed.retain(|program| programs.contains(&program["id"].as_u64().unwrap()));
        let maps = listed
            .iter()
            .filter_map(|program| program["map_ids"].as_array());
        let found = Self {
            links: ids(&links, "id"),
            maps: maps.flatten().filter_map(Value::as_u64).collect(),
            programs,
        };
        assert!(!found.links.is_empty() && !found.programs.is_empty() && !found.maps.is_empty());
        found
    }

    /// Returns whether none of it is there any more.
    pub(crate) fn is_gone(&self) -> bool {
        let kinds = [
            ("link", &self.links),
            ("prog", &self.programs),
            ("map", &self.maps),
        ];
        let is_gone =
            |(kind, ours): (&str, &BTreeSet<u64>)| ids(&listed(kind), "id").is_disjoint(ours);
        kinds.into_iter().all(is_gone)
    }
}

fn listed(kind: &str) -> Vec<Value> {
    let output = Command::new("bpftool")
        .args(["--json", kind, "show"])
        .output();
    // Where there is none of a kind, nothing is printed.
    serde_json::from_slice(&output.unwrap().stdout).unwrap_or_default()
}

fn ids(listed: &[Value], field: &str) -> BTreeSet<u64> {
    listed
        .iter()
        .filter_map(|found| found[field].as_u64())
        .collect()
}
