//! What cannot be meant is refused in one sentence that names it.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    thread,
};

use crate::{
    cgroup::{Cgroup, mount},
    client::Client,
    probe::Start,
    receiver::Receiver,
    turn,
    waiting::wait_for,
};

/// Runs `start` to its end, which is to have `code`; returns what it said on standard error.
fn refused(start: Start, code: i32) -> String {
    let output = start.output();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

/// The same, in one line.
fn refused_in_a_line(start: Start, code: i32) -> String {
    let said = refused(start, code);
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

#[test]
fn a_file_of_a_cgroup_is_no_cgroup() {
    let Some(_turn) = turn() else { return };
    let cgroup = Cgroup::new();
    let file = cgroup.path().join("cgroup.procs");
    let start = Start::of(&["watch", "--cgroup", file.to_str().unwrap()]);
    let said = refused_in_a_line(start, 64);
    assert!(said.contains("expected a cgroup v2 directory"), "{said}");
}

#[test]
fn the_root_of_the_hierarchy_is_nobodys_cgroup() {
    let Some(_turn) = turn() else { return };
    let root = mount().unwrap();
    let start = Start::of(&["watch", "--cgroup", root.to_str().unwrap()]);
    let said = refused_in_a_line(start, 64);
    assert!(
        said.contains("hooks need a cgroup v2 other than the root"),
        "{said}"
    );
}

#[test]
fn a_process_in_the_root_is_told_what_is_not_seen_and_what_helps() {
    let Some(_turn) = turn() else { return };
    let pid = std::process::id().to_string();
    let mut watch = Start::of(&["watch", "--pid", &pid]).until("Gave up privileges");
    let line = watch.line(&["not seen:", "accept wait, "]);
    for words in [
        "refused connect",
        "move the process into a cgroup of its own",
    ] {
        assert!(line.contains(words), "{line}");
    }
    assert!(watch.stop().success());
}

#[test]
fn an_endless_file_of_keys_is_refused_at_once() {
    let Some(_turn) = turn() else { return };
    let (cgroup, receiver) = (Cgroup::new(), Receiver::new());
    let start = Start::run(&cgroup, &receiver).with(&["--mesh-key-file", "/dev/zero"]);
    let said = refused_in_a_line(start, 64);
    assert!(said.contains("32 hexadecimal digits"), "{said}");
}

#[test]
fn keys_that_others_may_read_bring_one_warning() {
    let Some(_turn) = turn() else { return };
    let (cgroup, receiver) = (Cgroup::new(), Receiver::new());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    fs::write(&file, "0".repeat(32)).unwrap();
    // A second probe of the cgroup ends once it has read its orders.
    let _probe = Start::run(&cgroup, &receiver).until("Attached");
    for (mode, n_expected) in [(0o600, 0), (0o640, 1), (0o604, 1)] {
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let start = Start::run(&cgroup, &receiver);
        let said = refused(start.with(&["--mesh-key-file", file.to_str().unwrap()]), 1);
        let n_warnings = said.matches("file of mesh keys").count();
        assert_eq!(n_warnings, n_expected, "{mode:o}: {said}");
    }
}

#[test]
fn a_manifest_without_figures_is_not_compared() {
    let Some(_turn) = turn() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("manifest.json");
    fs::write(&file, "{}").unwrap();
    let said = refused_in_a_line(
        Start::of(&["manifest", "--compare", file.to_str().unwrap()]),
        1,
    );
    assert!(said.contains("expected a manifest"), "{said}");
}

#[test]
fn what_is_no_log_is_not_explained() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log");
    for text in ["", "127.0.0.1 localhost\n"] {
        fs::write(&file, text).unwrap();
        let said = refused_in_a_line(Start::of(&["explain", file.to_str().unwrap()]), 1);
        assert!(said.contains("expected a verifier's log"), "{said}");
    }
}

#[test]
fn a_recording_that_is_not_there_is_named() {
    let start = Start::of(&["replay", "/nope", "--bridge", "unix:/nope.sock"]);
    let said = refused_in_a_line(start, 64);
    assert!(said.contains("'/nope'"), "{said}");
}

#[test]
fn a_full_disk_is_told_with_the_recordings_name() {
    let Some(_turn) = turn() else { return };
    let cgroup = Cgroup::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("facts");
    let recording = Start::of(&["record", file.to_str().unwrap()]).on(&cgroup);
    let small = format!(
        "mount -t tmpfs -o size=4k tmpfs {}",
        folder.path().display()
    );
    // Each connection is more than a hundred bytes.
    let script = "
l, port = listen(5)
for _ in range(200):
    a, _ = connect(port)
    b, _ = l.accept()
    a.close()
    b.recv(1)
    b.close()
tell(port)
step()
";
    let said = thread::scope(|scope| {
        let told = scope.spawn(|| refused(recording.after(&small), 1));
        wait_for("the programs", || {
            (!cgroup.programs().is_empty()).then_some(())
        });
        let _port: u16 = Client::start(&cgroup, None, script).told();
        told.join().unwrap()
    });
    let last = said.lines().last().unwrap();
    let expected = format!("error: writing {} failed: No space", file.display());
    assert!(last.starts_with(&expected), "{said}");
}

#[test]
fn a_run_without_bpffs_says_what_a_crash_would_lose() {
    let Some(_turn) = turn() else { return };
    let (cgroup, receiver) = (Cgroup::new(), Receiver::new());
    let _probe = Start::run(&cgroup, &receiver).until("Nothing is pinned");
}
