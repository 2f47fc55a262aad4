//! Facts as senders send them. Their times lie long ago, so that they settle as soon as they are folded.

use syntrace_proto::{
    Batch, Clock, Connection, Endpoint, Fact, Opening, Outcome, Request, Rung, SCHEMA, Sender,
    TagState, Upstream, fact::Body,
};

/// The run of the kernel that all sockets are of.
pub const BOOT_ID: [u8; 16] = [0xb0; 16];

/// `CLOCK_BOOTTIME` at which the story begins: one second after the boot.
pub const BOOT_NS: u64 = 1_000_000_000;

/// The wall clock at the same moment: 2023-11-14T22:13:20Z.
pub const UNIX_NS: u64 = 1_700_000_000_000_000_000;

/// The id that the filter minted for the downstream connection.
pub const MINTED: [u8; 16] = [0xf1; 16];

pub const GATEWAY: [u8; 4] = [192, 0, 2, 1];
pub const CLIENT: [u8; 4] = [192, 0, 2, 2];
pub const SERVICE: [u8; 4] = [192, 0, 2, 3];

/// The ids of the story's connections and requests.
pub const DOWNSTREAM: &str = "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0.1";
pub const UPSTREAM: &str = "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0.2";
pub const REFUSED: &str = "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0.3";
pub const SERVED: &str = "5151515151515151";
pub const FAILED: &str = "5252525252525252";

/// One connection with one request, the upstream connection that it opened, and a second request that
/// a refused connect failed.
pub fn story() -> Batch {
    batch(vec![
        Body::Rung(Rung {
            name: "full".to_owned(),
            ..Rung::default()
        }),
        Body::Clock(clock()),
        Body::Connection(downstream(1)),
        Body::Connection(upstream(2)),
        Body::Connection(refused(3)),
        Body::Request(served_request()),
        Body::Request(failed_request()),
    ])
}

pub fn batch(bodies: Vec<Body>) -> Batch {
    let fact = |body| Fact { body: Some(body) };
    Batch {
        schema: SCHEMA,
        sender: Some(Sender {
            name: "filter/story/0".to_owned(),
            epoch: 0xe,
            host_id: String::new(),
        }),
        first_seq: 0,
        facts: bodies.into_iter().map(fact).collect(),
        losses: Vec::new(),
        goodbye: false,
    }
}

/// Both clocks at the story's beginning.
pub fn clock() -> Clock {
    Clock {
        boot_ns: BOOT_NS,
        unix_ns: UNIX_NS,
    }
}

/// Accepted from the client; its SYN carried a tag.
pub fn downstream(cookie: u64) -> Connection {
    Connection {
        seen_at_ns: BOOT_NS + 50_000_000,
        local: Some(end(GATEWAY, 8080)),
        peer: Some(end(CLIENT, 41_230)),
        opening: Opening::Passive.into(),
        outcome: Outcome::Closed.into(),
        syn_at_ns: BOOT_NS,
        syn_ack_at_ns: BOOT_NS + 20_000,
        established_at_ns: BOOT_NS + 400_000,
        accepted_at_ns: BOOT_NS + 900_000,
        closed_at_ns: BOOT_NS + 50_000_000,
        tag: vec![0x7a; 16],
        tag_state: TagState::Believed.into(),
        bytes_acked: 2_000,
        bytes_received: 500,
        ..socket(cookie)
    }
}

/// Dialled to the service by the request that it served.
pub fn upstream(cookie: u64) -> Connection {
    Connection {
        seen_at_ns: BOOT_NS + 60_000_000,
        local: Some(end(GATEWAY, 50_000)),
        peer: Some(end(SERVICE, 9000)),
        opening: Opening::Active.into(),
        outcome: Outcome::Closed.into(),
        syn_at_ns: BOOT_NS + 2_000_000,
        syn_ack_at_ns: BOOT_NS + 2_300_000,
        established_at_ns: BOOT_NS + 2_300_000,
        closed_at_ns: BOOT_NS + 60_000_000,
        min_rtt_us: 300,
        ..socket(cookie)
    }
}

/// Dialled to a port of the service on which nothing listens.
pub fn refused(cookie: u64) -> Connection {
    Connection {
        seen_at_ns: BOOT_NS + 31_400_000,
        local: Some(end(GATEWAY, 50_001)),
        peer: Some(end(SERVICE, 9001)),
        opening: Opening::Active.into(),
        outcome: Outcome::Refused.into(),
        syn_at_ns: BOOT_NS + 31_000_000,
        closed_at_ns: BOOT_NS + 31_400_000,
        error: 111,
        ..socket(cookie)
    }
}

/// Came without a context, so that it has its connection's id.
pub fn served_request() -> Request {
    Request {
        span_id: vec![0x51; 8],
        started_at_unix_ns: UNIX_NS + 1_500_000,
        duration_ns: 20_000_000,
        method: "GET".to_owned(),
        path: "/story".to_owned(),
        status: 200,
        request_id: "11111111-2222-4333-8444-555555555555".to_owned(),
        response_bytes: 1_234,
        upstream: Some(Upstream {
            local: Some(end(GATEWAY, 50_000)),
            peer: Some(end(SERVICE, 9000)),
            cluster: "service".to_owned(),
            pool_wait_ns: Some(1_000_000),
            attempts: 1,
            failure: String::new(),
            first_byte_ns: Some(12_000_000),
        }),
        ..request()
    }
}

/// Brought a context of its own, and failed.
pub fn failed_request() -> Request {
    Request {
        trace_id: vec![0xc1; 16],
        span_id: vec![0x52; 8],
        parent_span_id: vec![0xc2; 8],
        started_at_unix_ns: UNIX_NS + 30_000_000,
        duration_ns: 2_000_000,
        method: "POST".to_owned(),
        path: "/shop.Cart/Add".to_owned(),
        status: 503,
        grpc: true,
        grpc_status: Some(14),
        // UF and URX.
        response_flags: 1 << 5 | 1 << 15,
        response_details: "upstream_reset_before_response_started".to_owned(),
        upstream: Some(Upstream {
            local: None,
            peer: Some(end(SERVICE, 9001)),
            cluster: "dead".to_owned(),
            pool_wait_ns: None,
            attempts: 1,
            failure: "delayed connect error: 111".to_owned(),
            first_byte_ns: None,
        }),
        ..request()
    }
}

pub fn end(address: [u8; 4], port: u32) -> Endpoint {
    Endpoint {
        address: address.to_vec(),
        port,
    }
}

fn socket(cookie: u64) -> Connection {
    Connection {
        boot_id: BOOT_ID.to_vec(),
        socket_cookie: cookie,
        netns_cookie: 4711,
        minted_id: [0x10, u8::try_from(cookie).unwrap()].repeat(8),
        owner_pid: 100,
        owner_tid: 101,
        ..Connection::default()
    }
}

fn request() -> Request {
    Request {
        downstream_connection: 9,
        connection_trace_id: MINTED.to_vec(),
        trace_id: MINTED.to_vec(),
        trace_flags: 1,
        local: Some(end(GATEWAY, 8080)),
        peer: Some(end(CLIENT, 41_230)),
        direct: true,
        authority: "shop.example:8080".to_owned(),
        protocol: "HTTP/2".to_owned(),
        head_ns: Some(40_000),
        ..Request::default()
    }
}
