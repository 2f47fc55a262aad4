//! A bridge as a process of its own, called over its sockets.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use prost::Message as _;
use serde_json::Value;
use syntrace_proto::Batch;

use super::DEADLINE;

/// A bridge that answers; killed when dropped.
pub struct Process {
    pub child: Child,
    pub began: Instant,
    address: String,
    log: Arc<Mutex<String>>,
}

/// A sender's connection to a bridge.
pub struct Connection(BufReader<UnixStream>);

/// The command of a bridge that keeps everything below a place.
pub fn command(place: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_syntrace-bridge"));
    settle(&mut command, place);
    command
}

/// Sets what a bridge below a place is told, on the command that starts it.
pub fn settle(command: &mut Command, place: &Path) {
    command
        .env(
            "SYNTRACE_FACTS",
            format!("unix:{}", socket(place).display()),
        )
        .env("SYNTRACE_LISTEN", "127.0.0.1:0")
        .env("SYNTRACE_DATA_DIR", place.join("data"))
        .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
        .env_remove("RUST_LOG");
}

/// Where a bridge below a place takes facts.
pub fn socket(place: &Path) -> PathBuf {
    place.join("bridge.sock")
}

impl Process {
    /// Starts a bridge, and returns when it says where it listens.
    pub fn start(command: &mut Command) -> Self {
        Self::try_start(command).unwrap_or_else(|log| panic!("{log}"))
    }

    /// Starts a bridge; returns what it wrote if it ends instead of listening.
    pub fn try_start(command: &mut Command) -> Result<Self, String> {
        let began = Instant::now();
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let (told, telling) = mpsc::channel();
        let log = Arc::new(Mutex::new(String::new()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let all = Arc::clone(&log);
        // The bridge must not wait for who reads its log.
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let address = line.split_once("Listening address=");
                let address = address.and_then(|(_, address)| address.split_whitespace().next());
                if let Some(address) = address {
                    told.send(address.to_owned()).unwrap();
                }
                *all.lock().unwrap() += &format!("{line}\n");
            }
        });
        let Ok(address) = telling.recv() else {
            child.wait().unwrap();
            return Err(log.lock().unwrap().clone());
        };
        Ok(Self {
            child,
            began,
            address,
            log,
        })
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// What of it is in memory.
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.unwrap().parse::<u64>().unwrap() << 10
    }

    /// Asks, and returns the status and the body.
    pub fn ask(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: bridge\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    pub fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(path);
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {status} {body}"))
    }

    /// Asks until the answer is as expected, and returns it.
    pub fn eventually(&self, path: &str, expected: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + 6 * DEADLINE;
        loop {
            let answer = self.get(path);
            if expected(&answer) {
                return answer;
            }
            assert!(
                Instant::now() < deadline,
                "{path}: {answer}\n{}",
                self.log()
            );
            // Fewer questions than the bridge answers in a second.
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Returns the records of a kind that `which` chooses, once there are `expected` of them, all settled.
    pub fn settled(
        &self,
        kind: &str,
        expected: usize,
        which: impl Fn(&Value) -> bool,
    ) -> Vec<Value> {
        let deadline = Instant::now() + 3 * DEADLINE;
        loop {
            let mut records = self.list(kind);
            records.retain(&which);
            if records.len() >= expected && records.iter().all(|one| one["settled"] == true) {
                return records;
            }
            let found = records.len();
            assert!(Instant::now() < deadline, "{found} of {expected} {kind}");
        }
    }

    /// Returns all records of a kind, from page to page, as soon as no page leaves any out.
    pub fn list(&self, kind: &str) -> Vec<Value> {
        let deadline = Instant::now() + 3 * DEADLINE;
        loop {
            if let Some(records) = self.try_list(kind) {
                return records;
            }
            assert!(Instant::now() < deadline, "{}", self.get("/readyz"));
            // Fewer questions than the bridge answers in a second.
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Returns all records of a kind, unless some cannot be read yet.
    fn try_list(&self, kind: &str) -> Option<Vec<Value>> {
        let mut records = Vec::new();
        let mut cursor = String::new();
        loop {
            let mut page = self.get(&format!("/v1/{kind}?limit=500{cursor}"));
            if page.get("incomplete").is_some() {
                return None;
            }
            records.append(page[kind].as_array_mut().unwrap());
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Some(records),
            }
        }
    }
}

/// Returns the numbers that records are named by, each of them once.
pub fn names(records: &[Value], field: &str, before: char) -> BTreeSet<u64> {
    let number = |record: &Value| {
        let (_, number) = record[field].as_str().unwrap().rsplit_once(before).unwrap();
        number.parse().unwrap()
    };
    let names: BTreeSet<u64> = records.iter().map(number).collect();
    assert_eq!(names.len(), records.len(), "{field}");
    names
}

/// Returns whether the kernel told of a connection.
pub fn is_socket(connection: &Value) -> bool {
    connection["coverage"]["kernel"] == true
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            self.child.wait().unwrap();
        }
    }
}

impl Connection {
    pub fn open(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a batch, and returns the status and the code of the answer; both are there or neither is.
    pub fn post(&mut self, body: &[u8]) -> io::Result<(u16, String)> {
        let head = format!(
            "POST /v1/facts HTTP/1.1\r\nhost: bridge\r\n\
             content-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.0.get_mut().write_all(head.as_bytes())?;
        self.0.get_mut().write_all(body)?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let status = status.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut length = 0;
        while line.len() > 2 {
            line.clear();
            self.0.read_line(&mut line)?;
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let code = body["error"]["code"].as_str().unwrap_or_default();
        Ok((status, code.to_owned()))
    }

    /// Sends a batch that is to be acknowledged, as soon as there is room for it.
    pub fn accept(&mut self, batch: &Batch) {
        let body = batch.encode_to_vec();
        let mut answer = self.post(&body).unwrap();
        while answer == (503, "busy".to_owned()) {
            thread::sleep(Duration::from_millis(1));
            answer = self.post(&body).unwrap();
        }
        assert_eq!(answer, (204, String::new()));
    }
}
