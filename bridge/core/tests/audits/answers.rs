//! Answers.

use std::sync::Arc;

use syntrace_core::{
    Confidence,
    answer::{Code, Most, Party, Sentence, TimeByParty},
    audit::{self, Rule},
    fact::Snapshot,
    record::{ConnectionRecord, Join, Missing, Phase, PhaseKind, RequestRecord},
};
use syntrace_model::{Opening, Outcome};

use super::super::{of_connection, of_request, refused, rules, world::*};

/// The record of a request that waited long for the service.
fn slow() -> RequestRecord {
    let upstream = socket(2, Opening::Active, to_service(6001), 5.0, 500.0);
    let report = served(request(1, from_client(5001), 10.5, 300.0), 6001, 0.5, 280.0);
    told(vec![upstream], report)
}

/// The rules that the record of a request breaks that waited a while for the service, once `spoil` has been at it.
fn of_prompt(spoil: impl FnOnce(&mut RequestRecord)) -> Vec<Rule> {
    let upstream = socket(2, Opening::Active, to_service(6001), 5.0, 500.0);
    let report = served(request(1, from_client(5001), 10.5, 60.0), 6001, 0.5, 47.0);
    let mut record = told(vec![upstream], report);
    spoil(&mut record);
    rules(audit::request(&record))
}

/// The record of a connect that ended so.
fn ended(outcome: Outcome) -> ConnectionRecord {
    let connect = failed(2, to_service(6001), outcome, 11.0, 12.0);
    tell(vec![connect], vec![]).connections.remove(0)
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
fn a_time_by_party_that_is_not_the_phases_is_found() {
    let rules = of_request(|record| record.answer.time.client_ns += 1);
    assert_eq!(rules, [Rule::TimeOfPhases]);
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
fn a_timeout_is_of_a_longest_phase_of_the_request_itself() {
    // Its connection waited two seconds to be accepted.
    let mut report = served(
        request(1, from_client(5001), 2_011.0, 3_011.0),
        6001,
        0.0,
        0.0,
    );
    report.upstream.as_mut().unwrap().first_byte_ns = None;
    report.http.response_flags = 1 << 2;
    report.http.status = 504;
    let late = Snapshot {
        accepted_at: Some(boot(2_010.9)),
        ..accepted(1, 10.0, 3_020.0)
    };
    let sockets = vec![
        late,
        socket(2, Opening::Active, to_service(6001), 5.0, 3_011.0),
    ];
    let record = tell(sockets, vec![report]).requests.remove(0);
    let longest = record.phases.iter().max_by_key(|phase| phase.duration_ns);
    assert_eq!(longest.unwrap().kind, PhaseKind::AcceptWait);
    assert_eq!(record.answer.cause.party, Party::Service);
    assert_eq!(rules(audit::request(&record)), []);
    // Of two that took the same time, it may be either's.
    let mut record = unanswered();
    let service = record
        .phases
        .iter()
        .position(|phase| phase.kind == PhaseKind::Service);
    let half = &mut record.phases[service.unwrap()];
    half.duration_ns /= 2;
    let other = Phase {
        party: Party::Network,
        ..*half
    };
    record.phases.push(other);
    assert!(!rules(audit::request(&record)).contains(&Rule::TimeoutOfPhases));
}

#[test]
fn a_slowness_of_a_phase_that_was_short_or_no_half_of_the_request_is_found() {
    let slow = |record: &mut RequestRecord, code, party| {
        let cause = &mut record.answer.cause;
        (cause.code, cause.party, cause.confidence) = (code, party, Confidence::Likely);
        cause.sentence = "Slow".into();
    };
    let short = of_prompt(|record| slow(record, Code::SlowService, Party::Service));
    assert_eq!(short, [Rule::PartyOfPhases]);
    let upstream = socket(2, Opening::Active, to_service(6001), 5.0, 900.0);
    let report = served(
        request(1, from_client(5001), 10.5, 710.5),
        6001,
        250.0,
        240.0,
    );
    let mut record = told(vec![upstream], report);
    assert_eq!(rules(audit::request(&record)), []);
    slow(&mut record, Code::PoolWait, Party::Proxy);
    record.answer.cause.confidence = Confidence::Certain;
    assert_eq!(rules(audit::request(&record)), [Rule::PartyOfPhases]);
    record.phases.clear();
    record.answer.time = TimeByParty::default();
    assert!(rules(audit::request(&record)).contains(&Rule::PartyOfPhases));
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

#[test]
fn an_answer_that_is_surer_than_its_code_allows_is_found() {
    let said = |code, party, confidence| {
        of_request(|record| {
            let cause = &mut record.answer.cause;
            (cause.code, cause.party, cause.confidence) = (code, party, confidence);
            cause.sentence = "Failed".into();
        })
    };
    let (certain, likely) = (Confidence::Certain, Confidence::Likely);
    for (code, party) in [
        (Code::AcceptOverflow, Party::Kernel),
        (Code::ConnectTimeout, Party::Network),
        (Code::ConnectUnanswered, Party::Network),
    ] {
        assert_eq!(said(code, party, likely), []);
        assert_eq!(said(code, party, certain), [Rule::AnswerGrounded]);
        // Of nobody, the proxy's report is enough.
        assert_eq!(said(code, Party::Unknown, certain), []);
    }
    for (mut record, code) in [
        (slow(), Code::SlowService),
        (unanswered(), Code::UpstreamTimeout),
    ] {
        assert_eq!(record.answer.cause.code, code);
        assert_eq!(rules(audit::request(&record)), []);
        record.answer.cause.confidence = certain;
        assert_eq!(rules(audit::request(&record)), [Rule::AnswerGrounded]);
    }
    let among_none = said(
        Code::UpstreamProtocol,
        Party::Service,
        Confidence::Ambiguous { candidates: 2 },
    );
    assert_eq!(among_none, [Rule::AnswerGrounded]);
}

#[test]
fn a_party_that_did_not_take_most_of_a_completed_request_is_found() {
    let told = of_prompt(|record| {
        assert_eq!(record.answer.cause.code, Code::Completed);
        assert_eq!(record.answer.cause.party, Party::Service);
    });
    assert_eq!(told, []);
    for party in Party::ALL
        .into_iter()
        .filter(|party| *party != Party::Service)
    {
        let charged = |record: &mut RequestRecord| record.answer.cause.party = party;
        assert_eq!(of_prompt(charged), [Rule::PartyOfPhases], "{party:?}");
        // Whatever the words are: those may say that it is not known.
        let in_words = of_prompt(|record| {
            charged(record);
            record.answer.cause.sentence = "Completed".into();
        });
        let found: &[_] = if party == Party::Unknown {
            &[]
        } else {
            &[Rule::PartyOfPhases]
        };
        assert_eq!(in_words, found, "{party:?}");
    }
    let mut record = slow();
    assert_eq!(record.answer.cause.party, Party::Service);
    for party in [Party::Client, Party::Network, Party::Proxy, Party::Unknown] {
        record.answer.cause.party = party;
        assert_eq!(rules(audit::request(&record)), [Rule::PartyOfPhases]);
    }
    // Too quick to be called slow.
    let hurried = of_request(|record| {
        let cause = &mut record.answer.cause;
        (cause.code, cause.confidence) = (Code::SlowService, Confidence::Likely);
        cause.sentence = "Slow".into();
    });
    assert_eq!(hurried, [Rule::PartyOfPhases]);
}

#[test]
fn words_that_say_another_time_or_party_than_the_phases_are_found() {
    let said = |party, most: &dyn Fn(&RequestRecord) -> Most, more_ns: u64| {
        of_request(|record| {
            let total_ns = record.duration_ns() + more_ns;
            let most = most(record);
            let cause = &mut record.answer.cause;
            cause.party = party;
            cause.sentence = Sentence::Completed { total_ns, most };
        })
    };
    let of = |party: Party, more_ns: u64| {
        move |record: &RequestRecord| Most::Of {
            party,
            ns: record.answer.time.of(party) + more_ns,
        }
    };
    let unaccounted = |more_ns: u64| {
        move |record: &RequestRecord| Most::Unaccounted {
            ns: record.answer.time.unknown_ns + more_ns,
        }
    };
    let (service, unknown) = (Party::Service, Party::Unknown);
    assert_eq!(said(service, &of(service, 0), 0), []);
    assert_eq!(said(unknown, &unaccounted(0), 0), []);
    for most in [Most::Unreported, Most::Doubtful] {
        assert_eq!(said(unknown, &|_| most, 0), []);
        assert_eq!(said(service, &|_| most, 0), [Rule::PartyOfPhases]);
    }
    let wrong = [
        said(service, &of(service, 0), 1),
        said(service, &of(service, 1), 0),
        said(service, &of(Party::Proxy, 0), 0),
        said(service, &unaccounted(0), 0),
        said(unknown, &of(service, 0), 0),
        said(unknown, &unaccounted(1), 0),
    ];
    for found in wrong {
        assert_eq!(found, [Rule::PartyOfPhases]);
    }
}

#[test]
fn a_connection_whose_answer_does_not_follow_from_how_it_ended_is_found() {
    let answer = ended(Outcome::Refused).answer;
    let nothing_failed = of_connection(|record| {
        let mut answer = answer.clone().unwrap();
        answer.time = TimeByParty::default();
        for phase in &record.phases {
            answer.time.add(phase.party, phase.duration_ns);
        }
        record.answer = Some(answer);
    });
    assert_eq!(nothing_failed, [Rule::FailureAnswered]);
    let said = |outcome, code, party, confidence| {
        let mut record = ended(outcome);
        let cause = &mut record.answer.as_mut().unwrap().cause;
        (cause.code, cause.party, cause.confidence) = (code, party, confidence);
        rules(audit::connection(&record))
    };
    let (certain, likely) = (Confidence::Certain, Confidence::Likely);
    let (refused, unanswered) = (Outcome::Refused, Outcome::Unanswered);
    let code = Code::ConnectRefused;
    assert_eq!(said(refused, code, Party::Service, certain), []);
    for (party, confidence) in [(Party::Network, certain), (Party::Service, likely)] {
        let told = said(refused, code, party, confidence);
        assert_eq!(told, [Rule::FailureAnswered]);
    }
    // A listener that dropped the SYN explains only that nobody answered.
    let code = Code::AcceptOverflow;
    assert_eq!(said(unanswered, code, Party::Kernel, likely), []);
    let told = said(refused, code, Party::Kernel, likely);
    assert_eq!(told, [Rule::FailureAnswered]);
    let mut unexplained = ended(refused);
    unexplained.answer = None;
    let told = rules(audit::connection(&unexplained));
    assert_eq!(told, [Rule::FailureAnswered]);
}
