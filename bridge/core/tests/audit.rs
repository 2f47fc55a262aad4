//! Each rule of the audit finds what breaks it, and nothing in what does not.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod audits;
mod world;

use syntrace_core::{
    audit::{self, Finding, Rule},
    record::{ConnectionRecord, PhaseKind, RequestRecord},
};
use syntrace_model::{Opening, Outcome};
use world::*;

/// A sound record of a request that was answered, and of the connections that it used.
fn sound() -> (RequestRecord, Vec<ConnectionRecord>) {
    let told = tell(
        vec![
            accepted(1, 10.0, 50.0),
            socket(2, Opening::Active, to_service(6001), 10.5, 60.0),
        ],
        vec![served(
            request(1, from_client(5001), 10.4, 20.0),
            6001,
            0.5,
            5.0,
        )],
    );
    (told.requests[0].clone(), told.connections)
}

/// The record of a request that failed because its connect was refused, which is likely.
fn refused() -> RequestRecord {
    let told = tell(
        vec![failed(2, to_service(6001), Outcome::Refused, 11.1, 11.4)],
        vec![unserved(
            request(1, from_client(5001), 11.0, 12.0),
            "delayed connect error: 111",
        )],
    );
    told.requests[0].clone()
}

/// The rules that a connection's record breaks, once `spoil` has been at it.
fn of_connection(spoil: impl FnOnce(&mut ConnectionRecord)) -> Vec<Rule> {
    let mut record = sound().1.remove(0);
    spoil(&mut record);
    rules(audit::connection(&record))
}

/// The rules that a request's record breaks, once `spoil` has been at it.
fn of_request(spoil: impl FnOnce(&mut RequestRecord)) -> Vec<Rule> {
    let mut record = sound().0;
    spoil(&mut record);
    rules(audit::request(&record))
}

fn rules(findings: Vec<Finding>) -> Vec<Rule> {
    let mut rules: Vec<_> = findings.into_iter().map(|finding| finding.rule).collect();
    rules.dedup();
    rules
}

#[test]
fn sound_records_break_no_rule() {
    assert_eq!(of_request(|_| {}), []);
    assert_eq!(of_connection(|_| {}), []);
}

#[test]
fn a_gap_between_phases_is_found() {
    let rules = of_request(|record| record.phases[1].after_ns += 1);
    assert_eq!(rules, [Rule::PhasesTouch]);
    let rules = of_connection(|record| record.phases[1].after_ns += 1);
    assert_eq!(rules, [Rule::PhasesTouch]);
}

#[test]
fn phases_that_do_not_sum_to_the_duration_are_found() {
    let rules = of_request(|record| record.phases.last_mut().unwrap().duration_ns += 1);
    assert_eq!(rules, [Rule::SumsExactly, Rule::TimeOfPhases]);
    let rules = of_connection(|record| record.phases.last_mut().unwrap().duration_ns += 1);
    assert_eq!(rules, [Rule::SumsExactly]);
}

#[test]
fn a_finding_says_which_rule_is_broken_and_what_is_wrong() {
    let mut record = sound().0;
    record.phases[1].after_ns += 1;
    let findings = audit::request(&record);
    let shown = findings[0].to_string();
    let Finding { rule, detail } = &findings[0];
    assert_eq!(shown, format!("{}: {detail}", rule.name()));
    assert!(shown.contains(record.phases[1].kind.name()), "{shown}");
}

#[test]
fn phases_before_a_request_stand_before_those_within_it() {
    let record = |kinds: [PhaseKind; 2]| {
        of_request(|record| {
            record.phases.truncate(2);
            for (phase, kind) in record.phases.iter_mut().zip(kinds) {
                phase.kind = kind;
            }
        })
    };
    let breaks_order = |kinds: [PhaseKind; 2]| record(kinds).contains(&Rule::InOrder);
    assert!(!breaks_order([PhaseKind::Handshake, PhaseKind::Proxy]));
    assert!(breaks_order([PhaseKind::Proxy, PhaseKind::Handshake]));
}
