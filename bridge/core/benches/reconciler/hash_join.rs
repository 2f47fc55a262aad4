//! The floors: the fewest steps with which the same keys can be joined at all, and joined facts given out.
//!
//! A hash map keyed by both ends. A snapshot puts its socket's id in or, when it tells of the end,
//! takes it out; a report looks up the connection it came in on and the one that served it. No time,
//! no order, no late facts, no ids but the kernel's, no record: right only while nothing is late,
//! lost or ambiguous. [`Giving`] does that, and gives out the least that can be called a record.

use std::{
    collections::{HashMap, VecDeque},
    hint::black_box,
    sync::Arc,
    time::Duration,
};

use foldhash::fast::FixedState;
use syntrace_core::{
    Limits,
    fact::{Fact, Report, Snapshot},
};
use syntrace_model::{BootNanos, ConnKey, ConnectionId, TraceId};

use crate::{cpu_time, traffic::Chunk};

/// A socket's id, and the one that the kernel minted.
type Ids = (ConnectionId, TraceId);

/// Sockets by both ends.
#[derive(Debug, Default)]
pub(crate) struct HashJoin {
    sockets: HashMap<ConnKey, Ids, FixedState>,
}

/// The hash join, and each report kept for the grace period with what was found for it, then moved out.
/// The last snapshot of a connection is copied out when it comes.
#[derive(Debug, Default)]
pub(crate) struct Giving {
    join: HashJoin,
    kept: VecDeque<(BootNanos, Found)>,
}

/// A report and its two connections.
#[derive(Debug)]
struct Found {
    _report: Arc<Report>,
    _downstream: Option<Ids>,
    _upstream: Option<Ids>,
}

// === impl HashJoin ===

impl HashJoin {
    /// Joins what a chunk tells.
    pub(crate) fn join(&mut self, chunk: Chunk) -> Duration {
        let started = cpu_time();
        for (_, batch) in chunk.batches {
            for fact in &batch.facts {
                match fact {
                    Fact::Connection(snapshot) => self.observe(snapshot),
                    Fact::Request(report) => {
                        black_box((report.span_id, self.find(report)));
                    }
                    Fact::Clock(_)
                    | Fact::Rung(_)
                    | Fact::Incident(_)
                    | Fact::Sampling(_)
                    | Fact::Refused(_) => {}
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

    fn find(&self, report: &Report) -> (Option<&Ids>, Option<&Ids>) {
        let downstream = report.downstream.and_then(|key| self.sockets.get(&key));
        let upstream = report.upstream.as_ref().and_then(|upstream| {
            let local = upstream.local?;
            let peer = upstream.peer;
            self.sockets.get(&ConnKey { local, peer })
        });
        (downstream, upstream)
    }
}

// === impl Giving ===

impl Giving {
    /// Joins what a chunk tells, and gives out what has been kept for long enough.
    pub(crate) fn join(&mut self, chunk: Chunk) -> Duration {
        let started = cpu_time();
        for (now, batch) in chunk.batches {
            for fact in &batch.facts {
                match fact {
                    Fact::Connection(snapshot) => {
                        self.join.observe(snapshot);
                        if snapshot.outcome.is_final() {
                            black_box(snapshot.clone());
                        }
                    }
                    Fact::Request(report) => {
                        let (downstream, upstream) = self.join.find(report);
                        let found = Found {
                            _report: Arc::clone(report),
                            _downstream: downstream.copied(),
                            _upstream: upstream.copied(),
                        };
                        self.kept.push_back((now, found));
                    }
                    Fact::Clock(_)
                    | Fact::Rung(_)
                    | Fact::Incident(_)
                    | Fact::Sampling(_)
                    | Fact::Refused(_) => {}
                }
            }
            let until = now.minus_ns(Limits::default().grace_ns);
            while let Some((_, found)) = self.kept.pop_front_if(|(came, _)| *came <= until) {
                black_box(&found);
            }
        }
        cpu_time() - started
    }
}
