//! The floor: the fewest steps with which the same keys can be joined at all.
//!
//! A hash map keyed by both ends. A snapshot puts its socket's id in or, when it tells of the end,
//! takes it out; a report looks up the connection it came in on and the one that served it. No time,
//! no order, no late facts, no ids but the kernel's, no record: right only while nothing is late,
//! lost or ambiguous.

use std::{collections::HashMap, hint::black_box, time::Duration};

use foldhash::fast::FixedState;
use syntrace_core::fact::{Fact, Report, Snapshot};
use syntrace_model::{ConnKey, ConnectionId, TraceId};

use crate::{cpu_time, traffic::Chunk};

/// Sockets by both ends.
#[derive(Debug, Default)]
pub(crate) struct HashJoin {
    sockets: HashMap<ConnKey, (ConnectionId, TraceId), FixedState>,
}

impl HashJoin {
    /// Joins what a chunk tells.
    pub(crate) fn join(&mut self, chunk: Chunk) -> Duration {
        let started = cpu_time();
        for (_, batch) in chunk.batches {
            for fact in &batch.facts {
                match fact {
                    Fact::Connection(snapshot) => self.observe(snapshot),
                    Fact::Request(report) => self.find(report),
                    Fact::Clock(_) | Fact::Rung(_) | Fact::Incident(_) | Fact::Refused(_) => {}
                }
            }
        }
        cpu_time() - started
    }

    fn observe(&mut self, snapshot: &Snapshot) {
        if snapshot.outcome.is_final() {
            black_box(self.sockets.remove(&snapshot.key));
        } else {
            self.sockets
                .insert(snapshot.key, (snapshot.id(), snapshot.minted));
        }
    }

    fn find(&self, report: &Report) {
        let downstream = report.downstream.and_then(|key| self.sockets.get(&key));
        let upstream = report.upstream.as_ref().and_then(|upstream| {
            let local = upstream.local?;
            let peer = upstream.peer;
            self.sockets.get(&ConnKey { local, peer })
        });
        black_box((report.span_id, downstream, upstream));
    }
}
