//! How connections end that nobody saw ending, and what is told too late, twice or wrongly.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod world;

use syntrace_core::{
    Limits, Output, Reconciler,
    fact::{Batch, Fact, Incident, IncidentKind, Origin, SenderId, Snapshot},
    record::ConnectionRecord,
};
use syntrace_model::{BootId, BootNanos, ClockSample, Opening, Outcome, UnixNanos};
use world::*;

const PASSIVE: Opening = Opening::Passive;

fn run(epoch: u64) -> SenderId {
    SenderId { epoch, ..probe() }
}

fn open(cookie: u64, from: f64) -> Snapshot {
    established(&socket(
        cookie,
        PASSIVE,
        from_client(5000 + cookie as u16),
        from,
        from + 1.0,
    ))
}

fn outputs(reconciler: &mut Reconciler) -> Vec<Output> {
    std::iter::from_fn(|| reconciler.poll_output()).collect()
}

fn connections(outputs: Vec<Output>) -> Vec<ConnectionRecord> {
    let connection = |output| match output {
        Output::Connection(record) => Some(record),
        Output::Request(_) => None,
    };
    outputs.into_iter().filter_map(connection).collect()
}

/// A probe that told of two open sockets and was then asked what time it is.
fn two_open() -> Reconciler {
    let mut reconciler = Reconciler::new(Limits::default());
    let mut facts = preamble();
    facts.extend([open(1, 10.0), open(2, 20.0)].map(Fact::Connection));
    reconciler.handle_batch(batch(probe(), 0, facts));
    reconciler.handle_timeout(boot(0.0));
    reconciler.handle_timeout(boot(1_000.0));
    reconciler
}

#[test]
fn another_run_of_the_probe_ends_what_it_does_not_find_open() {
    let mut reconciler = two_open();
    let found = Snapshot {
        seen_at: boot(2_000.0),
        watch: syntrace_core::fact::Watch {
            origin: Origin::Backfilled,
            ..Default::default()
        },
        ..open(1, 10.0)
    };
    reconciler.handle_batch(batch(run(2), 0, vec![Fact::Connection(found)]));
    reconciler.handle_timeout(boot(2_000.0));
    reconciler.handle_timeout(boot(11_000.0));
    assert!(outputs(&mut reconciler).is_empty());
    reconciler.handle_timeout(boot(13_000.0));
    let ended = connections(outputs(&mut reconciler));
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].socket.as_ref().unwrap().cookie, 2);
    assert!(ended[0].coverage.close_missing && ended[0].coverage.no_goodbye);
    assert_eq!(reconciler.coverage().connections_unseen, 1);
    assert_eq!(reconciler.coverage().connections_live, 1);
}

#[test]
fn nothing_is_certain_of_a_socket_whose_probe_said_goodbye() {
    let mut reconciler = two_open();
    let on_it = request(1, from_client(5001), 1_100.0, 1_110.0);
    let goodbye = Batch {
        goodbye: true,
        ..batch(probe(), 4, Vec::new())
    };
    reconciler.handle_batch(goodbye);
    reconciler.handle_batch(batch(filter(), 0, requests_of(vec![on_it])));
    reconciler.handle_timeout(boot(10_000.0));
    let Some(Output::Request(record)) = reconciler.poll_output() else {
        panic!("the request settles");
    };
    assert!(!record.received_on.is_certain());
    assert_eq!(reconciler.coverage().rung, None);
    // Waited for, then given up.
    reconciler.handle_timeout(boot(200_000.0));
    assert_eq!(reconciler.coverage().connections_live, 2);
    reconciler.handle_timeout(boot(320_000.0));
    assert_eq!(connections(outputs(&mut reconciler)).len(), 2);
}

#[test]
fn a_probe_that_was_killed_is_missed_and_welcome_again() {
    let mut reconciler = two_open();
    reconciler.handle_timeout(boot(32_000.0));
    assert_eq!(reconciler.coverage().rung, None);
    reconciler.handle_batch(batch(probe(), 4, preamble()));
    reconciler.handle_timeout(boot(33_000.0));
    assert!(reconciler.coverage().rung.is_some());
    assert_eq!(reconciler.coverage().connections_live, 2);
}

#[test]
fn a_socket_that_was_given_up_may_be_told_of_again() {
    let mut reconciler = two_open();
    reconciler.handle_batch(batch(run(2), 0, preamble()));
    reconciler.handle_timeout(boot(2_000.0));
    reconciler.handle_timeout(boot(13_000.0));
    assert_eq!(connections(outputs(&mut reconciler)).len(), 2);
    let closed = socket(1, PASSIVE, from_client(5001), 10.0, 20_000.0);
    reconciler.handle_batch(batch(run(2), 2, vec![Fact::Connection(closed)]));
    let told = settle(&mut reconciler);
    assert_eq!(
        told.connections[0].socket.as_ref().unwrap().outcome,
        Outcome::Closed
    );
    assert_eq!(reconciler.coverage().late, 0);
}

#[test]
fn a_connection_that_only_the_proxy_saw_settles_once() {
    let mut reconciler = Reconciler::new(Limits::default());
    // Longer than it may be idle.
    let later = 3_700_000.0;
    let clock = [0.0, later].map(|at| {
        Fact::Clock(ClockSample {
            boot: boot(at),
            unix: unix(at),
        })
    });
    reconciler.handle_batch(batch(run(9), 0, clock.into()));
    let first = request(1, from_client(5001), 10.0, 20.0);
    let second = request(2, from_client(5001), later, later + 10.0);
    reconciler.handle_batch(batch(filter(), 0, requests_of(vec![first])));
    reconciler.handle_timeout(boot(later - 1_000.0));
    reconciler.handle_batch(batch(filter(), 1, requests_of(vec![second])));
    reconciler.handle_timeout(boot(later + 10_000.0));
    let told = settle(&mut reconciler);
    assert_eq!(told.connections.len(), 1);
    assert_eq!(told.requests.len(), 2);
    assert_eq!(reconciler.coverage().late, 1);
}

#[test]
fn what_comes_after_a_record_was_given_out_is_told_of_that_record() {
    let mut reconciler = Reconciler::new(Limits::default());
    let early = socket(1, PASSIVE, from_client(5001), 10.0, 50.0);
    let other = socket(2, PASSIVE, from_client(5002), 10.0, 60_000.0);
    let sockets = [early.clone(), established(&other)].map(Fact::Connection);
    reconciler.handle_batch(batch(probe(), 0, preamble()));
    reconciler.handle_batch(batch(probe(), 2, sockets.into()));
    reconciler.handle_timeout(boot(50_000.0));
    let given_out = connections(outputs(&mut reconciler));
    assert_eq!(given_out.len(), 1);

    let resent = |socket: &Snapshot| {
        Fact::Incident(Incident {
            at: boot(20.0),
            boot: socket.boot,
            cookie: socket.cookie,
            netns: socket.netns,
            local: socket.key.local,
            peer: Some(socket.key.peer),
            kind: IncidentKind::Retransmit,
            count: 1,
            queue: None,
        })
    };
    let late = vec![
        Fact::Connection(early.clone()),
        resent(&early),
        resent(&other),
    ];
    reconciler.handle_batch(batch(probe(), 4, late));
    assert_eq!(reconciler.late(early.id()), 2);
    assert_eq!(reconciler.late(other.id()), 0);
    assert_eq!(reconciler.coverage().late, 2);

    let restored = Reconciler::restore(Limits::default(), reconciler.checkpoint());
    assert_eq!(restored.late(early.id()), 2);
    let live = connections(outputs(&mut reconciler));
    assert!(live.is_empty(), "a record is given out once");
    reconciler.drain();
    let told = connections(outputs(&mut reconciler));
    assert_eq!(told[0].incidents.len(), 1);
}

#[test]
fn connections_that_only_the_proxy_saw_are_bounded_too() {
    let limits = Limits {
        live_connections: 10,
        ..Limits::default()
    };
    let mut reconciler = Reconciler::new(limits);
    reconciler.handle_batch(batch(probe(), 0, preamble().split_off(1)));
    let reports = (1..=100).map(|n| request(n, from_client(n as u16), 10.0, 20.0));
    reconciler.handle_batch(batch(filter(), 0, requests_of(reports.collect())));
    reconciler.handle_timeout(boot(10_000.0));
    assert_eq!(reconciler.coverage().connections_live, 10);
    assert_eq!(reconciler.coverage().connections_evicted, 90);
    let evicted = connections(outputs(&mut reconciler));
    assert!(evicted.iter().all(|record| record.coverage.evicted));
}

#[test]
fn facts_that_contradict_themselves_are_counted_and_shown_and_join_nothing_for_certain() {
    let fine = socket(1, PASSIVE, from_client(5001), 10.0, 50.0);
    let wrong = [
        (
            "other_ends",
            Snapshot {
                key: from_client(5002),
                ..fine.clone()
            },
        ),
        (
            "other_ends",
            Snapshot {
                opening: Opening::Active,
                ..fine.clone()
            },
        ),
        (
            "other_times",
            Snapshot {
                established_at: Some(boot(11.0)),
                ..fine.clone()
            },
        ),
        (
            "ended_before_begun",
            Snapshot {
                closed_at: Some(boot(5.0)),
                ..fine.clone()
            },
        ),
        (
            "no_port",
            Snapshot {
                key: from_client(0),
                ..fine.clone()
            },
        ),
        (
            "from_the_future",
            Snapshot {
                closed_at: Some(BootNanos(u64::MAX / 2)),
                ..fine.clone()
            },
        ),
    ];
    for (kind, wrong) in wrong {
        let mut told = vec![wrong];
        if kind.starts_with("other") {
            told.push(fine.clone());
        }
        for order in 0..told.len() {
            let mut reconciler = Reconciler::new(Limits::default());
            let mut facts = preamble();
            told.rotate_left(order);
            facts.extend(told.iter().cloned().map(Fact::Connection));
            reconciler.handle_batch(batch(probe(), 0, facts));
            let on_it = vec![request(1, fine.key, 20.0, 30.0)];
            reconciler.handle_batch(batch(filter(), 0, requests_of(on_it)));
            reconciler.handle_timeout(BootNanos(u64::MAX));
            let records = settle(&mut reconciler);
            let contradictions = reconciler.coverage().contradictions;
            assert_eq!(
                contradictions.get(kind),
                Some(&1),
                "{kind}: {contradictions:?}"
            );
            let shown = records.connections.iter();
            let shown = shown.filter(|record| record.coverage.contradictions.contains(&kind));
            assert_eq!(shown.count(), 1, "{kind}");
            assert!(!records.requests[0].received_on.is_certain(), "{kind}");
        }
    }
}

#[test]
fn times_from_1970_and_2262_settle_and_are_counted() {
    let mut reconciler = two_open();
    let mut first = request(1, from_client(5001), 1_010.0, 1_020.0);
    first.started_at = UnixNanos(0);
    let mut last = request(2, from_client(5001), 1_010.0, 1_020.0);
    last.started_at = UnixNanos(i64::MAX as u64);
    reconciler.handle_batch(batch(filter(), 0, requests_of(vec![first, last])));
    reconciler.handle_timeout(boot(10_000.0));
    let told = outputs(&mut reconciler);
    assert_eq!(told.len(), 2);
    for output in told {
        let Output::Request(record) = output else {
            panic!("only requests settle");
        };
        assert_eq!(record.received_on.connection(), None);
    }
    let coverage = reconciler.coverage();
    assert_eq!(coverage.contradictions.get("out_of_time"), Some(&2));
}

#[test]
fn incidents_are_kept_by_connection_even_if_they_come_first() {
    let mut reconciler = Reconciler::new(Limits::default());
    let closed = socket(1, PASSIVE, from_client(5001), 10.0, 50.0);
    let incident = |ms: f64| {
        Fact::Incident(Incident {
            at: boot(ms),
            boot: BootId([1; 16]),
            cookie: 1,
            netns: GATEWAY,
            local: closed.key.local,
            peer: Some(closed.key.peer),
            kind: IncidentKind::Retransmit,
            count: 1,
            queue: None,
        })
    };
    let mut facts = preamble();
    facts.push(incident(20.0));
    facts.push(Fact::Connection(established(&closed)));
    facts.extend((0..140).map(|n| incident(21.0 + 0.2 * f64::from(n))));
    facts.push(Fact::Connection(closed.clone()));
    reconciler.handle_batch(batch(probe(), 0, facts));
    let told = settle(&mut reconciler);
    let record = &told.connections[0];
    assert_eq!(record.incidents.len(), 128);
    assert_eq!(record.incidents.last().unwrap().at, boot(48.8));
    assert_eq!(record.coverage.incidents_evicted, 13);
    let counted = reconciler.coverage().incidents;
    assert_eq!(counted.get(&IncidentKind::Retransmit), Some(&141));
}

#[test]
fn a_close_without_an_outcome_is_no_end() {
    let mut reconciler = Reconciler::new(Limits::default());
    let mut facts = preamble();
    let closing = Snapshot {
        outcome: Outcome::Established,
        ..socket(1, PASSIVE, from_client(5001), 10.0, 20.0)
    };
    facts.push(Fact::Connection(closing));
    reconciler.handle_batch(batch(probe(), 0, facts));
    reconciler.drain();
    let ended = connections(outputs(&mut reconciler));
    assert_eq!(ended.len(), 1);
    assert!(ended[0].coverage.close_missing);
}
