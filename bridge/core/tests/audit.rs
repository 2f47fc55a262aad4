//! Each rule of the audit finds what breaks it, and nothing in what does not.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod world;

use std::sync::Arc;

use syntrace_core::{
    Confidence,
    answer::{Code, Party},
    audit::{self, Finding, Rule},
    record::{ConnectionRecord, Join, LinkKind, Missing, PhaseKind, RequestRecord, Role, Sharing},
};
use syntrace_model::{BootNanos, ConnectionId, Opening, Outcome};
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
fn times_that_run_backwards_are_found_unless_the_record_says_so() {
    let backwards = |record: &mut ConnectionRecord| {
        record.socket.as_mut().unwrap().syn_ack_at = Some(boot(49.0));
    };
    assert_eq!(of_connection(backwards), [Rule::InOrder]);
    let ended_first = |record: &mut ConnectionRecord| {
        let socket = record.socket.as_mut().unwrap();
        socket.established_at = Some(boot(51.0));
    };
    assert_eq!(of_connection(ended_first), [Rule::InOrder]);
    let told = of_connection(|record| {
        backwards(record);
        record.coverage.contradictions.push("out_of_order");
    });
    assert_eq!(told, []);
}

#[test]
fn an_id_that_is_its_own_alias_is_found() {
    let rules = of_connection(|record| record.aliases = vec![record.trace_id]);
    assert_eq!(rules, [Rule::OneId]);
    for twice_or_backwards in [[trace(9), trace(9)], [trace(9), trace(8)]] {
        let rules = of_connection(|record| record.aliases = twice_or_backwards.to_vec());
        assert_eq!(rules, [Rule::OneId]);
    }
    assert_eq!(
        of_connection(|record| record.aliases = vec![trace(8), trace(9)]),
        []
    );
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
fn a_time_by_party_that_is_not_the_phases_is_found() {
    let rules = of_request(|record| record.answer.time.client_ns += 1);
    assert_eq!(rules, [Rule::TimeOfPhases]);
}

#[test]
fn a_link_that_the_connection_cannot_have_is_found() {
    let rules = of_connection(|record| record.requests[0].kind = LinkKind::ServedBy);
    assert_eq!(rules, [Rule::LinksIntact]);
    let rules = of_connection(|record| record.role = Some(Role::Upstream));
    assert_eq!(rules, [Rule::LinksIntact]);
    let rules = of_connection(|record| record.role = None);
    assert_eq!(rules, [Rule::LinksIntact]);
    let rules = of_connection(|record| record.requests.push(record.requests[0]));
    assert_eq!(rules, [Rule::LinksIntact]);
}

#[test]
fn an_ambiguous_join_without_its_candidates_is_found() {
    let rules = of_request(|record| {
        if let Join::To { confidence, .. } = &mut record.received_on {
            *confidence = Confidence::Ambiguous { candidates: 2 };
        }
    });
    assert_eq!(rules, [Rule::CandidatesNamed]);
    let rules = of_request(|record| {
        if let Join::To {
            candidates,
            connection,
            ..
        } = &mut record.received_on
        {
            candidates.push(*connection);
        }
    });
    assert_eq!(rules, [Rule::CandidatesNamed]);
    let (own, other) = (sound().1[0].id, sound().1[1].id);
    let named = |count, named: &[ConnectionId]| {
        of_request(|record| {
            if let Join::To {
                confidence,
                candidates,
                ..
            } = &mut record.received_on
            {
                *confidence = Confidence::Ambiguous { candidates: count };
                *candidates = named.to_vec();
            }
        })
    };
    assert_eq!(named(2, &[own, other]), []);
    // Of several, its own among them, and as many as it says.
    assert_eq!(named(1, &[own]), [Rule::CandidatesNamed]);
    assert_eq!(named(2, &[other, other]), [Rule::CandidatesNamed]);
    assert_eq!(named(3, &[own, other]), [Rule::CandidatesNamed]);
}

#[test]
fn a_join_of_a_request_that_reached_no_service_is_found() {
    let asked_nobody = |spoil: &dyn Fn(&mut RequestRecord)| {
        let told = tell(
            vec![accepted(1, 10.0, 50.0)],
            vec![request(1, from_client(5001), 10.4, 20.0)],
        );
        let mut record = told.requests[0].clone();
        spoil(&mut record);
        rules(audit::request(&record))
    };
    assert_eq!(asked_nobody(&|_| {}), []);
    let served = |record: &mut RequestRecord| record.served_by = Some(record.received_on.clone());
    assert_eq!(asked_nobody(&served), [Rule::JoinsComplete]);
    let opened = |record: &mut RequestRecord| record.opened = Some(record.received_on.clone());
    assert_eq!(asked_nobody(&opened), [Rule::JoinsComplete]);
    let not_reached = |spoil: &dyn Fn(&mut RequestRecord)| {
        let mut record = refused();
        spoil(&mut record);
        rules(audit::request(&record))
    };
    assert_eq!(not_reached(&|_| {}), []);
    let served = |record: &mut RequestRecord| record.served_by = record.opened.clone();
    assert_eq!(not_reached(&served), [Rule::JoinsComplete]);
    let unopened = |record: &mut RequestRecord| record.opened = None;
    assert_eq!(not_reached(&unopened), [Rule::JoinsComplete]);
    let opened_another = of_request(|record| record.opened = Some(record.received_on.clone()));
    assert_eq!(opened_another, [Rule::JoinsComplete]);
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

#[test]
fn a_request_that_was_served_without_a_join_is_found() {
    assert_eq!(
        of_request(|record| record.served_by = None),
        [Rule::JoinsComplete]
    );
}

#[test]
fn an_incident_of_another_request_or_connection_is_found() {
    let charged = |sharing| {
        use syntrace_core::{
            fact::IncidentKind,
            record::{ChargedIncident, ConnectionIncident},
        };
        let incident = ConnectionIncident {
            at: BootNanos(11_000_000),
            kind: IncidentKind::Retransmit,
            count: 1,
            queue: None,
            listener: false,
            sharing,
        };
        let (request, connections) = sound();
        let connection = connections[0].id;
        assert_eq!(request.received_on.connection(), Some(connection));
        ChargedIncident {
            connection,
            link: LinkKind::ReceivedOn,
            incident,
        }
    };
    let own = of_request(|record| record.incidents = vec![charged(Sharing::Exclusive(span(1)))]);
    assert_eq!(own, []);
    let other = of_request(|record| record.incidents = vec![charged(Sharing::Exclusive(span(2)))]);
    assert_eq!(other, [Rule::IncidentsPlaced]);
    let nobody = of_request(|record| record.incidents = vec![charged(Sharing::Nobody)]);
    assert_eq!(nobody, [Rule::IncidentsPlaced]);
    let elsewhere = of_request(|record| {
        let mut charged = charged(Sharing::Exclusive(span(1)));
        charged.link = LinkKind::ServedBy;
        record.incidents = vec![charged];
    });
    assert_eq!(elsewhere, [Rule::IncidentsPlaced]);
    let own_at = |at: [u64; 2]| {
        at.map(|ms| {
            let mut charged = charged(Sharing::Exclusive(span(1)));
            charged.incident.at = BootNanos(ms * 1_000_000);
            charged
        })
    };
    for (at, breaks) in [([12, 11], true), ([11, 12], false)] {
        let placed = [Rule::IncidentsPlaced];
        let breaks = if breaks { &placed[..] } else { &[] };
        let told = of_request(|record| record.incidents = own_at(at).to_vec());
        assert_eq!(told, breaks);
        let incidents = own_at(at).map(|charged| charged.incident).to_vec();
        assert_eq!(of_connection(|record| record.incidents = incidents), breaks);
    }
    let by_none = charged(Sharing::Shared { streams: 0 });
    let shared = of_request(|record| record.incidents = vec![by_none]);
    assert_eq!(shared, [Rule::IncidentsPlaced]);
    let shared = of_connection(|record| record.incidents = vec![by_none.incident]);
    assert_eq!(shared, [Rule::IncidentsPlaced]);
    let unlisted = |evicted| {
        of_connection(|record| {
            record.incidents = vec![charged(Sharing::Exclusive(span(2))).incident];
            record.requests_evicted = evicted;
        })
    };
    assert_eq!(unlisted(0), [Rule::IncidentsPlaced]);
    assert_eq!(unlisted(1), []);
}

#[test]
fn a_settled_connection_without_an_end_is_found_unless_it_says_so() {
    let endless = |record: &mut ConnectionRecord| {
        let socket = record.socket.as_mut().unwrap();
        socket.closed_at = None;
        socket.outcome = Outcome::Closed;
        socket.seen_at = boot(50.0);
    };
    assert_eq!(of_connection(endless), [Rule::EndKnown]);
    let told = of_connection(|record| {
        endless(record);
        record.coverage.close_missing = true;
    });
    assert_eq!(told, []);
    let unsettled = of_connection(|record| {
        endless(record);
        record.settled = false;
    });
    assert_eq!(unsettled, []);
    let open = of_connection(|record| {
        endless(record);
        record.socket.as_mut().unwrap().outcome = Outcome::Established;
    });
    assert_eq!(open, []);
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

#[test]
fn an_answer_that_is_surer_than_its_join_is_found() {
    let mut record = refused();
    assert_eq!(record.answer.cause.confidence, Confidence::Likely);
    record.answer.cause.confidence = Confidence::Certain;
    assert_eq!(rules(audit::request(&record)), [Rule::AnswerGrounded]);
    record.answer.cause.confidence = Confidence::Likely;
    record.answer.cause.sentence = "".into();
    assert_eq!(rules(audit::request(&record)), [Rule::AnswerGrounded]);
}

/// The record of a request that the service did not answer in time.
fn unanswered() -> RequestRecord {
    let mut report = served(request(1, from_client(5001), 11.0, 1_011.0), 6001, 0.0, 0.0);
    report.upstream.as_mut().unwrap().first_byte_ns = None;
    report.http.response_flags = 1 << 2;
    report.http.status = 504;
    let upstream = socket(2, Opening::Active, to_service(6001), 5.0, 1_011.0);
    told(vec![upstream], report)
}

#[test]
fn a_timeout_of_whom_no_phase_was_the_longest_is_found() {
    let mut record = unanswered();
    assert_eq!(record.answer.cause.party, Party::Service);
    assert_eq!(rules(audit::request(&record)), []);
    for party in [Party::Network, Party::Client, Party::Proxy] {
        record.answer.cause.party = party;
        assert_eq!(rules(audit::request(&record)), [Rule::TimeoutOfPhases]);
    }
    record.answer.cause.party = Party::Unknown;
    assert_eq!(rules(audit::request(&record)), []);
}

#[test]
fn what_is_said_of_a_connection_that_perhaps_carried_the_request_is_found() {
    let likely = |record: &mut RequestRecord| match record.served_by.as_mut().unwrap() {
        Join::To { confidence, .. } => *confidence = Confidence::Likely,
        Join::Missing(reason) => panic!("{reason:?}"),
    };
    let mut record = unanswered();
    likely(&mut record);
    assert_eq!(rules(audit::request(&record)), [Rule::AnswerGrounded]);
    record.served_by = Some(Join::Missing(Missing::NoConnection));
    assert_eq!(rules(audit::request(&record)), [Rule::AnswerGrounded]);
    // The kernel's RST says whose the reset is, unless the proxy does.
    let mut record = unanswered();
    record.answer.cause.code = Code::ResetBeforeFirstByte;
    assert_eq!(rules(audit::request(&record)), []);
    likely(&mut record);
    assert_eq!(rules(audit::request(&record)), [Rule::AnswerGrounded]);
    let report = Arc::make_mut(&mut record.report);
    report.http.response_flags = 1 << 4;
    assert_eq!(rules(audit::request(&record)), []);
}
