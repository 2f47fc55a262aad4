//! The bridge is killed again and again while it takes facts. What it acknowledged is in one record each.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod support;

use std::{
    collections::BTreeSet,
    env,
    hash::{BuildHasher as _, RandomState},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use prost::Message as _;
use serde_json::Value;
use support::{DEADLINE, traffic};

/// How often the bridge is killed, unless `SYNTRACE_CRASH_ROUNDS` says otherwise.
const ROUNDS: u64 = 200;

/// How long a bridge lives at most, milliseconds: its start takes some of it.
const LIFE_MS: u64 = 200;

/// Senders at the same time.
const SENDERS: u64 = 2;

/// Connections, with a request each, in one batch.
const BATCH: u64 = 10;

#[test]
fn killed_at_any_moment_it_has_each_acknowledged_fact_in_one_record() {
    let rounds = env::var("SYNTRACE_CRASH_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let place = tempfile::tempdir().unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..SENDERS)
        .map(|n| Sender::start(n, place.path().join("bridge.sock"), Arc::clone(&done)))
        .collect();
    for round in 0..rounds {
        let mut child = command(place.path()).spawn().unwrap();
        // Any moment of its life, the very first ones included.
        let life_ms = RandomState::new().hash_one(round) % LIFE_MS;
        thread::sleep(Duration::from_millis(life_ms));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let bridge = Bridge::start(place.path());
    // Each sender sends again what was not acknowledged, and one batch more.
    done.store(true, Relaxed);
    let sent: Vec<u64> = senders
        .into_iter()
        .map(|sender| sender.join().unwrap())
        .collect();
    let batches: u64 = sent.iter().sum();
    let expected = batches * BATCH;
    let facts = batches * (2 * BATCH + traffic::OPENING);
    assert!(
        expected > rounds * BATCH / 4,
        "the bridge hardly lived: {expected}"
    );

    let deadline = Instant::now() + 3 * DEADLINE;
    let coverage = loop {
        let coverage = bridge.get("/v1/coverage");
        let settled = |kind: &str| coverage[kind]["live"] == 0;
        let received = senders_of(&coverage).map(|sender| sender["received"].as_u64().unwrap());
        if settled("requests") && settled("connections") && received.sum::<u64>() == facts {
            break coverage;
        }
        assert!(Instant::now() < deadline, "{coverage}");
        // Fewer questions than the bridge answers in a second.
        thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(coverage["lost"], 0, "{coverage}");
    assert!(senders_of(&coverage).all(|sender| sender["missing"] == 0));
    for kind in ["requests", "connections"] {
        let mut ids = bridge.list(kind);
        let deadline = Instant::now() + 3 * DEADLINE;
        // What the last run could not store is being folded again.
        while (ids.len() as u64) < expected && Instant::now() < deadline {
            ids = bridge.list(kind);
        }
        let different: BTreeSet<_> = ids.iter().collect();
        assert_eq!(ids.len() as u64, expected, "{kind}");
        assert_eq!(different.len(), ids.len(), "{kind}");
    }
}

fn senders_of(coverage: &Value) -> impl Iterator<Item = &Value> {
    let senders = coverage["senders"].as_array().unwrap().iter();
    senders.filter(|sender| sender["name"].as_str().unwrap().starts_with("filter/"))
}

/// Sends batches one after the other, each until it is acknowledged.
struct Sender {
    number: u64,
    socket: PathBuf,
    connection: Option<BufReader<UnixStream>>,
}

impl Sender {
    /// Returns how many batches were acknowledged.
    fn start(number: u64, socket: PathBuf, done: Arc<AtomicBool>) -> JoinHandle<u64> {
        let mut sender = Self {
            number,
            socket,
            connection: None,
        };
        thread::spawn(move || {
            let mut sent = 0;
            loop {
                let last = done.load(Relaxed);
                let body = sender.batch(sent);
                while sender.post(&body).is_err() {
                    sender.connection = None;
                    thread::sleep(Duration::from_millis(1));
                }
                sent += 1;
                if last {
                    return sent;
                }
            }
        })
    }

    fn batch(&self, sent: u64) -> Vec<u8> {
        let mut batch = traffic::batch_of(self.number, sent * BATCH, BATCH);
        // Who sees what: whatever comes first settles at once, and is to be joined.
        batch.facts.splice(..0, traffic::opening().facts);
        batch.first_seq = sent * batch.facts.len() as u64;
        batch.encode_to_vec()
    }

    /// Sends a batch; an error unless it is acknowledged.
    fn post(&mut self, body: &[u8]) -> io::Result<()> {
        if self.connection.is_none() {
            let stream = UnixStream::connect(&self.socket)?;
            stream.set_read_timeout(Some(DEADLINE))?;
            self.connection = Some(BufReader::new(stream));
        }
        let connection = self.connection.as_mut().unwrap();
        let head = format!(
            "POST /v1/facts HTTP/1.1\r\nhost: bridge\r\n\
             content-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        connection.get_mut().write_all(head.as_bytes())?;
        connection.get_mut().write_all(body)?;
        let mut status = String::new();
        connection.read_line(&mut status)?;
        if !status.starts_with("HTTP/1.1 204") {
            return Err(io::Error::other(status));
        }
        let mut line = String::new();
        while connection.read_line(&mut line)? > 2 {
            line.clear();
        }
        Ok(())
    }
}

/// The last bridge; killed when dropped.
struct Bridge {
    child: Child,
    address: String,
}

impl Bridge {
    fn start(place: &Path) -> Self {
        let mut child = command(place).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut lines = log.lines().map(Result::unwrap);
        let line = lines.find(|line| line.contains("Listening")).unwrap();
        // The bridge must not wait for who reads its log.
        thread::spawn(move || lines.for_each(drop));
        let (_, address) = line.split_once("address=").unwrap();
        let address = address.split_whitespace().next().unwrap().to_owned();
        Self { child, address }
    }

    fn get(&self, path: &str) -> Value {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: bridge\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    /// Returns the ids of all records of a kind, from page to page.
    fn list(&self, kind: &str) -> Vec<String> {
        let mut ids = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("/v1/{kind}?limit=500{cursor}"));
            let records = page[kind].as_array().unwrap().iter();
            ids.extend(records.map(|record| record["id"].as_str().unwrap().to_owned()));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return ids,
            }
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().unwrap();
        }
    }
}

fn command(place: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_syntrace-bridge"));
    command
        .env(
            "SYNTRACE_FACTS",
            format!("unix:{}", place.join("bridge.sock").display()),
        )
        .env("SYNTRACE_LISTEN", "127.0.0.1:0")
        // Longer than a bridge is dead.
        .env("SYNTRACE_GRACE_MS", "5000")
        .env("SYNTRACE_DATA_DIR", place.join("data"))
        .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
        .env_remove("RUST_LOG")
        .stderr(Stdio::null());
    command
}
