//! Removes everything of ours from the kernel: ends probes that run, and unpins what others left.

use std::{fmt, io, path::Path};

use crate::{
    claim::{ClaimError, claims, end},
    pins::Pins,
};

/// Whose probe and pins are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Of the cgroup of this id alone, which may be gone.
    Cgroup(u64),
    /// Of every cgroup of the host.
    All,
}

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

/// Ends the probes in `scope`, and removes what is pinned for them below `bpffs`.
///
/// # Errors
///
/// [`DetachError`] names the first thing that could not be removed.
pub fn detach(bpffs: &Path, scope: Scope) -> Result<Vec<Detached>, DetachError> {
    let is_meant = |cgroup_id: u64| match scope {
        Scope::Cgroup(only) => only == cgroup_id,
        Scope::All => true,
    };
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
