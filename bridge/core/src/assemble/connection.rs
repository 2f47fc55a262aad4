//! The record of one connection.

use syntrace_model::ConnectionId;

use super::Known;
use crate::{
    charge, explain, identity, phases,
    record::{ConnectionCoverage, ConnectionIncident, ConnectionRecord, Phases},
    sockets::Connection,
};

impl Known<'_> {
    /// Puts a connection's record together; `None` only if nothing at all is known of it.
    pub(crate) fn connection(
        self,
        id: ConnectionId,
        connection: Connection<'_>,
        settled: bool,
    ) -> Option<ConnectionRecord> {
        let identity = identity::identify(connection)?;
        let socket = connection.socket().map(|socket| socket.snapshot());
        let watch = socket.as_ref().map(|socket| &socket.watch);
        let coverage = ConnectionCoverage {
            kernel: watch.map(|watch| watch.origin),
            proxy: connection.requests().len() > 0,
            one_in: watch.map_or(0, |watch| watch.one_in),
            close_missing: settled && connection.socket().is_some() && !connection.has_ended(),
            facts_lost: socket.as_ref().is_some_and(|socket| {
                let until = socket.closed_at.unwrap_or(socket.seen_at);
                self.lost_within(socket.began_at(), until)
            }),
            incidents_evicted: connection.incidents_evicted(),
            contradictions: connection.contradictions().names().collect(),
            no_goodbye: connection.left_silently(),
            evicted: connection.evicted(),
            ..ConnectionCoverage::default()
        };
        let syn_dropped = connection
            .socket()
            .is_some_and(|socket| self.dropped_syn_of(socket));
        let phases = |socket| phases::connection(socket, syn_dropped);
        let failed = |socket| explain::connect(socket, syn_dropped);
        Some(ConnectionRecord {
            id,
            trace_id: identity.trace_id,
            trace_id_source: identity.source,
            aliases: identity.aliases,
            role: connection.role(),
            clock: socket
                .as_ref()
                .and_then(|socket| self.clock.near_boot(socket.began_at())),
            phases: socket.as_ref().map_or_else(Phases::new, phases),
            answer: socket.as_ref().and_then(failed),
            requests: connection.requests().copied().collect(),
            requests_evicted: connection.requests_evicted(),
            incidents: self.incidents(connection),
            coverage,
            settled,
            socket,
        })
    }

    /// Returns the incidents, each with which of the connection's requests it hit.
    fn incidents(self, connection: Connection<'_>) -> Vec<ConnectionIncident> {
        let round_trip_ns = connection.socket().map_or(0, phases::round_trip_ns);
        // Few connections have any; only then does it matter when their requests ran.
        let hit = connection
            .requests()
            .filter(|_| !connection.incidents().is_empty());
        let mut ran: Vec<_> = hit.filter_map(|request| self.ran(request)).collect();
        ran.sort_by_key(|ran| ran.span_id);
        ran.dedup_by_key(|ran| ran.span_id);
        let mut incidents: Vec<_> = connection
            .incidents()
            .iter()
            .map(|incident| ConnectionIncident {
                sharing: charge::share(incident.at, round_trip_ns, ran.iter().copied()),
                ..*incident
            })
            .collect();
        let listener = connection.socket().map(|socket| self.at_listener(socket));
        incidents.extend(listener.into_iter().flatten());
        incidents.sort_unstable();
        incidents
    }
}
