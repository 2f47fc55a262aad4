//! What senders that are broken, or lie, may tell.

use std::sync::Arc;

use syntrace_core::fact::{Fact, Report, Snapshot};
use syntrace_model::{BootNanos, ConnKey, Endpoint, Outcome, SpanId, UnixNanos};

use super::{hops::Travelled, random::Random};

/// Moments that clocks show when they are wrong: 1970, 2262, the ends of what fits.
const MOMENTS: [u64; 5] = [0, 1, 9_214_646_400_000_000_000, u64::MAX - 1, u64::MAX];

/// Spoils a third of all facts.
pub fn spoil(travelled: &mut Travelled, seed: u64) {
    let mut random = Random::new(seed ^ 0x6a6a);
    for (_, batch) in &mut travelled.arrivals {
        for fact in &mut batch.facts {
            if random.below(3) > 0 {
                continue;
            }
            match fact {
                Fact::Connection(snapshot) => spoil_snapshot(snapshot, &mut random),
                Fact::Request(report) => spoil_report(Arc::make_mut(report), &mut random),
                Fact::Clock(sample) => {
                    if random.below(4) == 0 {
                        sample.unix = UnixNanos(*random.pick(&MOMENTS));
                    }
                }
                Fact::Rung(_) | Fact::Incident(_) | Fact::Sampling(_) | Fact::Refused(_) => {}
            }
        }
    }
}

fn spoil_snapshot(snapshot: &mut Snapshot, random: &mut Random) {
    let moment = BootNanos(*random.pick(&MOMENTS));
    match random.below(10) {
        0 => snapshot.cookie = (snapshot.cookie & !0xff) + 1,
        1 => snapshot.closed_at = Some(moment),
        2 => snapshot.syn_at = Some(moment),
        3 => snapshot.established_at = Some(moment),
        4 => snapshot.seen_at = moment,
        5 => snapshot.key = portless(snapshot.key),
        6 => snapshot.outcome = Outcome::Refused,
        7 => snapshot.opening = syntrace_model::Opening::Passive,
        8 => snapshot.accepted_at = Some(moment),
        _ => {
            snapshot.closed_at = None;
            snapshot.outcome = Outcome::Closed;
        }
    }
}

fn spoil_report(report: &mut Report, random: &mut Random) {
    match random.below(8) {
        0 => report.started_at = UnixNanos(*random.pick(&MOMENTS)),
        1 => report.duration_ns = *random.pick(&MOMENTS),
        2 => report.span_id = SpanId::new(1_u64.to_be_bytes()).unwrap(),
        3 => report.downstream = report.downstream.map(portless),
        4 => report.downstream = None,
        5 => report.downstream_connection = 0,
        6 => {
            if let Some(upstream) = &mut report.upstream {
                upstream.pool_wait_ns = Some(*random.pick(&MOMENTS));
                upstream.first_byte_ns = Some(*random.pick(&MOMENTS));
            }
        }
        _ => {
            if let Some(upstream) = &mut report.upstream {
                upstream.attempts = u32::MAX;
                upstream.local = None;
            }
        }
    }
}

fn portless(key: ConnKey) -> ConnKey {
    ConnKey {
        local: Endpoint::new(key.local.address(), 0),
        peer: key.peer,
    }
}
