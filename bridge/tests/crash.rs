//! The bridge is killed again and again while it takes facts. What it acknowledged is in one record each.
//!
//! A quiet machine with two cores takes some 15 s for the 60 rounds; `SYNTRACE_CRASH_ROUNDS=200` is the
//! long run. Nothing depends on how fast it is: where a bridge was dead for longer than the grace period,
//! facts are late. They are in one record each as well, but a request may then miss its socket: it must say
//! that it is late, and be counted, and stand on a connection that only the proxy saw.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and says what it did"
)]

mod support;

use std::{
    collections::BTreeSet,
    env,
    hash::{BuildHasher as _, RandomState},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use prost::Message as _;
use serde_json::Value;
use support::{
    DEADLINE,
    process::{self, Connection, Process, is_socket, names},
    traffic,
};

/// How often the bridge is killed, unless `SYNTRACE_CRASH_ROUNDS` says otherwise.
const ROUNDS: u64 = 60;

/// How long a bridge lives at most, milliseconds: from its start, or from when it acknowledged something.
const LIFE_MS: u64 = 200;

/// Grace period, milliseconds: longer than a bridge is dead as a rule, and so short that records settle
/// and are stored while bridges are killed.
const GRACE_MS: u64 = 2_000;

/// Senders at the same time.
const SENDERS: u64 = 2;

/// Connections, with a request each, in one batch.
const BATCH: u64 = 2;

/// Pause of a sender between two batches, milliseconds: each start folds all that came before.
const PAUSE_MS: u64 = 4;

#[test]
fn killed_at_any_moment_it_has_each_acknowledged_fact_in_one_record() {
    let rounds = env::var("SYNTRACE_CRASH_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let place = tempfile::tempdir().unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(AtomicU64::new(0));
    let senders: Vec<_> = (0..SENDERS)
        .map(|n| {
            let socket = process::socket(place.path());
            Sender::start(n, socket, Arc::clone(&done), Arc::clone(&acknowledged))
        })
        .collect();
    for round in 0..rounds {
        let before = acknowledged.load(Relaxed);
        let bridge = Running::start(place.path());
        // Any moment of its life: the very first ones, and those after it took something.
        if round % 2 == 1 {
            let deadline = Instant::now() + 3 * DEADLINE;
            while acknowledged.load(Relaxed) == before {
                assert!(Instant::now() < deadline, "round {round}: nothing taken");
                thread::sleep(Duration::from_millis(1));
            }
        }
        let life_ms = RandomState::new().hash_one(round) % LIFE_MS;
        thread::sleep(Duration::from_millis(life_ms));
        drop(bridge);
    }
    let bridge = Process::start(&mut command(place.path()));
    // Each sender sends again what was not acknowledged, and one batch more.
    done.store(true, Relaxed);
    let sent: Vec<u64> = senders
        .into_iter()
        .map(|sender| sender.join().unwrap())
        .collect();
    let facts = sent.iter().sum::<u64>() * (2 * BATCH + traffic::OPENING);
    let expected: BTreeSet<u64> = (0..)
        .zip(&sent)
        .flat_map(|(sender, sent)| (0..sent * BATCH).map(move |n| traffic::name(sender, n)))
        .collect();

    let deadline = Instant::now() + 3 * DEADLINE;
    let coverage = loop {
        let coverage = bridge.get("/v1/coverage");
        // Refused for as long as what the killed ones left is folded.
        if coverage["error"]["code"] != "rebuilding" {
            let received = senders_of(&coverage).map(|sender| sender["received"].as_u64().unwrap());
            if coverage["requests"]["live"] == 0 && received.sum::<u64>() == facts {
                break coverage;
            }
        }
        assert!(Instant::now() < deadline, "{coverage}");
        // Fewer questions than the bridge answers in a second.
        thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(coverage["lost"], 0, "{coverage}");
    assert!(senders_of(&coverage).all(|sender| sender["missing"] == 0));

    // All have settled: a list that says of none that they are left out has them all.
    let requests = bridge.list("requests");
    assert_eq!(names(&requests, "request_id", '-'), expected);
    // A bridge's log is of one run of the kernel: a socket's name is its cookie.
    let sockets = bridge.settled("connections", expected.len(), is_socket);
    assert_eq!(names(&sockets, "id", '.'), expected);

    let is_late = |request: &&Value| request["coverage"]["late"] == true;
    let late = requests.iter().filter(is_late).count();
    assert_eq!(coverage["late"], late, "{coverage}");
    let is_joined = |request: &Value| request["received_on"]["connection"].is_string();
    let (joined, unjoined): (Vec<_>, Vec<_>) = requests.into_iter().partition(is_joined);
    assert!(unjoined.iter().all(|request| is_late(&request)));
    assert_eq!(
        pairs_of(&joined),
        sockets.iter().flat_map(links_of).collect()
    );
    let connections = bridge.list("connections");
    let proxy_only: Vec<_> = connections
        .into_iter()
        .filter(|one| !is_socket(one))
        .collect();
    assert_eq!(
        pairs_of(&unjoined),
        proxy_only.iter().flat_map(links_of).collect()
    );
    assert_eq!(proxy_only.len(), unjoined.len());
    println!(
        "{} requests, {late} late, {} of them unjoined",
        expected.len(),
        unjoined.len()
    );
}

/// Returns the requests, each with its connection's id.
fn pairs_of(requests: &[Value]) -> BTreeSet<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let pair = |request: &Value| (text(&request["connection"]), text(&request["id"]));
    requests.iter().map(pair).collect()
}

/// Returns a connection's id with each of its requests.
fn links_of(connection: &Value) -> impl Iterator<Item = (String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let requests = connection["requests"].as_array().unwrap().iter();
    requests.map(move |request| (text(&connection["id"]), text(&request["id"])))
}

fn senders_of(coverage: &Value) -> impl Iterator<Item = &Value> {
    let senders = coverage["senders"].as_array().unwrap().iter();
    senders.filter(|sender| sender["name"].as_str().unwrap().starts_with("filter/"))
}

/// Sends batches one after the other, each until it is acknowledged.
struct Sender {
    socket: PathBuf,
    connection: Option<Connection>,
}

impl Sender {
    /// Returns how many batches were acknowledged.
    fn start(
        number: u64,
        socket: PathBuf,
        done: Arc<AtomicBool>,
        acknowledged: Arc<AtomicU64>,
    ) -> JoinHandle<u64> {
        let mut sender = Self {
            socket,
            connection: None,
        };
        thread::spawn(move || {
            let mut sent = 0;
            loop {
                let last = done.load(Relaxed);
                let body = traffic::whole_batch(number, sent, BATCH).encode_to_vec();
                while !matches!(sender.post(&body), Ok((204, _))) {
                    sender.connection = None;
                    thread::sleep(Duration::from_millis(1));
                }
                sent += 1;
                acknowledged.fetch_add(1, Relaxed);
                if last {
                    return sent;
                }
                thread::sleep(Duration::from_millis(PAUSE_MS));
            }
        })
    }

    fn post(&mut self, body: &[u8]) -> io::Result<(u16, String)> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.socket)?,
        };
        self.connection.insert(connection).post(body)
    }
}

/// A bridge; killed when dropped, at whatever it is.
struct Running(Child);

impl Running {
    fn start(place: &Path) -> Self {
        Self(command(place).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.kill().is_ok() {
            self.0.wait().unwrap();
        }
    }
}

fn command(place: &Path) -> Command {
    let mut command = process::command(place);
    command.env("SYNTRACE_GRACE_MS", GRACE_MS.to_string());
    command
}
