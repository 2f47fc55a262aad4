//! A bridge with tokens, as a process: who has none keeps nobody out who has one, and tokens are exchanged
//! while it runs.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

use prost::Message as _;
use rustix::process::{Pid, Signal, kill_process};
use support::{
    DEADLINE, facts,
    process::{Process, command, socket},
};
use tempfile::TempDir;

const TOKEN: &str = "a-token-of-more-than-sixteen-bytes";
const NEXT_TOKEN: &str = "another-token-of-more-than-sixteen";

/// Requests a second, of which a flood has many times as many.
const RATE: &str = "20";
const FLOOD: usize = 200;

/// Batches that each listener reads at the same time, and how long the body of one may take.
const BATCHES_MAX: usize = 8;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A bridge whose questions and facts over TCP need a token.
struct Guarded {
    bridge: Process,
    reads: String,
    facts: String,
    place: TempDir,
}

#[test]
fn a_flood_without_the_token_keeps_neither_those_with_it_nor_health_from_being_answered() {
    let bridge = Guarded::start();
    let mut flood = Vec::new();
    for n in 0..FLOOD {
        flood.push(bridge.question("/v1/causes", Some("a-guess-of-more-than-sixteen-bytes")));
        if n % 20 == 0 {
            for path in ["/livez", "/readyz"] {
                assert_eq!(bridge.question(path, None), 200, "{path}");
            }
            assert_eq!(bridge.question("/v1/causes", Some(TOKEN)), 200);
        }
    }
    assert!(flood.contains(&401), "{flood:?}");
    assert!(flood.contains(&429), "guessing has a bound: {flood:?}");
}

#[test]
fn health_is_told_however_often_it_is_asked_for() {
    let bridge = Guarded::start();
    for _ in 0..FLOOD {
        assert_eq!(bridge.question("/livez", None), 200);
    }
}

#[test]
fn a_flood_of_facts_over_tcp_keeps_the_socket_of_the_host_from_nothing() {
    let bridge = Guarded::start();
    let mut flood = Vec::new();
    for n in 0..FLOOD {
        let token = (n % 2 == 0).then_some(TOKEN);
        let stream = TcpStream::connect(&bridge.facts).unwrap();
        flood.push(ask(stream, &batch(token)));
        if n % 20 == 0 {
            let stream = UnixStream::connect(socket(bridge.place.path())).unwrap();
            assert_eq!(ask(stream, &batch(None)), 204);
        }
    }
    assert!(flood.contains(&429), "{flood:?}");
}

#[test]
fn bodies_that_do_not_come_keep_nobody_out_for_long_and_the_socket_of_the_host_from_nothing() {
    let bridge = Guarded::start();
    let whole = batch(Some(TOKEN));
    let (half, _rest) = whole.split_at(whole.len() - 1);
    let slow: Vec<_> = (0..=BATCHES_MAX)
        .map(|_| {
            let mut stream = TcpStream::connect(&bridge.facts).unwrap();
            stream.write_all(half).unwrap();
            stream
        })
        .collect();
    let began = Instant::now();
    let refused = "syntrace_batches_refused_total{code=\"too_many_batches\"} 1";
    while !bridge.answer("/metrics", Some(TOKEN)).contains(refused) {
        assert!(began.elapsed() < DEADLINE, "one too many came");
        thread::sleep(Duration::from_millis(50));
    }
    let unix = UnixStream::connect(socket(bridge.place.path())).unwrap();
    assert_eq!(ask(unix, &batch(None)), 204);
    let send = || ask(TcpStream::connect(&bridge.facts).unwrap(), &whole);
    while send() != 204 {
        // Fewer batches than are taken in a second.
        thread::sleep(Duration::from_millis(100));
    }
    assert!(began.elapsed() < BODY_TIMEOUT / 2, "{:?}", began.elapsed());
    let told = slow.into_iter().filter(|mut stream| {
        stream
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).is_ok() && head == *b"HTTP/1.1 429"
    });
    assert_eq!(told.count(), 2, "who made room may come again, too");
}

#[test]
fn a_token_is_exchanged_while_the_bridge_runs_and_a_wrong_file_changes_nothing() {
    let bridge = Guarded::start();
    let asked = |token| bridge.question("/v1/causes", Some(token));
    assert_eq!(asked(NEXT_TOKEN), 401);
    for (text, said, old, new) in [
        (
            &*format!("{TOKEN}\n{NEXT_TOKEN}\n"),
            "Read tokens",
            200,
            200,
        ),
        ("short", "Kept the tokens", 200, 200),
        (NEXT_TOKEN, "Read tokens", 401, 200),
    ] {
        fs::write(bridge.place.path().join("tokens"), text).unwrap();
        let before = bridge.bridge.log().len();
        bridge.hang_up();
        let deadline = Instant::now() + DEADLINE;
        while !bridge.bridge.log().get(before..).unwrap().contains(said) {
            assert!(Instant::now() < deadline, "{}", bridge.bridge.log());
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!((asked(TOKEN), asked(NEXT_TOKEN)), (old, new), "{said}");
    }
    let log = bridge.bridge.log();
    assert!(!log.contains(TOKEN) && !log.contains(NEXT_TOKEN));
    assert!(log.contains("line 1: expected a token"), "{log}");
}

#[test]
fn who_is_refused_before_the_body_was_read_still_reads_why() {
    let bridge = Guarded::start();
    let whole = "application/x-protobuf";
    for (token, media_type, bytes, status) in [
        (None, whole, 2, 401),
        (None, whole, 3 << 20, 401),
        (Some(TOKEN), "text/plain", 2, 415),
        (Some(TOKEN), "text/plain", 3 << 20, 415),
        (Some(TOKEN), whole, 5 << 20, 413),
    ] {
        let stream = TcpStream::connect(&bridge.facts).unwrap();
        let head = format!(
            "POST /v1/facts HTTP/1.1\r\ncontent-type: {media_type}\r\ncontent-length: {bytes}\r\n{}\r\n",
            headers(token)
        );
        // The head alone first, as some libraries write it: the answer may be there before the body.
        (&stream).write_all(head.as_bytes()).unwrap();
        assert_eq!(ask(stream, &vec![0; bytes]), status, "{bytes}");
    }
}

#[test]
fn a_head_that_is_too_large_is_refused_with_a_code() {
    let bridge = Guarded::start();
    for (bytes, status) in [
        (30_000, 200),
        (33_000, 431),
        (40_000, 431),
        (60_000, 431),
        (100_000, 431),
    ] {
        let path = format!("/livez?{}", "x".repeat(bytes));
        assert_eq!(bridge.question(&path, None), status, "{bytes}");
    }
}

impl Guarded {
    fn start() -> Self {
        let place = tempfile::tempdir().unwrap();
        let tokens = place.path().join("tokens");
        fs::write(&tokens, TOKEN).unwrap();
        let [reads, facts] = [(); 2].map(|()| {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().to_string()
        });
        let unix = socket(place.path());
        let mut command = command(place.path());
        command
            .env("SYNTRACE_LISTEN", &reads)
            .env(
                "SYNTRACE_FACTS",
                format!("unix:{},tcp:{facts}", unix.display()),
            )
            .env("SYNTRACE_LISTEN_TOKEN_FILE", &tokens)
            .env("SYNTRACE_FACTS_TOKEN_FILE", &tokens)
            .env("SYNTRACE_LISTEN_RATE", RATE)
            .env("SYNTRACE_FACTS_RATE", RATE);
        Self {
            bridge: Process::start(&mut command),
            reads,
            facts,
            place,
        }
    }

    fn question(&self, path: &str, token: Option<&str>) -> u16 {
        status(&self.answer(path, token))
    }

    fn answer(&self, path: &str, token: Option<&str>) -> String {
        let stream = TcpStream::connect(&self.reads).unwrap();
        let head = format!("GET {path} HTTP/1.1\r\n{}\r\n", headers(token));
        answer(stream, head.as_bytes())
    }

    fn hang_up(&self) {
        let pid = Pid::from_child(&self.bridge.child);
        kill_process(pid, Signal::HUP).unwrap();
    }
}

fn headers(token: Option<&str>) -> String {
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n"));
    let token = token.unwrap_or_default();
    format!("host: bridge\r\nconnection: close\r\n{token}")
}

fn batch(token: Option<&str>) -> Vec<u8> {
    let body = facts::story().encode_to_vec();
    let head = format!(
        "POST /v1/facts HTTP/1.1\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n{}\r\n",
        body.len(),
        headers(token)
    );
    [head.as_bytes(), &body].concat()
}

/// Returns the status of the answer.
fn ask(stream: impl Read + Write, request: &[u8]) -> u16 {
    status(&answer(stream, request))
}

fn answer(mut stream: impl Read + Write, request: &[u8]) -> String {
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}
