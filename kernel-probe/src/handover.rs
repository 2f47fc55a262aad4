//! A successor's request that the probe of a cgroup hand over; it ends with the process that asks.
//!
//! The signal that tells of it may arrive when nobody asks any more. So who asks holds a lock on a
//! file of the cgroup, and who is asked looks for that: in whatever pid namespace either of them is.
//! It is a lock of fcntl(2), read-only, and no claim, which is one of flock(2): several may ask at
//! once, and no list of claims shows it.

use std::{fs::File, io};

use rustix::{
    fs::{FlockOperation, Mode, OFlags, fcntl_lock, openat},
    process::{Flock, FlockType, fcntl_getlk},
};

/// Every cgroup v2 has this file, but for the root.
const LOCKED: &str = "cgroup.events";

/// The request is made, until this is dropped.
#[derive(Debug)]
pub(crate) struct Request {
    /// The kernel drops the lock when the process closes the file.
    _locked: File,
}

// === impl Request ===

impl Request {
    /// Asks for `cgroup`.
    ///
    /// # Errors
    ///
    /// Fails if the cgroup is gone, or the root.
    pub(crate) fn for_cgroup(cgroup: &File) -> io::Result<Self> {
        let file = open(cgroup)?;
        fcntl_lock(&file, FlockOperation::NonBlockingLockShared)?;
        Ok(Self { _locked: file })
    }
}

/// Returns whether another process asks for `cgroup`.
///
/// # Errors
///
/// Fails if the cgroup is gone, or the root: then nobody can ask.
pub(crate) fn is_requested(cgroup: &File) -> io::Result<bool> {
    let file = open(cgroup)?;
    // Asked, not tried: nobody is kept from asking meanwhile.
    let in_the_way = fcntl_getlk(&file, &Flock::from(FlockType::WriteLock))?;
    Ok(in_the_way.is_some())
}

fn open(cgroup: &File) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(openat(cgroup, LOCKED, flags, Mode::empty())?.into())
}
