//! `syntrace-bridge` as a process: who may hold the socket, and what is left when it is told to stop.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::Instant,
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use rustix::process::{Pid, Signal, kill_process};
use support::{DEADLINE, facts};
use syntrace_proto::{Outcome, fact::Body};
use tempfile::TempDir;

#[test]
fn it_says_where_it_listens_and_answers_there_and_on_the_socket() {
    let place = Place::new();
    let bridge = place.start(&[]);
    let tcp = TcpStream::connect(&bridge.address).unwrap();
    assert!(ask(tcp, "GET /livez HTTP/1.1").starts_with("HTTP/1.1 200"));
    let unix = UnixStream::connect(place.socket()).unwrap();
    assert!(ask(unix, "GET /livez HTTP/1.1").starts_with("HTTP/1.1 200"));
    let tcp = TcpStream::connect(&bridge.address).unwrap();
    assert!(ask(tcp, "POST /v1/facts HTTP/1.1").starts_with("HTTP/1.1 404"));
}

#[test]
fn a_second_bridge_on_the_same_socket_refuses_to_start_and_says_who_holds_it() {
    let place = Place::new();
    let first = place.start(&[]);
    let second = place.command().output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let expected = format!(
        "error: {} is in use by another bridge, process {}\n",
        place.socket().display(),
        first.child.id()
    );
    assert_eq!(String::from_utf8(second.stderr).unwrap(), expected);
    let unix = UnixStream::connect(place.socket()).unwrap();
    assert!(ask(unix, "GET /livez HTTP/1.1").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_socket_that_a_dead_bridge_left_behind_is_replaced() {
    let place = Place::new();
    let mut first = place.start(&[]);
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    assert!(place.socket().exists());
    let _second = place.start(&[]);
    let unix = UnixStream::connect(place.socket()).unwrap();
    assert!(ask(unix, "GET /livez HTTP/1.1").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let place = Place::new();
    fs::write(place.socket(), "precious").unwrap();
    let refused = place.command().output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        String::from_utf8(refused.stderr)
            .unwrap()
            .contains("is not a socket")
    );
    assert_eq!(fs::read_to_string(place.socket()).unwrap(), "precious");
}

#[test]
fn an_address_that_other_hosts_reach_is_a_wrong_configuration() {
    let place = Place::new();
    let refused = place
        .command()
        .env("SYNTRACE_LISTEN", "0.0.0.0:0")
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(64));
    let line = String::from_utf8(refused.stderr).unwrap();
    assert!(line.contains("--listen 0.0.0.0:0 needs"), "{line}");
    assert_eq!(line.lines().count(), 1);
}

#[test]
fn an_order_to_stop_loses_nothing_that_was_accepted() {
    let place = Place::new();
    let collector = Collector::start();
    let mut bridge = place.start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)]);
    // Open at the time of the order, so that only the order settles it.
    let mut connection = facts::downstream(1);
    connection.outcome = Outcome::Established.into();
    connection.closed_at_ns = 0;
    let batch = facts::batch(vec![
        Body::Clock(facts::clock()),
        Body::Connection(connection),
        Body::Request(facts::served_request()),
    ]);
    let body = batch.encode_to_vec();

    let mut stream = UnixStream::connect(place.socket()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let expecting = "POST /v1/facts HTTP/1.1\r\nexpect: 100-continue";
    let head = head(expecting, body.len());
    stream.write_all(&head).unwrap();
    // The bridge is asked to stop when it is known to wait for the body.
    let mut continued = *b"HTTP/1.1 100 Continue\r\n\r\n";
    stream.read_exact(&mut continued).unwrap();
    assert_eq!(continued, *b"HTTP/1.1 100 Continue\r\n\r\n");
    bridge.signal(Signal::TERM);
    bridge.wait_for_line("Stopping");
    stream.write_all(&body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");

    assert!(bridge.wait().success());
    assert!(!place.socket().exists());
    let mut names = Vec::new();
    while names.len() < 6 {
        let export = collector.exports.recv_timeout(DEADLINE).unwrap();
        let resources = export.resource_spans.into_iter();
        let spans = resources
            .flat_map(|resource| resource.scope_spans)
            .flat_map(|scope| scope.spans);
        names.extend(spans.map(|span| (span.name, span.trace_id)));
    }
    let minted = facts::MINTED.to_vec();
    let expected = [
        "GET",
        "accept_wait",
        "handshake",
        "pool_wait",
        "tcp connection",
        "upstream attempt",
    ];
    names.sort();
    assert_eq!(
        names,
        expected.map(|name| (name.to_owned(), minted.clone()))
    );
}

#[test]
fn an_order_to_stop_exports_more_records_than_the_queue_to_the_collector_holds() {
    const CONNECTIONS: u64 = 12_000;
    let place = Place::new();
    let collector = Collector::start();
    let mut bridge = place.start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)]);
    let open = (1..=CONNECTIONS).map(|cookie| {
        let mut connection = facts::downstream(1);
        connection.socket_cookie = cookie;
        connection.outcome = Outcome::Established.into();
        connection.closed_at_ns = 0;
        Body::Connection(connection)
    });
    let body = facts::batch(open.collect()).encode_to_vec();
    let mut stream = UnixStream::connect(place.socket()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
        .write_all(&head("POST /v1/facts HTTP/1.1", body.len()))
        .unwrap();
    stream.write_all(&body).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 204");
    bridge.signal(Signal::TERM);
    assert!(bridge.wait().success());
    let mut connections = 0;
    while connections < CONNECTIONS {
        let export = collector.exports.recv_timeout(DEADLINE).unwrap();
        let resources = export.resource_spans.iter();
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        let spans = scopes.flat_map(|scope| &scope.spans);
        connections += spans.filter(|span| span.name == "tcp connection").count() as u64;
    }
    assert_eq!(connections, CONNECTIONS);
}

/// A directory of its own for one bridge after the other.
struct Place(TempDir);

/// A running bridge; killed when dropped.
struct Bridge {
    child: Child,
    log: BufReader<ChildStderr>,
    address: String,
}

/// Takes what bridges export.
struct Collector {
    url: String,
    exports: mpsc::Receiver<ExportTraceServiceRequest>,
    _runtime: tokio::runtime::Runtime,
}

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn socket(&self) -> PathBuf {
        self.0.path().join("bridge.sock")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_syntrace-bridge"));
        command
            .env(
                "SYNTRACE_FACTS",
                format!("unix:{}", self.socket().display()),
            )
            .env("SYNTRACE_LISTEN", "127.0.0.1:0")
            .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
            .env_remove("RUST_LOG");
        command
    }

    fn start(&self, environment: &[(&str, &str)]) -> Bridge {
        let mut command = self.command();
        command
            .envs(environment.iter().copied())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut bridge = Bridge {
            child,
            log,
            address: String::new(),
        };
        let line = bridge.wait_for_line("Listening");
        let (_, address) = line.split_once("address=").unwrap();
        bridge.address = address.split_whitespace().next().unwrap().to_owned();
        bridge
    }
}

impl Bridge {
    /// Reads the log up to a line with this text; the log ends when the bridge does.
    fn wait_for_line(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(
                self.log.read_line(&mut line).unwrap(),
                0,
                "the log ended before {text:?}"
            );
            if line.contains(text) {
                return line;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the bridge did not stop");
            std::thread::yield_now();
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // It may have ended already.
        if self.child.kill().is_ok() {
            self.child.wait().unwrap();
        }
    }
}

impl Collector {
    fn start() -> Self {
        let (sender, exports) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new()
            .route("/v1/traces", post(collect))
            .with_state(sender);
        runtime.spawn(async { axum::serve(listener, app).await });
        Self {
            url,
            exports,
            _runtime: runtime,
        }
    }
}

async fn collect(
    State(exports): State<mpsc::Sender<ExportTraceServiceRequest>>,
    body: Bytes,
) -> StatusCode {
    exports
        .send(ExportTraceServiceRequest::decode(body).unwrap())
        .unwrap();
    StatusCode::OK
}

/// Sends a request without a body, and returns the whole answer.
fn ask(mut stream: impl std::io::Read + std::io::Write, request: &str) -> String {
    stream.write_all(&head(request, 0)).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn head(request: &str, length: usize) -> Vec<u8> {
    format!(
        "{request}\r\nhost: bridge\r\nconnection: close\r\n\
         content-type: application/x-protobuf\r\ncontent-length: {length}\r\n\r\n"
    )
    .into_bytes()
}
