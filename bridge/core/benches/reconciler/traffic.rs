//! Facts of a busy gateway, made up: so many connections live, some close and others open, keep-alive
//! requests on all of them.
//!
//! Three snapshots a connection (established, accepted, closed), four requests for each downstream
//! connection that comes and goes, an upstream connection for eight downstream ones; half of the clients
//! send no trace context, so that the filter mints their connections' ids. 20,000 facts a second of the
//! senders' time.

use std::{net::Ipv4Addr, sync::Arc};

use syntrace_core::fact::{
    Batch, Counters, Fact, Http, Report, Rung, SenderId, Snapshot, Upstream, Watch,
};
use syntrace_model::{
    BootId, BootNanos, ClockSample, ConnKey, Endpoint, Opening, Outcome, SpanId, TraceId, UnixNanos,
};

/// Facts in one batch.
const BATCH_FACTS: usize = 128;

/// Time that passes with each fact: what one gateway tells of about 11,000 requests a second.
const TICK_NS: u64 = 50_000;

/// After so much time as many connections settle as open: grace and linger, and some.
const STEADY_NS: u64 = 20_000_000_000;

/// How far the wall clock is ahead.
const WALL_NS: u64 = 1_700_000_000_000_000_000;

/// Requests for each downstream connection that comes and goes.
const REQUESTS: usize = 4;

/// Downstream connections to one upstream connection.
const SHARE: usize = 8;

const PROBE: usize = 0;
const WORKERS: usize = 4;

/// Batches in the order in which they arrive, each with the time at which it does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) batches: Vec<(BootNanos, Batch)>,
}

/// A gateway and the facts that were not handed out yet.
#[derive(Debug)]
pub(crate) struct Traffic {
    downstream: Vec<Snapshot>,
    upstream: Vec<Snapshot>,
    now: u64,
    cookies: u64,
    spans: u64,
    chance: Chance,
    /// Facts of the probe and of each worker that are not in a batch yet, and the next number.
    pending: [(Vec<Fact>, u64); 1 + WORKERS],
    ready: Chunk,
}

/// Numbers that look random and are the same each time (SplitMix64).
#[derive(Debug)]
struct Chance(u64);

// === impl Chunk ===

impl Chunk {
    /// Returns how many facts there are.
    pub(crate) fn facts(&self) -> usize {
        let facts = self.batches.iter().map(|(_, batch)| batch.facts.len());
        facts.sum()
    }
}

// === impl Traffic ===

impl Traffic {
    /// Returns a gateway with `live` connections.
    pub(crate) fn new(live: usize) -> Self {
        let n_upstream = live / (SHARE + 1);
        let mut traffic = Self {
            downstream: Vec::new(),
            upstream: Vec::new(),
            now: 1_000_000_000,
            cookies: 0,
            spans: 0,
            chance: Chance(42),
            pending: Default::default(),
            ready: Chunk::default(),
        };
        traffic.tell(
            PROBE,
            Fact::Rung(Rung {
                name: "full".into(),
                missing: Vec::new(),
                counted: Vec::new(),
                sockets_map_id: None,
            }),
        );
        traffic.tell(
            PROBE,
            Fact::Clock(ClockSample {
                boot: BootNanos(traffic.now),
                unix: UnixNanos(traffic.now + WALL_NS),
            }),
        );
        for _ in 0..n_upstream {
            let socket = traffic.open(Opening::Active);
            traffic.upstream.push(socket);
        }
        for _ in n_upstream..live {
            let socket = traffic.open(Opening::Passive);
            traffic.downstream.push(socket);
        }
        traffic
    }

    /// Returns the chunks that tell of the first connections.
    pub(crate) fn beginning(&mut self, facts: usize) -> Vec<Chunk> {
        let ready = std::mem::take(&mut self.ready).batches;
        let batches = ready.chunks(facts.div_ceil(BATCH_FACTS));
        batches
            .map(|batches| Chunk {
                batches: batches.to_vec(),
            })
            .collect()
    }

    /// Returns whether as many connections settle as open.
    pub(crate) fn is_steady(&self) -> bool {
        self.now > STEADY_NS + (self.downstream.len() + self.upstream.len()) as u64 * 2 * TICK_NS
    }

    /// Returns about so many of the next facts.
    pub(crate) fn chunk(&mut self, facts: usize) -> Chunk {
        while self.ready.facts() < facts {
            for _ in 0..256 {
                self.step();
            }
        }
        std::mem::take(&mut self.ready)
    }

    /// One downstream connection comes and goes; requests run on others; now and then so does an
    /// upstream connection.
    fn step(&mut self) {
        let n = self.chance.below(self.downstream.len());
        let opened = self.open(Opening::Passive);
        let closed = std::mem::replace(&mut self.downstream[n], opened);
        self.close(closed);
        for _ in 0..REQUESTS {
            self.request();
        }
        if self.chance.below(SHARE) == 0 {
            let n = self.chance.below(self.upstream.len());
            let opened = self.open(Opening::Active);
            let closed = std::mem::replace(&mut self.upstream[n], opened);
            self.close(closed);
        }
    }

    /// Opens a connection, and tells that it is established and that it was accepted.
    fn open(&mut self, opening: Opening) -> Snapshot {
        self.cookies += 1;
        let at = BootNanos(self.now);
        let minted = (u128::from(self.chance.next()) << 64) | u128::from(self.cookies);
        let established = Snapshot {
            boot: BootId([1; 16]),
            cookie: self.cookies,
            seen_at: at,
            netns: 4_026_531_840,
            key: self.ends(opening),
            opening,
            outcome: Outcome::Established,
            syn_at: Some(at.minus_ns(250_000)),
            syn_ack_at: Some(at.minus_ns(240_000)),
            established_at: Some(at),
            accepted_at: None,
            closed_at: None,
            minted: TraceId::new(minted.to_be_bytes()).unwrap(),
            tag: None,
            errno: 0,
            owner_pid: 0,
            owner_tid: 0,
            counters: Counters {
                srtt_us: 210,
                min_rtt_us: 200,
                segments_out: 2,
                segments_in: 2,
                ..Counters::default()
            },
            watch: Watch {
                cgroup: 4711,
                ..Watch::default()
            },
        };
        self.tell(PROBE, Fact::Connection(established.clone()));
        let accepted = Snapshot {
            seen_at: BootNanos(self.now),
            accepted_at: Some(BootNanos(self.now)).filter(|_| opening == Opening::Passive),
            owner_pid: 4242,
            owner_tid: 4243 + (self.cookies % WORKERS as u64) as u32,
            ..established
        };
        self.tell(PROBE, Fact::Connection(accepted.clone()));
        accepted
    }

    fn close(&mut self, open: Snapshot) {
        let at = BootNanos(self.now);
        let counters = Counters {
            bytes_acked: 4_000,
            bytes_received: 900,
            segments_out: 14,
            segments_in: 12,
            ..open.counters
        };
        let closed = Snapshot {
            seen_at: at,
            closed_at: Some(at),
            outcome: Outcome::Closed,
            counters,
            ..open
        };
        self.tell(PROBE, Fact::Connection(closed));
    }

    /// Tells of a request of 1 ms on any two connections, as the shipped configuration has it told.
    fn request(&mut self) {
        let worker = 1 + self.chance.below(WORKERS);
        let downstream = &self.downstream[self.chance.below(self.downstream.len())];
        let upstream = &self.upstream[self.chance.below(self.upstream.len())];
        self.spans += 1;
        let started_at = BootNanos(self.now - 1_000_000)
            .max(downstream.established_at.unwrap())
            .max(upstream.established_at.unwrap());
        let own = TraceId::new(((u128::from(self.chance.next()) << 64) | 1).to_be_bytes()).unwrap();
        let minted = TraceId::new(((0xf1 << 120) | u128::from(downstream.cookie)).to_be_bytes());
        let minted = minted.filter(|_| downstream.cookie.is_multiple_of(2));
        let report = Report {
            downstream_connection: downstream.cookie,
            connection_trace_id: minted,
            trace_id: minted.unwrap_or(own),
            span_id: SpanId::new(self.spans.to_be_bytes()).unwrap(),
            parent_span_id: SpanId::new([7; 8]),
            trace_flags: 1,
            tracestate: "".into(),
            started_at: UnixNanos(started_at.0 + WALL_NS),
            duration_ns: self.now - started_at.0,
            downstream: Some(downstream.key),
            direct: Some(downstream.key),
            tls_handshake_ns: None,
            links: Vec::new(),
            http: Http {
                method: "GET".into(),
                path: "/cart/items".into(),
                authority: "shop.example".into(),
                protocol: "HTTP/1.1".into(),
                status: 200,
                response_bytes: 1_000,
                request_id: format!("{:032x}", self.chance.next()).into(),
                ..Http::default()
            },
            upstream: Some(Upstream {
                local: Some(upstream.key.local),
                peer: upstream.key.peer,
                cluster: "cart".into(),
                pool_wait_ns: Some(20_000),
                attempts: 1,
                failure: "".into(),
                first_byte_ns: Some(700_000),
            }),
        };
        self.tell(worker, Fact::Request(Arc::new(report)));
    }

    /// Returns ends that no other connection has for long.
    fn ends(&mut self, opening: Opening) -> ConnKey {
        let n = self.cookies as u32;
        let gateway = Ipv4Addr::new(10, 0, 0, 1);
        let end = |address: Ipv4Addr, port: u32| Endpoint::new(address.into(), port as u16);
        match opening {
            Opening::Passive => ConnKey {
                local: end(gateway, 8080),
                peer: end(
                    Ipv4Addr::from(0xac10_0000 | ((n >> 12) & 0xf_ffff)),
                    32_768 + (n & 0xfff),
                ),
            },
            Opening::Active => ConnKey {
                local: end(gateway, 10_000 + n % 50_000),
                peer: end(Ipv4Addr::from(0x0a01_0000 | ((n / 50_000) & 0xffff)), 80),
            },
        }
    }

    /// Lets time pass, and hands a batch out when it is full.
    fn tell(&mut self, sender: usize, fact: Fact) {
        self.now += TICK_NS;
        let (facts, next_seq) = &mut self.pending[sender];
        facts.push(fact);
        if facts.len() < BATCH_FACTS {
            return;
        }
        let first_seq = *next_seq;
        *next_seq += BATCH_FACTS as u64;
        let facts = std::mem::replace(facts, Vec::with_capacity(BATCH_FACTS));
        let name = match sender {
            PROBE => "probe".into(),
            worker => format!("filter/gateway/{worker}").into(),
        };
        let sender = SenderId { name, epoch: 7 };
        let batch = Batch {
            sender,
            first_seq,
            facts,
            losses: Vec::new(),
            goodbye: false,
        };
        self.ready.batches.push((BootNanos(self.now), batch));
    }
}

// === impl Chance ===

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}
