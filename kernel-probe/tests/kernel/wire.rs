//! What the probe changes on the wire: nothing, unless it was ordered to tag.

use std::net::TcpListener;

use crate::{
    LOOPBACK,
    capture::{Capture, Packet},
    cgroup::Cgroup,
    netns::Netns,
    probe::Probe,
    receiver::Receiver,
    traffic::{Exchange, exchange},
    turn,
};

/// A network that nobody here is in.
const ELSEWHERE: &str = "192.0.2.0/24";

/// TCP options: padding, times, and the one for experiments.
const PADDING: u8 = 1;
const TIMES: u8 = 8;
const EXPERIMENT: u8 = 253;

/// Bytes of the tag's option.
const TAG_LEN: usize = 20;

#[test]
fn without_an_order_to_tag_nothing_on_the_wire_differs() {
    let Some(_turn) = turn(&["ip", "nft", "tcpdump"]) else {
        return;
    };
    let without = handshakes(None);
    assert_eq!(without.len(), 4);
    let orders: [&[&str]; 3] = [
        &[],
        &["--tag-to", ELSEWHERE, "--believe-from", ELSEWHERE],
        &["--believe-from", LOOPBACK, "--believe-from", "::1/128"],
    ];
    for orders in orders {
        assert_eq!(handshakes(Some(orders)), without, "{orders:?}");
    }
    // That a difference would be seen, a tag shows: in the SYN of IPv4 alone.
    let tagged = handshakes(Some(&["--tag-to", LOOPBACK]));
    assert_eq!(tagged[0].len(), without[0].len() + TAG_LEN);
    assert_eq!(tagged[1..], without[1..]);
}

/// Makes a connection over IPv4 and one over IPv6, beside a probe with these orders where there are
/// any; returns SYNs and SYN-ACKs but for what differs each time.
fn handshakes(orders: Option<&[&str]>) -> Vec<Vec<u8>> {
    let cgroup = Cgroup::new();
    let receiver = Receiver::new();
    let _probe = orders.map(|orders| Probe::start(&cgroup, &receiver, orders));
    let netns = Netns::new();
    let capture = Capture::begin(&netns);
    cgroup.within(|| {
        netns.within(|| {
            for address in ["127.0.0.1:4000", "[::1]:4000"] {
                exchange(&TcpListener::bind(address).unwrap(), Exchange::SMALLEST);
            }
        });
    });
    let packets = capture.end(&netns);
    let (first, rest): (Vec<_>, Vec<_>) = packets
        .iter()
        .partition(|packet| packet.is_syn() || packet.is_syn_ack());
    for packet in rest {
        let kinds = packet.options().into_iter().map(|(kind, ..)| kind);
        assert_eq!(
            kinds.collect::<Vec<_>>(),
            [PADDING, PADDING, TIMES],
            "{packet:?}"
        );
    }
    first.into_iter().map(masked).collect()
}

/// Returns the packet without what differs from connection to connection: its number and sums, the
/// client's port, sequence numbers, times, the tag's id.
fn masked(packet: &Packet) -> Vec<u8> {
    let mut bytes = packet.bytes.clone();
    let mut blank = |at: usize, length: usize| bytes[at..at + length].fill(0);
    let (begin, _) = packet.tcp;
    if packet.bytes[0] >> 4 == 4 {
        blank(4, 2);
        blank(10, 2);
    } else {
        // The flow label.
        blank(1, 3);
    }
    let client = if packet.is_syn() { begin } else { begin + 2 };
    blank(client, 2);
    blank(begin + 4, 8);
    blank(begin + 16, 2);
    for (kind, at, end) in packet.options() {
        if kind == TIMES {
            blank(at + 2, 8);
        }
        if kind == EXPERIMENT {
            blank(at + 4, end - at - 4);
        }
    }
    bytes
}
