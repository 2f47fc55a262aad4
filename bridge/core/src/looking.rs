//! Looks at what will be needed next, and does nothing with it.
//!
//! What a fact is about lies far apart in memory, and mostly not in the processor's cache. Settling one
//! request after the other would wait for each piece in turn. Looking first at one piece of each request of
//! a tick, then at the next piece of each, lets many come at once: it makes nothing else but time.

use std::hint::black_box;

use crate::{
    Reconciler,
    fact::{Fact, Report},
    requests::Sides,
    slab::Slot,
};

impl Reconciler {
    /// Looks at what these facts are about.
    pub(crate) fn look_over(&self, facts: &[Fact]) {
        let ids = facts.iter().filter_map(|fact| {
            let Fact::Connection(snapshot) = fact else {
                return None;
            };
            Some(snapshot.id())
        });
        self.sockets.look_up(facts.len(), ids);
        let reports = facts.iter().filter_map(|fact| {
            let Fact::Request(report) = fact else {
                return None;
            };
            Some(look(report))
        });
        black_box(reports.fold(0, u64::wrapping_add));
    }

    /// Looks at what settling these requests needs.
    pub(crate) fn look_ahead(&self, due: &[Slot]) {
        let requests = || due.iter().filter_map(|&slot| self.requests.at(slot));
        let reports = requests().map(|pending| look(&pending.report));
        black_box(reports.fold(0, u64::wrapping_add));
        self.requests.look_up(due);
        let sought = requests().flat_map(|pending| {
            let Sides {
                received_on,
                served_by,
            } = &pending.sides;
            received_on.iter().chain(served_by)
        });
        self.sockets.look_for(2 * due.len(), sought);
    }
}

/// Reads a little of everything.
fn look(report: &Report) -> u64 {
    let upstream = report.upstream.as_ref();
    let upstream = upstream.map_or(0, |upstream| {
        u64::from(upstream.attempts) ^ upstream.cluster.len() as u64
    });
    let request_id = report.http.request_id.as_bytes().first();
    let ends = report.downstream.map_or(0, |key| key.peer.port());
    upstream
        ^ report.duration_ns
        ^ report.http.response_flags
        ^ report.http.method.len() as u64
        ^ u64::from(report.http.status)
        ^ u64::from(report.trace_flags)
        ^ u64::from(ends)
        ^ u64::from(request_id.copied().unwrap_or(0))
}
