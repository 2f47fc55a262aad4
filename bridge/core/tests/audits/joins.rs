//! Joins.

use std::sync::Arc;

use syntrace_core::{
    Confidence,
    audit::{self, Rule},
    record::{Join, Method, Missing, RequestRecord},
};
use syntrace_model::{ConnectionId, Opening};

use super::super::{of_request, refused, rules, sound, world::*};

const LIKELY: Confidence = Confidence::Likely;

/// The join to the same connection, by this method, as sure as this.
fn by(join: &Join, method: Method, confidence: Confidence) -> Join {
    let mut join = join.clone();
    match &mut join {
        Join::To {
            method: known,
            confidence: sure,
            ..
        } => (*known, *sure) = (method, confidence),
        Join::Missing(reason) => panic!("{reason:?}"),
    }
    join
}

/// The connection that carried a request of the sound record.
fn carrier(record: &RequestRecord, confidence: Confidence) -> Join {
    by(
        record.served_by.as_ref().unwrap(),
        Method::Exact,
        confidence,
    )
}

/// The rules that the record of a request breaks, of which the first of two attempts was refused, once `spoil`
/// has been at it.
fn of_retried(spoil: impl FnOnce(&mut RequestRecord)) -> Vec<Rule> {
    let mut report = served(request(1, from_client(5001), 100.0, 125.0), 6001, 0.0, 5.0);
    report.upstream.as_mut().unwrap().attempts = 2;
    let upstream = socket(2, Opening::Active, to_service(6001), 50.0, 5_000.0);
    let mut record = connects::told(vec![upstream, connects::refused(3, 100.25)], report);
    assert_eq!(record.earlier.len(), 1);
    spoil(&mut record);
    rules(audit::request(&record))
}

fn attempts(record: &mut RequestRecord, attempts: u32) {
    let report = Arc::make_mut(&mut record.report);
    report.upstream.as_mut().unwrap().attempts = attempts;
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
    let (carried, failed) = (sound().0.served_by, refused().opened);
    assert_eq!(asked_nobody(&|_| {}), []);
    let served = |record: &mut RequestRecord| record.served_by = carried.clone();
    assert_eq!(asked_nobody(&served), [Rule::JoinsComplete]);
    let opened = |record: &mut RequestRecord| record.opened = failed.clone();
    assert_eq!(asked_nobody(&opened), [Rule::JoinsComplete]);
    let not_reached = |spoil: &dyn Fn(&mut RequestRecord)| {
        let mut record = refused();
        spoil(&mut record);
        rules(audit::request(&record))
    };
    assert_eq!(not_reached(&|_| {}), []);
    assert_eq!(not_reached(&served), [Rule::JoinsComplete]);
    let unopened = |record: &mut RequestRecord| record.opened = None;
    assert_eq!(not_reached(&unopened), [Rule::JoinsComplete]);
    let opened_another = of_request(|record| {
        let mut another = carrier(record, Confidence::Certain);
        if let Join::To { connection, .. } = &mut another {
            *connection = accepted(9, 1.0, 2.0).id();
        }
        record.opened = Some(another);
    });
    assert_eq!(opened_another, [Rule::JoinsComplete]);
}

#[test]
fn a_request_that_was_served_without_a_join_is_found() {
    assert_eq!(
        of_request(|record| record.served_by = None),
        [Rule::JoinsComplete]
    );
}

#[test]
fn a_method_that_the_link_cannot_have_is_found() {
    let received_on =
        |method| of_request(|record| record.received_on = by(&record.received_on, method, LIKELY));
    assert_eq!(received_on(Method::Peer), []);
    assert_eq!(received_on(Method::Failure), [Rule::MethodsFit]);
    for method in [Method::Peer, Method::Failure] {
        let as_sure = Confidence::Certain;
        let served_by = of_request(|record| {
            record.served_by = Some(by(&carrier(record, as_sure), method, as_sure));
        });
        assert_eq!(served_by, [Rule::MethodsFit]);
        let opened = of_request(|record| {
            record.opened = Some(by(&carrier(record, as_sure), method, as_sure));
        });
        assert_eq!(opened, [Rule::MethodsFit]);
    }
    for method in [Method::Exact, Method::Peer] {
        let mut record = refused();
        let failed_by = by(record.opened.as_ref().unwrap(), method, LIKELY);
        record.opened = Some(failed_by);
        assert_eq!(rules(audit::request(&record)), [Rule::MethodsFit]);
        let earlier = |record: &mut RequestRecord| {
            record.earlier[0] = by(&record.earlier[0], method, LIKELY);
        };
        assert_eq!(of_retried(earlier), [Rule::MethodsFit]);
    }
}

#[test]
fn a_join_that_is_surer_than_its_method_allows_is_found() {
    let certain = Confidence::Certain;
    let by_peer = |record: &mut RequestRecord| {
        record.received_on = by(&record.received_on, Method::Peer, certain);
    };
    assert_eq!(of_request(by_peer), [Rule::JoinsSure]);
    assert_eq!(of_retried(|_| {}), []);
    let earlier = |record: &mut RequestRecord| {
        record.earlier[0] = by(&record.earlier[0], Method::Failure, certain);
    };
    assert_eq!(of_retried(earlier), [Rule::JoinsSure]);
}

#[test]
fn a_connect_that_is_surer_than_the_connection_that_it_became_is_found() {
    let joined = |served: Confidence, opened: Confidence| {
        of_request(|record| {
            let own = record
                .served_by
                .as_ref()
                .and_then(Join::connection)
                .unwrap();
            let received_on = record.received_on.connection().unwrap();
            let named = |confidence| {
                let mut join = carrier(record, confidence);
                if let (Confidence::Ambiguous { .. }, Join::To { candidates, .. }) =
                    (confidence, &mut join)
                {
                    *candidates = vec![own, received_on];
                }
                Some(join)
            };
            (record.served_by, record.opened) = (named(served), named(opened));
        })
    };
    let (certain, ambiguous) = (Confidence::Certain, Confidence::Ambiguous { candidates: 2 });
    for (served, opened) in [
        (certain, certain),
        (certain, LIKELY),
        (LIKELY, LIKELY),
        (ambiguous, ambiguous),
    ] {
        assert_eq!(joined(served, opened), [], "{served:?}, {opened:?}");
    }
    for (served, opened) in [
        (LIKELY, certain),
        (ambiguous, certain),
        (ambiguous, LIKELY),
        (certain, ambiguous),
    ] {
        assert_eq!(
            joined(served, opened),
            [Rule::JoinsSure],
            "{served:?}, {opened:?}"
        );
    }
}

#[test]
fn a_connection_that_is_named_twice_is_found() {
    let on_both_sides = of_request(|record| record.received_on = carrier(record, LIKELY));
    assert_eq!(on_both_sides, [Rule::SocketsDiffer]);
    let mut record = refused();
    let failed_by = record.opened.clone().unwrap();
    record.received_on = by(&failed_by, Method::Exact, LIKELY);
    assert_eq!(rules(audit::request(&record)), [Rule::SocketsDiffer]);
    let in_two_attempts = |record: &mut RequestRecord| {
        attempts(record, 3);
        record.earlier.push(record.earlier[0].clone());
    };
    assert_eq!(of_retried(in_two_attempts), [Rule::SocketsDiffer]);
    let others = |record: &RequestRecord| [record.received_on.clone(), carrier(record, LIKELY)];
    for n in [0, 1] {
        let earlier = of_retried(|record| {
            record.earlier[0] = by(&others(record)[n], Method::Failure, LIKELY);
        });
        assert_eq!(earlier, [Rule::SocketsDiffer]);
    }
}

#[test]
fn more_earlier_attempts_than_the_proxy_reports_are_found() {
    assert_eq!(of_retried(|record| attempts(record, 3)), []);
    for too_few in [0, 1] {
        let told = of_retried(|record| attempts(record, too_few));
        assert_eq!(told, [Rule::AttemptsCounted]);
    }
    let unjoined = Join::Missing(Missing::NoConnection);
    let told = of_retried(|record| record.earlier[0] = unjoined);
    assert_eq!(told, [Rule::AttemptsCounted]);
}

#[test]
fn a_certain_join_of_a_request_whose_time_is_wrong_is_found() {
    for (kind, confidence, rules) in [
        (
            "from_the_future",
            Confidence::Certain,
            &[Rule::JoinsSure][..],
        ),
        ("out_of_time", Confidence::Certain, &[Rule::JoinsSure]),
        ("out_of_time", LIKELY, &[]),
        ("span_id_repeated", Confidence::Certain, &[]),
    ] {
        let told = of_request(|record| {
            record.coverage.contradictions.push(kind);
            record.received_on = by(&record.received_on, Method::Exact, confidence);
            record.served_by = Some(carrier(record, confidence));
            record.opened = None;
        });
        assert_eq!(told, rules, "{kind}");
    }
    let one_is = of_request(|record| {
        record.coverage.contradictions.push("out_of_time");
        record.received_on = by(&record.received_on, Method::Exact, LIKELY);
    });
    assert_eq!(one_is, [Rule::JoinsSure]);
}
