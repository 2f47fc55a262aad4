//! What the operator orders, checked before anything is loaded.

use std::{
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use crate::{bridge::BridgeAddress, network::Network};

/// `CGROUP2_SUPER_MAGIC` of linux/magic.h.
const CGROUP2: u64 = 0x6367_7270;

/// What the operator orders.
#[derive(Debug)]
pub struct Settings {
    /// The cgroup whose sockets are followed, with all below it.
    pub cgroup: File,
    /// Where snapshots go.
    pub bridge: BridgeAddress,
    /// The name of this host in what is sent; empty for none.
    pub host_id: String,
    /// Networks to which SYNs are tagged.
    pub tag_to: Vec<Network>,
    /// Networks whose tags are believed and answered.
    pub believe_from: Vec<Network>,
    /// The key that tags are signed and checked with.
    pub mesh_key: Option<MeshKey>,
}

/// A key of 16 bytes; stays out of logs.
#[derive(Clone, Copy)]
pub struct MeshKey(pub(crate) [u8; 16]);

/// A path that is not a cgroup to attach to.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// The path cannot be opened.
    #[error("expected a cgroup v2 directory: {0}")]
    Open(#[source] io::Error),
    /// The path is not in the cgroup v2 hierarchy.
    #[error("expected a cgroup v2 directory, such as one below /sys/fs/cgroup")]
    NotCgroup2,
}

/// A file that holds no mesh key.
#[derive(Debug, thiserror::Error)]
pub enum MeshKeyError {
    /// The file cannot be read.
    #[error("expected a readable file: {0}")]
    Read(#[source] io::Error),
    /// The file holds something else.
    #[error("expected a file of 32 hexadecimal digits")]
    Digits,
}

/// Opens the cgroup at `path`.
///
/// # Errors
///
/// [`CgroupError`] says what is there instead.
pub fn cgroup(path: &Path) -> Result<File, CgroupError> {
    let directory = File::open(path).map_err(CgroupError::Open)?;
    let system =
        rustix::fs::fstatfs(&directory).map_err(|error| CgroupError::Open(error.into()))?;
    match u64::try_from(system.f_type) {
        Ok(CGROUP2) => Ok(directory),
        Ok(_) | Err(_) => Err(CgroupError::NotCgroup2),
    }
}

// === impl MeshKey ===

impl MeshKey {
    /// Reads the key that the file at `path` holds: 32 hexadecimal digits.
    ///
    /// # Errors
    ///
    /// [`MeshKeyError`] says what the file holds instead, never its content.
    pub fn read(path: &PathBuf) -> Result<Self, MeshKeyError> {
        let text = fs::read_to_string(path).map_err(MeshKeyError::Read)?;
        Self::parse(text.trim()).ok_or(MeshKeyError::Digits)
    }

    fn parse(digits: &str) -> Option<Self> {
        let all_digits =
            digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !all_digits {
            return None;
        }
        u128::from_str_radix(digits, 16)
            .ok()
            .map(|key| Self(key.to_be_bytes()))
    }
}

impl fmt::Debug for MeshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MeshKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_32_hexadecimal_digits() {
        let key = MeshKey::parse("000102030405060708090a0b0c0d0e0f").unwrap();
        assert_eq!(key.0, core::array::from_fn(|at| at as u8));
        assert_eq!(format!("{key:?}"), "MeshKey(..)");
        for text in [
            "",
            "00",
            "+00102030405060708090a0b0c0d0e0f",
            &"0".repeat(33),
        ] {
            assert!(MeshKey::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_directory_elsewhere_is_no_cgroup() {
        assert!(matches!(
            cgroup(Path::new("/tmp")),
            Err(CgroupError::NotCgroup2)
        ));
        assert!(matches!(
            cgroup(Path::new("/nowhere")),
            Err(CgroupError::Open(_))
        ));
    }
}
