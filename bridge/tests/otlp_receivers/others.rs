//! Who takes the spans: a receiver on OpenTelemetry's own definitions in Python, and rotel, a collector.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::{BufRead as _, BufReader},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use serde::Deserialize;
use syntrace_test_requirements::Requirement;
use tempfile::TempDir;

/// How long others may take to start, and to have everything.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks.
const BETWEEN: Duration = Duration::from_millis(20);

/// The encodings of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Grpc,
    Http,
}

/// Receivers, one after the other, that write down what they take, and where.
pub(crate) struct Receiver {
    transport: Transport,
    place: TempDir,
    port: u16,
    running: Option<Running>,
}

/// A collector between the bridge and a receiver.
pub(crate) struct Rotel {
    ports: BTreeMap<&'static str, u16>,
    receiver: String,
    place: TempDir,
    running: Option<Running>,
}

/// A process that is killed when dropped.
struct Running(Child);

/// A span as it was written down.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Span {
    pub(crate) service: Option<String>,
    pub(crate) trace: String,
    pub(crate) span: String,
    parent: String,
    pub(crate) name: String,
    pub(crate) kind: i32,
    from: u64,
    until: u64,
    complaints: Vec<String>,
}

/// Returns whether both are there; otherwise says so, and the test should return.
pub(crate) fn are_there() -> bool {
    let import = "import grpc, rotel; from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc";
    let driver = Command::new(python())
        .args(["-c", import])
        .stderr(Stdio::null())
        .status();
    Requirement::Collector.is_met(
        driver.is_ok_and(|status| status.success()),
        "opentelemetry-proto, grpcio and rotel (scripts/setup bridge)",
    )
}

// === impl Transport ===

impl Transport {
    pub(crate) const ALL: [Self; 2] = [Self::Grpc, Self::Http];

    /// As `OTEL_EXPORTER_OTLP_PROTOCOL` has it.
    pub(crate) const fn protocol(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http/protobuf",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
        }
    }
}

// === impl Receiver ===

impl Receiver {
    /// Chooses a port, on which nobody listens until [`Self::start`].
    pub(crate) fn new(transport: Transport) -> Self {
        Self {
            transport,
            place: tempfile::tempdir().unwrap(),
            port: free_port(),
            running: None,
        }
    }

    /// Starts one that answers so long after it has taken something.
    pub(crate) fn start(&mut self, delay: Duration) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/otlp_receivers/receiver.py");
        let mut child = Command::new(python())
            .arg(script)
            .args([self.transport.name(), &self.port.to_string()])
            .arg(self.ledger())
            .arg(delay.as_secs_f64().to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = child.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), self.port.to_string());
        self.running = Some(Running(child));
    }

    /// Kills it: what it wrote down it has, what it was about to answer it has not answered.
    pub(crate) fn kill(&mut self) {
        self.running = None;
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Every span as often as it was taken.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let text = fs::read_to_string(self.ledger()).unwrap_or_default();
        // A line that is being written has no end yet.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Waits until so many different records have come.
    pub(crate) fn wait_for_records(&self, count: usize) -> Vec<Span> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let spans = self.spans();
            let has = records(&spans);
            if has >= count {
                return spans;
            }
            assert!(Instant::now() < deadline, "{has} of {count} records came");
            sleep(BETWEEN);
        }
    }

    fn ledger(&self) -> PathBuf {
        self.place.path().join("ledger")
    }
}

// === impl Rotel ===

impl Rotel {
    pub(crate) fn new(receiver: &Receiver) -> Self {
        Self {
            ports: ["grpc", "http"].map(|name| (name, free_port())).into(),
            receiver: receiver.url(),
            place: tempfile::tempdir().unwrap(),
            running: None,
        }
    }

    pub(crate) fn url(&self, transport: Transport) -> String {
        format!("http://127.0.0.1:{}", self.ports[transport.name()])
    }

    /// Starts it, and waits until it listens.
    pub(crate) fn start(&mut self) {
        let program =
            "import pathlib, rotel; print(pathlib.Path(rotel.__file__).parent / 'rotel-agent')";
        let found = Command::new(python()).args(["-c", program]).output();
        let found = String::from_utf8(found.unwrap().stdout).unwrap();
        let file = |name: &str| self.place.path().join(name);
        let child = Command::new(found.trim())
            .arg("start")
            .args([
                "--otlp-grpc-endpoint",
                &format!("127.0.0.1:{}", self.ports["grpc"]),
            ])
            .args([
                "--otlp-http-endpoint",
                &format!("127.0.0.1:{}", self.ports["http"]),
            ])
            .args(["--exporter", "otlp", "--otlp-exporter-protocol", "http"])
            .args(["--otlp-exporter-endpoint", &self.receiver])
            .args(["--batch-timeout", "50ms"])
            .arg("--pid-file")
            .arg(file("pid"))
            .arg("--log-file")
            .arg(file("log"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.running = Some(Running(child));
        let deadline = Instant::now() + PATIENCE;
        for port in self.ports.values() {
            while TcpStream::connect(("127.0.0.1", *port)).is_err() {
                assert!(Instant::now() < deadline, "rotel does not listen");
                sleep(BETWEEN);
            }
        }
    }

    pub(crate) fn kill(&mut self) {
        self.running = None;
    }
}

// === impl Running ===

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// How many records the spans are of: each connection has one span that is called so, each request one of
/// a server (`SPAN_KIND_SERVER`).
pub(crate) fn records(spans: &[Span]) -> usize {
    let of_record = |span: &&Span| span.name == "tcp connection" || span.kind == 2;
    let ids = spans.iter().filter(of_record).map(|span| &span.span);
    ids.collect::<BTreeSet<_>>().len()
}

/// Fails unless every span is sound, and none has come under two ids, or as two under one.
pub(crate) fn check(spans: &[Span]) {
    let mut ids: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
    let mut whats: BTreeMap<&str, BTreeSet<_>> = BTreeMap::new();
    for span in spans {
        assert!(span.complaints.is_empty(), "{span:?}");
        let what = (&span.trace, &span.parent, &span.name, span.from, span.until);
        ids.entry(what).or_default().insert(&span.span);
        whats.entry(&span.span).or_default().insert(what);
    }
    let twice = ids.iter().find(|(_, ids)| ids.len() > 1);
    assert!(twice.is_none(), "under two ids: {twice:?}");
    let two = whats.iter().find(|(_, whats)| whats.len() > 1);
    assert!(two.is_none(), "two under one id: {two:?}");
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn python() -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/venv/bin/python");
    env::var_os("SYNTRACE_PYTHON").map_or(default, PathBuf::from)
}
