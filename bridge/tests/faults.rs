//! Every change that the bridge makes to a file fails once: in the log, in the states beside it, inside
//! SQLite. No panic, nothing acknowledged is lost or there twice, and the bridge goes on by itself.
//!
//! A library is loaded into the bridge, which fails the call with a given number ([`faults/preload.c`]);
//! one quiet run says how many calls there are. Every 25th fails, in four ways, from the one on that
//! `SYNTRACE_FAULTS` names: with 1 to 25, all of them. What only a real disk does is in `disks.rs`.
//!
//! [`faults/preload.c`]: faults/preload.c
#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and says what it did"
)]

mod support;

use std::{
    collections::BTreeSet,
    env,
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use prost::Message as _;
use rustix::io::Errno;
use serde_json::Value;
use support::{
    process::{self, Connection, Process, is_socket, names},
    traffic,
};
use tempfile::TempDir;

/// Batches that are sent, and connections with a request each in one of them.
const BATCHES: u64 = 24;
const BATCH: u64 = 4;

/// One of so many calls fails.
const STRIDE: usize = 25;

/// Times that a batch is refused before the disk is well again.
const REFUSALS: u32 = 20;

/// How a disk fails.
#[derive(Clone, Copy, Debug)]
struct Fault {
    errno: Errno,
    /// All calls from the first on, until it is well again; otherwise the first only.
    lasts: bool,
    /// Writes write half before.
    halves: bool,
}

const FAULTS: [Fault; 4] = [
    Fault::new(Errno::IO, false, false),
    Fault::new(Errno::NOSPC, false, true),
    Fault::new(Errno::NOSPC, true, true),
    Fault::new(Errno::ROFS, true, false),
];

#[test]
fn whichever_change_of_a_file_fails_each_acknowledged_fact_is_in_one_record() {
    let library = library();
    let quiet = Place::new(library.path());
    assert_eq!(quiet.live(None), Seen::default());
    let calls = quiet.calls();
    assert!(calls > 50, "{calls} calls");
    let first = env::var("SYNTRACE_FAULTS").map_or(1, |text| text.parse().unwrap());
    let cases: Vec<_> = (first..=calls)
        .step_by(STRIDE)
        .flat_map(|from| FAULTS.map(|fault| (from, fault)))
        .collect();
    let next = AtomicUsize::new(0);
    let seen = Mutex::new(Seen::default());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(&case) = cases.get(next.fetch_add(1, Relaxed)) {
                    let saw = Place::new(library.path()).live(Some(case));
                    seen.lock().unwrap().add(saw);
                }
            });
        }
    });
    let seen = seen.into_inner().unwrap();
    println!("{} faults at {calls} calls: {seen:?}", cases.len());
    assert!(seen.refused_batches > 0 && seen.said_so > 0, "{seen:?}");
}

/// What was seen of faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    refused_starts: u64,
    refused_batches: u64,
    /// Times that `/readyz` said so, and the metrics.
    said_so: u64,
}

/// One bridge's directory, and what makes its calls fail.
struct Place {
    directory: TempDir,
    library: PathBuf,
}

// === impl Fault ===

impl Fault {
    const fn new(errno: Errno, lasts: bool, halves: bool) -> Self {
        Self {
            errno,
            lasts,
            halves,
        }
    }
}

// === impl Seen ===

impl Seen {
    fn add(&mut self, other: Self) {
        self.refused_starts += other.refused_starts;
        self.refused_batches += other.refused_batches;
        self.said_so += other.said_so;
    }
}

// === impl Place ===

impl Place {
    fn new(library: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("control"), [0; 40]).unwrap();
        Self {
            directory,
            library: library.join("preload.so"),
        }
    }

    /// Sends everything to a bridge whose disk fails from some call on, and checks that all of it is in
    /// one record each: when the disk is well again, and after `kill -9` and another start.
    fn live(&self, case: Option<(u64, Fault)>) -> Seen {
        let mut seen = Seen::default();
        if let Some((from, fault)) = case {
            self.fail(from, fault);
        }
        let bridge = Process::try_start(&mut self.command()).unwrap_or_else(|log| {
            assert!(log.contains("error: "), "{case:?}: {log}");
            assert!(!log.contains("panicked"), "{case:?}: {log}");
            seen.refused_starts += 1;
            self.mend();
            Process::start(&mut self.command())
        });
        self.send(&bridge, &mut seen);
        self.mend();
        check(&bridge, case);
        drop(bridge);
        check(&Process::start(&mut self.command()), case);
        seen
    }

    /// Sends all batches, each until it is acknowledged.
    fn send(&self, bridge: &Process, seen: &mut Seen) {
        let socket = process::socket(self.directory.path());
        let mut connection = Connection::open(&socket).unwrap();
        let mut refusals = 0;
        for sent in 0..BATCHES {
            let body = traffic::whole_batch(0, sent, BATCH).encode_to_vec();
            loop {
                let (status, code) = connection.post(&body).unwrap();
                if status == 204 {
                    break;
                }
                assert_eq!((status, &*code), (503, "log_failed"));
                seen.refused_batches += 1;
                refusals += 1;
                if refusals == REFUSALS {
                    seen.said_so += u64::from(says_so(bridge));
                    self.mend();
                }
                thread::sleep(Duration::from_millis(2));
            }
        }
    }

    fn command(&self) -> Command {
        let mut command = process::command(self.directory.path());
        command
            .env("SYNTRACE_GRACE_MS", "100")
            .env("SYNTRACE_LOG_SYNC_MS", "20")
            .env("LD_PRELOAD", &self.library)
            .env("FAULT_UNDER", self.directory.path().join("data"))
            .env("FAULT_CONTROL", self.directory.path().join("control"));
        command
    }

    fn fail(&self, from: u64, fault: Fault) {
        let count = if fault.lasts { i64::MAX as u64 } else { 1 };
        let errno = u64::try_from(fault.errno.raw_os_error()).unwrap();
        for (place, value) in (1..).zip([from, count, errno, fault.halves.into()]) {
            self.control()
                .write_all_at(&value.to_ne_bytes(), 8 * place)
                .unwrap();
        }
    }

    fn mend(&self) {
        self.control().write_all_at(&[0; 8], 8).unwrap();
    }

    /// How many calls there were.
    fn calls(&self) -> u64 {
        let mut calls = [0; 8];
        self.control().read_exact_at(&mut calls, 0).unwrap();
        u64::from_ne_bytes(calls)
    }

    fn control(&self) -> File {
        let path = self.directory.path().join("control");
        File::options().read(true).write(true).open(path).unwrap()
    }
}

/// Asks a bridge whose log fails for what it has, and whether it says that it fails.
fn says_so(bridge: &Process) -> bool {
    let (status, _) = bridge.ask("/v1/requests");
    assert_eq!(status, 200);
    let (status, health) = bridge.ask("/readyz");
    let (_, metrics) = bridge.ask("/metrics");
    status == 503 && health.contains("log_failed") && metrics.contains("\nsyntrace_log_failing 1\n")
}

/// Checks that a bridge is well, and has everything that was acknowledged, once.
fn check(bridge: &Process, case: Option<(u64, Fault)>) {
    let expected: BTreeSet<u64> = (0..BATCHES * BATCH).map(|n| traffic::name(0, n)).collect();
    let requests = bridge.settled("requests", expected.len(), |_| true);
    assert_eq!(names(&requests, "request_id", '-'), expected, "{case:?}");
    let sockets = bridge.settled("connections", expected.len(), is_socket);
    assert_eq!(names(&sockets, "id", '.'), expected, "{case:?}");
    let well = |health: &Value| {
        let missing = health["missing"].as_array().unwrap();
        health["status"] == "ready" && !missing.iter().any(|part| part == "database")
    };
    bridge.eventually("/readyz", well);
    let coverage = bridge.get("/v1/coverage");
    assert_eq!(coverage["lost"], 0, "{case:?}: {coverage}");
    assert!(
        !bridge.log().contains("panicked"),
        "{case:?}: {}",
        bridge.log()
    );
}

/// Builds the library that makes calls fail.
fn library() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/preload.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(directory.path().join("preload.so"))
        .arg(source)
        .arg("-ldl")
        .status();
    assert!(built.unwrap().success());
    directory
}
