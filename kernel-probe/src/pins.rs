//! What outlives the process: maps and links, pinned in bpffs for a successor.
//!
//! `ROOT/syntrace/CGROUP/links/` holds a link for each attached program, `ROOT/syntrace/CGROUP/LAYOUT/`
//! the maps. CGROUP is the cgroup's id. LAYOUT names what the maps hold: a version of the probe with
//! other records makes maps of its own, and still takes over the links.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use aya::{
    EbpfLoader,
    maps::{Array, Map, MapData},
};
use syntrace_ebpf_common::{CONFIG_LEN, CONN_RECORD_LEN, Config, Counter};

use crate::{members::Whose, rung::Capability, settings::Settings};

/// `BPF_FS_MAGIC` of linux/magic.h.
const BPF_FS: u64 = 0xcafe_4a11;

/// The folder of everything that is ours.
const OURS: &str = "syntrace";

/// Version of what the maps mean; their sizes are told apart by themselves.
const MEANING: u32 = 4;

/// The maps that a successor needs; the programs' constants are not among them.
const MAPS: [&str; 11] = [
    "EVENTS",
    "COUNTERS",
    "CONFIG",
    "LIVE",
    "LIVE_BESIDE",
    "HANDSHAKES",
    "ANSWER",
    "DESTINATIONS",
    "BORNE",
    "TAG_TO",
    "BELIEVE_FROM",
];

/// Why nothing can be pinned.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PinsError {
    /// None is to outlive the process.
    #[error("nothing is pinned, so a successor will find no state")]
    NotOrdered,
    /// There is no bpffs.
    #[error("bpffs is not mounted at {0}, so a successor will find no state: mount -t bpf bpf {0}")]
    NoBpffs(PathBuf),
    /// The folder cannot be used.
    #[error("{path} cannot be used: {source}")]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
}

/// The pins of one cgroup.
#[derive(Clone, Debug)]
pub(crate) struct Pins {
    folder: PathBuf,
}

// === impl Pins ===

impl Pins {
    /// Makes the folders that `settings` order.
    ///
    /// # Errors
    ///
    /// [`PinsError`] says what is missing.
    pub(crate) fn of(settings: &Settings) -> Result<Self, PinsError> {
        let (Some(root), Whose::Cgroup(cgroup)) = (&settings.pins, &settings.whose) else {
            return Err(PinsError::NotOrdered);
        };
        if settings.without.contains(&Capability::TakeOver) {
            return Err(PinsError::NotOrdered);
        }
        let folder = |source| PinsError::Folder {
            path: root.clone(),
            source,
        };
        Self::open(root, cgroup.metadata().map_err(folder)?.ino())
    }

    /// Makes the folders for `cgroup_id` below `bpffs`.
    ///
    /// # Errors
    ///
    /// [`PinsError`] says what is missing.
    fn open(bpffs: &Path, cgroup_id: u64) -> Result<Self, PinsError> {
        assert_bpffs(bpffs)?;
        let pins = Self {
            folder: bpffs.join(OURS).join(cgroup_id.to_string()),
        };
        for path in [pins.maps(), pins.links()] {
            fs::create_dir_all(&path).map_err(|source| PinsError::Folder { path, source })?;
        }
        Ok(pins)
    }

    /// Returns those that are below `root`, with the ids of their cgroups.
    pub(crate) fn all(root: &Path) -> Vec<(u64, Self)> {
        let folders = fs::read_dir(root.join(OURS))
            .into_iter()
            .flatten()
            .flatten();
        let ours = |folder: fs::DirEntry| {
            let cgroup_id = folder.file_name().to_str()?.parse().ok()?;
            let folder = folder.path();
            Some((cgroup_id, Self { folder }))
        };
        folders.filter_map(ours).collect()
    }

    /// Lets `loader` use the maps that are pinned, and pin those that it makes.
    pub(crate) fn share(&self, loader: &mut EbpfLoader<'_>) {
        for name in MAPS {
            loader.map_pin_path(name, self.maps().join(name));
        }
    }

    /// Returns where the link `name` is pinned, or to be pinned.
    pub(crate) fn link(&self, name: &str) -> PathBuf {
        self.links().join(name)
    }

    /// Returns the key under which the predecessor minted ids; `None` without one.
    pub(crate) fn host_key(&self) -> Option<[u8; 16]> {
        let map = MapData::from_pin(self.maps().join("CONFIG")).ok()?;
        let map = Map::from_map_data(map).ok()?;
        let map: Array<_, [u8; CONFIG_LEN]> = map.try_into().ok()?;
        let config = map.get(&0, 0).ok()?;
        let key = config.get(std::mem::offset_of!(Config, host_key)..)?;
        let key: [u8; 16] = *key.first_chunk()?;
        (key != [0; 16]).then_some(key)
    }

    /// Removes what only a predecessor used: maps of other layouts, and links but for those `attached`.
    pub(crate) fn forget_all_but(&self, attached: &[&str]) {
        let is_used = |path: &Path| {
            path == self.maps()
                || path == self.links()
                || attached.iter().any(|it| path.ends_with(it))
        };
        for folder in [&self.folder, &self.links()] {
            let found = fs::read_dir(folder).into_iter().flatten().flatten();
            for path in found
                .map(|entry| entry.path())
                .filter(|path| !is_used(path))
            {
                let removed = if path.is_dir() {
                    fs::remove_dir_all(&path)
                } else {
                    fs::remove_file(&path)
                };
                if let Err(error) = removed {
                    tracing::warn!(%error, path = %path.display(), "Could not remove an old pin");
                }
            }
        }
    }

    /// Removes everything: programs that nobody else holds are detached, maps are freed. Returns
    /// how many links and maps it were.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be removed.
    pub(crate) fn remove(&self) -> io::Result<usize> {
        // Links first: no program runs without its maps.
        let n_links = remove_folder(&self.links())?;
        let mut n_maps = 0;
        for folder in fs::read_dir(&self.folder)? {
            n_maps += remove_folder(&folder?.path())?;
        }
        fs::remove_dir(&self.folder)?;
        // Others' pins may be there.
        let is_last = self.folder.parent().map(fs::remove_dir);
        drop(is_last);
        Ok(n_links + n_maps)
    }

    fn links(&self) -> PathBuf {
        self.folder.join("links")
    }

    fn maps(&self) -> PathBuf {
        let (record, counters) = (CONN_RECORD_LEN, Counter::ALL.len());
        self.folder
            .join(format!("v{MEANING}-{record}-{CONFIG_LEN}-{counters}"))
    }
}

/// Asserts that `root` is a bpffs.
///
/// # Errors
///
/// [`PinsError::NoBpffs`] if it is not.
pub(crate) fn assert_bpffs(root: &Path) -> Result<(), PinsError> {
    let system = rustix::fs::statfs(root);
    if system.is_ok_and(|system| u64::try_from(system.f_type) == Ok(BPF_FS)) {
        Ok(())
    } else {
        Err(PinsError::NoBpffs(root.to_owned()))
    }
}

/// Removes a folder of files; returns how many.
fn remove_folder(folder: &Path) -> io::Result<usize> {
    let mut n_files = 0;
    for file in fs::read_dir(folder)? {
        fs::remove_file(file?.path())?;
        n_files += 1;
    }
    fs::remove_dir(folder)?;
    Ok(n_files)
}
