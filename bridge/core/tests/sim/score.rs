//! Holds what the reconciler says against what happened, situation by situation.

use std::collections::BTreeMap;

use syntrace_core::{
    Confidence, Output,
    answer::{Code, Party},
    audit,
    join::TIGHT_NS,
    record::{ConnectionRecord, Join, RequestRecord, Sharing},
};
use syntrace_model::ConnectionId;

use super::{
    far::Ids,
    truth::{Arrival, Ending, Mishap, Request, Tagging, Truth, Way},
};

/// How joins of one kind turned out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub all: u64,
    pub certain: u64,
    pub certain_wrong: u64,
    pub likely: u64,
    pub likely_wrong: u64,
    pub ambiguous: u64,
    pub ambiguous_without: u64,
    pub missing: u64,
}

/// Whom incidents were charged to that one request each caused.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hits {
    /// By the records of requests: to it alone, to it among others, to another alone.
    pub requests: [u64; 3],
    /// By the connection's record: to it alone, to several, to nobody, to another alone.
    pub connections: [u64; 4],
}

/// What connections between two hosts are called at both ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ends {
    pub all: u64,
    pub same_id: u64,
    /// Another id, but one leads to the other.
    pub alias: u64,
    pub nothing: u64,
    pub wrong: u64,
}

/// How answers turned out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parties {
    pub all: u64,
    pub unknown: u64,
    pub wrong: u64,
    /// How long all of them took, and what of it is charged to nobody, and to somebody wrong.
    pub took_ns: u64,
    pub unknown_ns: u64,
    pub wrong_ns: u64,
}

/// All tables.
#[derive(Clone, Debug, Default)]
pub struct Score {
    pub connections: u64,
    pub requests: u64,
    pub sent: u64,
    pub lost: u64,
    pub received_on: BTreeMap<Arrival, Tally>,
    pub served_by: BTreeMap<Way, Tally>,
    pub opened: Tally,
    /// Of requests reported after the grace period, and of others in the same worlds.
    pub late: [Tally; 2],
    pub is_late: bool,
    /// Attempts before the last that were no failed connects, and such connects named for them.
    pub other_attempts: u64,
    pub other_connects: u64,
    pub mishaps: BTreeMap<Mishap, Hits>,
    pub ends: BTreeMap<Tagging, Ends>,
    pub failed_by: BTreeMap<(Ending, bool), Tally>,
    pub earlier: Tally,
    pub parties: BTreeMap<Ending, Parties>,
    pub unheard: u64,
    /// What is wrong, in words; the first few.
    pub errors: Vec<String>,
}

impl Tally {
    fn count(&mut self, join: Option<&Join>, truth: u64) -> bool {
        self.all += 1;
        match join {
            Some(Join::To {
                connection,
                confidence,
                candidates,
                ..
            }) => {
                let is = |id: &ConnectionId| matches!(id, ConnectionId::Socket { cookie, .. } if *cookie == truth);
                let right = is(connection);
                match confidence {
                    Confidence::Certain => {
                        self.certain += 1;
                        self.certain_wrong += u64::from(!right);
                        return right;
                    }
                    Confidence::Likely => {
                        self.likely += 1;
                        self.likely_wrong += u64::from(!right);
                    }
                    Confidence::Ambiguous { .. } => {
                        self.ambiguous += 1;
                        self.ambiguous_without += u64::from(!candidates.iter().any(is));
                    }
                }
            }
            Some(Join::Missing(_)) | None => self.missing += 1,
        }
        true
    }

    pub fn add(&mut self, other: Self) {
        self.all += other.all;
        self.certain += other.certain;
        self.certain_wrong += other.certain_wrong;
        self.likely += other.likely;
        self.likely_wrong += other.likely_wrong;
        self.ambiguous += other.ambiguous;
        self.ambiguous_without += other.ambiguous_without;
        self.missing += other.missing;
    }
}

impl Hits {
    fn add(&mut self, other: Self) {
        let own = self.requests.iter_mut().chain(&mut self.connections);
        let other = other.requests.into_iter().chain(other.connections);
        own.zip(other).for_each(|(own, other)| *own += other);
    }
}

impl Score {
    /// Takes one output in.
    pub fn take(&mut self, truth: &mut Truth, output: Output) {
        let findings = match &output {
            Output::Request(record) => audit::request(record),
            Output::Connection(record) => audit::connection(record),
        };
        if !findings.is_empty() {
            self.error(|| format!("audit: {findings:?} of {output:#?}"));
        }
        match output {
            Output::Request(record) => {
                self.charged(truth, &record);
                match truth.requests.remove(&record.id()) {
                    Some(request) => self.request(&request, &record),
                    None => self.error(|| format!("told twice or never asked: {record:#?}")),
                }
            }
            Output::Connection(record) => self.shared(truth, &record),
        }
    }

    /// Whom the record of a request charges with what.
    fn charged(&mut self, truth: &Truth, record: &RequestRecord) {
        for charged in &record.incidents {
            let ConnectionId::Socket { cookie, .. } = charged.connection else {
                continue;
            };
            let Some((mishap, span_id)) = truth.mishaps.get(&(cookie, charged.incident.at.0))
            else {
                continue;
            };
            let is_alone = matches!(charged.incident.sharing, Sharing::Exclusive(_));
            let hits = &mut self.mishaps.entry(*mishap).or_default().requests;
            match (*span_id == record.id(), is_alone) {
                (true, true) => hits[0] += 1,
                (true, false) => hits[1] += 1,
                (false, true) => hits[2] += 1,
                (false, false) => {}
            }
        }
    }

    /// Whom the record of a connection charges with what.
    fn shared(&mut self, truth: &Truth, record: &ConnectionRecord) {
        let ConnectionId::Socket { cookie, .. } = record.id else {
            return;
        };
        for incident in &record.incidents {
            let Some((mishap, span_id)) = truth.mishaps.get(&(cookie, incident.at.0)) else {
                continue;
            };
            let hits = &mut self.mishaps.entry(*mishap).or_default().connections;
            match incident.sharing {
                Sharing::Exclusive(only) if only == *span_id => hits[0] += 1,
                Sharing::Shared { .. } => hits[1] += 1,
                Sharing::Nobody => hits[2] += 1,
                Sharing::Exclusive(_) => hits[3] += 1,
            }
        }
    }

    /// Holds what both ends of connections between two hosts are called against each other.
    pub fn ends(&mut self, truth: &Truth, here: &BTreeMap<u64, Ids>, there: &BTreeMap<u64, Ids>) {
        for (cookie, far) in &truth.far {
            let ends = self.ends.entry(far.tagging).or_default();
            let (Some(here), Some(there)) = (here.get(cookie), there.get(&far.cookie)) else {
                continue;
            };
            ends.all += 1;
            let is_same = here.trace_id == there.trace_id;
            let is_known = here.lead_to(there);
            match (is_same, is_known) {
                (true, _) => ends.same_id += 1,
                (false, true) => ends.alias += 1,
                (false, false) => ends.nothing += 1,
            }
            // Where its report was lost, or is not joined for certain, no other id than the tag names it.
            let is_minted = far.tagging == Tagging::Minted && there.is_named;
            let right = is_known == far.tagging.is_common() && is_same == (is_known && !is_minted);
            ends.wrong += u64::from(!right);
        }
    }

    fn request(&mut self, truth: &Request, record: &RequestRecord) {
        self.requests += 1;
        if self.is_late {
            let tally = &mut self.late[usize::from(!record.coverage.late)];
            let mut right = tally.count(Some(&record.received_on), truth.received_on);
            if let Some(served_by) = truth.served_by {
                right &= tally.count(record.served_by.as_ref(), served_by);
            }
            if let Some(failed_by) = truth.failed_by {
                right &= tally.count(record.opened.as_ref(), failed_by);
            }
            if !right {
                self.error(|| format!("late: {truth:?} {record:#?}"));
            }
            return;
        }
        let tally = self.received_on.entry(truth.arrival).or_default();
        let mut right = tally.count(Some(&record.received_on), truth.received_on);
        if let Some(served_by) = truth.served_by {
            let tally = self.served_by.entry(truth.way).or_default();
            right &= tally.count(record.served_by.as_ref(), served_by);
            match truth.missed_ns {
                Some(missed_ns) if missed_ns <= 2 * TIGHT_NS => {
                    right &= self.opened.count(record.opened.as_ref(), served_by);
                }
                // It did not wait for all of the handshake: no connection is its own.
                _ if record.opened.is_some() => {
                    right &= self.opened.count(record.opened.as_ref(), 0);
                }
                _ => {}
            }
        }
        if let Some(failed_by) = truth.failed_by {
            let single = truth.rivals <= 1;
            let tally = self.failed_by.entry((truth.ending, single)).or_default();
            right &= tally.count(record.opened.as_ref(), failed_by);
        }
        for (n, &earlier) in truth.earlier.iter().enumerate() {
            right &= self.earlier.count(record.earlier.get(n), earlier);
        }
        let attempts = record
            .report
            .upstream
            .as_ref()
            .map_or(0, |last| last.attempts);
        if attempts > 1 && truth.earlier.is_empty() {
            self.other_attempts += u64::from(attempts) - 1;
            self.other_connects += record.earlier.len() as u64;
        }
        let right_party = self.party(truth, record);
        if !right || !right_party {
            let what = if right { "party" } else { "join" };
            self.error(|| {
                let names: Vec<_> = record
                    .phases
                    .iter()
                    .map(|phase| (phase.kind.name(), phase.party.name(), phase.duration_ns))
                    .collect();
                let upstream = &record.report.upstream;
                let (received_on, opened) = (&record.received_on, &record.opened);
                let (answer, served_by) = (&record.answer, &record.served_by);
                let joins = format!("{received_on:?}\n{served_by:?}\n{opened:?}");
                let earlier = &record.earlier;
                format!(
                    "{what}: {truth:?}\n{answer:?}\n{names:?}\n{joins}\n{earlier:?}\n{upstream:?}"
                )
            });
        }
    }

    /// Who is named may be any who took at least nine tenths of what the longest took.
    fn party(&mut self, truth: &Request, record: &RequestRecord) -> bool {
        let parties = self.parties.entry(truth.ending).or_default();
        let cause = &record.answer.cause;
        parties.all += 1;
        let mut time = truth.time;
        if record.before_ns() > 0 {
            time.iter_mut()
                .zip(truth.before)
                .for_each(|(time, before)| *time += before);
        }
        let said = record.answer.time;
        parties.took_ns += said.total_ns();
        parties.unknown_ns += said.unknown_ns;
        for (party, truth_ns) in Party::ALL.into_iter().zip(time) {
            if party != Party::Unknown {
                parties.wrong_ns += said.of(party).saturating_sub(truth_ns);
            }
        }
        if cause.party == Party::Unknown {
            parties.unknown += 1;
            return true;
        }
        let longest = time.iter().copied().max().unwrap_or(0);
        let took = Party::ALL
            .iter()
            .position(|party| *party == cause.party)
            .map_or(0, |index| time[index]);
        let right = match truth.party {
            Some(party) => party == cause.party,
            None => took + took / 9 + 30_000 >= longest && cause.code != Code::Unexplained,
        };
        parties.wrong += u64::from(!right);
        right
    }

    pub fn error(&mut self, what: impl FnOnce() -> String) {
        if self.errors.len() < 5 {
            self.errors.push(what());
        }
    }

    pub fn add(&mut self, other: Self) {
        self.connections += other.connections;
        self.requests += other.requests;
        self.sent += other.sent;
        self.lost += other.lost;
        self.unheard += other.unheard;
        self.opened.add(other.opened);
        self.other_attempts += other.other_attempts;
        self.other_connects += other.other_connects;
        for (late, other) in self.late.iter_mut().zip(other.late) {
            late.add(other);
        }
        for (way, tally) in other.served_by {
            self.served_by.entry(way).or_default().add(tally);
        }
        for (mishap, hits) in other.mishaps {
            self.mishaps.entry(mishap).or_default().add(hits);
        }
        for (tagging, ends) in other.ends {
            let known = self.ends.entry(tagging).or_default();
            known.all += ends.all;
            known.same_id += ends.same_id;
            known.alias += ends.alias;
            known.nothing += ends.nothing;
            known.wrong += ends.wrong;
        }
        self.earlier.add(other.earlier);
        for (key, tally) in other.received_on {
            self.received_on.entry(key).or_default().add(tally);
        }
        for (key, tally) in other.failed_by {
            self.failed_by.entry(key).or_default().add(tally);
        }
        for (key, parties) in other.parties {
            let known = self.parties.entry(key).or_default();
            known.all += parties.all;
            known.unknown += parties.unknown;
            known.wrong += parties.wrong;
            known.took_ns += parties.took_ns;
            known.unknown_ns += parties.unknown_ns;
            known.wrong_ns += parties.wrong_ns;
        }
        self.errors.extend(other.errors);
    }

    /// All joins that were to be found, of what came in time.
    pub fn joins(&self) -> Tally {
        let mut all = Tally::default();
        for tally in self.received_on.values().chain(self.failed_by.values()) {
            all.add(*tally);
        }
        for tally in self.served_by.values() {
            all.add(*tally);
        }
        all.add(self.opened);
        all.add(self.earlier);
        all
    }
}
