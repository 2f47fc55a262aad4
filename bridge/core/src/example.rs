//! A socket and a request for unit tests, which change what they are about.

use syntrace_model::{BootId, BootNanos, ConnKey, Opening, Outcome, SpanId, TraceId, UnixNanos};

use crate::fact::{Counters, Http, Report, Snapshot, Watch};

/// An accepted socket that is open and of which little is known.
pub(crate) fn socket() -> Snapshot {
    let end = "192.0.2.1:80".parse().unwrap();
    Snapshot {
        boot: BootId([7; 16]),
        cookie: 1,
        seen_at: BootNanos(1),
        netns: 1,
        key: ConnKey {
            local: end,
            peer: end,
        },
        opening: Opening::Passive,
        outcome: Outcome::Established,
        syn_at: None,
        syn_ack_at: None,
        established_at: None,
        accepted_at: None,
        closed_at: None,
        minted: TraceId::new([1; 16]).unwrap(),
        tag: None,
        errno: 0,
        owner_pid: 0,
        owner_tid: 0,
        counters: Counters::default(),
        watch: Watch::default(),
    }
}

/// A request of which little is known.
pub(crate) fn report() -> Report {
    Report {
        downstream_connection: 1,
        connection_trace_id: None,
        trace_id: TraceId::new([1; 16]).unwrap(),
        span_id: SpanId::new([1; 8]).unwrap(),
        parent_span_id: None,
        trace_flags: 0,
        tracestate: "".into(),
        started_at: UnixNanos(1),
        duration_ns: 1,
        downstream: None,
        direct: None,
        tls_handshake_ns: None,
        links: Vec::new(),
        http: Http::default(),
        upstream: None,
    }
}
