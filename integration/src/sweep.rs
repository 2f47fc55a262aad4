//! Names what a run makes, and removes what a killed run left behind.
//!
//! Every namespace, cgroup and directory is named `syntrace-<process id>-<number>…`: its owner is in the
//! name, and what has no living owner is nobody's.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{bpffs, cgroup, netns};

const PREFIX: &str = "syntrace-";

/// Sandboxes that this process has made.
static MADE: AtomicU32 = AtomicU32::new(0);

/// Whether this process has swept; held while it does, so that none is made meanwhile.
static SWEPT: Mutex<bool> = Mutex::new(false);

/// Returns a name that nothing else on this host has.
///
/// The first call removes what dead processes left behind: also what bears this process's own id, since
/// it has made nothing yet.
///
/// # Errors
///
/// Fails if leftovers cannot be listed or removed.
pub fn unique_name() -> anyhow::Result<String> {
    let mut swept = SWEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if !*swept {
        sweep()?;
        *swept = true;
    }
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    Ok(format!("{PREFIX}{}-{number}", process::id()))
}

/// Returns where the files of the sandbox `name` go.
#[must_use]
pub fn directory(name: &str) -> PathBuf {
    std::env::temp_dir().join(name)
}

/// Removes the cgroups (with their members), namespaces and directories of dead owners, and this process's own.
fn sweep() -> anyhow::Result<()> {
    for name in leftovers(&cgroup::mount_point()?) {
        cgroup::remove(&cgroup::mount_point()?.join(name))?;
    }
    for name in leftovers(&netns::directory()) {
        netns::delete(&name)?;
    }
    for name in leftovers(&std::env::temp_dir()) {
        bpffs::unmount(&directory(&name))?;
        fs::remove_dir_all(directory(&name))?;
    }
    Ok(())
}

/// Lists the entries of `directory` that are ours and whose owner is dead; none if it does not exist.
fn leftovers(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let names = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter(|name| owner(name).is_some_and(|pid| pid == process::id() || !is_alive(pid)))
        .collect()
}

/// Returns the process id in one of our names.
fn owner(name: &str) -> Option<u32> {
    let (pid, _) = name.strip_prefix(PREFIX)?.split_once('-')?;
    pid.parse().ok()
}

fn is_alive(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_owner() {
        assert_eq!(owner("syntrace-4711-0-client"), Some(4711));
        assert_eq!(owner("syntrace-4711-12"), Some(4711));
    }

    #[test]
    fn names_of_others_have_no_owner() {
        for name in [
            "syntrace-4711",
            "syntrace-bridge-1",
            "client",
            "docker-4711-0",
            "syntrace--1",
        ] {
            assert_eq!(owner(name), None, "{name}");
        }
    }
}
