//! Software prefetch: reads what will be needed next, and does nothing with it.
//!
//! What a fact is about lies scattered in memory, mostly outside the processor's caches. Settling one request
//! after the other would wait for each cache miss in turn. Reading first one piece of each request of a tick,
//! then the next piece of each, lets the misses overlap: it changes nothing but the time taken.

use std::hint::black_box;

use crate::{
    Reconciler,
    fact::{Fact, Report},
    requests::Sides,
    slab::Slot,
};

impl Reconciler {
    /// Reads what these facts are about.
    pub(crate) fn prefetch_facts(&self, facts: &[Fact]) {
        let ids = facts.iter().filter_map(|fact| {
            let Fact::Connection(snapshot) = fact else {
                return None;
            };
            Some(snapshot.id())
        });
        self.sockets.prefetch_by_id(facts.len(), ids);
        let reports = facts.iter().filter_map(|fact| {
            let Fact::Request(report) = fact else {
                return None;
            };
            Some(touch(report))
        });
        black_box(reports.fold(0, u64::wrapping_add));
    }

    /// Reads what settling these requests needs.
    pub(crate) fn prefetch_due(&self, due: &[Slot]) {
        let requests = || due.iter().filter_map(|&slot| self.requests.at(slot));
        let reports = requests().map(|pending| touch(&pending.report));
        black_box(reports.fold(0, u64::wrapping_add));
        self.requests.prefetch(due);
        let tuples = requests().flat_map(|pending| {
            let Sides {
                received_on,
                served_by,
            } = &pending.sides;
            received_on.iter().chain(served_by)
        });
        self.sockets.prefetch_by_tuple(2 * due.len(), tuples);
    }
}

/// Reads a little of everything.
fn touch(report: &Report) -> u64 {
    let upstream = report.upstream.as_ref();
    let upstream = upstream.map_or(0, |upstream| {
        u64::from(upstream.attempts) ^ upstream.cluster.len() as u64
    });
    let request_id = report.http.request_id.as_bytes().first();
    let port = report.downstream.map_or(0, |key| key.peer.port());
    upstream
        ^ report.duration_ns
        ^ report.http.response_flags
        ^ report.http.method.len() as u64
        ^ u64::from(report.http.status)
        ^ u64::from(report.trace_flags)
        ^ u64::from(port)
        ^ u64::from(request_id.copied().unwrap_or(0))
}
