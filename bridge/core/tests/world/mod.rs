//! A small world for tests: one gateway, its sockets and its requests, as the senders tell of them.
//!
//! Times are literals, in milliseconds since boot; the wall clock is [`WALL_MS`] ahead.

#![allow(
    clippy::allow_attributes,
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of the world"
)]

pub mod connects;
pub mod cut_off;
pub mod turns;

use std::sync::Arc;

use syntrace_core::{
    Confidence, Limits, Output, Reconciler, audit,
    fact::{
        Batch, Counters, Fact, Http, Incident, IncidentKind, Report, Rung, SenderId, Snapshot, Tag,
        TagState, Upstream, Watch,
    },
    record::{ConnectionRecord, Join, Method, Missing, RequestRecord},
};
use syntrace_model::{
    BootId, BootNanos, ClockSample, ConnKey, ConnectionId, Endpoint, Opening, Outcome, SpanId,
    TraceId, UnixNanos,
};

/// How far the wall clock is ahead of the boot clock.
pub const WALL_MS: u64 = 1_700_000_000_000;

pub const CERTAIN: Confidence = Confidence::Certain;
pub const LIKELY: Confidence = Confidence::Likely;

/// Network namespace of the gateway.
pub const GATEWAY: u64 = 7;

pub fn boot(ms: f64) -> BootNanos {
    BootNanos((ms * 1e6) as u64)
}

pub fn unix(ms: f64) -> UnixNanos {
    UnixNanos(WALL_MS * 1_000_000 + (ms * 1e6) as u64)
}

pub fn end(text: &str) -> Endpoint {
    text.parse().unwrap()
}

pub fn ends(local: &str, peer: &str) -> ConnKey {
    ConnKey {
        local: end(local),
        peer: end(peer),
    }
}

pub fn trace(n: u8) -> TraceId {
    TraceId::new([n; 16]).unwrap()
}

pub fn span(n: u64) -> SpanId {
    SpanId::new(n.to_be_bytes()).unwrap()
}

/// The gateway's end of a connection that a client opened from port `port`.
pub fn from_client(port: u16) -> ConnKey {
    ends("192.0.2.1:8080", &format!("192.0.2.2:{port}"))
}

/// The gateway's end of a connection that it opened from port `port`.
pub fn to_service(port: u16) -> ConnKey {
    ends(&format!("198.51.100.1:{port}"), "198.51.100.2:80")
}

/// A socket of the gateway, established at `from` and closed in order at `until`.
pub fn socket(cookie: u64, opening: Opening, key: ConnKey, from: f64, until: f64) -> Snapshot {
    Snapshot {
        boot: BootId([1; 16]),
        cookie,
        seen_at: boot(until),
        netns: GATEWAY,
        key,
        opening,
        outcome: Outcome::Closed,
        syn_at: Some(boot(from)),
        syn_ack_at: Some(boot(from)),
        established_at: Some(boot(from + 0.2)),
        accepted_at: None,
        closed_at: Some(boot(until)),
        minted: kernel_id(cookie),
        tag: None,
        errno: 0,
        owner_pid: 1,
        owner_tid: 1,
        counters: Counters {
            min_rtt_us: 200,
            bytes_acked: 300,
            bytes_received: 300,
            ..Counters::default()
        },
        watch: Watch::default(),
    }
}

/// The gateway's end of a connection from the client's one port.
pub fn accepted(cookie: u64, from: f64, until: f64) -> Snapshot {
    socket(cookie, Opening::Passive, from_client(5001), from, until)
}

/// The id that the kernel view mints for a cookie.
pub fn kernel_id(cookie: u64) -> TraceId {
    TraceId::new((0xeb00 + u128::from(cookie)).to_be_bytes()).unwrap()
}

/// The same socket when its handshake was done.
pub fn established(closed: &Snapshot) -> Snapshot {
    Snapshot {
        seen_at: closed.established_at.unwrap(),
        outcome: Outcome::Established,
        closed_at: None,
        counters: Counters::default(),
        ..closed.clone()
    }
}

/// A connect that ended with `outcome`.
pub fn failed(cookie: u64, key: ConnKey, outcome: Outcome, from: f64, until: f64) -> Snapshot {
    Snapshot {
        outcome,
        established_at: None,
        syn_ack_at: None,
        errno: if outcome == Outcome::Refused { 111 } else { 0 },
        ..socket(cookie, Opening::Active, key, from, until)
    }
}

pub fn tagged(snapshot: Snapshot, id: TraceId, state: TagState) -> Snapshot {
    Snapshot {
        tag: Some(Tag { id, state }),
        ..snapshot
    }
}

/// A request that came in on `downstream`, the socket's own ends, and that no service was asked for.
pub fn request(n: u64, downstream: ConnKey, from: f64, until: f64) -> Report {
    Report {
        downstream_connection: u64::from(downstream.peer.port()),
        connection_trace_id: Some(trace(0xf1)),
        trace_id: trace(0xf1),
        span_id: span(n),
        parent_span_id: None,
        trace_flags: 3,
        tracestate: "".into(),
        started_at: unix(from),
        duration_ns: ((until - from) * 1e6) as u64,
        downstream: Some(downstream),
        direct: Some(downstream),
        tls_handshake_ns: None,
        links: Vec::new(),
        http: Http {
            method: "GET".into(),
            path: "/".into(),
            status: 200,
            head_ns: Some(20_000),
            ..Http::default()
        },
        upstream: None,
    }
}

/// The same request, answered by a service over the connection that began at `port`.
pub fn served(report: Report, port: u16, pool_wait: f64, first_byte: f64) -> Report {
    let key = to_service(port);
    let upstream = Upstream {
        local: Some(key.local),
        peer: key.peer,
        cluster: "service".into(),
        pool_wait_ns: Some((pool_wait * 1e6) as u64),
        attempts: 1,
        failure: "".into(),
        first_byte_ns: Some((first_byte * 1e6) as u64),
    };
    Report {
        upstream: Some(upstream),
        ..report
    }
}

/// The same request, answered 503 because its connect failed.
pub fn unserved(report: Report, failure: &str) -> Report {
    let upstream = Upstream {
        local: None,
        peer: to_service(1).peer,
        cluster: "service".into(),
        pool_wait_ns: Some(report.duration_ns),
        attempts: 1,
        failure: failure.into(),
        first_byte_ns: None,
    };
    let http = Http {
        status: 503,
        response_flags: 1 << 5,
        ..report.http.clone()
    };
    Report {
        upstream: Some(upstream),
        http,
        ..report
    }
}

pub fn probe() -> SenderId {
    SenderId {
        name: "probe".into(),
        epoch: 1,
    }
}

pub fn filter() -> SenderId {
    SenderId {
        name: "filter".into(),
        epoch: 2,
    }
}

pub fn batch(sender: SenderId, first_seq: u64, facts: Vec<Fact>) -> Batch {
    Batch {
        sender,
        first_seq,
        facts,
        losses: Vec::new(),
        goodbye: false,
    }
}

/// What every story begins with: a probe that sees all, and one clock sample.
pub fn preamble() -> Vec<Fact> {
    vec![
        Fact::Rung(Rung {
            name: "full".into(),
            missing: Vec::new(),
            counted: Vec::new(),
            sockets_map_id: None,
        }),
        Fact::Clock(ClockSample {
            boot: boot(0.0),
            unix: unix(0.0),
        }),
    ]
}

/// Requests, as the filter tells of them.
pub fn requests_of(reports: Vec<Report>) -> Vec<Fact> {
    let facts = reports.into_iter();
    facts.map(|report| Fact::Request(report.into())).collect()
}

/// Both clocks, read 100 ms after a request: the probe has told what it saw until then.
pub fn clock_after(report: &Report) -> Fact {
    let ended_at = report.started_at.plus_ns(report.duration_ns);
    let unix = ended_at.plus_ns(100_000_000);
    let boot = BootNanos(unix.0 - WALL_MS * 1_000_000);
    Fact::Clock(ClockSample { boot, unix })
}

/// The client's connection: handshake done 0.2 ms after 10, accepted at `accepted_at`.
pub fn client(accepted_at: f64) -> Snapshot {
    Snapshot {
        accepted_at: Some(boot(accepted_at)),
        ..accepted(1, 10.0, 5_000.0)
    }
}

/// What is known after the probe told of its rung, the clock and these sockets.
pub fn known(limits: Limits, sockets: Vec<Snapshot>) -> Reconciler {
    let mut reconciler = Reconciler::new(limits);
    let sockets = sockets.into_iter().map(Fact::Connection);
    let kernel = preamble().into_iter().chain(sockets).collect();
    reconciler.handle_batch(batch(probe(), 0, kernel));
    // It came at once.
    reconciler.handle_timeout(boot(0.0));
    reconciler
}

/// Tells a story in one batch for each sender and lets everything settle.
pub fn tell(sockets: Vec<Snapshot>, requests: Vec<Report>) -> Records {
    let mut reconciler = Reconciler::new(Limits::default());
    let kernel = preamble()
        .into_iter()
        .chain(sockets.into_iter().map(Fact::Connection))
        .chain(requests.iter().map(clock_after))
        .collect();
    let proxy = requests
        .into_iter()
        .map(|report| Fact::Request(Arc::new(report)))
        .collect();
    reconciler.handle_batch(batch(probe(), 0, kernel));
    reconciler.handle_batch(batch(filter(), 0, proxy));
    settle(&mut reconciler)
}

/// Tells a story of one request; returns its record.
pub fn told(sockets: Vec<Snapshot>, report: Report) -> RequestRecord {
    tell(sockets, vec![report]).requests.remove(0)
}

/// The cookie of the socket that was found, and how sure that is.
pub fn found(join: &Join) -> Result<(u64, Confidence), Missing> {
    match join {
        Join::To {
            connection: ConnectionId::Socket { cookie, .. },
            confidence,
            ..
        } => Ok((*cookie, *confidence)),
        Join::To { .. } => panic!("not a socket: {join:?}"),
        Join::Missing(reason) => Err(*reason),
    }
}

/// The cookie of the socket that was found, how, and how sure that is.
pub fn joined(join: &Join) -> (u64, Method, Confidence) {
    let Join::To {
        connection: ConnectionId::Socket { cookie, .. },
        method,
        confidence,
        ..
    } = join
    else {
        panic!("not joined to a socket: {join:?}")
    };
    (*cookie, *method, *confidence)
}

/// Something that happened to a connection between the client and the gateway's one port.
pub fn incident(cookie: u64, kind: IncidentKind, at: f64) -> Incident {
    Incident {
        at: boot(at),
        boot: BootId([1; 16]),
        cookie,
        netns: GATEWAY,
        local: from_client(5001).local,
        peer: Some(from_client(5001).peer),
        kind,
        count: 1,
        queue: None,
    }
}

/// The record of a request, where this happened to sockets.
pub fn told_with(
    sockets: Vec<Snapshot>,
    incidents: Vec<Incident>,
    report: Report,
) -> RequestRecord {
    let mut reconciler = known(Limits::default(), sockets.clone());
    let incidents = incidents.into_iter().map(Fact::Incident).collect();
    let first_seq = 2 + sockets.len() as u64;
    reconciler.handle_batch(batch(probe(), first_seq, incidents));
    reconciler.handle_batch(batch(filter(), 0, vec![Fact::Request(report.into())]));
    settle(&mut reconciler).requests.remove(0)
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Records {
    pub requests: Vec<RequestRecord>,
    pub connections: Vec<ConnectionRecord>,
}

/// Lets everything settle; the records are in order of their names.
pub fn settle(reconciler: &mut Reconciler) -> Records {
    settle_after(Vec::new(), reconciler)
}

/// Lets everything settle, and adds what settled before.
pub fn settle_after(early: Vec<Output>, reconciler: &mut Reconciler) -> Records {
    reconciler.handle_timeout(boot(1e9));
    let mut records = Records::default();
    for output in early
        .into_iter()
        .chain(std::iter::from_fn(|| reconciler.poll_output()))
    {
        let findings = match &output {
            Output::Request(record) => audit::request(record),
            Output::Connection(record) => audit::connection(record),
        };
        assert!(findings.is_empty(), "{findings:?}: {output:#?}");
        match output {
            Output::Request(record) => records.requests.push(record),
            Output::Connection(record) => records.connections.push(record),
        }
    }
    records.requests.sort_by_key(RequestRecord::id);
    records.connections.sort_by_key(|record| record.id);
    records
}
