//! A bridge as a process of its own, which others can reach, and what it is told.
#![allow(
    clippy::allow_attributes,
    dead_code,
    reason = "each target uses its own part"
)]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use prost::Message as _;
use syntrace_bridge::clock;
use syntrace_proto::{Batch, CONTENT_TYPE, FACTS_PATH, fact::Body};
use tempfile::TempDir;

use crate::support::{DEADLINE, facts};

/// Between two requests of the busy connection.
const STEP_NS: u64 = 100_000;

/// Between two questions of one who waits: a bridge answers only so many in a second.
const BETWEEN: Duration = Duration::from_millis(20);

/// A running bridge; killed when dropped.
pub(crate) struct Running {
    child: Child,
    address: String,
    place: TempDir,
}

impl Running {
    pub(crate) fn start(environment: &[(&str, &str)]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), environment)
    }

    /// Starts it where another one was.
    pub(crate) fn start_in(place: TempDir, environment: &[(&str, &str)]) -> Self {
        let socket = place.path().join("bridge.sock");
        let mut child = Command::new(env!("CARGO_BIN_EXE_syntrace-bridge"))
            .env("SYNTRACE_FACTS", format!("unix:{}", socket.display()))
            .env("SYNTRACE_LISTEN", "127.0.0.1:0")
            .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
            .env_remove("RUST_LOG")
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut lines = log.lines().map(Result::unwrap);
        let line = lines.find(|line| line.contains("Listening")).unwrap();
        let (_, address) = line.split_once("address=").unwrap();
        let address = address.split_whitespace().next().unwrap().to_owned();
        // Somebody must read what else it logs.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            address,
            place,
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Where its page is.
    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where its files are.
    pub(crate) fn place(&self) -> &Path {
        self.place.path()
    }

    /// Ends it on the spot; its files stay.
    pub(crate) fn kill(mut self) -> TempDir {
        let place = tempfile::tempdir().unwrap();
        std::mem::replace(&mut self.place, place)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn post(&self, batch: &Batch) {
        let body = batch.encode_to_vec();
        let mut stream = UnixStream::connect(self.place.path().join("bridge.sock")).unwrap();
        let length = body.len();
        let head = format!(
            "POST {FACTS_PATH} HTTP/1.1\r\nhost: bridge\r\ncontent-type: {CONTENT_TYPE}\r\n\
             content-length: {length}\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    }

    /// Tells of one connection with this many requests; returns its id.
    pub(crate) fn post_busy(&self, requests: u64) -> String {
        let cookie = 200;
        // All within the last moment: nothing of it is late.
        let now = clock::sample();
        let lasted_ns = (requests + 20) * STEP_NS;
        let begun_ns = now.boot.0 - lasted_ns;
        let mut connection = facts::downstream(cookie);
        connection.peer = Some(facts::end(facts::CLIENT, 999));
        for at in [
            &mut connection.syn_at_ns,
            &mut connection.syn_ack_at_ns,
            &mut connection.established_at_ns,
            &mut connection.accepted_at_ns,
        ] {
            *at = begun_ns;
        }
        connection.closed_at_ns = now.boot.0;
        connection.seen_at_ns = connection.closed_at_ns;
        let of_connection = (0..requests).map(|n| {
            let mut request = facts::served_request();
            request.peer = connection.peer.clone();
            request.downstream_connection = cookie;
            request.span_id = (n + 1).to_be_bytes().to_vec();
            request.started_at_unix_ns = now.unix.0 - lasted_ns + (n + 10) * STEP_NS;
            request.duration_ns = STEP_NS / 2;
            request.request_id = String::new();
            request.upstream = None;
            Body::Request(request)
        });
        let bodies = std::iter::once(Body::Connection(connection.clone())).chain(of_connection);
        let mut batch = facts::batch(bodies.collect());
        batch.sender.as_mut().unwrap().name = "filter/busy/0".to_owned();
        self.post(&batch);
        format!("{}.{cookie}", "b0".repeat(16))
    }

    /// Waits until that many records of a kind are settled.
    pub(crate) fn wait_until_settled(&self, kind: &str, count: u64) {
        self.wait_until(kind, |settled| settled == Some(count));
    }

    /// Waits until a record of a kind is settled.
    pub(crate) fn wait_until_any(&self, kind: &str) {
        self.wait_until(kind, |settled| settled > Some(0));
    }

    fn wait_until(&self, kind: &str, is_enough: impl Fn(Option<u64>) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let coverage = self.ask("/v1/coverage");
            if is_enough(coverage[kind]["settled"].as_u64()) {
                return;
            }
            assert!(Instant::now() < deadline, "{coverage}");
            std::thread::sleep(BETWEEN);
        }
    }

    pub(crate) fn ask(&self, path: &str) -> serde_json::Value {
        serde_json::from_str(&self.read(path)).unwrap()
    }

    pub(crate) fn read(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!("GET {path} HTTP/1.0\r\nhost: bridge\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        body.to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
