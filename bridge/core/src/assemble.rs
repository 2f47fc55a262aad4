//! Makes a record of what is known: the joins, the ids, the answer, put together.
//!
//! Decides nothing itself: a join is decided in [`crate::join`], an id in [`crate::identity`], the
//! answer in [`crate::explain`].

use std::sync::Arc;

use syntrace_model::{ConnectionId, TraceId};

use crate::{
    clock::Clock,
    confidence::Confidence,
    explain::{self, Evidence},
    fact::{Report, Rung, SenderId},
    identity,
    join::{self, Found, Interval},
    record::{ConnectionRecord, Join, Missing, RequestRecord},
    sockets::{Connection, Sockets},
};

/// Rung on which the probe sees nothing of the kernel.
const L7_ONLY: &str = "l7-only";

/// What is known at present.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) clock: &'a Clock,
    pub(crate) sockets: &'a Sockets,
    pub(crate) rung: Option<&'a Rung>,
}

impl Known<'_> {
    /// Joins a request to its connections and explains it.
    pub(crate) fn request(
        self,
        sender: &SenderId,
        report: &Arc<Report>,
        settled: bool,
    ) -> RequestRecord {
        let ran = self.interval(report);
        let received_on = ran
            .zip(report.downstream)
            .and_then(|(ran, key)| join::received_on(self.sockets, key, ran));
        let netns = received_on
            .map(|found| found.socket.netns)
            .filter(|&netns| netns != 0);
        let upstream = report.upstream.as_ref();
        let served_by = ran
            .zip(upstream)
            .and_then(|(ran, upstream)| join::served_by(self.sockets, upstream, ran));
        let failed_by = ran
            .zip(upstream.filter(|upstream| upstream.local.is_none()))
            .and_then(|(ran, upstream)| join::failed_by(self.sockets, upstream, ran, netns));
        let opened = ran
            .zip(served_by)
            .filter(|&(ran, found)| join::waited_for(found.socket, report, ran))
            .map(|(_, found)| found);
        let evidence = Evidence {
            served_by: served_by.map(|found| found.socket),
            reset_by_service: ran
                .zip(served_by)
                .is_some_and(|(ran, found)| join::reset_during(found.socket, ran)),
            opened: opened.map(|found| found.socket),
            failed_by: failed_by.map(|found| (found.socket, found.confidence)),
        };
        let join = |found, minted| self.join(found, minted, report);
        RequestRecord {
            sender: sender.clone(),
            received_on: join(received_on, report.connection_trace_id),
            served_by: upstream
                .and_then(|upstream| upstream.local)
                .map(|_| join(served_by, None)),
            opened: match upstream.map(|upstream| upstream.local) {
                Some(None) => Some(join(failed_by, None)),
                Some(Some(_)) => opened.map(|found| join(Some(found), None)),
                None => None,
            },
            answer: explain::request(report, evidence),
            settled,
            report: Arc::clone(report),
        }
    }

    /// Puts a connection's record together; `None` only if nothing at all is known of it.
    pub(crate) fn connection(
        self,
        id: ConnectionId,
        connection: &Connection,
        settled: bool,
    ) -> Option<ConnectionRecord> {
        let identity = identity::identify(connection)?;
        let socket = connection.socket.clone();
        Some(ConnectionRecord {
            id,
            trace_id: identity.trace_id,
            trace_id_source: identity.source,
            aliases: identity.aliases,
            role: connection.role,
            clock: socket
                .as_ref()
                .and_then(|socket| self.clock.near_boot(socket.began_at())),
            answer: socket.as_ref().and_then(explain::connect),
            socket,
            requests: connection.requests.iter().copied().collect(),
            requests_evicted: connection.requests_evicted,
            settled,
        })
    }

    /// Returns when a request ran, on the kernel's clock: its length is the proxy's, and no step of the
    /// wall clock between its ends changes it.
    fn interval(self, report: &Report) -> Option<Interval> {
        let start = self.clock.to_boot(report.started_at)?;
        Some(Interval {
            start,
            end: start.plus_ns(report.duration_ns),
        })
    }

    /// Names what was found; `minted` is the connection's id, where the report itself says it.
    fn join(self, found: Option<Found<'_>>, minted: Option<TraceId>, report: &Report) -> Join {
        let named = found.and_then(|found| {
            let connection = found.socket.id();
            let identity = identity::identify(self.sockets.get(connection)?)?;
            Some(Join::To {
                connection,
                trace_id: minted
                    .filter(|_| found.confidence == Confidence::Certain)
                    .unwrap_or(identity.trace_id),
                method: found.method,
                confidence: found.confidence,
            })
        });
        named.unwrap_or_else(|| Join::Missing(self.why_missing(report)))
    }

    fn why_missing(self, report: &Report) -> Missing {
        match self.rung {
            None => Missing::NoKernelView,
            Some(rung) if &*rung.name == L7_ONLY => Missing::NoKernelView,
            Some(_) if report.downstream.is_none() => Missing::NoAddress,
            Some(_) => Missing::NoConnection,
        }
    }
}
