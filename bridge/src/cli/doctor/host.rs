//! What this host's kernel allows, as far as files say it.

use std::{fs, path::Path};

/// The oldest kernel on which the probe watches, as major and minor.
pub(super) const KERNEL_MIN: (u32, u32) = (6, 10);

/// What was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Host {
    /// `/proc/sys/kernel/osrelease`.
    pub(super) release: String,
    /// Whether the kernel describes its own types.
    pub(super) btf: bool,
    /// Where cgroup v2 is mounted.
    pub(super) cgroup2: Option<String>,
}

/// Looks at this host.
pub(super) fn look() -> Host {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    Host {
        release: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
        cgroup2: cgroup2(&read("/proc/mounts")),
    }
}

impl Host {
    /// Returns the kernel's version, if its release begins with one.
    pub(super) fn version(&self) -> Option<(u32, u32)> {
        let mut numbers = self.release.split(['.', '-', '+']);
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }
}

fn cgroup2(mounts: &str) -> Option<String> {
    let of_line = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        let (place, kind) = (fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| place.to_owned())
    };
    mounts.lines().find_map(of_line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_all_kinds_have_a_version() {
        for (release, version) in [
            ("6.18.5", Some((6, 18))),
            ("6.1.0-18-amd64", Some((6, 1))),
            ("6.12+", Some((6, 12))),
            ("", None),
        ] {
            let host = Host {
                release: release.to_owned(),
                ..Host::default()
            };
            assert_eq!(host.version(), version, "{release}");
        }
    }

    #[test]
    fn cgroup_v2_is_found_among_the_mounts() {
        let mounts = "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(cgroup2(mounts).as_deref(), Some("/sys/fs/cgroup/unified"));
        assert_eq!(cgroup2("proc /proc proc rw 0 0\n"), None);
    }
}
