//! Writes what was scored as tables.

use std::fmt::Write as _;

use super::{
    score::{Ends, Score, Tally},
    truth::{Arrival, Ending},
};

const JOINS: [&str; 9] = [
    "situation",
    "requests",
    "certain",
    "wrong",
    "likely",
    "wrong",
    "ambiguous",
    "without the true one",
    "not joined",
];

const MISHAPS: [&str; 8] = [
    "what happened",
    "to it alone",
    "to it among others",
    "to another alone",
    "connection: to it alone",
    "to several",
    "to nobody",
    "to another alone",
];

const ENDS: [&str; 6] = [
    "situation",
    "connections",
    "one id",
    "an alias leads to the other",
    "nothing in common",
    "wrong",
];

const PARTIES: [&str; 6] = [
    "ending",
    "requests",
    "unknown",
    "wrong",
    "time unknown",
    "time of another",
];

impl Score {
    /// Writes the tables.
    pub fn tables(&self) -> String {
        let mut out = String::new();
        head(&mut out, "The connection that a request came in on", &JOINS);
        for arrival in Arrival::ALL {
            if let Some(tally) = self.received_on.get(&arrival) {
                joins(&mut out, arrival.name(), tally);
            }
        }
        out.push('\n');
        head(
            &mut out,
            "The connection that carried it to the service",
            &JOINS,
        );
        for (way, tally) in &self.served_by {
            joins(&mut out, way.name(), tally);
        }
        out.push('\n');
        head(&mut out, "The connect that it waited for", &JOINS);
        let waited = "waited for the handshake of the connection that carried it";
        joins(&mut out, waited, &self.opened);
        out.push('\n');
        self.write_failures(&mut out);
        out.push('\n');
        head(&mut out, "Where facts came after the grace period", &JOINS);
        let [late, in_time] = &self.late;
        joins(&mut out, "all joins of requests that came late", late);
        joins(&mut out, "all joins of requests that came in time", in_time);
        out.push('\n');
        self.write_mishaps(&mut out);
        out.push('\n');
        self.write_ends(&mut out);
        out.push('\n');
        self.write_parties(&mut out);
        out
    }

    fn write_failures(&self, out: &mut String) {
        head(out, "The connect that failed it", &JOINS);
        for ending in Ending::ALL {
            for (single, rivals) in [
                (true, "alone"),
                (false, "others of the worker failed at the same time"),
            ] {
                if let Some(tally) = self.failed_by.get(&(ending, single)) {
                    joins(out, &format!("{}, {rivals}", ending.name()), tally);
                }
            }
        }
        joins(out, "of an earlier attempt", &self.earlier);
        let _ = writeln!(
            out,
            "\nOf {} earlier attempts that were answered, or hedged, {} are said to have failed by a connect: \
             never more than *likely*.",
            grouped(self.other_attempts),
            grouped(self.other_connects)
        );
    }

    fn write_mishaps(&self, out: &mut String) {
        out.push_str("## Which request an incident is charged to\n\n");
        out.push_str("One request caused each of them: first by the records of requests, ");
        out.push_str("then by the connection's, which knows all that ran.\n\n");
        columns(out, &MISHAPS);
        for (mishap, hits) in &self.mishaps {
            let hits = hits.requests.iter().chain(&hits.connections);
            row(out, mishap.name(), hits.map(|&hits| grouped(hits)));
        }
    }

    fn write_ends(&self, out: &mut String) {
        let title = "Both ends of a connection, each told to the bridge of its own host";
        head(out, title, &ENDS);
        for (tagging, ends) in &self.ends {
            let Ends {
                all,
                same_id,
                alias,
                nothing,
                wrong,
            } = *ends;
            let counts = [all, same_id, alias, nothing, wrong];
            row(out, tagging.name(), counts.map(grouped));
        }
    }

    fn write_parties(&self, out: &mut String) {
        head(out, "Who is named, and whose the time is", &PARTIES);
        for (ending, parties) in &self.parties {
            let cells = [
                grouped(parties.all),
                share(parties.unknown, parties.all),
                grouped(parties.wrong),
                share(parties.unknown_ns, parties.took_ns),
                share(parties.wrong_ns, parties.took_ns),
            ];
            row(out, ending.name(), cells);
        }
    }
}

/// Writes a number with a comma between thousands.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn head(out: &mut String, title: &str, names: &[&str]) {
    let _ = write!(out, "## {title}\n\n");
    columns(out, names);
}

/// Writes the names of columns: words, then numbers.
fn columns(out: &mut String, names: &[&str]) {
    let numbers = " ---: |".repeat(names.len() - 1);
    let _ = writeln!(out, "| {} |\n| --- |{numbers}", names.join(" | "));
}

fn joins(out: &mut String, name: &str, tally: &Tally) {
    let cells = [
        grouped(tally.all),
        share(tally.certain, tally.all),
        grouped(tally.certain_wrong),
        share(tally.likely, tally.all),
        grouped(tally.likely_wrong),
        share(tally.ambiguous, tally.all),
        grouped(tally.ambiguous_without),
        share(tally.missing, tally.all),
    ];
    row(out, name, cells);
}

fn row(out: &mut String, name: &str, cells: impl IntoIterator<Item = String>) {
    let _ = write!(out, "| {name} |");
    for cell in cells {
        let _ = write!(out, " {cell} |");
    }
    out.push('\n');
}

/// Writes a share, in percent.
fn share(some: u64, all: u64) -> String {
    let share = some as f64 * 100.0 / all.max(1) as f64;
    format!("{share:.3} %")
}
