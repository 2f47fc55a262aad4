//! Disks that fill up or cannot be written, as the kernel makes them: questions are answered from memory,
//! the bridge says what is wrong, and goes on by itself when the disk is well again.
//!
//! Each bridge has a mount namespace of its own, which ends with it. That takes root: without, the tests
//! say so and are skipped (`REQUIRE_KERNEL=1` makes that a failure).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Write as _},
    path::PathBuf,
    process::Command,
};

use prost::Message as _;
use serde_json::Value;
use support::{
    process::{self, Connection, Process, is_socket, names},
    traffic,
};
use syntrace_test_requirements::Requirement;
use tempfile::TempDir;

/// Connections, with a request each, in one batch.
const BATCH: u64 = 20;

/// Batches that a disk of a few MiB takes.
const BATCHES: u64 = 10;

#[test]
fn while_the_disk_is_full_it_answers_refuses_and_says_so_and_then_goes_on() {
    let Some(mut place) = Place::with("mount -t tmpfs -o size=16m tmpfs data") else {
        return;
    };
    place.send_all();
    let filler = place.fill("data");
    let (status, code) = place.refused();
    assert_eq!((status, &*code), (503, "log_failed"));
    place.bridge.eventually("/readyz", |health| {
        health["status"] == "log_failed" && is_missing(health, "log")
    });
    assert!(place.metric("syntrace_log_failing", 1));
    // All that was acknowledged is answered for, also what was not stored yet.
    place.check();
    fs::remove_file(filler).unwrap();
    place.bridge.eventually("/readyz", |health| {
        health["status"] == "ready" && !is_missing(health, "database")
    });
    place.send_all();
    place.check();
    assert!(place.metric("syntrace_log_failing", 0));
    assert!(place.metric("syntrace_database_records_lost_total", 0));
    // The bridge's own entries fit where batches do not.
    let again = place.bridge.log().matches("Log took batches again").count();
    assert_eq!(again, 1, "{}", place.bridge.log());
}

#[test]
fn while_the_view_has_no_room_memory_answers_and_later_all_of_it_is_stored() {
    let Some(mut place) = Place::with("mount -t tmpfs -o size=2m tmpfs data/view") else {
        return;
    };
    place.send_all();
    let filler = place.fill("data/view");
    place.send_all();
    place.send_all();
    let says_so = |health: &Value| health["status"] == "ready" && is_missing(health, "database");
    place.bridge.eventually("/readyz", says_so);
    assert!(place.metric("syntrace_database_failing", 1));
    place.check();
    fs::remove_file(filler).unwrap();
    let well = |health: &Value| !is_missing(health, "database");
    place.bridge.eventually("/readyz", well);
    place.send_all();
    place.check();
    assert!(place.metric("syntrace_database_records_lost_total", 0));
}

#[test]
fn while_the_view_is_read_only_memory_answers_and_later_all_of_it_is_stored() {
    let read_only = "mount --bind data/view data/view && mount -o remount,bind,ro data/view";
    let Some(mut place) = Place::with(read_only) else {
        return;
    };
    place.send_all();
    let says_so = |health: &Value| health["status"] == "ready" && is_missing(health, "database");
    place.bridge.eventually("/readyz", says_so);
    assert!(place.metric("syntrace_database_failing", 1));
    place.check();
    place.unmount("data/view");
    let well = |health: &Value| !is_missing(health, "database");
    place.bridge.eventually("/readyz", well);
    place.check();
    let chunk = place
        .directory
        .path()
        .join("data/view/00000000000000000001.db");
    let stored = rusqlite::Connection::open(chunk).unwrap();
    let count = "SELECT count(*) FROM requests";
    let count: i64 = stored.query_row(count, [], |row| row.get(0)).unwrap();
    assert_eq!(u64::try_from(count), Ok(BATCHES * BATCH));
}

/// A bridge whose directory is partly on another disk.
struct Place {
    bridge: Process,
    sender: Connection,
    sent: u64,
    directory: TempDir,
}

impl Place {
    /// Starts a bridge where a command has mounted something; `None` where it may not.
    fn with(mount: &str) -> Option<Self> {
        let what = "root, to mount in a namespace of its own";
        if !Requirement::Kernel.is_met(may_mount(), what) {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("data/view")).unwrap();
        let script = format!("{mount} && exec {}", env!("CARGO_BIN_EXE_syntrace-bridge"));
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-c", &script])
            .current_dir(directory.path());
        process::settle(&mut command, directory.path());
        command.env("SYNTRACE_GRACE_MS", "100");
        let bridge = Process::start(&mut command);
        Some(Self {
            sender: Connection::open(&process::socket(directory.path())).unwrap(),
            bridge,
            sent: 0,
            directory,
        })
    }

    /// Sends batches that are all acknowledged.
    fn send_all(&mut self) {
        for _ in 0..BATCHES {
            let batch = traffic::whole_batch(0, self.sent, BATCH);
            self.sender.accept(&batch);
            self.sent += 1;
        }
    }

    /// Sends until a batch is refused, and returns how.
    fn refused(&mut self) -> (u16, String) {
        loop {
            let batch = traffic::whole_batch(0, self.sent, BATCH);
            let answer = self.sender.post(&batch.encode_to_vec()).unwrap();
            if answer.0 != 204 {
                return answer;
            }
            self.sent += 1;
        }
    }

    /// Leaves no room in a directory, as the bridge sees it, and returns what takes it.
    fn fill(&self, directory: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.bridge.child.id()));
        let place = self.directory.path().strip_prefix("/").unwrap();
        let path = root.join(place).join(directory).join("filler");
        let mut filler = File::create(&path).unwrap();
        let full = loop {
            if let Err(error) = filler.write_all(&[0; 1 << 12]) {
                break error;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        path
    }

    /// Takes away what was mounted at a directory.
    fn unmount(&self, directory: &str) {
        let unmounted = Command::new("nsenter")
            .args(["--mount", "--target", &self.bridge.child.id().to_string()])
            .arg("umount")
            .arg(self.directory.path().join(directory))
            .status();
        assert!(unmounted.unwrap().success());
    }

    fn metric(&self, name: &str, value: u64) -> bool {
        let (_, metrics) = self.bridge.ask("/metrics");
        let expected = format!("{name} {value}");
        metrics.lines().any(|line| line == expected)
    }

    /// Checks that all that was acknowledged is in one record each.
    fn check(&self) {
        let expected: BTreeSet<u64> = (0..self.sent * BATCH)
            .map(|n| traffic::name(0, n))
            .collect();
        let requests = self.bridge.settled("requests", expected.len(), |_| true);
        assert_eq!(names(&requests, "request_id", '-'), expected);
        let sockets = self
            .bridge
            .settled("connections", expected.len(), is_socket);
        assert_eq!(names(&sockets, "id", '.'), expected);
        assert!(
            !self.bridge.log().contains("panicked"),
            "{}",
            self.bridge.log()
        );
    }
}

fn is_missing(health: &Value, part: &str) -> bool {
    let missing = health["missing"].as_array().unwrap();
    missing.iter().any(|missing| missing == part)
}

fn may_mount() -> bool {
    let tried = Command::new("unshare").args(["--mount", "true"]).status();
    tried.is_ok_and(|tried| tried.success())
}
