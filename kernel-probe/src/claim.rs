//! One probe for each cgroup: a lock on the cgroup's directory, which ends with the process.
//!
//! A crash leaves no lock behind, and the kernel itself names the holder.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
    process::{Pid, Signal, kill_process},
};

use crate::handover::{Request, is_requested};

/// What asks a probe to hand over to a successor.
const HAND_OVER: Signal = Signal::USR1;

/// How long a probe may take to hand over, or to end.
const LET_GO_WITHIN: Duration = Duration::from_secs(10);

/// The end of that time, in which nobody asks any more, for a probe that saw the request just before.
const WITHDRAWN_FOR: Duration = Duration::from_secs(1);

/// What the kernel calls a process of ours: its first 15 bytes.
const NAME: &str = "syntrace-probe";

/// How often the lock is tried meanwhile.
const TRY_EVERY: Duration = Duration::from_millis(2);

/// Why the cgroup is not ours.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another probe follows it.
    #[error(
        "another probe{} follows this cgroup: end it, or take over from it with --take-over",
        named(*.0)
    )]
    Held(Option<u32>),
    /// The other probe did not let go.
    #[error("the other probe did not release the cgroup within {} s", LET_GO_WITHIN.as_secs())]
    NotLetGo,
    /// The directory cannot be locked.
    #[error("locking the cgroup's directory failed: {0}")]
    Lock(#[source] io::Error),
}

/// The cgroup is ours, until this is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    cgroup: File,
}

// === impl Claim ===

impl Claim {
    /// Claims `cgroup`.
    ///
    /// # Errors
    ///
    /// [`ClaimError::Held`] names the probe that has it.
    pub(crate) fn of(cgroup: &File) -> Result<Self, ClaimError> {
        let lock = cgroup.try_clone().map_err(ClaimError::Lock)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { cgroup: lock }),
            Err(Errno::WOULDBLOCK) => Err(ClaimError::Held(holder(cgroup))),
            Err(error) => Err(ClaimError::Lock(error.into())),
        }
    }

    /// Claims `cgroup` from the probe that has it, which is asked to hand over, and waits for that.
    /// One that another successor becomes meanwhile is asked in its turn.
    ///
    /// # Errors
    ///
    /// [`ClaimError::NotLetGo`] if it does not within 10 s; then nobody asks it any more.
    pub(crate) fn take_over(cgroup: &File) -> Result<Self, ClaimError> {
        let request = Request::for_cgroup(cgroup).map_err(ClaimError::Lock)?;
        let mut asked = None;
        let claimed = wait_for(LET_GO_WITHIN - WITHDRAWN_FOR, || match Self::of(cgroup) {
            Err(ClaimError::Held(holder)) => {
                if holder != asked {
                    ask(holder, HAND_OVER);
                    asked = holder;
                }
                None
            }
            claim => Some(claim),
        });
        drop(request);
        let seen_before = || {
            wait_for(WITHDRAWN_FOR, || match Self::of(cgroup) {
                Err(ClaimError::Held(_)) => None,
                claim => Some(claim),
            })
        };
        let claimed = claimed.or_else(seen_before);
        claimed.unwrap_or(Err(ClaimError::NotLetGo))
    }

    /// Returns whether a successor asks for the cgroup.
    pub(crate) fn is_requested(&self) -> bool {
        is_requested(&self.cgroup).unwrap_or_else(|error| {
            tracing::debug!(%error, "Could not look who asks for the cgroup");
            false
        })
    }
}

/// Ends the probe `process` that has claimed the cgroup with this id, and waits until it has.
///
/// # Errors
///
/// [`ClaimError::NotLetGo`] if it does not within 10 s.
pub(crate) fn end(cgroup_id: u64, process: u32) -> Result<(), ClaimError> {
    ask(Some(process), Signal::TERM);
    let has_let_go = || (holder_of(cgroup_id) != Some(process)).then_some(());
    wait_for(LET_GO_WITHIN, has_let_go).ok_or(ClaimError::NotLetGo)
}

/// Returns what `found` finds, as soon as it does; `None` if it does not `within` that time.
fn wait_for<T>(within: Duration, mut found: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = found() {
            return Some(found);
        }
        if began.elapsed() > within {
            return None;
        }
        thread::sleep(TRY_EVERY);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Others share the open file; it is unlocked for all of them.
        if let Err(error) = flock(&self.cgroup, FlockOperation::Unlock) {
            tracing::debug!(%error, "Could not unlock the cgroup");
        }
    }
}

/// Returns the ids of the cgroups that probes have claimed, each with its probe.
pub(crate) fn claims() -> Vec<(u64, u32)> {
    let is_probe = |process: u32| {
        let name = fs::read_to_string(format!("/proc/{process}/comm"));
        name.is_ok_and(|name| name.trim_end() == NAME)
    };
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    locks_in(&locks)
        .filter(|&(_, process)| is_probe(process))
        .collect()
}

fn holder_of(cgroup_id: u64) -> Option<u32> {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    locks_in(&locks)
        .find(|&(inode, _)| inode == cgroup_id)
        .map(|(_, process)| process)
}

fn holder(cgroup: &File) -> Option<u32> {
    holder_of(cgroup.metadata().ok()?.ino())
}

/// Reads `/proc/locks`: inodes that are locked as a whole, each with the process that did. Processes
/// of other pid namespaces are not told.
fn locks_in(locks: &str) -> impl Iterator<Item = (u64, u32)> {
    locks.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let &[_, "FLOCK", _, "WRITE", process, file, ..] = fields.as_slice() else {
            return None;
        };
        let inode = file.rsplit(':').next()?.parse().ok()?;
        let process = process.parse().ok().filter(|&process| process > 0)?;
        Some((inode, process))
    })
}

fn ask(process: Option<u32>, signal: Signal) {
    let pid = process
        .and_then(|process| i32::try_from(process).ok())
        .and_then(Pid::from_raw);
    if let Some(pid) = pid
        && let Err(error) = kill_process(pid, signal)
    {
        tracing::warn!(%error, "Could not ask the other probe to release the cgroup");
    }
}

/// Names a process where it is known.
fn named(process: Option<u32>) -> String {
    process.map_or_else(String::new, |process| format!(" (process {process})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_claim_names_the_holder() {
        let folder = tempfile::tempdir().unwrap();
        let first = Claim::of(&File::open(folder.path()).unwrap()).unwrap();
        let second = File::open(folder.path()).unwrap();
        let error = Claim::of(&second).unwrap_err();
        assert!(matches!(error, ClaimError::Held(Some(holder)) if holder == std::process::id()));
        drop(first);
        assert!(Claim::of(&second).is_ok());
    }

    #[test]
    fn locks_of_other_kinds_are_left_out() {
        let locks = "1: POSIX  ADVISORY  WRITE 7 00:1b:55 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 8 00:1b:56 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 9 00:1b:55 0 EOF\n";
        assert_eq!(locks_in(locks).collect::<Vec<_>>(), [(56, 8), (55, 9)]);
    }
}
