//! What holds for every story: order and redelivery do not matter, nothing is lost, ids are unique.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod world;

use std::collections::BTreeSet;

use proptest::prelude::*;
use syntrace_core::{
    Limits, Reconciler,
    fact::{Fact, Report, SenderId, Snapshot},
};
use syntrace_model::{BootNanos, Opening, Outcome};
use world::*;

/// A fact, who saw it as which of its facts, and when it happened.
#[derive(Clone, Debug)]
struct Event {
    sender: SenderId,
    seq: u64,
    fact: Fact,
    at: BootNanos,
}

/// How a fact travels: how late it arrives, and whether it arrives once more, how much later.
#[derive(Clone, Copy, Debug)]
struct Travel {
    delay_ms: f64,
    again_ms: Option<f64>,
}

#[derive(Clone, Debug)]
struct Story {
    sockets: Vec<Snapshot>,
    requests: Vec<Report>,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn delays_within_the_grace_period_and_redelivery_change_nothing(
        (story, travels) in story().prop_flat_map(|story| {
            let facts = events(&story).len();
            (Just(story), prop::collection::vec(travel(), facts))
        })
    ) {
        let expected = tell_in_order(&story);
        prop_assert_eq!(tell_delayed(&story, &travels), expected);
    }

    #[test]
    fn every_request_and_every_closed_connection_becomes_one_record(story in story()) {
        let told = tell_in_order(&story);
        prop_assert_eq!(told.requests.len(), story.requests.len());
        let cookies: BTreeSet<_> = story.sockets.iter().map(Snapshot::id).collect();
        let known: BTreeSet<_> = told.connections.iter().map(|record| record.id).collect();
        prop_assert!(known.is_superset(&cookies));
        prop_assert_eq!(known.len(), told.connections.len());
    }

    #[test]
    fn time_by_party_sums_to_the_duration(story in story()) {
        for record in tell_in_order(&story).requests {
            prop_assert_eq!(record.answer.time.total_ns(), record.report.duration_ns);
        }
    }

    #[test]
    fn no_two_connections_share_a_trace_id(story in story()) {
        let told = tell_in_order(&story);
        let ids: BTreeSet<_> = told.connections.iter().map(|record| record.trace_id).collect();
        prop_assert_eq!(ids.len(), told.connections.len());
    }
}

/// Some connections of one gateway, ports reused now and then, and requests on and beside them.
fn story() -> impl Strategy<Value = Story> {
    let life = (1_u16..6, 0_u32..2_000, 1_u32..500, 0_u8..4);
    prop::collection::vec(life, 1..12)
        .prop_flat_map(|lives| {
            let mut clients = Vec::new();
            let mut upstreams = Vec::new();
            let mut free_at = [0.0_f64; 6];
            for (n, (port, pause, length, kind)) in lives.into_iter().enumerate() {
                let cookie = n as u64 + 1;
                // One namespace: a port is used again only when it is free, some milliseconds later.
                let slot = &mut free_at[usize::from(port)];
                let from = *slot + 20.0 + f64::from(pause);
                let until = from + 1.0 + f64::from(length);
                *slot = until;
                match kind {
                    0 | 1 => clients.push(socket(
                        cookie,
                        Opening::Passive,
                        from_client(port),
                        from,
                        until,
                    )),
                    2 => upstreams.push(socket(
                        cookie,
                        Opening::Active,
                        to_service(port),
                        from,
                        until,
                    )),
                    _ => upstreams.push(failed(
                        cookie,
                        to_service(port),
                        Outcome::Refused,
                        from,
                        until,
                    )),
                }
            }
            let n = clients.len().max(1);
            let requests =
                prop::collection::vec((0..n, 0.0_f64..1.0, 0.0_f64..1.0, 0_u8..3), 0..10);
            (Just(clients), Just(upstreams), requests)
        })
        .prop_map(|(clients, upstreams, requests)| {
            let report = |(n, (client, start, length, kind)): (usize, (usize, f64, f64, u8))| {
                let socket: Option<&Snapshot> = clients.get(client);
                let (key, cookie, from, until) = socket.map_or_else(
                    || (from_client(77), 0, 1.0, 2.0),
                    |socket| {
                        let ms = |at: BootNanos| at.0 as f64 / 1e6;
                        (
                            socket.key,
                            socket.cookie,
                            ms(socket.began_at()),
                            ms(socket.closed_at.unwrap()),
                        )
                    },
                );
                let start = from + (until - from) * start;
                let end = start + (until - start) * length;
                let minted = trace(0x80 + cookie as u8);
                let report = Report {
                    trace_id: minted,
                    connection_trace_id: Some(minted),
                    ..request(n as u64 + 1, key, start, end)
                };
                match kind {
                    0 => report,
                    1 => served(report, 1 + n as u16 % 5, 0.1, 0.2),
                    _ => unserved(report, "delayed connect error: 111"),
                }
            };
            let requests = requests.into_iter().enumerate().map(report).collect();
            Story {
                sockets: clients.iter().chain(&upstreams).cloned().collect(),
                requests,
            }
        })
}

fn travel() -> impl Strategy<Value = Travel> {
    let again = prop::option::of(0.0_f64..10_000.0);
    (0.0_f64..1_900.0, again).prop_map(|(delay_ms, again_ms)| Travel { delay_ms, again_ms })
}

/// All facts of a story, numbered in the order in which their senders saw them.
fn events(story: &Story) -> Vec<Event> {
    let mut kernel: Vec<_> = preamble()
        .into_iter()
        .map(|fact| (BootNanos(0), fact))
        .collect();
    for closed in &story.sockets {
        if let Some(established_at) = closed.established_at {
            kernel.push((established_at, Fact::Connection(established(closed))));
        }
        kernel.push((closed.seen_at, Fact::Connection(closed.clone())));
    }
    let wall_ns = unix(0.0).0;
    let mut proxy: Vec<_> = story
        .requests
        .iter()
        .map(|report| {
            (
                BootNanos(report.ended_at().0 - wall_ns),
                Fact::Request(report.clone().into()),
            )
        })
        .collect();
    kernel.sort_by_key(|(at, _)| *at);
    proxy.sort_by_key(|(at, _)| *at);
    let number = |sender: SenderId, facts: Vec<(BootNanos, Fact)>| {
        facts
            .into_iter()
            .zip(0..)
            .map(move |((at, fact), seq)| Event {
                sender: sender.clone(),
                seq,
                fact,
                at,
            })
    };
    number(probe(), kernel)
        .chain(number(filter(), proxy))
        .collect()
}

fn tell_in_order(story: &Story) -> Records {
    let mut reconciler = Reconciler::new(Limits::default());
    for event in events(story) {
        reconciler.handle_batch(batch(event.sender, event.seq, vec![event.fact]));
    }
    let records = settle(&mut reconciler);
    assert!(
        reconciler
            .coverage()
            .senders
            .iter()
            .all(|sender| sender.missing == 0)
    );
    records
}

/// Tells the story as it travels, with the time passing at every arrival.
fn tell_delayed(story: &Story, travels: &[Travel]) -> Records {
    let mut arrivals = Vec::new();
    for (event, travel) in events(story).into_iter().zip(travels) {
        let arrives_at = event.at.plus_ns((travel.delay_ms * 1e6) as u64);
        if let Some(again_ms) = travel.again_ms {
            arrivals.push((arrives_at.plus_ns((again_ms * 1e6) as u64), event.clone()));
        }
        arrivals.push((arrives_at, event));
    }
    arrivals.sort_by_key(|(arrives_at, _)| *arrives_at);
    let mut reconciler = Reconciler::new(Limits::default());
    let mut early = Vec::new();
    for (arrives_at, event) in arrivals {
        reconciler.handle_timeout(arrives_at);
        while let Some(output) = reconciler.poll_output() {
            early.push(output);
        }
        reconciler.handle_batch(batch(event.sender, event.seq, vec![event.fact]));
    }
    let coverage = reconciler.coverage();
    assert_eq!(coverage.late, 0);
    assert!(coverage.senders.iter().all(|sender| sender.missing == 0));
    settle_after(early, &mut reconciler)
}
