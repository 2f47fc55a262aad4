//! Control groups (version 2) of our own, where the probe is attached and nowhere else.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;

use crate::deadline::{self, Look};

/// The kernel ends the members of a killed group well within this.
const EMPTY_DEADLINE: Duration = Duration::from_secs(5);

/// One control group; its members are killed and the group removed on drop.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Creates `name` directly below the mount point.
    ///
    /// # Errors
    ///
    /// Fails without cgroup v2, without the right to make one, or if it exists.
    pub fn create(name: &str) -> anyhow::Result<Self> {
        Self::create_at(mount_point()?.join(name))
    }

    /// Creates a group inside this one; drop it before its parent.
    ///
    /// # Errors
    ///
    /// As [`Self::create`].
    pub fn child(&self, name: &str) -> anyhow::Result<Self> {
        Self::create_at(self.path.join(name))
    }

    fn create_at(path: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir(&path).with_context(|| format!("creating the cgroup {}", path.display()))?;
        Ok(Self { path })
    }

    /// Returns the group's directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the file into which a process writes its id to become a member.
    #[must_use]
    pub fn procs(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // What cannot be removed now is found by the next start's sweep.
        remove(&self.path).unwrap_or_default();
    }
}

/// Returns where cgroup v2 is mounted.
///
/// # Errors
///
/// Fails if it is mounted nowhere.
pub fn mount_point() -> anyhow::Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("reading /proc/self/mounts")?;
    mounts
        .lines()
        .find_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (at, kind) = (fields.next()?, fields.next()?);
            (kind == "cgroup2").then(|| PathBuf::from(at))
        })
        .context("cgroup v2 is not mounted")
}

/// Kills the members of the group at `path`, of it and its children, and removes it; one that is gone is fine.
///
/// # Errors
///
/// Fails if a group can still not be removed at the deadline.
pub fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::write(path.join("cgroup.kill"), "1") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        killed => killed.with_context(|| format!("killing the cgroup {}", path.display()))?,
    }
    for child in fs::read_dir(path)?
        .flatten()
        .filter(|entry| entry.path().is_dir())
    {
        remove(&child.path())?;
    }
    deadline::wait_uninterrupted(
        &format!("{} to be empty", path.display()),
        EMPTY_DEADLINE,
        || {
            Ok(match fs::remove_dir(path) {
                Ok(()) => Look::Done(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Look::Done(()),
                Err(error) => Look::NotYet(error.to_string()),
            })
        },
    )
}
