//! Both ends of a connection, each told to the bridge of its own host: by the tag, one id.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests end when something is not as told"
)]

mod world;

use syntrace_core::{
    Limits, Reconciler,
    fact::{Fact, Report, Snapshot, TagState},
    record::{ConnectionRecord, IdSource},
};
use syntrace_model::{BootId, Opening, TraceId};
use world::*;

/// What the host that dials sees, and what the host that accepts sees, of the same connection.
fn both_ends(port: u16, tag: Option<TraceId>, delivered: bool) -> (Snapshot, Snapshot) {
    let dialled = socket(7, Opening::Active, to_service(port), 10.0, 50.0);
    let accepted = Snapshot {
        boot: BootId([2; 16]),
        ..socket(
            9,
            Opening::Passive,
            to_service(port).mirrored(),
            1_010.0,
            1_050.0,
        )
    };
    let Some(tag) = tag else {
        return (dialled, accepted);
    };
    if delivered {
        (
            tagged(dialled, tag, TagState::Answered),
            tagged(accepted, tag, TagState::Believed),
        )
    } else {
        (tagged(dialled, tag, TagState::Sent), accepted)
    }
}

fn record(socket: Snapshot, requests: Vec<Report>) -> ConnectionRecord {
    tell(vec![socket], requests).connections.remove(0)
}

#[test]
fn a_tag_that_arrived_is_the_id_of_both_ends() {
    let tag = trace(0x7a);
    let (dialled, accepted) = both_ends(6001, Some(tag), true);
    let (dialled, accepted) = (record(dialled, vec![]), record(accepted, vec![]));
    assert_eq!((dialled.trace_id, accepted.trace_id), (tag, tag));
    assert_eq!(dialled.trace_id_source, IdSource::Tag);
    assert_eq!(accepted.trace_id_source, IdSource::Tag);
    assert_ne!(dialled.id, accepted.id, "two sockets are two records");
}

#[test]
fn an_id_that_the_accepting_side_s_filter_minted_keeps_the_tag_as_an_alias() {
    let tag = trace(0x7a);
    let (dialled, accepted) = both_ends(6001, Some(tag), true);
    let key = accepted.key;
    let dialled = record(dialled, vec![]);
    let accepted = record(accepted, vec![request(1, key, 1_011.0, 1_020.0)]);
    assert_eq!(accepted.trace_id, trace(0xf1));
    assert_eq!(accepted.trace_id_source, IdSource::Filter);
    assert!(accepted.is_known_as(dialled.trace_id));
}

#[test]
fn without_the_tag_each_end_is_complete_alone() {
    for (tag, delivered) in [(None, false), (Some(trace(0x7a)), false)] {
        let (dialled, accepted) = both_ends(6001, tag, delivered);
        let (dialled, accepted) = (record(dialled, vec![]), record(accepted, vec![]));
        for record in [&dialled, &accepted] {
            assert!(record.settled);
            assert!(record.aliases.is_empty());
            let kinds: Vec<_> = record
                .phases
                .iter()
                .map(|phase| phase.kind.name())
                .collect();
            assert_eq!(kinds, ["handshake", "open"]);
        }
        assert_ne!(dialled.trace_id, accepted.trace_id);
        assert_eq!(accepted.trace_id_source, IdSource::Kernel);
    }
}

#[test]
fn a_tag_that_is_not_believed_leads_nowhere() {
    let forged = trace(0x66);
    let (_, accepted) = both_ends(6001, None, false);
    let accepted = record(tagged(accepted, forged, TagState::Disbelieved), vec![]);
    assert!(!accepted.is_known_as(forged));
}

#[test]
fn an_open_connection_is_found_by_the_id_that_its_first_request_gave_it_and_by_its_tag() {
    let (_, accepted) = both_ends(6001, Some(trace(0x7a)), true);
    let report = request(1, accepted.key, 1_011.0, 1_020.0);
    let mut reconciler = Reconciler::new(Limits::default());
    let mut kernel = preamble();
    kernel.push(Fact::Connection(established(&accepted)));
    kernel.push(clock_after(&report));
    reconciler.handle_batch(batch(probe(), 0, kernel));
    reconciler.handle_timeout(boot(1_120.0));
    let report = Fact::Request(report.into());
    reconciler.handle_batch(batch(filter(), 0, vec![report]));
    assert_eq!(reconciler.connections_known_as(trace(0xf1)), []);
    reconciler.handle_timeout(boot(20_000.0));
    assert_eq!(reconciler.coverage().requests_settled, 1);
    for id in [trace(0xf1), trace(0x7a)] {
        assert_eq!(reconciler.connections_known_as(id), [accepted.id()]);
    }
}
