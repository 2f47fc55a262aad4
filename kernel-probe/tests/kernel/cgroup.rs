//! A cgroup of our own, removed at the end.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
};

/// Removes the cgroup when dropped.
pub(crate) struct Cgroup {
    path: PathBuf,
}

/// Moves the process back when dropped.
pub(crate) struct Member {
    home: PathBuf,
}

/// Returns where cgroup v2 is mounted.
pub(crate) fn mount() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mut fields = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    fields
        .find(|fields| fields[2] == "cgroup2")
        .map(|fields| fields[1].into())
}

impl Cgroup {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("syntrace-probe-test-{}-{number}", process::id());
        Self::create(mount().unwrap().join(name))
    }

    pub(crate) fn child(&self) -> Self {
        Self::create(self.path.join("child"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the lines in which `bpftool` shows what is attached.
    pub(crate) fn programs(&self) -> Vec<String> {
        let shown = Command::new("bpftool")
            .args(["cgroup", "show"])
            .arg(&self.path)
            .output()
            .unwrap();
        let lines = String::from_utf8(shown.stdout).unwrap();
        // The first line is the table's head.
        lines.lines().skip(1).map(str::to_owned).collect()
    }

    /// Moves this process, whose sockets are made here from now on.
    pub(crate) fn join(&self) -> Member {
        let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap();
        let home = cgroups
            .lines()
            .find_map(|line| line.strip_prefix("0::/"))
            .unwrap();
        let home = mount().unwrap().join(home);
        enter(&self.path);
        Member { home }
    }

    /// Runs `work` as a member.
    pub(crate) fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        let _member = self.join();
        work()
    }

    fn create(path: PathBuf) -> Self {
        fs::create_dir(&path).unwrap();
        Self { path }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A test that fails must still clean up the rest.
        drop(fs::remove_dir(&self.path));
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        enter(&self.home);
    }
}

fn enter(cgroup: &Path) {
    fs::write(cgroup.join("cgroup.procs"), process::id().to_string()).unwrap();
}
