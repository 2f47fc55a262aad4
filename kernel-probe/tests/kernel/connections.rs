//! What the kernel view says of connections: outcomes, resets, bursts, who is seen.

use std::{
    collections::BTreeSet,
    fs,
    net::{TcpListener, TcpStream},
    time::Duration,
};

use syntrace_proto::{Connection, Opening, Outcome};

use crate::{
    cgroup::Cgroup,
    netns::Netns,
    probe::Probe,
    receiver::{self, Receiver},
    traffic::{self, Exchange, exchange},
    turn,
};

#[test]
fn each_failed_connect_has_its_name() {
    let Some(_turn) = turn(&["ip", "nft"]) else {
        return;
    };
    let cgroup = Cgroup::new();
    let receiver = Receiver::new();
    let _probe = Probe::start(&cgroup, &receiver, &[]);
    let netns = Netns::new();
    netns.nft("tcp dport 2 drop");
    netns.nft("tcp dport 3 reject with icmp type host-unreachable");
    let _member = cgroup.join();
    netns.within(|| {
        // One retransmission, after 1 s; then 2 s until the kernel gives up.
        fs::write("/proc/sys/net/ipv4/tcp_syn_retries", "1").unwrap();
        fs::write("/proc/sys/net/ipv4/tcp_syn_linear_timeouts", "0").unwrap();
        for port in [1, 2, 3] {
            TcpStream::connect(("127.0.0.1", port)).unwrap_err();
        }
    });
    let refused = receiver.end(1, Opening::Active, Outcome::Refused);
    let unanswered = receiver.end(2, Opening::Active, Outcome::Unanswered);
    let unreachable = receiver.end(3, Opening::Active, Outcome::Unreachable);
    assert_eq!((refused.error, refused.syn_retransmits), (111, 0));
    assert_eq!((unanswered.error, unanswered.syn_retransmits), (110, 1));
    // Over loopback the first ICMP error may find the socket busy; then it is the second that ends it.
    assert_eq!(unreachable.error, 113);
    for failed in [refused, unanswered, unreachable] {
        assert_eq!((failed.established_at_ns, failed.syn_ack_at_ns), (0, 0));
        assert_ne!(failed.netns_cookie, 0);
    }
}

#[test]
fn a_connect_that_is_given_up_is_aborted() {
    let Some(_turn) = turn(&["ip", "nft"]) else {
        return;
    };
    let cgroup = Cgroup::new();
    let receiver = Receiver::new();
    let _probe = Probe::start(&cgroup, &receiver, &[]);
    let netns = Netns::new();
    netns.nft("tcp dport 2 drop");
    let _member = cgroup.join();
    netns.within(|| {
        let address = "127.0.0.1:2".parse().unwrap();
        let wait = Duration::from_millis(20);
        TcpStream::connect_timeout(&address, wait).unwrap_err();
    });
    let aborted = receiver.end(2, Opening::Active, Outcome::Aborted);
    assert_eq!(aborted.error, 0);
}

#[test]
fn a_reset_is_named_by_its_side() {
    let Some(_turn) = turn(&[]) else { return };
    let cgroup = Cgroup::new();
    let receiver = Receiver::new();
    let _probe = Probe::start(&cgroup, &receiver, &[]);
    let _member = cgroup.join();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    traffic::closed_with_unread_data(&listener);
    let active = receiver.end(port, Opening::Active, Outcome::ResetByPeer);
    let passive = receiver.end(port, Opening::Passive, Outcome::ResetLocally);
    assert_eq!(active.error, 104);
    assert_eq!(passive.error, 0);
}

#[test]
fn every_connection_of_a_burst_arrives_once_and_whole() {
    const CONNECTIONS: usize = 2000;
    let Some(_turn) = turn(&[]) else { return };
    let cgroup = Cgroup::new();
    let receiver = Receiver::new();
    let mut probe = Probe::start(&cgroup, &receiver, &[]);
    let port = cgroup.within(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        for _ in 0..CONNECTIONS {
            exchange(&listener, Exchange::SMALLEST);
        }
        listener.local_addr().unwrap().port()
    });
    assert!(probe.stop().success());
    receiver.assert_whole_epoch("");

    let snapshots = receiver.connections();
    // Established and closed at both ends, accepted at one.
    assert_eq!(snapshots.len(), 5 * CONNECTIONS);
    let closed =
        |end: &&Connection| end.closed_at_ns > 0 && receiver::port_of(end) == u32::from(port);
    let cookies = snapshots.iter().filter(closed).map(|end| end.socket_cookie);
    assert_eq!(cookies.collect::<BTreeSet<_>>().len(), 2 * CONNECTIONS);
    let ids = snapshots.iter().map(|end| &end.minted_id);
    assert_eq!(ids.collect::<BTreeSet<_>>().len(), 2 * CONNECTIONS);
}

#[test]
fn descendants_of_the_cgroup_are_seen_and_others_are_not() {
    let Some(_turn) = turn(&[]) else { return };
    let cgroup = Cgroup::new();
    let receiver = Receiver::new();
    let mut probe = Probe::start(&cgroup, &receiver, &[]);
    let outside = TcpListener::bind("127.0.0.1:0").unwrap();
    let unseen = exchange(&outside, Exchange::SMALLEST);
    let child = cgroup.child();
    let seen = child.within(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        exchange(&listener, Exchange::SMALLEST)
    });
    receiver.both_ends(seen, Outcome::Closed);
    assert!(probe.stop().success());
    let is_unseen = |end: &Connection| receiver::port_of(end) == u32::from(unseen);
    assert!(!receiver.connections().iter().any(is_unseen));
}
