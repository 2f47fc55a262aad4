//! SYNs that cross (RFC 9293, section 3.5): each end opens, and the one that hears the other's SYN first ends its handshake as
//! if it had accepted.
//!
//! With the tag in one of the SYNs, in both and in none, and both for the program that observes and for that which only tags.

use std::net::{Ipv4Addr, TcpListener, TcpStream};

use syntrace_proto::{Opening, Outcome};

use crate::{
    LOOPBACK,
    capture::{Capture, Packet},
    cgroup::Cgroup,
    netns::Netns,
    probe::Probe,
    receiver::Receiver,
    stats::{Cost, Stats},
    traffic::{connected, crossed},
    turn,
};

/// What leaves nothing but tags.
const ONLY_TAGS: [&str; 2] = [
    "--without",
    "life-cycle,accept-wait,incidents,backfill,listeners",
];

/// The option of the tag.
const EXPERIMENT: u8 = 253;

/// What is known of a destination: how it came to be known, and how many of two SYNs to it carry the tag.
const KNOWN: [(fn(Ipv4Addr), usize); 3] = [(|_| (), 1), (answer, 2), (refuse, 0)];

#[test]
fn syns_that_cross_make_a_connection_whatever_tags_they_carry() {
    let Some(_turn) = turn(&["ip", "nft", "tcpdump"]) else {
        return;
    };
    for orders in [&[][..], &ONLY_TAGS] {
        let (cgroup, receiver) = (Cgroup::new(), Receiver::new());
        let tags = ["--tag-to", LOOPBACK, "--believe-from", LOOPBACK];
        let mut probe = Probe::start(&cgroup, &receiver, &[&tags, orders].concat());
        let mut ports = Vec::new();
        for (at, (make_known, n_tagged)) in (1..).zip(KNOWN) {
            let what = format!("{orders:?}, {n_tagged} tags");
            let address = Ipv4Addr::new(127, 0, 1, at);
            let netns = Netns::new();
            cgroup.within(|| netns.within(|| make_known(address)));
            // The first SYN is lost: else it would find that nobody listens.
            netns.nft("tcp flags == syn numgen inc mod 99 < 1 drop");
            let capture = Capture::begin(&netns);
            let mut pair = cgroup.within(|| netns.within(|| crossed(address)));
            let stats = Stats::new();
            let before = Cost::of(probe.pid());
            pair.round_trips(100);
            assert_eq!((Cost::of(probe.pid()) - before).sock_ops_runs, 0, "{what}");
            drop(stats);
            ports.push(pair.ports());
            drop(pair);
            let packets = capture.end(&netns);
            // One was dropped, and neither came again.
            assert_eq!(packets.iter().filter(|it| it.is_syn()).count(), 2, "{what}");
            let is_tagged = |packet: &&Packet| packet.has_option(EXPERIMENT);
            let tagged: Vec<_> = packets.iter().filter(is_tagged).collect();
            assert!(tagged.iter().all(|packet| packet.is_syn()), "{tagged:?}");
            assert_eq!(tagged.len(), n_tagged, "{what}");
        }
        if orders.is_empty() {
            for port in ports.into_iter().flatten() {
                receiver.end(port, Opening::Active, Outcome::Closed);
            }
        }
        assert!(probe.stop().success());
        if !orders.is_empty() {
            assert_eq!(receiver.connections(), []);
        }
    }
}

/// A tagged SYN to `address` is answered.
fn answer(address: Ipv4Addr) {
    connected(&TcpListener::bind((address, 0)).unwrap());
}

/// A tagged SYN to `address` is refused.
fn refuse(address: Ipv4Addr) {
    TcpStream::connect((address, 1)).unwrap_err();
}
