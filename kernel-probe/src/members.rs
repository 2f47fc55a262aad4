//! Whose sockets are followed: those of a cgroup with all below it, or those of one process.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    process,
};

use crate::diag::TcpSocket;

/// Processes that are looked at; a namespace that only others use is not found.
const PROCESSES: usize = 4096;

/// `ENODEV` of asm-generic/errno-base.h.
const ENODEV: i32 = 19;

/// Whose sockets are meant.
#[derive(Debug)]
pub enum Whose {
    /// All of this cgroup v2 directory and below.
    Cgroup(File),
    /// This process alone, by its number; without hooks, which are attached to cgroups.
    Process(u32),
}

/// Who they are at one moment.
#[derive(Debug, Default)]
pub(crate) struct Members {
    /// Ids of the cgroups; empty for a process.
    cgroups: BTreeSet<u64>,
    /// Inodes of the sockets that the process holds; empty for a cgroup.
    sockets: BTreeSet<u32>,
    processes: BTreeSet<u32>,
}

// === impl Whose ===

impl Whose {
    /// Looks who they are now.
    ///
    /// # Errors
    ///
    /// Fails if the cgroup or the process is gone.
    pub(crate) fn look(&self) -> io::Result<Members> {
        let mut members = Members::default();
        match self {
            Self::Cgroup(directory) => {
                let root = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
                descend(&root, &mut members)?;
            }
            Self::Process(process) => {
                members.sockets = sockets_of(*process)?;
                members.processes.insert(*process);
            }
        }
        Ok(members)
    }
}

// === impl Members ===

impl Members {
    /// Returns whether `socket` belongs to them.
    pub(crate) fn have(&self, socket: &TcpSocket) -> bool {
        self.cgroups.contains(&socket.cgroup_id) || self.sockets.contains(&socket.inode)
    }

    /// Returns the only process; 0 if there are several.
    pub(crate) fn only_process(&self) -> u32 {
        match (self.processes.len(), self.processes.first()) {
            (1, Some(&process)) => process,
            _ => 0,
        }
    }

    /// Looks in which network namespaces they are, by [`namespace_of`]; returns a member of each,
    /// as a rule the oldest.
    pub(crate) fn namespaces(&self) -> BTreeMap<u64, u32> {
        let mut found = BTreeMap::new();
        for &process in self.processes.iter().take(PROCESSES) {
            // One that has ended meanwhile is nowhere.
            if let Ok(namespace) = namespace_of(process) {
                found.entry(namespace).or_insert(process);
            }
        }
        found
    }

    /// Looks in which of `namespaces` somebody else is, too: at every process of the host.
    pub(crate) fn shared(&self, namespaces: &BTreeMap<u64, u32>) -> BTreeSet<u64> {
        // This process itself opens no TCP socket.
        let is_other =
            |process: &u32| *process != process::id() && !self.processes.contains(process);
        all_processes()
            .filter(is_other)
            .filter_map(|other| namespace_of(other).ok())
            .filter(|inode| namespaces.contains_key(inode))
            .collect()
    }
}

/// Returns a number that names the network namespace of `process`.
///
/// The inode of a file that each namespace has for itself: unlike `/proc/PID/ns/net` it may be
/// looked at by everybody.
///
/// # Errors
///
/// Fails if the process is gone.
pub(crate) fn namespace_of(process: u32) -> io::Result<u64> {
    fs::metadata(format!("/proc/{process}/net/netstat")).map(|file| file.ino())
}

/// Collects the ids of `cgroup` and all below it, and their processes.
fn descend(cgroup: &Path, members: &mut Members) -> io::Result<()> {
    members.cgroups.insert(fs::metadata(cgroup)?.ino());
    let listed = fs::read_to_string(cgroup.join("cgroup.procs")).map_err(|error| {
        // Of a cgroup that was removed after it was opened.
        match error.raw_os_error() {
            Some(ENODEV) => io::ErrorKind::NotFound.into(),
            Some(_) | None => error,
        }
    })?;
    members
        .processes
        .extend(listed.lines().filter_map(|line| line.parse::<u32>().ok()));
    for entry in fs::read_dir(cgroup)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            match descend(&entry.path(), members) {
                // Removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
        }
    }
    Ok(())
}

/// Returns the inodes of the sockets that `process` holds.
fn sockets_of(process: u32) -> io::Result<BTreeSet<u32>> {
    let files = fs::read_dir(format!("/proc/{process}/fd"))?.flatten();
    let inode = |file: fs::DirEntry| {
        let target = fs::read_link(file.path()).ok()?;
        let inode = target
            .to_str()?
            .strip_prefix("socket:[")?
            .strip_suffix(']')?;
        inode.parse().ok()
    };
    Ok(files.filter_map(inode).collect())
}

fn all_processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_process_has_its_own_sockets() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let members = Whose::Process(process::id()).look().unwrap();
        let inode = fs::metadata(format!("/proc/self/fd/{}", listener.as_raw_fd()));
        let ours = TcpSocket {
            inode: inode.unwrap().ino().try_into().unwrap(),
            ..TcpSocket::default()
        };
        assert!(members.have(&ours));
        assert!(!members.have(&TcpSocket::default()));
        assert_eq!(members.namespaces().len(), 1);
        assert_eq!(members.only_process(), process::id());
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        assert!(Whose::Process(u32::MAX).look().is_err());
    }
}
