//! Removes everything of ours from the kernel: ends probes that run, and unpins what others left.

use std::{fmt, io, os::unix::fs::MetadataExt as _, path::Path};

use crate::{
    claim::{ClaimError, claims, end},
    members::Whose,
    pins::Pins,
};

/// What was removed of one cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detached {
    /// The cgroup's id.
    pub cgroup_id: u64,
    /// The probe that was ended.
    pub process: Option<u32>,
    /// Links and maps that had been left pinned.
    pub n_pins: usize,
}

impl fmt::Display for Detached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cgroup {}: ", self.cgroup_id)?;
        match self.process {
            Some(process) => write!(f, "ended process {process}"),
            None => write!(f, "removed {} links and maps", self.n_pins),
        }
    }
}

/// Why something of ours is still there.
#[derive(Debug, thiserror::Error)]
pub enum DetachError {
    /// A probe did not end.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// A pin could not be removed.
    #[error("removing what is pinned for cgroup {cgroup_id} failed: {source}")]
    Pins {
        /// The cgroup's id.
        cgroup_id: u64,
        /// What the kernel answered.
        source: io::Error,
    },
}

/// Ends the probe of each cgroup, or of that in `whose` alone, and removes what is pinned for it
/// below `bpffs`.
///
/// # Errors
///
/// [`DetachError`] names the first thing that could not be removed.
pub fn detach(bpffs: &Path, whose: Option<&Whose>) -> Result<Vec<Detached>, DetachError> {
    let only = match whose {
        Some(Whose::Cgroup(cgroup)) => cgroup.metadata().ok().map(|cgroup| cgroup.ino()),
        Some(Whose::Process(_)) | None => None,
    };
    let is_meant = |cgroup_id: u64| only.is_none_or(|only| only == cgroup_id);
    let mut detached = Vec::new();
    for (cgroup_id, process) in claims() {
        if is_meant(cgroup_id) {
            end(cgroup_id, process)?;
            detached.push(Detached {
                cgroup_id,
                process: Some(process),
                n_pins: 0,
            });
        }
    }
    for (cgroup_id, pins) in Pins::all(bpffs) {
        if is_meant(cgroup_id) {
            let n_pins = pins
                .remove()
                .map_err(|source| DetachError::Pins { cgroup_id, source })?;
            detached.push(Detached {
                cgroup_id,
                process: None,
                n_pins,
            });
        }
    }
    Ok(detached)
}
