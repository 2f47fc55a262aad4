//! Holds what the reconciler says against what happened, situation by situation.

use std::{collections::BTreeMap, fmt::Write as _};

use syntrace_core::{
    Confidence, Output,
    answer::{Code, Party},
    audit,
    record::{Join, RequestRecord},
};
use syntrace_model::ConnectionId;

use super::truth::{Arrival, Ending, Request, Truth};

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
    pub served_by: Tally,
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

    /// Of all, in ten thousandths of a percent.
    fn row(&self, name: &str, out: &mut String) {
        let share = |n: u64| {
            let share = n as f64 * 100.0 / self.all.max(1) as f64;
            format!("{share:.3} %")
        };
        let _ = writeln!(
            out,
            "| {name} | {} | {} | {} | {} | {} | {} | {} | {} |",
            self.all,
            share(self.certain),
            self.certain_wrong,
            share(self.likely),
            self.likely_wrong,
            share(self.ambiguous),
            self.ambiguous_without,
            share(self.missing),
        );
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
        if let Output::Request(record) = output {
            match truth.requests.remove(&record.id()) {
                Some(request) => self.request(&request, &record),
                None => self.error(|| format!("told twice or never asked: {record:#?}")),
            }
        }
    }

    fn request(&mut self, truth: &Request, record: &RequestRecord) {
        self.requests += 1;
        let tally = self.received_on.entry(truth.arrival).or_default();
        let mut right = tally.count(Some(&record.received_on), truth.received_on);
        if let Some(served_by) = truth.served_by {
            right &= self.served_by.count(record.served_by.as_ref(), served_by);
        }
        if let Some(failed_by) = truth.failed_by {
            let single = truth.rivals <= 1;
            let tally = self.failed_by.entry((truth.ending, single)).or_default();
            right &= tally.count(record.opened.as_ref(), failed_by);
        }
        for (n, &earlier) in truth.earlier.iter().enumerate() {
            right &= self.earlier.count(record.earlier.get(n), earlier);
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
                format!("{what}: {truth:?}\n{:?}\n{names:?}\n{received_on:?}\n{:?}\n{opened:?}\n{:?}\n{upstream:?}",
                    record.answer, record.served_by, record.earlier)
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
        self.served_by.add(other.served_by);
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

    /// All joins that were to be found.
    pub fn joins(&self) -> Tally {
        let mut all = Tally::default();
        for tally in self.received_on.values().chain(self.failed_by.values()) {
            all.add(*tally);
        }
        all.add(self.served_by);
        all.add(self.earlier);
        all
    }

    /// Writes the tables.
    pub fn tables(&self) -> String {
        let mut out = String::new();
        let head = "| situation | requests | certain | wrong | likely | wrong | ambiguous | without the true one | not joined |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";
        out.push_str("## The connection that a request came in on\n\n");
        out.push_str(head);
        for arrival in Arrival::ALL {
            if let Some(tally) = self.received_on.get(&arrival) {
                tally.row(arrival.name(), &mut out);
            }
        }
        out.push_str("\n## The connection that carried it to the service\n\n");
        out.push_str(head);
        self.served_by.row("all arrivals", &mut out);
        out.push_str("\n## The connect that failed it\n\n");
        out.push_str(head);
        for ending in Ending::ALL {
            for single in [true, false] {
                if let Some(tally) = self.failed_by.get(&(ending, single)) {
                    let rivals = if single {
                        "alone"
                    } else {
                        "others of the worker failed at the same time"
                    };
                    tally.row(&format!("{}, {rivals}", ending.name()), &mut out);
                }
            }
        }
        self.earlier.row("of an earlier attempt", &mut out);
        out.push_str("\n## Who is named, and whose the time is\n\n| ending | requests | unknown | wrong | time unknown | time of another |\n| --- | ---: | ---: | ---: | ---: | ---: |\n");
        for (ending, parties) in &self.parties {
            let share = |some: u64, all: u64| some as f64 * 100.0 / all.max(1) as f64;
            let _ = writeln!(
                out,
                "| {} | {} | {:.3} % | {} | {:.3} % | {:.3} % |",
                ending.name(),
                parties.all,
                share(parties.unknown, parties.all),
                parties.wrong,
                share(parties.unknown_ns, parties.took_ns),
                share(parties.wrong_ns, parties.took_ns)
            );
        }
        out
    }
}
