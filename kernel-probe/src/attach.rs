//! Programs on a cgroup: attached beside those of others, or in the place of a predecessor's.

use std::{
    fs::File,
    io,
    os::fd::{AsFd as _, BorrowedFd},
};

use syntrace_cgroup_link::{Hook, Link};

use crate::pins::Pins;

/// Why a program is not attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The kernel refused it on the cgroup.
    #[error("the kernel refused it: {0}")]
    Link(#[source] io::Error),
    /// The program of a link that is there could not be exchanged.
    #[error("replacing the program of its link failed: {0}")]
    Replace(#[source] io::Error),
    /// The link could not be pinned.
    #[error("pinning its link failed: {0}")]
    Pin(#[source] io::Error),
}

/// Attaches `program` to `cgroup` by the link `name`.
///
/// Where that is among `pins`, its program is exchanged, so that no event is missed or seen twice;
/// otherwise it is pinned there. Without pins the program is detached when the link is dropped.
///
/// # Errors
///
/// [`AttachError`] says what the kernel refused.
pub(crate) fn attach(
    program: BorrowedFd<'_>,
    hook: Hook,
    name: &str,
    cgroup: &File,
    pins: Option<&Pins>,
) -> Result<Option<Link>, AttachError> {
    let new = || Link::new(program, cgroup.as_fd(), hook).map_err(AttachError::Link);
    let Some(path) = pins.map(|pins| pins.link(name)) else {
        return new().map(Some);
    };
    if path.exists() {
        let link = Link::open(&path).map_err(AttachError::Replace)?;
        link.replace(program).map_err(AttachError::Replace)?;
    } else {
        new()?.pin(&path).map_err(AttachError::Pin)?;
    }
    Ok(None)
}
