//! Clients that close their connection, or their end of it: who may still read is answered, and who is gone
//! keeps no place.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

use prost::Message as _;
use support::{
    facts,
    process::{Process, command, socket},
};

/// Often enough that one of them is answered after the bridge knows that no more comes.
const TRIES: usize = 20;

/// How long an event stream may be silent.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[test]
fn who_has_asked_and_says_no_more_still_reads_the_answer() {
    let place = tempfile::tempdir().unwrap();
    let (_bridge, reads) = start(place.path());
    let question = b"GET /v1/causes HTTP/1.1\r\nhost: bridge\r\n\r\n";
    let body = facts::story().encode_to_vec();
    let head = format!(
        "POST /v1/facts HTTP/1.1\r\nhost: bridge\r\n\
         content-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let batch = [head.as_bytes(), &body].concat();
    for _ in 0..TRIES {
        let mut stream = TcpStream::connect(&reads).unwrap();
        stream.write_all(question).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(status(stream), "200");
        let mut stream = UnixStream::connect(socket(place.path())).unwrap();
        stream.write_all(&batch).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(status(stream), "204");
    }
}

#[test]
fn a_follower_that_leaves_gives_its_place_back_at_once() {
    let place = tempfile::tempdir().unwrap();
    let (bridge, reads) = start(place.path());
    let followers = |count: usize| {
        let line = format!("\nsyntrace_http_followers {count}\n");
        let began = Instant::now();
        while !bridge.ask("/metrics").1.contains(&line) {
            assert!(began.elapsed() < KEEP_ALIVE / 3, "expected {count}");
            thread::sleep(Duration::from_millis(10));
        }
    };
    let streams: Vec<_> = (0..TRIES)
        .map(|_| {
            let mut stream = TcpStream::connect(&reads).unwrap();
            let question =
                b"GET /v1/requests HTTP/1.1\r\nhost: bridge\r\naccept: text/event-stream\r\n\r\n";
            stream.write_all(question).unwrap();
            stream
        })
        .collect();
    followers(TRIES);
    drop(streams);
    followers(0);
}

/// Starts a bridge; returns where it answers.
fn start(place: &std::path::Path) -> (Process, String) {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let reads = free.local_addr().unwrap().to_string();
    drop(free);
    let bridge = Process::start(command(place).env("SYNTRACE_LISTEN", &reads));
    (bridge, reads)
}

/// Returns the status of the answer, empty if there is none.
fn status(mut stream: impl Read) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let status = answer.split(' ').nth(1);
    status.unwrap_or_default().to_owned()
}
