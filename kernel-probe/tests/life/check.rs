//! What `check` says where something is missing: what that is, what is lost thereby, and what to do.

use serde_json::Value;

use crate::{probe::Start, turn};

/// What was said, and tried.
struct Checked(Value);

impl Checked {
    fn of(start: Start) -> Self {
        let output = start.output();
        assert!(output.status.success());
        Self(serde_json::from_slice(&output.stdout).unwrap())
    }

    fn capability(&self, name: &str) -> &Value {
        let mut all = self.0["capabilities"].as_array().unwrap().iter();
        all.find(|capability| capability["name"] == name).unwrap()
    }

    fn is_on(&self, name: &str) -> bool {
        self.capability(name)["on"].as_bool().unwrap()
    }

    /// Returns why `name` is off.
    fn reason(&self, name: &str) -> &str {
        self.capability(name)["reason"].as_str().unwrap()
    }

    /// Returns what `name` leaves out though it is on.
    fn limits(&self, name: &str) -> Vec<&str> {
        let limits = self.capability(name)["limits"].as_array().unwrap().iter();
        limits.map(|limit| limit.as_str().unwrap()).collect()
    }
}

fn check(arguments: &[&str]) -> Start {
    Start::of(&["check", "--json"]).with(arguments)
}

/// Returns the command at the end of what was said.
fn command(said: &str) -> &str {
    said.rsplit_once(": ").unwrap().1
}

#[test]
fn where_there_is_no_bpffs_the_command_that_is_named_mounts_one() {
    let Some(_turn) = turn() else { return };
    let folder = tempfile::tempdir().unwrap();
    let bpffs = || check(&["--bpffs", folder.path().to_str().unwrap()]);
    let without = Checked::of(bpffs());
    let mount = command(without.reason("take over"));
    assert!(mount.starts_with("mount -t bpf "), "{mount}");
    assert!(Checked::of(bpffs().after(mount)).is_on("take over"));
}

#[test]
fn where_there_is_no_cgroup_v2_the_command_that_is_named_mounts_it() {
    let Some(_turn) = turn() else { return };
    let hide = format!("umount -l {}", crate::cgroup::mount().unwrap().display());
    let without = Checked::of(check(&[]).after(&hide));
    assert_eq!(without.0["cgroup2"], Value::Null);
    let mount = command(without.reason("life cycle"));
    let with = Checked::of(check(&[]).after(&format!("{hide}; {mount}")));
    assert!(with.is_on("life cycle"), "{mount}");
    assert_ne!(with.0["cgroup2"], Value::Null);
}

#[test]
fn who_cannot_enter_other_namespaces_is_told_what_that_takes() {
    let Some(_turn) = turn() else { return };
    let names = ["backfill", "listeners", "poll"];
    let all = Checked::of(check(&[]));
    for name in names {
        assert_eq!(all.limits(name), [""; 0], "{name}");
    }
    for lacking in ["cap_sys_admin", "cap_sys_ptrace"] {
        let without = Checked::of(check(&[]).without(lacking));
        let why = format!("this process lacks {}", lacking.to_uppercase());
        for name in names {
            assert!(without.is_on(name));
            let limits = without.limits(name);
            assert_eq!(limits.len(), 1, "{limits:?}");
            assert!(limits[0].contains(&why), "{limits:?}");
        }
    }
}

#[test]
fn where_the_kernels_types_cannot_be_read_what_needs_them_says_so() {
    let Some(_turn) = turn() else { return };
    let without = Checked::of(check(&[]).after("mount -t tmpfs tmpfs /sys/kernel/btf"));
    let older = without.limits("backfill");
    assert_eq!(older.len(), 1, "{older:?}");
    for said in [
        without.reason("close reason"),
        without.reason("reset reason"),
        older[0],
    ] {
        assert!(said.contains("/sys/kernel/btf/vmlinux"), "{said}");
        assert!(said.contains("CONFIG_DEBUG_INFO_BTF"), "{said}");
        assert!(!said.contains("cannot run the programs"), "{said}");
    }
}

#[test]
fn what_is_lost_stands_below_each_refusal() {
    let Some(_turn) = turn() else { return };
    let output = Start::of(&["check"]).without("all").output();
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    let refusals = lines.windows(2).filter(|pair| pair[0].contains(" no: "));
    let refusals: Vec<_> = refusals.map(|pair| (pair[0], pair[1])).collect();
    // All that needs programs.
    assert_eq!(refusals.len(), 7, "{said}");
    for (refusal, loss) in refusals {
        assert!(refusal.contains("AmbientCapabilities"), "{refusal}");
        let loss = loss.trim_start().strip_prefix("lost: ").unwrap();
        assert!(!loss.is_empty());
    }
}
