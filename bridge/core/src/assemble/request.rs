//! The record of one request.

use std::sync::Arc;

use syntrace_model::BootNanos;

use super::Known;
use crate::{
    due,
    evidence::Evidence,
    explain,
    fact::{Report, SenderId},
    failure::{self, Earlier},
    gateway::Gateway,
    join::{self, DISORDER_NS, Found, Interval},
    phases,
    record::{Join, LinkKind, Missing, RequestCoverage, RequestRecord},
    requests::Pending,
    slab::Slot,
};

/// A request's record, and the slots of the connections that it was joined to.
pub(crate) struct Assembled {
    pub(crate) record: RequestRecord,
    /// When it ran, on the kernel's clock.
    pub(crate) ran: Option<Interval>,
    pub(crate) received_on: Option<Slot>,
    pub(crate) served_by: Option<Slot>,
    pub(crate) opened: Option<Slot>,
}

/// What was found for one request.
struct Joined<'a> {
    received_on: Result<Found<'a>, Missing>,
    served_by: Option<Found<'a>>,
    failed_by: Option<Found<'a>>,
    opened: Option<Found<'a>>,
    earlier: Earlier<'a>,
}

impl<'a> Known<'a> {
    /// Joins a request to its connections and explains it.
    pub(crate) fn request(self, pending: &Pending, settled: bool) -> Assembled {
        let (sender, report) = (&pending.sender, &pending.report);
        let ran = self.interval(pending);
        let joined = match ran {
            Some(ran) => self.join_all(pending, ran),
            None => Joined::none(Missing::NoClock),
        };
        let evidence = self.evidence(sender, report, ran, &joined);
        let phases = phases::request(report, &evidence);
        let (facts_lost, incidents_evicted) = (evidence.facts_lost, evidence.incidents_evicted);
        let missing = |reason| Join::Missing(self.why_missing(reason, facts_lost));
        let join = |found: &Option<Found<'_>>| match found {
            Some(found) => self.join(found, None),
            None => missing(Missing::NoConnection),
        };
        let has_local = report
            .upstream
            .as_ref()
            .map(|upstream| upstream.local.is_some());
        let opened = match has_local {
            Some(false) => &joined.failed_by,
            Some(true) => &joined.opened,
            None => &None,
        };
        let kept = |found: &Found<'_>| found.socket.connection().slot();
        let (received_on, served_by, opened) = (
            joined.received_on.as_ref().ok().map(kept),
            joined.served_by.as_ref().map(kept),
            opened.as_ref().map(kept),
        );
        let record = RequestRecord {
            sender: sender.clone(),
            received_on: match &joined.received_on {
                Ok(found) => self.join(found, report.connection_trace_id),
                Err(reason) => missing(*reason),
            },
            served_by: has_local
                .filter(|&has_local| has_local)
                .map(|_| join(&joined.served_by)),
            opened: match has_local {
                Some(false) if failure::is_sought(report) => Some(join(&joined.failed_by)),
                Some(false) => Some(Join::Missing(Missing::NotSought)),
                Some(true) => joined.opened.as_ref().map(|found| self.join(found, None)),
                None => None,
            },
            earlier: joined
                .earlier
                .found
                .iter()
                .map(|found| self.join(found, None))
                .collect(),
            answer: explain::request(report, &evidence, &phases),
            phases,
            incidents: evidence.incidents,
            coverage: RequestCoverage {
                facts_lost,
                incidents_evicted,
                ..RequestCoverage::default()
            },
            settled,
            report: Arc::clone(report),
        };
        Assembled {
            record,
            ran,
            received_on,
            served_by,
            opened,
        }
    }

    /// Finds all connections of a request; what one join reveals about the gateway helps the next.
    fn join_all(self, pending: &Pending, ran: Interval) -> Joined<'a> {
        let (sender, report, sides) = (&pending.sender, &*pending.report, pending.sides);
        let mut gateway = self.bindings.of(sender.epoch);
        let upstream = report.upstream.as_ref();
        let began_by = due::began_by(report, pending.arrived_at);
        let sure = pending.place.wrong.is_none() && self.clock.is_sure(report.started_at, began_by);
        let doubt = |found: Found<'a>| {
            if sure && found.socket.is_sound() {
                found
            } else {
                join::at_best_likely(found)
            }
        };
        let served_by = upstream
            .zip(sides.served_by)
            .and_then(|(upstream, tuple)| {
                let given = join::given(upstream, ran);
                let found = join::served_by(self.sockets, gateway, report, tuple, ran, given)?;
                let found = self.unless_succeeded(found, given.start);
                let opened_it = join::waited_for(found.socket, report, ran)
                    && join::surely_waited_for(found.socket, report, ran);
                let from = if opened_it { ran.start } else { BootNanos(0) };
                Some(self.unless_sampled(found, gateway, from, ran))
            })
            .map(doubt);
        if let Some(found) = served_by.as_ref().filter(|found| found.is_certain()) {
            gateway = gateway.completed_by(found.socket);
        }
        let received_on = join::received_on(
            self.sockets,
            gateway,
            sender.epoch,
            report,
            sides.received_on,
            ran,
        )
        .map(doubt);
        let number = (sender.epoch, report.downstream_connection);
        let received_on = received_on.map(|found| {
            if join::is_numbered(found.socket, number) {
                found
            } else {
                let found = self.unless_succeeded(found, ran.start);
                self.unless_sampled(found, gateway, BootNanos(0), ran)
            }
        });
        if let Some(found) = received_on.as_ref().ok().filter(|found| found.is_certain()) {
            gateway = gateway.completed_by(found.socket);
        }
        let failed_by = upstream
            .filter(|upstream| upstream.local.is_none())
            .and_then(|upstream| {
                let ending = failure::Ending::of(report, upstream, ran)?;
                let told = self.told(ending.from, ending.told_until);
                let told = match ending.sampled_from {
                    Some(from) if self.gaps.was_sampled(from, ending.told_until) => {
                        told.at_best_perhaps()
                    }
                    _ => told,
                };
                failure::failed_by(self.sockets, gateway, upstream, ran, ending, told)
            })
            .map(doubt);
        let opened = served_by
            .as_ref()
            .filter(|found| join::waited_for(found.socket, report, ran))
            .cloned()
            .map(
                |found| match join::surely_waited_for(found.socket, report, ran) {
                    true => found,
                    false => join::at_best_likely(found),
                },
            );
        let last = failed_by.as_ref().or(served_by.as_ref());
        let last = last.map(|found| found.socket);
        let earlier = upstream.map_or_else(Earlier::default, |upstream| {
            failure::earlier(self.sockets, gateway, upstream, ran, last)
        });
        Joined {
            received_on,
            served_by,
            failed_by,
            opened,
            earlier,
        }
    }

    /// Doubts a join to a socket that need not have been there at `moment`, when the request came to it: lost
    /// facts may be its close and the start of another socket with the same ends.
    fn unless_succeeded(self, found: Found<'a>, moment: BootNanos) -> Found<'a> {
        let was_there = found
            .socket
            .known_until()
            .is_none_or(|until| until >= moment || self.told_of_succession(until, moment));
        if was_there {
            found
        } else {
            join::at_best_likely(found)
        }
    }

    /// Returns whether the end of one socket and the start of another, both within an interval, were told, as far as
    /// one of them must have been.
    fn told_of_succession(self, from: BootNanos, until: BootNanos) -> bool {
        !self.may_lack_any || !self.gaps.may_lack_succession(self.ledger, from, until)
    }

    /// Doubts a join to a socket that is not known to be the gateway's, if another one with the same ends, in another
    /// namespace, began at `from` or later and may have been left out by a probe that samples.
    fn unless_sampled(
        self,
        found: Found<'a>,
        gateway: Gateway,
        from: BootNanos,
        ran: Interval,
    ) -> Found<'a> {
        if gateway.owns(found.socket) || !self.gaps.was_sampled(from, ran.end) {
            found
        } else {
            join::at_best_likely(found)
        }
    }

    fn evidence(
        self,
        sender: &SenderId,
        report: &Report,
        ran: Option<Interval>,
        joined: &Joined<'a>,
    ) -> Evidence<'a> {
        let Some(ran) = ran else {
            return Evidence::default();
        };
        let certain = |found: &Found<'a>| found.is_certain().then_some(found.socket);
        let received_on = joined.received_on.as_ref().ok();
        let fresh = received_on
            .and_then(certain)
            .filter(|_| report.is_detailed())
            .filter(|&socket| phases::is_fresh(socket, ran.start, report.tls_handshake_ns))
            .filter(|socket| {
                let first_end = socket.connection().first_end();
                // One that ended about when this one started may have ended before it.
                let surely_after = ran.end.min(ran.start.plus_ns(DISORDER_NS));
                first_end.is_none_or(|first_end| first_end >= surely_after)
            });
        let served_by = joined.served_by.as_ref();
        let mut incidents = Vec::new();
        let charged = [
            (received_on, LinkKind::ReceivedOn),
            (served_by, LinkKind::ServedBy),
        ];
        for (found, link) in charged {
            if let Some(socket) = found.and_then(certain) {
                incidents.append(&mut self.charged(sender, socket, link, report, ran));
            }
        }
        if let Some(socket) = fresh {
            incidents.extend(self.of_listener(socket));
        }
        incidents.sort_by_key(|charged| (charged.incident.at, charged.connection));
        let evidence = Evidence {
            ran: Some(ran),
            received_on: received_on.and_then(certain),
            fresh,
            client_s: fresh.and_then(|socket| self.far_end(socket, ran.end)),
            served_by: served_by.and_then(certain),
            answer_resent_at: served_by
                .and_then(certain)
                .and_then(|socket| self.answer_resent_at(socket, report, ran)),
            in_accept_queue_ns: served_by
                .and_then(certain)
                .map_or(0, |socket| self.in_accept_queue_ns(socket, report, ran)),
            reset_by_service: served_by
                .and_then(certain)
                .is_some_and(|socket| join::reset_during(socket, ran)),
            opened: joined.opened.as_ref().map(|found| found.socket),
            failed_by: joined
                .failed_by
                .as_ref()
                .map(|found| (found.socket, found.confidence)),
            syn_dropped: joined
                .failed_by
                .as_ref()
                .is_some_and(|found| self.dropped_syn_of(found.socket)),
            earlier: joined.earlier.connects.clone(),
            given_up: self.gave_up(sender, report, ran, &joined.earlier),
            facts_lost: self.lost_within(ran.start, ran.end),
            incidents,
            incidents_evicted: 0,
        };
        Evidence {
            incidents_evicted: self.incidents_evicted(&evidence, ran),
            ..evidence
        }
    }
}

// === impl Joined ===

impl Joined<'_> {
    fn none(reason: Missing) -> Self {
        Self {
            received_on: Err(reason),
            served_by: None,
            failed_by: None,
            opened: None,
            earlier: Earlier::default(),
        }
    }
}
