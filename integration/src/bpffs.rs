//! A BPF file system of our own, where probes keep state for a successor: the host's own is left alone.

use std::{
    ffi::OsStr,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::{process, sandbox::Sandbox};

/// Its directory in that of its sandbox.
const NAME: &str = "bpffs";

/// A mounted BPF file system; on drop it is unmounted, and what is pinned there goes with it.
#[derive(Debug)]
pub struct Bpffs {
    sandbox: PathBuf,
    path: PathBuf,
}

// === impl Bpffs ===

impl Bpffs {
    /// Mounts it in the sandbox's directory; drop it after the probes that use it, and before the sandbox.
    ///
    /// # Errors
    ///
    /// Fails without the right to mount, or if the sandbox has one.
    pub fn mount(sandbox: &Sandbox) -> anyhow::Result<Self> {
        let path = sandbox.directory().join(NAME);
        fs::create_dir(&path).with_context(|| format!("creating {}", path.display()))?;
        let arguments = ["-t", "bpf", "bpf"].map(OsStr::new);
        process::run("mount", arguments.into_iter().chain([path.as_os_str()]))?;
        Ok(Self {
            sandbox: sandbox.directory().to_owned(),
            path,
        })
    }

    /// Returns where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        // What cannot be unmounted now is found by the next start's sweep.
        unmount(&self.sandbox).unwrap_or_default();
    }
}

/// Unmounts the BPF file system of the sandbox whose directory this is; where none is mounted, that is fine.
///
/// # Errors
///
/// Fails if it is mounted and cannot be unmounted.
pub fn unmount(sandbox: &Path) -> anyhow::Result<()> {
    let path = sandbox.join(NAME);
    let device = |path: &Path| fs::metadata(path).map(|directory| directory.dev());
    let is_mounted = match device(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        mounted => mounted? != device(sandbox)?,
    };
    if !is_mounted {
        return Ok(());
    }
    // At once, even if a program has not closed its files yet.
    process::run("umount", [OsStr::new("--lazy"), path.as_os_str()])
}
