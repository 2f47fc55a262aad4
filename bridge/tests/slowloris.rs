//! A thousand clients that never finish what they began to say: others are served, and they are gone soon.
//!
//! Prints how long others waited for an answer before and meanwhile; that is a figure for a quiet machine.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and says what it measured"
)]

mod support;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

const SLOW: usize = 1_000;

/// Connections that a bridge has room for, and how long one that is silent may stay.
const ROOM: usize = 1_024;
const HEAD_TIMEOUT: Duration = Duration::from_secs(7);

const TOKEN: &str = "a-token-of-more-than-sixteen-bytes";

/// Questions of which the slowest of a hundred is looked at.
const QUESTIONS: usize = 1_000;

/// What a thousand of them may take of memory.
const MEMORY_BYTES_MAX: u64 = 16 << 20;

/// How long they may stay.
const PATIENCE: Duration = Duration::from_secs(10);

/// One test at a time: each measures, or fills a listener.
static ALONE: Mutex<()> = Mutex::new(());

/// A bridge as a process, which has a memory of its own.
struct Bridge {
    _alone: MutexGuard<'static, ()>,
    child: Child,
    address: String,
    _directory: TempDir,
}

#[test]
fn a_thousand_slow_clients_keep_nobody_waiting_take_little_and_are_gone_within_ten_seconds() {
    let bridge = Bridge::start();
    // What the first answers take, they take once.
    for _ in 0..100 {
        assert!(bridge.answers());
    }
    let p99_before = bridge.p99();
    let before = bridge.resident_bytes();
    let mut slow: Vec<_> = (0..SLOW)
        .map(|n| (Instant::now(), bridge.begin(n)))
        .collect();
    let p99 = bridge.p99();
    let growth = bridge.resident_bytes().saturating_sub(before);
    assert!(
        growth <= MEMORY_BYTES_MAX,
        "{growth} bytes for {SLOW} sockets"
    );
    for (began_at, stream) in &mut slow {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut rest = Vec::new();
        // Closed, in order or not.
        drop(stream.read_to_end(&mut rest));
        assert!(!rest.starts_with(b"HTTP/1.1 2"));
        let took = began_at.elapsed();
        assert!(took <= PATIENCE, "{took:?}");
    }
    assert!(bridge.answers());
    println!("p99 {p99_before:?} without them, {p99:?} with; {growth} bytes for {SLOW} sockets");
}

#[test]
fn more_silent_clients_than_there_is_room_for_keep_nobody_waiting() {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum;
    setrlimit(Resource::Nofile, Rlimit { current, ..limit }).unwrap();
    let bridge = Bridge::start();
    let silent: Vec<_> = (0..ROOM + 100)
        .map(|_| TcpStream::connect(&bridge.address).unwrap())
        .collect();
    let began_at = Instant::now();
    for _ in 0..20 {
        assert!(bridge.answers());
    }
    let took = began_at.elapsed();
    assert!(took < HEAD_TIMEOUT / 2, "{took:?}");
    drop(silent);
}

#[test]
fn as_many_clients_without_a_token_as_there_is_room_for_keep_nobody_waiting() {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum;
    setrlimit(Resource::Nofile, Rlimit { current, ..limit }).unwrap();
    let bridge = Bridge::start_with(Some(TOKEN));
    let refused: Vec<_> = (0..ROOM)
        .map(|_| {
            let mut stream = TcpStream::connect(&bridge.address).unwrap();
            let request = b"GET /v1/causes HTTP/1.1\r\nhost: bridge\r\n\r\n";
            stream.write_all(request).unwrap();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"HTTP/1.1 401");
            stream
        })
        .collect();
    let began_at = Instant::now();
    for _ in 0..20 {
        assert!(bridge.answers());
    }
    let took = began_at.elapsed();
    assert!(took < HEAD_TIMEOUT / 2, "{took:?}");
    drop(refused);
}

impl Bridge {
    fn start() -> Self {
        Self::start_with(None)
    }

    fn start_with(token: Option<&str>) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("facts.sock");
        let mut command = Command::new(env!("CARGO_BIN_EXE_syntrace-bridge"));
        if let Some(token) = token {
            let path = directory.path().join("tokens");
            fs::write(&path, token).unwrap();
            command.env("SYNTRACE_LISTEN_TOKEN_FILE", path);
        }
        let mut child = command
            .args(["--facts", &format!("unix:{}", socket.display())])
            .args(["--listen", "127.0.0.1:0"])
            .env("NO_COLOR", "1")
            // No question is refused because there were many.
            .env("SYNTRACE_LISTEN_RATE", "1000000")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .find_map(|line| Some(line.unwrap().split_once("address=")?.1.to_owned()))
            .unwrap();
        Self {
            _alone: alone,
            child,
            address,
            _directory: directory,
        }
    }

    /// Says a part of a request: nothing, a part of the head, or a part of the body.
    fn begin(&self, n: usize) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let said: &[u8] = match n % 3 {
            0 => b"",
            1 => b"GET /v1/causes HTTP/1.1\r\nhost: br",
            _ => b"POST /v1/causes HTTP/1.1\r\nhost: bridge\r\ncontent-length: 10\r\n\r\nhalf",
        };
        stream.write_all(said).unwrap();
        stream
    }

    fn answers(&self) -> bool {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!(
            "GET /v1/causes HTTP/1.1\r\nhost: bridge\r\nconnection: close\r\n\
             authorization: Bearer {TOKEN}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.starts_with("HTTP/1.1 200") || {
            println!("{answer}");
            false
        }
    }

    /// Returns how long the slowest of a hundred answers took.
    fn p99(&self) -> Duration {
        let answer = || {
            let began = Instant::now();
            assert!(self.answers());
            began.elapsed()
        };
        let mut took: Vec<_> = (0..QUESTIONS).map(|_| answer()).collect();
        took.sort_unstable();
        *took.get(QUESTIONS * 99 / 100).unwrap()
    }

    fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes: u64 = line
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        kilobytes * 1_024
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // It is killed anyway; there is nothing to do about an error.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
