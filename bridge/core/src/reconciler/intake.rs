//! Intake of facts: each goes where it is kept, once, and is counted.

use std::sync::Arc;

use syntrace_model::{ClockSample, ConnectionId};

use super::Reconciler;
use crate::{
    checkpoint::RungOf,
    due::place,
    fact::{Batch, Fact, Incident, Report, Rung, SenderId, Snapshot},
    probes::ProbeId,
    requests::{Pending, Sides},
};

impl Reconciler {
    /// Takes in what a sender saw; facts that came before are counted and have no effect.
    pub fn handle_batch(&mut self, batch: Batch) {
        let new = self.ledger.note(&batch);
        let sender = &batch.sender;
        let told_until = batch.facts.iter().rev().find_map(|fact| {
            let Fact::Clock(sample) = fact else {
                return None;
            };
            Some(sample.boot)
        });
        // The bridge's own clock samples say nothing of what a probe has reported. The batch alone must show
        // whose they are: which came first must not matter.
        let is_probe = batch.facts.iter().any(Fact::is_of_kernel);
        let probe = match is_probe {
            true => self.sockets.probe(sender, told_until),
            false => ProbeId::default(),
        };
        self.sockets.hear(sender, batch.goodbye, told_until);
        self.prefetch_facts(&batch.facts);
        // In place: most bytes of a fact are not read.
        for (place, fact) in batch.facts.iter().enumerate() {
            if !new.contains(place) {
                self.coverage.duplicates += 1;
                continue;
            }
            let seq = batch.first_seq.saturating_add(place as u64);
            if is_probe {
                self.gaps.note(sender, seq, fact);
            }
            match fact {
                Fact::Clock(sample) => {
                    if is_probe {
                        self.gaps.note_losses(&batch, sample.boot);
                    }
                    self.handle_clock(*sample);
                }
                Fact::Connection(snapshot) => self.handle_snapshot(probe, snapshot),
                Fact::Request(report) => self.handle_report(sender, Arc::clone(report)),
                Fact::Incident(incident) => self.handle_incident(incident),
                Fact::Rung(rung) => self.handle_rung(
                    rung,
                    RungOf {
                        sender: sender.clone(),
                        seq,
                        told_at: told_until,
                    },
                ),
                // When a probe samples matters for what it does not tell: that is in the gaps.
                Fact::Sampling(_) => {}
                Fact::Refused(field) => {
                    *self.coverage.refused.entry(*field).or_default() += 1;
                }
            }
        }
        if batch.goodbye
            && let Some(told) = &self.rung_of
            && told.sender == *sender
        {
            self.coverage.rung = None;
        }
    }

    /// Takes the rung unless a later word about it is known: batches may overtake each other, and so may a goodbye.
    fn handle_rung(&mut self, rung: &Rung, told: RungOf) {
        if let Some(sockets_map_id) = rung.sockets_map_id {
            self.sockets.follow(&told.sender, sockets_map_id);
        }
        let known = self.rung_of.as_ref();
        if known.is_none_or(|known| known.is_before(&told)) {
            let has_left = self.ledger.has_left(&told.sender);
            self.coverage.rung = (!has_left).then(|| rung.clone());
            self.rung_of = Some(told);
        }
    }

    fn handle_clock(&mut self, sample: ClockSample) {
        let is_new_era = self.clock.add(sample);
        let (clock, limits) = (&self.clock, &self.limits);
        let place = |pending: &Pending| place(clock, limits, &pending.report, pending.arrived_at);
        if is_new_era {
            self.requests.replace(place);
        } else {
            self.requests.replace_wrong(place);
        }
    }

    fn handle_snapshot(&mut self, probe: ProbeId, snapshot: &Snapshot) {
        let known = self.sockets.find(snapshot.id());
        if known.is_none() && self.is_late(snapshot.id()) {
            return;
        }
        for kind in self.sockets.observe(known, snapshot, probe).names() {
            self.contradict(kind);
        }
        self.bound_connections();
    }

    fn handle_incident(&mut self, incident: &Incident) {
        *self.coverage.incidents.entry(incident.kind).or_default() += u64::from(incident.count);
        let id = incident.id();
        let is_live = incident.peer.is_none() || self.sockets.find(id).is_some();
        if is_live || !self.is_late(id) {
            self.sockets.happen(incident);
        }
    }

    /// Returns whether a connection was settled lately, and if so counts a late fact.
    pub(super) fn is_late(&mut self, id: ConnectionId) -> bool {
        let is_late = self.settled.count_late(id);
        self.coverage.late += u64::from(is_late);
        is_late
    }

    fn handle_report(&mut self, sender: &SenderId, report: Arc<Report>) {
        let place = place(&self.clock, &self.limits, &report, self.now);
        let sides = Sides::of(&report, &self.sockets);
        let is_repeated = self.requests.insert(sender, report, self.now, sides, place);
        if is_repeated {
            self.contradict("span_id_repeated");
        }
        while self.requests.len() > self.limits.live_requests
            && let Some(first) = self.requests.take_first()
        {
            self.coverage.requests_evicted += 1;
            self.settle_request(first, true);
        }
    }

    pub(super) fn contradict(&mut self, kind: &'static str) {
        *self.coverage.contradictions.entry(kind).or_default() += 1;
    }

    pub(super) fn bound_connections(&mut self) {
        while self.sockets.len() > self.limits.live_connections
            && let Some(first) = self.sockets.first_to_go()
        {
            self.coverage.connections_evicted += 1;
            self.sockets.evict(first);
            self.settle_connection(first);
        }
    }
}
