//! A probe that is taken over by another one: what a join says does not depend on whose batches come first.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod world;

use syntrace_core::{
    Confidence, Limits, Reconciler,
    fact::{Batch, Fact, SenderId},
    record::{Missing, RequestRecord},
};
use syntrace_model::{ClockSample, Outcome};
use world::*;

/// In every order in which five things can come.
fn orders() -> Vec<[usize; 5]> {
    let mut orders = vec![];
    for n in 0..5_usize.pow(5) {
        let order = [1, 5, 25, 125, 625].map(|place| n / place % 5);
        if (0..5).all(|one| order.contains(&one)) {
            orders.push(order);
        }
    }
    orders
}

fn successor() -> SenderId {
    SenderId {
        epoch: 9,
        ..probe()
    }
}

fn clock(at: f64) -> Fact {
    Fact::Clock(ClockSample {
        boot: boot(at),
        unix: unix(at),
    })
}

/// A batch that is closed at this moment, as probes close theirs.
fn closed(from: SenderId, first_seq: u64, at: f64, facts: Vec<Fact>) -> Batch {
    let first = vec![clock(at), preamble().remove(0)];
    batch(from, first_seq, [first, facts].concat())
}

/// What a probe and its successor tell, which takes over at 150 ms, and a request from 111 to 112 ms that fails
/// because its connect is refused; the request comes in on a connection that is open all the time.
fn taken_over() -> [Batch; 5] {
    let client = established(&accepted(1, 10.0, 900.0));
    let refused = failed(2, to_service(6001), Outcome::Refused, 111.1, 111.4);
    let found = turns::backfilled(140.0);
    let report = unserved(
        request(1, from_client(5001), 111.0, 112.0),
        "delayed connect error: 111",
    );
    let last = closed(probe(), 3, 150.0, vec![Fact::Connection(refused)]);
    [
        closed(probe(), 0, 50.0, vec![Fact::Connection(client)]),
        Batch {
            goodbye: true,
            ..last
        },
        closed(successor(), 0, 250.0, vec![Fact::Connection(found)]),
        closed(successor(), 3, 350.0, vec![]),
        batch(filter(), 0, vec![Fact::Request(report.into())]),
    ]
}

/// What comes out if only these of them come, in this order.
fn told<'a>(batches: impl IntoIterator<Item = &'a Batch>) -> Records {
    let mut reconciler = Reconciler::new(Limits::default());
    for one in batches {
        reconciler.handle_batch(one.clone());
        reconciler.handle_timeout(boot(400.0));
    }
    settle(&mut reconciler)
}

/// What comes out without one of them, in whatever order the others come.
fn told_without(lost: Option<usize>) -> Records {
    let batches = taken_over();
    let in_order = |order: [usize; 5]| {
        let arrived = order.into_iter().filter(|n| Some(*n) != lost);
        told(arrived.map(|n| &batches[n]))
    };
    let mut all = orders().into_iter().map(in_order);
    let first = all.next().unwrap();
    assert!(all.all(|other| other == first));
    first
}

fn failed_by(record: &RequestRecord) -> Result<(u64, Confidence), Missing> {
    found(record.opened.as_ref().unwrap())
}

#[test]
fn what_a_probe_told_completely_is_certain_in_whatever_order_its_successor_is_heard() {
    let told = told_without(None);
    assert_eq!(told.requests.len(), 1);
    assert_eq!(failed_by(&told.requests[0]), Ok((2, CERTAIN)));
    assert_eq!(found(&told.requests[0].received_on), Ok((1, CERTAIN)));
    assert!(!told.requests[0].coverage.facts_lost);
}

#[test]
fn what_the_successor_told_first_and_is_lost_may_be_what_the_probe_had_not_read() {
    let told = told_without(Some(2));
    assert_eq!(failed_by(&told.requests[0]), Ok((2, LIKELY)));
    assert!(told.requests[0].coverage.facts_lost);
}

#[test]
fn what_the_probe_told_last_and_is_lost_is_not_made_up_for_by_its_successor() {
    let told = told_without(Some(1));
    let request = &told.requests[0];
    // The refused connect itself is among it.
    assert_eq!(failed_by(request), Err(Missing::NoConnection));
    let mut batches = taken_over();
    // Now another one is.
    let [_, last, next, ..] = &mut batches;
    next.facts.extend(last.facts.pop());
    batches[3].first_seq += 1;
    let [first, _, next, later, report] = &batches;
    for order in [
        [first, next, later, report],
        [next, report, later, first],
        [later, next, first, report],
    ] {
        let record = told_in(order);
        assert_eq!(failed_by(&record), Ok((2, LIKELY)));
    }
}

fn told_in(order: [&Batch; 4]) -> RequestRecord {
    told(order).requests.remove(0)
}
