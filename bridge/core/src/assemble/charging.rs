//! What happened to a request's connections while it ran, and what of it is charged to the request.

use syntrace_model::{BootNanos, Opening, Outcome};

use super::Known;
use crate::{
    charge::{self, Ran},
    due::{self, SAMPLE_NS},
    evidence::Evidence,
    explain,
    fact::{IncidentKind, Report, SenderId},
    failure::{self, Earlier},
    join::Interval,
    phases,
    record::{ChargedIncident, ConnectionIncident, LinkKind, RequestRef, Sharing},
    sockets::Socket,
};

/// How soon after its last request a pool closes a connection that reached its maximum number of requests,
/// nanoseconds.
const WORN_OUT_NS: u64 = 50_000_000;

impl<'a> Known<'a> {
    /// Returns when the service first retransmitted while the request ran, which the proxy's end of the
    /// connection does not see. A quick request lost nothing, and streams cannot be told apart.
    pub(super) fn answer_resent_at(
        self,
        proxy_s: Socket<'a>,
        report: &Report,
        ran: Interval,
    ) -> Option<BootNanos> {
        if report.http.grpc || report.duration_ns < explain::SLOW_NS {
            return None;
        }
        let service_s = self.far_end(proxy_s, ran.end)?;
        let incidents = service_s.connection().incidents();
        let mut resent = incidents.iter().filter(|incident| {
            incident.kind == IncidentKind::Retransmit
                && ran.start <= incident.at
                && incident.at <= ran.end
        });
        Some(resent.next()?.at)
    }

    /// Returns how long the service's own end of a connection, where it is observed too, waited to be accepted
    /// while a slow request ran, nanoseconds.
    pub(super) fn in_accept_queue_ns(
        self,
        proxy_s: Socket<'a>,
        report: &Report,
        ran: Interval,
    ) -> u64 {
        if report.duration_ns < explain::SLOW_NS {
            return 0;
        }
        let service_s = self.far_end(proxy_s, ran.end);
        let waited = service_s.filter(|socket| !socket.accept_deferred());
        let waited = waited.and_then(|socket| socket.established_at().zip(socket.accepted_at()));
        waited.map_or(0, |(from, until)| {
            until.min(ran.end).since_ns(from.max(ran.start))
        })
    }

    /// Returns whether the listener that a connect went to, in the connect's own namespace, dropped a SYN before the
    /// connect ended in vain.
    pub(super) fn dropped_syn_of(self, failed: Socket<'a>) -> bool {
        let is_unanswered = matches!(failed.outcome(), Outcome::Unanswered | Outcome::Aborted);
        let Some(until) = failed.closed_at().filter(|_| is_unanswered) else {
            return false;
        };
        let (netns, listener) = (failed.netns(), failed.key().peer);
        let mut incidents = self.sockets.listener_incidents(netns, listener, until);
        incidents.any(|incident| {
            let is_drop = matches!(
                incident.kind,
                IncidentKind::AcceptOverflow | IncidentKind::SynOverflow
            );
            is_drop && failed.began_at() <= incident.at
        })
    }

    /// Returns what happened to the listener while it opened the connection: perhaps to this one.
    pub(super) fn of_listener(self, socket: Socket<'a>) -> impl Iterator<Item = ChargedIncident> {
        self.at_listener(socket)
            .map(move |incident| ChargedIncident {
                connection: socket.id(),
                link: LinkKind::ReceivedOn,
                incident: ConnectionIncident {
                    sharing: Sharing::Shared { streams: 1 },
                    ..incident
                },
            })
    }

    /// Returns how many incidents the bounds left out of the connections that a request ran on, and of the listeners of
    /// those that it waited for, if any of them may have hit it.
    pub(super) fn incidents_evicted(self, evidence: &Evidence<'_>, ran: Interval) -> u64 {
        // A quick request lost nothing on the service's end.
        let slow = evidence.served_by;
        let slow = slow.filter(|_| ran.end.since_ns(ran.start) >= explain::SLOW_NS);
        let service_s = slow.and_then(|socket| self.far_end(socket, ran.end));
        let ran_on = [evidence.received_on, evidence.served_by, service_s];
        let of_connections = ran_on.into_iter().flatten().map(|socket| {
            let from = charge::may_hit_from(ran, phases::round_trip_ns(socket));
            socket.connection().incidents_evicted_since(from)
        });
        let opened = evidence.fresh.map(|socket| {
            let ends = [Some(socket), evidence.client_s].into_iter().flatten();
            let from = ends.map(Socket::began_at).min().unwrap_or_default();
            (socket, socket.key().local, from)
        });
        let failed = evidence.failed_by;
        let failed = failed.map(|(socket, _)| (socket, socket.key().peer, socket.began_at()));
        let of_listeners = [opened, failed].into_iter().flatten();
        let of_listeners = of_listeners.map(|(socket, listener, from)| {
            self.sockets
                .listener_incidents_evicted(socket.netns(), listener, from)
        });
        of_connections.chain(of_listeners).sum()
    }

    /// Charges what happened to one of the request's connections.
    pub(super) fn charged(
        self,
        sender: &SenderId,
        socket: Socket<'_>,
        link: LinkKind,
        report: &Report,
        ran: Interval,
    ) -> Vec<ChargedIncident> {
        let (connection, round_trip_ns) = (socket.connection(), phases::round_trip_ns(socket));
        let mut incidents = connection.incidents().iter();
        if !incidents.any(|incident| charge::may_have_hit(ran, incident.at, round_trip_ns)) {
            return Vec::new();
        }
        let request = Ran {
            span_id: report.span_id,
            interval: ran,
        };
        let settled = connection
            .requests()
            .filter(|other| other.kind == link)
            .filter_map(|other| self.ran(other));
        let beside = (link == LinkKind::ServedBy).then(|| self.sent_beside(sender, socket, ran));
        let others: Vec<_> = settled.chain(beside.into_iter().flatten()).collect();
        let multiplexed = match link {
            LinkKind::ReceivedOn => report.http.is_multiplexed(),
            LinkKind::Opened | LinkKind::ServedBy => report.http.grpc,
        };
        charge::charge(
            socket.id(),
            link,
            connection.incidents(),
            request,
            others.into_iter(),
            round_trip_ns,
            multiplexed,
        )
        .collect()
    }

    /// Returns whether the request may have been sent on a connection that the worker closed because a parallel
    /// attempt was answered (hedging): one on which no other request had just ended.
    pub(super) fn gave_up(
        self,
        sender: &SenderId,
        report: &Report,
        ran: Interval,
        earlier: &Earlier<'_>,
    ) -> bool {
        let Some(upstream) = report
            .upstream
            .as_ref()
            .filter(|_| !earlier.connects.is_empty())
        else {
            return false;
        };
        let last_from = failure::last_from(upstream, ran);
        let lately = last_from.minus_ns(WORN_OUT_NS);
        let was_used = |socket: Socket<'_>| {
            let settled = socket.connection().requests();
            let settled = settled.filter(|other| other.kind == LinkKind::ServedBy);
            let settled = settled.filter_map(|other| self.ran(other));
            let mut others = settled.chain(self.sent_beside(sender, socket, ran));
            others.any(|other| other.interval.end >= lately)
        };
        // Its close may be among the lost facts.
        self.lost_within(last_from, ran.end)
            || !earlier.closed_beside.iter().all(|&socket| was_used(socket))
    }

    /// Returns unsettled requests on an upstream connection that ended soon enough after the given one for both
    /// reports to have arrived when it settles; each from when it was sent.
    fn sent_beside(
        self,
        sender: &SenderId,
        socket: Socket<'_>,
        ran: Interval,
    ) -> impl Iterator<Item = Ran> {
        let until = ran.end.plus_ns(SAMPLE_NS);
        let due = due::settles_at(until, self.grace_ns);
        let tuple = self.sockets.hashed(Opening::Active, socket.key());
        let pending = self.requests.sent_on(tuple, sender.epoch, due);
        pending.filter_map(move |pending| {
            let report = &*pending.report;
            let upstream = report.upstream.as_ref()?;
            let ends = (upstream.local?, upstream.peer);
            let other = self.interval(pending)?;
            let is_there = ends == (socket.key().local, socket.key().peer) && other.end <= until;
            let waited_ns = match upstream.attempts {
                0 | 1 => {
                    let head_ns = report.http.head_ns.unwrap_or(0);
                    upstream.pool_wait_ns.unwrap_or(0).saturating_add(head_ns)
                }
                _ => 0,
            };
            is_there.then_some(Ran {
                span_id: report.span_id,
                interval: Interval {
                    start: other.start.plus_ns(waited_ns).min(other.end),
                    end: other.end,
                },
            })
        })
    }

    /// Returns when a listed request ran.
    pub(super) fn ran(self, request: &RequestRef) -> Option<Ran> {
        let start: BootNanos = self.clock.to_boot(request.started_at)?;
        Some(Ran {
            span_id: request.span_id,
            interval: Interval {
                start,
                end: start.plus_ns(request.duration_ns),
            },
        })
    }
}
