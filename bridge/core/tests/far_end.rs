//! What the other end of a connection tells, where this host sees it too: a SYN that was dropped on its way
//! to the gateway only its client knows of.

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
    Limits, Reconciler,
    answer::{Code, Party},
    fact::{Counters, Fact, Incident, IncidentKind, Report, Snapshot, TagState},
    record::PhaseKind,
};
use syntrace_model::{ConnKey, Opening, Outcome};
use world::*;

/// The gateway's end of a connection whose first SYN was dropped; the client sent it at 10 ms.
fn accepted() -> Snapshot {
    Snapshot {
        accepted_at: Some(boot(1_020.3)),
        ..socket(1, Opening::Passive, from_client(5001), 1_020.0, 2_000.0)
    }
}

/// The client's end of it.
fn dialled(key: ConnKey) -> Snapshot {
    Snapshot {
        netns: 9,
        established_at: Some(boot(1_020.1)),
        counters: Counters {
            syn_retransmits: 1,
            ..Counters::default()
        },
        ..socket(3, Opening::Active, key, 10.0, 2_000.0)
    }
}

fn overflow(at: f64) -> Incident {
    let accepted = accepted();
    Incident {
        at: boot(at),
        boot: accepted.boot,
        cookie: 77,
        netns: accepted.netns,
        local: accepted.key.local,
        peer: None,
        kind: IncidentKind::AcceptOverflow,
        count: 1,
        queue: None,
    }
}

fn first_request() -> Report {
    served(
        request(1, from_client(5001), 1_020.4, 1_021.4),
        6001,
        0.0,
        0.5,
    )
}

fn told(sockets: Vec<Snapshot>, incidents: Vec<Incident>) -> Records {
    let mut reconciler = Reconciler::new(Limits::default());
    let sockets = sockets.into_iter().map(Fact::Connection);
    let incidents = incidents.into_iter().map(Fact::Incident);
    let kernel = preamble().into_iter().chain(sockets).chain(incidents);
    reconciler.handle_batch(batch(probe(), 0, kernel.collect()));
    let report = Fact::Request(Arc::new(first_request()));
    reconciler.handle_batch(batch(filter(), 0, vec![report]));
    settle(&mut reconciler)
}

/// How long the handshake took, in microseconds, whose that was, and the code.
fn handshake(told: &Records) -> (u64, Party, Code) {
    let record = &told.requests[0];
    let mut phases = record.phases.iter();
    let handshake = phases.find(|phase| phase.kind == PhaseKind::Handshake);
    let handshake = handshake.unwrap();
    let code = record.answer.cause.code;
    (handshake.duration_ns / 1_000, handshake.party, code)
}

#[test]
fn a_request_waited_since_its_client_first_sent_the_syn_that_a_full_accept_queue_dropped() {
    let client_s = dialled(from_client(5001).mirrored());
    let told = told(vec![accepted(), client_s], vec![overflow(10.0)]);
    let expected = (1_010_200, Party::Kernel, Code::AcceptOverflow);
    assert_eq!(handshake(&told), expected);
    let record = &told.requests[0];
    assert_eq!(record.duration_ns(), 1_011_400_000);
    let named = &record.answer.cause.evidence;
    assert!(
        named.contains(&"client_syn_retransmits=1".into()),
        "{named:?}"
    );
    assert_eq!(record.incidents.len(), 1);
    assert_eq!(told.connections[0].incidents.len(), 1);
}

#[test]
fn a_syn_that_was_lost_while_the_listener_had_room_is_the_network_s() {
    let client_s = dialled(from_client(5001).mirrored());
    for incidents in [vec![], vec![overflow(9.9), overflow(1_020.4)]] {
        let told = told(vec![accepted(), client_s.clone()], incidents);
        let expected = (1_010_200, Party::Network, Code::SynLost);
        assert_eq!(handshake(&told), expected);
        assert_eq!(told.connections[0].incidents, []);
    }
}

#[test]
fn the_client_s_end_is_found_by_its_tag_where_its_ends_were_rewritten() {
    let rewritten = ends("10.9.9.9:5001", "203.0.113.9:443");
    let sent = tagged(dialled(rewritten), trace(0x7a), TagState::Answered);
    let came = |id, state| tagged(accepted(), trace(id), state);
    let begins = |accepted| handshake(&told(vec![accepted, sent.clone()], vec![])).0;
    assert_eq!(begins(came(0x7a, TagState::Believed)), 1_010_200);
    assert_eq!(begins(came(0x7a, TagState::Disbelieved)), 200);
    assert_eq!(begins(came(0x7b, TagState::Believed)), 200);
}

#[test]
fn of_several_that_may_be_the_client_s_end_none_is() {
    let client_s = dialled(from_client(5001).mirrored());
    let other = Snapshot {
        cookie: 4,
        netns: 8,
        ..client_s.clone()
    };
    let told = told(vec![accepted(), client_s, other], vec![overflow(10.0)]);
    assert_eq!(handshake(&told).0, 200);
}

#[test]
fn a_socket_with_the_same_ends_is_the_client_s_only_if_the_handshakes_are_one() {
    let begins = |syn_at, established_at| {
        let other = Snapshot {
            syn_at: Some(boot(syn_at)),
            established_at: Some(boot(established_at)),
            ..dialled(from_client(5001).mirrored())
        };
        handshake(&told(vec![accepted(), other], vec![])).0
    };
    assert_eq!(begins(10.0, 1_020.1), 1_010_200);
    assert_eq!(begins(10.0, 1_019.6), 200, "answered before the SYN came");
    assert_eq!(begins(1_020.5, 1_020.6), 200, "sent after the SYN had come");
    assert_eq!(
        begins(1_020.1, 1_020.2),
        200,
        "clocks differ, lengths do not"
    );
    assert_eq!(begins(10.0, 1_019.8), 1_010_200, "as far as clocks agree");
    let of_two = |syn_at| {
        let other = Snapshot {
            cookie: 4,
            netns: 8,
            syn_at: Some(boot(syn_at)),
            established_at: Some(boot(syn_at + 0.1)),
            ..dialled(from_client(5001).mirrored())
        };
        let client_s = dialled(from_client(5001).mirrored());
        handshake(&told(vec![accepted(), client_s, other], vec![])).0
    };
    assert_eq!(of_two(1_020.2), 200, "either may be");
    assert_eq!(of_two(1_020.5), 1_010_200);
}

#[test]
fn a_client_s_end_whose_handshake_is_not_told_to_be_done_may_be_the_one() {
    let dialling = Snapshot {
        established_at: None,
        outcome: Outcome::Connecting,
        closed_at: None,
        ..dialled(from_client(5001).mirrored())
    };
    let told = told(vec![accepted(), dialling], vec![]);
    assert_eq!(handshake(&told).0, 1_010_200);
}

#[test]
fn a_full_queue_is_named_and_is_at_most_likely_what_a_handshake_waited_for() {
    // What was counted by 11 ms may have been dropped long before this client sent its SYN, at 10 ms.
    for (kind, queue) in [
        (IncidentKind::AcceptOverflow, "accept queue"),
        (IncidentKind::SynOverflow, "SYN queue"),
    ] {
        let client_s = dialled(from_client(5001).mirrored());
        let dropped = Incident {
            kind,
            ..overflow(11.0)
        };
        let told = told(vec![accepted(), client_s], vec![dropped]);
        let cause = &told.requests[0].answer.cause;
        let said = (cause.party, cause.code, cause.confidence);
        assert_eq!(said, (Party::Kernel, Code::AcceptOverflow, LIKELY));
        assert_eq!(
            cause.sentence.to_string(),
            format!(
                "Completed in 1.011 s; for 1.010 s of it a SYN or SYN-ACK of the client's handshake was not answered, \
                 and the listener's {queue} was full about that time"
            )
        );
    }
}
