//! A bpffs of our own, unmounted at the end.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use aya::{
    Pod,
    maps::{Array, Map, MapData},
};
use tempfile::TempDir;

/// Unmounts when dropped.
pub(crate) struct Bpffs {
    folder: TempDir,
}

impl Bpffs {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "bpf", "bpf"])
            .arg(folder.path())
            .status()
            .unwrap();
        assert!(mounted.success());
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Opens the array `name` that is pinned.
    pub(crate) fn array<T: Pod>(&self, name: &str) -> Array<MapData, T> {
        let pins = self.pins();
        let pin = pins.iter().find(|pin| pin.ends_with(name)).unwrap();
        let map = Map::from_map_data(MapData::from_pin(pin).unwrap()).unwrap();
        map.try_into().unwrap()
    }

    /// Returns everything that is pinned.
    pub(crate) fn pins(&self) -> Vec<PathBuf> {
        let mut pins = Vec::new();
        collect(&self.path().join("syntrace"), &mut pins);
        pins
    }
}

impl Drop for Bpffs {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.path()).status());
    }
}

fn collect(folder: &Path, pins: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            collect(&entry.path(), pins);
        } else {
            pins.push(entry.path());
        }
    }
}
