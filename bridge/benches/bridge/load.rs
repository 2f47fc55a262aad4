//! Batches as a probe and a filter send them: connections from clients with one request each, which connections
//! to a service carry that were there before. All is told in time, and joined.

use std::sync::LazyLock;

use prost::Message as _;
use syntrace_bridge::clock;
use syntrace_model::{BootNanos, ClockSample, UnixNanos};
use syntrace_proto::{
    Batch, Clock, Connection, Endpoint, Fact, Opening, Outcome, Request, Rung, SCHEMA, Sender,
    TagState, Upstream, fact::Body,
};

/// Connections, with a request each, in one pair of batches.
pub(crate) const BATCH: u64 = 100;

/// Connections to the service.
const UPSTREAM: u64 = 1_000;

/// How long a connection from a client is open that closes, nanoseconds.
const OPEN_NS: u64 = 50_000_000;

/// From one connection of a batch to the next, nanoseconds.
const APART_NS: u64 = 1_000;

/// What comes before all others: the rung, and the connections to the service.
pub(crate) fn opening(at: ClockSample) -> Vec<u8> {
    let rung = Rung {
        name: "full".to_owned(),
        ..Rung::default()
    };
    let upstream = (0..UPSTREAM).map(|name| Body::Connection(upstream(name, before(at))));
    let bodies = [Body::Rung(rung), reading(at)].into_iter().chain(upstream);
    encode("probe", 0, bodies.collect())
}

/// What the probe and the filter tell at a moment, for the time with this number: connections that have just
/// closed, and the request of each.
pub(crate) fn batches(number: u64, at: ClockSample) -> [Vec<u8>; 2] {
    let names = number * BATCH..(number + 1) * BATCH;
    let begin = before(at);
    let requests = names
        .clone()
        .map(|name| Body::Request(request(name, begin)));
    let closed = names.map(|name| Body::Connection(connection(name, begin, true)));
    let probe = [reading(at)].into_iter().chain(closed);
    [
        encode("probe", first_seq(number), probe.collect()),
        encode("filter/bench/0", number * BATCH, requests.collect()),
    ]
}

/// What the probe tells of connections that have just opened.
pub(crate) fn open(number: u64, at: ClockSample) -> Vec<u8> {
    let names = number * BATCH..(number + 1) * BATCH;
    let opened = names.map(|name| Body::Connection(connection(name, before(at), false)));
    let bodies = [reading(at)].into_iter().chain(opened);
    encode("probe", first_seq(number), bodies.collect())
}

/// The id of a request.
pub(crate) fn span_id(name: u64) -> [u8; 8] {
    // Spread, as ids drawn at random are.
    (name + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()
}

/// The number of the first fact in the probe's batch with this number.
const fn first_seq(number: u64) -> u64 {
    2 + UPSTREAM + number * (1 + BATCH)
}

/// When those began that close now.
const fn before(at: ClockSample) -> ClockSample {
    ClockSample {
        boot: BootNanos(at.boot.0 - OPEN_NS - BATCH * APART_NS),
        unix: UnixNanos(at.unix.0 - OPEN_NS - BATCH * APART_NS),
    }
}

fn reading(at: ClockSample) -> Body {
    Body::Clock(Clock {
        boot_ns: at.boot.0,
        unix_ns: at.unix.0,
    })
}

fn encode(sender: &str, first_seq: u64, bodies: Vec<Body>) -> Vec<u8> {
    let facts = bodies.into_iter().map(|body| Fact { body: Some(body) });
    let batch = Batch {
        schema: SCHEMA,
        sender: Some(Sender {
            name: sender.to_owned(),
            epoch: 7,
            host_id: String::new(),
        }),
        first_seq,
        facts: facts.collect(),
        losses: Vec::new(),
        goodbye: false,
    };
    batch.encode_to_vec()
}

fn connection(name: u64, begin: ClockSample, closed: bool) -> Connection {
    let at = begin.boot.0 + name % BATCH * APART_NS;
    Connection {
        boot_id: boot_id(),
        socket_cookie: name + 1,
        netns_cookie: 1,
        seen_at_ns: at + if closed { OPEN_NS } else { 900_000 },
        local: Some(end([192, 0, 2, 1], 8080)),
        peer: Some(client(name)),
        opening: Opening::Passive.into(),
        outcome: if closed {
            Outcome::Closed
        } else {
            Outcome::Established
        }
        .into(),
        syn_at_ns: at,
        syn_ack_at_ns: at + 20_000,
        established_at_ns: at + 400_000,
        accepted_at_ns: at + 900_000,
        closed_at_ns: if closed { at + OPEN_NS } else { 0 },
        minted_id: [span_id(name), span_id(name)].concat(),
        tag: if closed { tag(name) } else { Vec::new() },
        tag_state: if closed { TagState::Believed.into() } else { 0 },
        owner_pid: 100,
        owner_tid: 101,
        bytes_acked: 2_000,
        bytes_received: 500,
        ..Connection::default()
    }
}

/// A connection to the service, established before `begin`.
fn upstream(name: u64, begin: ClockSample) -> Connection {
    let at = begin.boot.0 - OPEN_NS;
    Connection {
        boot_id: boot_id(),
        socket_cookie: u64::MAX - name,
        netns_cookie: 1,
        seen_at_ns: at + 400_000,
        local: Some(dialled(name)),
        peer: Some(service()),
        opening: Opening::Active.into(),
        outcome: Outcome::Established.into(),
        syn_at_ns: at,
        syn_ack_at_ns: at + 400_000,
        established_at_ns: at + 400_000,
        minted_id: [0xab_u64.to_be_bytes(), span_id(name)].concat(),
        owner_pid: 100,
        owner_tid: 101,
        ..Connection::default()
    }
}

fn request(name: u64, begin: ClockSample) -> Request {
    Request {
        downstream_connection: name,
        trace_id: [span_id(name), [1; 8]].concat(),
        span_id: span_id(name).to_vec(),
        trace_flags: 1,
        started_at_unix_ns: begin.unix.0 + name % BATCH * APART_NS + 1_500_000,
        duration_ns: 20_000_000,
        local: Some(end([192, 0, 2, 1], 8080)),
        peer: Some(client(name)),
        method: "GET".to_owned(),
        path: "/products/4711/reviews".to_owned(),
        authority: "shop.example:8080".to_owned(),
        protocol: "HTTP/2".to_owned(),
        status: 200,
        response_bytes: 1_234,
        request_id: format!("0b2d1c3e-5f60-4718-8293-{name:012x}"),
        upstream: Some(Upstream {
            local: Some(dialled(name)),
            peer: Some(service()),
            cluster: "service".to_owned(),
            pool_wait_ns: Some(1_000_000),
            attempts: 1,
            failure: String::new(),
            first_byte_ns: Some(12_000_000),
        }),
        ..Request::default()
    }
}

/// The id that its client sent with the SYN.
fn tag(name: u64) -> Vec<u8> {
    [span_id(name), [0x7a; 8]].concat()
}

fn boot_id() -> Vec<u8> {
    static BOOT: LazyLock<Vec<u8>> = LazyLock::new(|| clock::boot_id().unwrap().0.to_vec());
    BOOT.clone()
}

fn client(name: u64) -> Endpoint {
    let port = 1_024 + u32::try_from(name % 60_000).unwrap();
    let host = u8::try_from(name / 60_000 % 250).unwrap();
    end([198, 51, 100, host], port)
}

/// The gateway's end of the connection to the service that carries this request.
fn dialled(name: u64) -> Endpoint {
    end(
        [192, 0, 2, 1],
        50_000 + u32::try_from(name % UPSTREAM).unwrap(),
    )
}

fn service() -> Endpoint {
    end([192, 0, 2, 3], 9000)
}

fn end(address: [u8; 4], port: u32) -> Endpoint {
    Endpoint {
        address: address.to_vec(),
        port,
    }
}
