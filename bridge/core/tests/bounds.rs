//! Memory stays within its bounds whatever is told, counted in bytes.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod world;

use std::{net::Ipv4Addr, sync::Arc};

use syntrace_core::{
    Limits, Reconciler,
    fact::{Batch, Fact, Incident, IncidentKind, Report, SenderId, Snapshot},
};
use syntrace_model::{ConnKey, Endpoint, Opening};
use world::*;

/// Kept of each kind.
const MOST: usize = 500;

/// From one fact to the next, milliseconds: after 17,000 everything that is kept by time is full.
const STEP: f64 = 5.0;

/// A sender, and what it tells for the `n`th time.
type Flood = fn(u64) -> (SenderId, Fact);

const FLOODS: [(&str, Flood); 7] = [
    ("sockets that never close", |n| {
        (probe(), Fact::Connection(open(n)))
    }),
    ("sockets that close at once", |n| {
        let at = boot(moment(n));
        let closed = Snapshot {
            closed_at: Some(at),
            seen_at: at,
            outcome: syntrace_model::Outcome::Refused,
            opening: Opening::Active,
            ..open(n)
        };
        (probe(), Fact::Connection(closed))
    }),
    ("requests on connections that only the proxy saw", |n| {
        (filter(), Fact::Request(Arc::new(report(n))))
    }),
    ("requests from the end of time", |n| {
        let report = Report {
            duration_ns: u64::MAX,
            ..report(n)
        };
        (filter(), Fact::Request(Arc::new(report)))
    }),
    ("incidents of sockets and listeners", |n| {
        let incident = Incident {
            at: boot(moment(n)),
            boot: open(n).boot,
            cookie: n,
            netns: 7,
            local: end_of(n),
            peer: Some(end_of(n)).filter(|_| n.is_multiple_of(2)),
            kind: IncidentKind::Retransmit,
            count: 1,
            queue: None,
        };
        (probe(), Fact::Incident(incident))
    }),
    ("one socket, always with other ends and times", |n| {
        let at = boot((n % 1_000) as f64);
        let snapshot = Snapshot {
            cookie: 1,
            closed_at: Some(at),
            outcome: syntrace_model::Outcome::Closed,
            ..open(n)
        };
        (probe(), Fact::Connection(snapshot))
    }),
    ("probes that are never heard of again", |n| {
        let sender = SenderId {
            name: n.to_string().into(),
            epoch: n,
        };
        (sender, Fact::Connection(open(n)))
    }),
];

fn moment(n: u64) -> f64 {
    10.0 + STEP * n as f64
}

fn end_of(n: u64) -> Endpoint {
    Endpoint::new(Ipv4Addr::from(n as u32 >> 8).into(), 1 + (n & 0xff) as u16)
}

fn open(n: u64) -> Snapshot {
    let key = ConnKey {
        local: end("192.0.2.1:80"),
        peer: end_of(n),
    };
    let from = moment(n);
    established(&socket(n, Opening::Passive, key, from, from + 1.0))
}

fn report(n: u64) -> Report {
    Report {
        downstream_connection: n,
        ..request(n + 1, open(n).key, moment(n), moment(n) + 0.5)
    }
}

/// Bytes that are kept after `n` facts of a flood.
fn kept_after(flood: Flood, n: u64) -> u64 {
    let limits = Limits {
        live_connections: MOST,
        live_requests: MOST,
        remembered: MOST,
        ..Limits::default()
    };
    let mut kept = None;
    let counted = allocation_counter::measure(|| {
        let mut reconciler = Reconciler::new(limits);
        reconciler.handle_batch(batch(probe(), u64::MAX / 2, preamble()));
        for n in 0..n {
            let (sender, fact) = flood(n);
            let batch: Batch = batch(sender, n, vec![fact]);
            reconciler.handle_batch(batch);
            reconciler.handle_timeout(boot(moment(n)));
            while reconciler.poll_output().is_some() {}
        }
        kept = Some(reconciler);
    });
    u64::try_from(counted.bytes_current).unwrap()
}

#[test]
fn a_flood_that_goes_on_costs_no_more_memory_than_one_that_began() {
    for (name, flood) in FLOODS {
        let (early, late) = (kept_after(flood, 17_000), kept_after(flood, 34_000));
        assert!(
            late < early + early / 4,
            "{name}: {early} then {late} bytes"
        );
        assert!(late < 4_000_000, "{name}: {late} bytes");
    }
}
