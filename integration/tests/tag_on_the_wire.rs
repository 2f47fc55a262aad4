//! The tag, by the word of tcpdump: where it is, and that it retreats from a network that drops it.

use std::time::Duration;

use syntrace_integration::{
    capture::Capture,
    clients,
    deadline::{self, Look},
    envoy::PORT,
    pcap::Opening,
    requirements,
    sandbox::Sandbox,
    stack::Stack,
};

/// One retransmission (1 s) and the flush of a batch are well within this.
const SOON: Duration = Duration::from_secs(30);

/// A middlebox that knows no options of this kind and drops what it does not know.
const DROP_TAGGED: &str = "table ip middlebox { chain in { type filter hook prerouting priority 0; \
                           tcp option 253 exists drop; }; }";

#[test]
fn the_first_syn_and_its_syn_ack_carry_the_same_tag() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let _stack = Stack::start(&sandbox).unwrap();
    let capture = Capture::start(&sandbox, &sandbox.client).unwrap();
    clients::connect(&sandbox, PORT).unwrap();

    let openings = wait_for(&capture, 2).unwrap();
    assert!(
        !openings[0].is_answer && openings[0].tag.is_some(),
        "{openings:?}"
    );
    assert!(openings[1].is_answer, "{openings:?}");
    assert_eq!(openings[0].tag, openings[1].tag);
}

#[test]
fn a_syn_that_was_dropped_is_sent_again_without_the_tag_and_the_connection_lives() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let stack = Stack::start(&sandbox).unwrap();
    let capture = Capture::start(&sandbox, &sandbox.client).unwrap();
    sandbox.gateway.filter_packets(DROP_TAGGED).unwrap();
    let connect = clients::connect(&sandbox, PORT).unwrap();
    assert!(!connect.refused);

    let openings = wait_for(&capture, 3).unwrap();
    let seen: Vec<_> = openings
        .iter()
        .map(|o| (o.is_answer, o.is_retransmission, o.tag.is_some()))
        .collect();
    assert_eq!(
        seen,
        [
            (false, false, true),
            (false, true, false),
            (true, false, false)
        ],
        "{openings:?}"
    );

    // The destination is left alone now: the next connection is not delayed.
    clients::connect(&sandbox, PORT).unwrap();
    let openings = wait_for(&capture, 5).unwrap();
    assert!(
        openings[3..]
            .iter()
            .all(|opening| opening.tag.is_none() && !opening.is_retransmission),
        "{openings:?}"
    );

    let known = deadline::wait("the delayed connection", SOON, || {
        let connections = stack.bridge.client().connections()?;
        let end = connections
            .iter()
            .find(|end| end.local == Some(connect.local))
            .cloned();
        Ok(end
            .filter(|end| end.closed_at.is_some())
            .map_or_else(|| Look::NotYet(format!("{connections:?}")), Look::Done))
    })
    .unwrap();
    assert_eq!(known.counters.unwrap().syn_retransmits, 1);
    assert_eq!(known.outcome.as_deref(), Some("closed"));
}

#[test]
fn a_syn_ack_that_was_dropped_is_sent_again_without_the_tag_and_the_connection_lives() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let _stack = Stack::start(&sandbox).unwrap();
    let capture = Capture::start(&sandbox, &sandbox.client).unwrap();
    sandbox.client.filter_packets(DROP_TAGGED).unwrap();
    let connect = clients::connect(&sandbox, PORT).unwrap();
    assert!(!connect.refused);

    let openings = deadline::wait("an answer without the tag", SOON, || {
        let openings = capture.openings()?;
        let is_done = openings
            .iter()
            .any(|opening| opening.is_answer && opening.tag.is_none());
        Ok(if is_done {
            Look::Done(openings)
        } else {
            Look::NotYet(format!("{openings:?}"))
        })
    })
    .unwrap();
    assert_eq!(
        openings
            .iter()
            .filter(|opening| opening.is_answer && opening.tag.is_some())
            .count(),
        1,
        "{openings:?}"
    );
}

fn wait_for(capture: &Capture, count: usize) -> anyhow::Result<Vec<Opening>> {
    deadline::wait(&format!("{count} segments"), SOON, || {
        let openings = capture.openings()?;
        Ok(if openings.len() >= count {
            Look::Done(openings)
        } else {
            Look::NotYet(format!("{openings:?}"))
        })
    })
}
