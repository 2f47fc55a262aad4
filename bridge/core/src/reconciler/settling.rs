//! Settling: a record is made, given out, and what it teaches is learnt.

use super::{Output, Reconciler};
use crate::{
    assemble::Assembled,
    record::{Join, LinkKind, Role},
    slab::Slot,
    sockets::Connection,
};

/// How long a connection that only the proxy saw stays open without a request: it names no end. After an hour,
/// Envoy closes a connection that is idle, unless it is told otherwise (`idle_timeout` of
/// [`HttpProtocolOptions`](https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/core/v3/protocol.proto)
/// and of its TCP proxy). Settled earlier, its next request would be in no record.
const PROXY_IDLE_NS: u64 = 3_600_000_000_000;

impl Reconciler {
    /// Settles a request that is no longer in the calendar.
    pub(super) fn settle_request(&mut self, slot: Slot, evicted: bool) {
        let removed = self.requests.remove(slot);
        let Some(pending) = &removed else {
            return;
        };
        let mut assembled = self.known().request(pending, true);
        let record = &mut assembled.record;
        record.coverage.evicted = evicted;
        record.coverage.late = pending.place.late;
        self.coverage.late += u64::from(pending.place.late);
        if let Some(wrong) = pending.place.wrong {
            record.coverage.contradictions.push(wrong);
            self.contradict(wrong);
        }
        if pending.repeated {
            record.coverage.contradictions.push("span_id_repeated");
        }
        self.assign(&assembled);
        self.coverage.requests_settled += 1;
        match &assembled.record.received_on {
            Join::To {
                method, confidence, ..
            } => {
                *self
                    .coverage
                    .requests_joined
                    .entry((*method, confidence.name()))
                    .or_default() += 1;
            }
            Join::Missing(missing) => {
                *self.coverage.requests_unjoined.entry(*missing).or_default() += 1;
            }
        }
        self.outputs.push_back(Output::Request(assembled.record));
    }

    pub(super) fn settle_connection(&mut self, slot: Slot) {
        let Some(connection) = self.sockets.at(slot) else {
            return;
        };
        let id = connection.id();
        let own = connection.contradictions_at_end();
        let unseen = connection.is_unseen();
        let record = self.known().connection(id, connection, true);
        own.names().for_each(|kind| self.contradict(kind));
        self.sockets.remove(slot);
        // Another run of the probe may report it again.
        if !unseen {
            self.settled.add(id, self.limits.remembered);
        }
        if let Some(record) = record {
            self.coverage.connections_settled += 1;
            self.outputs.push_back(Output::Connection(record));
        }
    }

    /// Enters a settled request into the records of the connections that it was joined to, and learns
    /// from the joins that are certain, for those that end after it.
    fn assign(&mut self, assembled: &Assembled) {
        let Assembled { record, .. } = assembled;
        let report = &record.report;
        let epoch = record.sender.epoch;
        let number = (epoch, report.downstream_connection);
        let received_on = assembled
            .received_on
            .or_else(|| self.sockets.numbered(number))
            .or_else(|| self.expect_idle(assembled));
        if let Some(slot) = received_on {
            let certain = record.received_on.is_certain();
            let socket = self.sockets.at(slot).and_then(Connection::socket);
            if let Some(socket) = socket.filter(|_| certain) {
                self.bindings.accepted(epoch, socket);
            }
            let number = certain.then_some(number);
            let ended_at = assembled.ran.map(|ran| ran.end);
            self.sockets.learn(slot, ended_at, number);
            // Only a certain join may name a connection: a guess never decides an id.
            if let Some(minted) = report.connection_trace_id
                && record.received_on.may_name()
            {
                self.sockets.mint(slot, report.started_at, minted);
            }
            self.sockets
                .assign(slot, report, LinkKind::ReceivedOn, Role::Downstream);
        }
        let upstream = [
            (LinkKind::ServedBy, assembled.served_by),
            (LinkKind::Opened, assembled.opened),
        ];
        let is_certain = record.served_by.as_ref().is_some_and(Join::is_certain);
        for (kind, slot) in upstream {
            let Some(slot) = slot else { continue };
            let socket = self.sockets.at(slot).and_then(Connection::socket);
            let served = kind == LinkKind::ServedBy && is_certain;
            if let Some(socket) = socket.filter(|_| served) {
                self.bindings.dialled(epoch, socket);
            }
            self.sockets.assign(slot, report, kind, Role::Upstream);
        }
        self.bound_connections();
    }

    /// Makes sure that a connection that only the proxy saw is known, and moves its end behind its last
    /// request; unless it was settled before: a connection settles once.
    fn expect_idle(&mut self, assembled: &Assembled) -> Option<Slot> {
        let id = assembled.record.connection();
        if self.is_late(id) {
            return None;
        }
        let (start, end) = match assembled.ran {
            Some(ran) => (ran.start, ran.end),
            None => (self.now, self.now),
        };
        self.sockets
            .proxy_only(id, start, end.plus_ns(PROXY_IDLE_NS))
    }
}
