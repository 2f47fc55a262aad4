//! What the operator orders, checked before anything is loaded.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    str,
};

use crate::{members::Whose, network::Network, process::cgroup2, rung::Capability};

/// `CGROUP2_SUPER_MAGIC` of linux/magic.h.
const CGROUP2: u64 = 0x6367_7270;

/// A file that every cgroup v2 has, but for the root of the hierarchy.
const NOT_IN_ROOT: &str = "cgroup.events";

/// How long a file of mesh keys may be, in bytes.
const MESH_KEYS_LEN: u64 = 256;

/// Permission bits of the group and of everybody.
const OTHERS: u32 = 0o077;

/// What the operator orders.
#[derive(Debug)]
pub struct Settings {
    /// Whose sockets are followed.
    pub whose: Whose,
    /// Networks to which SYNs are tagged.
    pub tag_to: Vec<Network>,
    /// Networks whose tags are believed and answered.
    pub believe_from: Vec<Network>,
    /// The keys that tags are signed and checked with.
    pub mesh_keys: Option<MeshKeys>,
    /// What the programs are not to do, though they could.
    pub without: Vec<Capability>,
    /// The size of the ring between kernel and process; `None` for what the programs say.
    pub ring_bytes: Option<RingBytes>,
    /// The bpffs where state is kept for a successor; `None` keeps none.
    pub pins: Option<PathBuf>,
}

/// Two keys of 16 bytes, of which the first signs, and under either a tag is believed; the same
/// twice while keys are not being changed. Stay out of logs.
#[derive(Clone, Copy)]
pub struct MeshKeys(pub(crate) [[u8; 16]; 2]);

/// The size of a ring: a power of two, at least a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingBytes(pub(crate) u32);

/// A number that is no size of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a size in bytes, a power of two from 65536 to 1073741824")]
pub struct ParseRingBytesError;

/// A path that is not a cgroup to attach to.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// The path cannot be opened.
    #[error("expected a cgroup v2 directory: {0}")]
    Open(#[source] io::Error),
    /// The path is not in the cgroup v2 hierarchy.
    #[error("expected a cgroup v2 directory, such as one below /sys/fs/cgroup")]
    NotCgroup2,
    /// The path is the root of the hierarchy, where hooks would run for every connection of the
    /// machine.
    #[error("hooks need a cgroup v2 other than the root; move the processes into one of their own")]
    Root,
    /// There is no cgroup v2 hierarchy; what mounts it.
    #[error("cgroup v2 is not mounted: {0}; --pid follows one process without it")]
    NoCgroup2(&'static str),
}

/// A file that holds no mesh keys.
#[derive(Debug, thiserror::Error)]
pub enum MeshKeyError {
    /// The file cannot be read.
    #[error("expected a readable file: {0}")]
    Read(#[source] io::Error),
    /// The file holds something else.
    #[error("expected a file of one line of 32 hexadecimal digits, or of two")]
    Digits,
}

/// Opens the cgroup at `path`.
///
/// # Errors
///
/// [`CgroupError`] says what is there instead.
pub fn cgroup(path: &Path) -> Result<File, CgroupError> {
    let directory = File::open(path).map_err(CgroupError::Open)?;
    let is_directory = directory.metadata().map_err(CgroupError::Open)?.is_dir();
    let system =
        rustix::fs::fstatfs(&directory).map_err(|error| CgroupError::Open(error.into()))?;
    match u64::try_from(system.f_type) {
        Ok(CGROUP2) if !is_directory => Err(CgroupError::NotCgroup2),
        Ok(CGROUP2) if !path.join(NOT_IN_ROOT).exists() => Err(CgroupError::Root),
        Ok(CGROUP2) => Ok(directory),
        Ok(_) | Err(_) => Err(match cgroup2() {
            Ok(_) => CgroupError::NotCgroup2,
            Err(missing) => CgroupError::NoCgroup2(missing.command),
        }),
    }
}

// === impl MeshKeys ===

impl MeshKeys {
    /// Reads the keys that the file at `path` holds, 32 hexadecimal digits a line. Warns if others
    /// than its owner may read it.
    ///
    /// # Errors
    ///
    /// [`MeshKeyError`] says what the file holds instead, never its content.
    pub fn read(path: &PathBuf) -> Result<Self, MeshKeyError> {
        let file = File::open(path).map_err(MeshKeyError::Read)?;
        let about = file.metadata().map_err(MeshKeyError::Read)?;
        let mut text = String::new();
        file.take(MESH_KEYS_LEN)
            .read_to_string(&mut text)
            .map_err(MeshKeyError::Read)?;
        let keys = Self::parse(&text).ok_or(MeshKeyError::Digits)?;
        let mode = about.permissions().mode();
        if about.is_file() && mode & OTHERS != 0 {
            tracing::warn!(
                path = %path.display(),
                mode = %format_args!("{:o}", mode & 0o7777),
                "Others than the owner may use the file of mesh keys"
            );
        }
        Ok(keys)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut keys = text.lines().map(str::trim).map(key);
        let first = keys.next()??;
        let second = keys.next().unwrap_or(Some(first))?;
        keys.next().is_none().then_some(Self([first, second]))
    }
}

fn key(digits: &str) -> Option<[u8; 16]> {
    let all_digits = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !all_digits {
        return None;
    }
    u128::from_str_radix(digits, 16).ok().map(u128::to_be_bytes)
}

impl fmt::Debug for MeshKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MeshKeys(..)")
    }
}

impl str::FromStr for RingBytes {
    type Err = ParseRingBytesError;

    fn from_str(text: &str) -> Result<Self, ParseRingBytesError> {
        match text.parse() {
            // 64 KiB are a page at most, on any architecture.
            Ok(bytes @ 65_536..=1_073_741_824_u32) if bytes.is_power_of_two() => Ok(Self(bytes)),
            Ok(_) | Err(_) => Err(ParseRingBytesError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_line_of_32_hexadecimal_digits() {
        let (first, second) = ("000102030405060708090a0b0c0d0e0f", "f".repeat(32));
        let of_first = core::array::from_fn(|at| at as u8);
        let keys = |text: &str| MeshKeys::parse(text).map(|MeshKeys(keys)| keys);
        assert_eq!(keys(first), Some([of_first; 2]));
        let both = format!("{first}\n{second}\n");
        assert_eq!(keys(&both), Some([of_first, [0xff; 16]]));
        let key = MeshKeys::parse(first).unwrap();
        assert_eq!(format!("{key:?}"), "MeshKeys(..)");
        let three = format!("{both}{second}\n");
        for text in [
            "",
            "00",
            "+00102030405060708090a0b0c0d0e0f",
            &"0".repeat(33),
            &three,
        ] {
            assert!(keys(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_ring_has_a_power_of_two() {
        assert_eq!("65536".parse(), Ok(RingBytes(65_536)));
        for text in ["", "0", "4096", "65537", "4294967296", "1 MiB"] {
            assert_eq!(
                text.parse::<RingBytes>(),
                Err(ParseRingBytesError),
                "{text}"
            );
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
