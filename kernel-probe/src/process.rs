//! From a process to whom to follow: its cgroup, where it has one that is not the whole machine's.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use crate::members::Whose;

/// A number that is no process's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a running process whose /proc entry this user may read")]
pub struct ProcessError;

/// Returns whom following `pid` means: the cgroup v2 that it is in, with all that is there.
///
/// It means the process alone, without hooks, if that cgroup is the root, where hooks would run
/// for every connection of the machine, or if cgroup v2 is not mounted.
///
/// # Errors
///
/// [`ProcessError`] if there is no such process.
pub fn process(pid: u32) -> Result<Whose, ProcessError> {
    let Ok(cgroups) = fs::read_to_string(format!("/proc/{pid}/cgroup")) else {
        return Err(ProcessError);
    };
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let cgroup = path_of(&cgroups, &mounts).and_then(|path| File::open(path).ok());
    Ok(cgroup.map_or(Whose::Process(pid), Whose::Cgroup))
}

/// Cgroup v2 is not mounted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cgroup v2 is not mounted: {command}")]
pub(crate) struct NoCgroup2 {
    /// What mounts it.
    pub(crate) command: &'static str,
}

/// Returns where cgroup v2 is mounted.
///
/// # Errors
///
/// [`NoCgroup2`] if it is not.
pub(crate) fn cgroup2() -> Result<PathBuf, NoCgroup2> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mount(&mounts)
        .map(Path::to_path_buf)
        .ok_or_else(|| NoCgroup2 {
            command: mounting(&mounts),
        })
}

/// Returns what mounts cgroup v2: beside the hierarchies of version 1, where these are in its usual place.
fn mounting(mounts: &str) -> &'static str {
    let is_usual_place = |line: &str| line.split(' ').nth(1) == Some("/sys/fs/cgroup");
    if mounts.lines().any(is_usual_place) {
        "mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified"
    } else {
        "mount -t cgroup2 cgroup2 /sys/fs/cgroup"
    }
}

/// Returns the directory of the cgroup v2 that is no root; `cgroups` is a `/proc/PID/cgroup`.
fn path_of(cgroups: &str, mounts: &str) -> Option<PathBuf> {
    let below = cgroups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    if below.is_empty() {
        return None;
    }
    Some(mount(mounts)?.join(below))
}

/// Returns where cgroup v2 is mounted; `mounts` is `/proc/self/mounts`.
fn mount(mounts: &str) -> Option<&Path> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (place, system) = (fields.next()?, fields.next()?);
        (system == "cgroup2").then(|| Path::new(place))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n";

    #[test]
    fn a_process_is_followed_with_its_cgroup() {
        assert_eq!(
            path_of("1:cpu:/x\n0::/gateway.slice\n", MOUNTS),
            Some("/sys/fs/cgroup/gateway.slice".into())
        );
    }

    #[test]
    fn a_process_in_the_root_is_followed_alone() {
        assert_eq!(path_of("0::/\n", MOUNTS), None);
        assert_eq!(path_of("0::/gateway.slice\n", ""), None);
        assert!(matches!(process(u32::MAX), Err(ProcessError)));
    }

    #[test]
    fn cgroup_v2_is_mounted_where_nothing_else_is() {
        let none = "sysfs /sys sysfs rw 0 0\n";
        assert_eq!(mounting(none), "mount -t cgroup2 cgroup2 /sys/fs/cgroup");
        let first = format!("{none}tmpfs /sys/fs/cgroup tmpfs rw 0 0\n");
        assert!(mounting(&first).ends_with("/sys/fs/cgroup/unified"));
    }
}
