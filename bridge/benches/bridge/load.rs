//! Batches as a filter and a probe send them: connections with one request each, long settled.

use std::sync::LazyLock;

use prost::Message as _;
use syntrace_bridge::clock;
use syntrace_model::{BootNanos, ClockSample, UnixNanos};
use syntrace_proto::{
    Batch, Clock, Connection, Endpoint, Fact, Opening, Outcome, Request, Rung, SCHEMA, Sender,
    TagState, Upstream, fact::Body,
};

/// Connections, with a request each, in one batch.
pub(crate) const BATCH: u64 = 100;

/// How long ago the first of them came, nanoseconds: all settle at once.
const AGO_NS: u64 = 60_000_000_000;

/// When the first of them came, by both clocks: those of this host, which the bridge reads itself too.
static BEGIN: LazyLock<ClockSample> = LazyLock::new(|| {
    let now = clock::sample();
    ClockSample {
        boot: BootNanos(now.boot.0 - AGO_NS),
        unix: UnixNanos(now.unix.0 - AGO_NS),
    }
});

/// What comes before all others.
pub(crate) fn opening() -> Vec<u8> {
    let rung = Rung {
        name: "full".to_owned(),
        missing: Vec::new(),
    };
    let clock = Clock {
        boot_ns: BEGIN.boot.0,
        unix_ns: BEGIN.unix.0,
    };
    encode("probe", 0, vec![Body::Rung(rung), Body::Clock(clock)])
}

/// The batch with this number: closed connections, each with a request.
pub(crate) fn batch(number: u64) -> Vec<u8> {
    let bodies = (number * BATCH..(number + 1) * BATCH).flat_map(|name| {
        [
            Body::Connection(connection(name, true)),
            Body::Request(request(name)),
        ]
    });
    encode("filter/bench/0", number * BATCH * 2, bodies.collect())
}

/// The batch with this number: open connections.
pub(crate) fn open(number: u64) -> Vec<u8> {
    let names = number * BATCH..(number + 1) * BATCH;
    let bodies = names.map(|name| Body::Connection(connection(name, false)));
    encode("probe", 2 + number * BATCH, bodies.collect())
}

/// The id of a request.
pub(crate) fn span_id(name: u64) -> [u8; 8] {
    // Spread, as ids drawn at random are.
    (name + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()
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

fn connection(name: u64, closed: bool) -> Connection {
    let at = BEGIN.boot.0 + name * 1_000;
    Connection {
        boot_id: vec![0xb0; 16],
        socket_cookie: name + 1,
        netns_cookie: 1,
        seen_at_ns: at + 50_000_000,
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
        closed_at_ns: if closed { at + 50_000_000 } else { 0 },
        minted_id: [span_id(name), span_id(name)].concat(),
        tag: if closed { vec![0x7a; 16] } else { Vec::new() },
        tag_state: if closed { TagState::Believed.into() } else { 0 },
        owner_pid: 100,
        owner_tid: 101,
        bytes_acked: 2_000,
        bytes_received: 500,
        ..Connection::default()
    }
}

fn request(name: u64) -> Request {
    Request {
        downstream_connection: name,
        trace_id: [span_id(name), [1; 8]].concat(),
        span_id: span_id(name).to_vec(),
        trace_flags: 1,
        started_at_unix_ns: BEGIN.unix.0 + name * 1_000 + 1_500_000,
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
            local: Some(end([192, 0, 2, 1], 50_000)),
            peer: Some(end([192, 0, 2, 3], 9000)),
            cluster: "service".to_owned(),
            pool_wait_ns: Some(1_000_000),
            attempts: 1,
            failure: String::new(),
            first_byte_ns: Some(12_000_000),
        }),
        ..Request::default()
    }
}

fn client(name: u64) -> Endpoint {
    let port = 1_024 + u32::try_from(name % 60_000).unwrap();
    let host = u8::try_from(name / 60_000 % 250).unwrap();
    end([198, 51, 100, host], port)
}

fn end(address: [u8; 4], port: u32) -> Endpoint {
    Endpoint {
        address: address.to_vec(),
        port,
    }
}
