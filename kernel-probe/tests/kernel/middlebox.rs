//! Something on the way that drops what carries our option, or takes the option out: whom that
//! harms, and how often.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use syntrace_proto::{Connection, Opening};

use crate::{
    LOOPBACK, cgroup::Cgroup, netns::Netns, probe::Probe, receiver, receiver::Receiver, say, turn,
};

const DESTINATIONS: usize = 20;
const CONNECTS: usize = 1000;
const AT_ONCE: usize = 100;

/// What it does to packets with the option, and how many of each destination it may harm.
const MIDDLEBOXES: [(&str, &str, usize); 3] = [
    (
        "drops SYNs",
        "tcp flags == syn tcp option 253 exists counter drop",
        1,
    ),
    (
        "drops SYN-ACKs",
        "tcp flags == syn|ack tcp option 253 exists counter drop",
        1,
    ),
    (
        "strips",
        "tcp option 253 exists counter reset tcp option 253",
        0,
    ),
];

/// The one is shorter than the first retransmission, the other longer.
const TIMEOUTS: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(5)];

#[test]
fn of_a_thousand_connects_a_middlebox_harms_one_for_each_destination() {
    let Some(_turn) = turn(&["ip", "nft"]) else {
        return;
    };
    let cgroup = Cgroup::new();
    let receiver = Receiver::new();
    let orders = ["--tag-to", LOOPBACK, "--believe-from", LOOPBACK];
    let _probe = Probe::start(&cgroup, &receiver, &orders);
    let _member = cgroup.join();
    let rounds = MIDDLEBOXES
        .iter()
        .flat_map(|middlebox| TIMEOUTS.map(|timeout| (middlebox, timeout)));
    // Destinations of their own: nothing is known of them.
    for (network, ((what, rule, most), timeout)) in (1..).zip(rounds) {
        let netns = Netns::new();
        netns.nft(rule);
        let failed = netns.within(|| connect(network, timeout));
        let again = retransmitted(&receiver, network);
        say(&format!(
            "{what}, {timeout:?}: {CONNECTS} connects to {DESTINATIONS} destinations; \
             {} segments had the option, {} connects failed, {} took a second SYN",
            netns.dropped_packets(),
            failed.values().sum::<usize>(),
            again.values().sum::<usize>(),
        ));
        assert!(netns.dropped_packets() >= DESTINATIONS as u64);
        for destination in 0..DESTINATIONS {
            let of = |each: &BTreeMap<_, _>| each.get(&destination).copied().unwrap_or(0);
            assert_eq!(
                of(&failed) + of(&again),
                *most,
                "{destination}: {failed:?} {again:?}"
            );
        }
        assert!(timeout < Duration::from_secs(1) || failed.is_empty());
    }
}

/// Connects to the destinations in turn; returns how often that failed, by destination.
fn connect(network: u8, timeout: Duration) -> BTreeMap<usize, usize> {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    // Nobody accepts: the queue holds them all.
    rustix::net::listen(&listener, CONNECTS as i32).unwrap();
    let port = listener.local_addr().unwrap().port();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut failed = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= CONNECTS {
                return failed;
            }
            let destination = number % DESTINATIONS;
            let address = Ipv4Addr::new(127, 0, network, destination as u8);
            if TcpStream::connect_timeout(&(address, port).into(), timeout).is_err() {
                failed.push(destination);
            }
        }
    };
    thread::scope(|scope| {
        let connecting: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        let failed = connecting.into_iter().map(|thread| thread.join().unwrap());
        count(failed.flatten())
    })
}

/// Waits for all connects of `network` to end; returns how many were established by another SYN
/// than their first, by destination.
fn retransmitted(receiver: &Receiver, network: u8) -> BTreeMap<usize, usize> {
    let is_ours = |end: &&Connection| {
        let peer = &end.peer.as_ref().unwrap().address;
        end.opening() == Opening::Active && peer[..3] == [127, 0, network] && end.closed_at_ns > 0
    };
    let ends = receiver.settled(
        |batches| {
            receiver::connections(batches)
                .filter(is_ours)
                .cloned()
                .collect::<Vec<_>>()
        },
        |ends| ends.len() == CONNECTS,
    );
    assert_eq!(ends.len(), CONNECTS);
    let again = ends
        .iter()
        .filter(|end| end.syn_retransmits > 0 && end.established_at_ns > 0);
    count(again.map(|end| end.peer.as_ref().unwrap().address[3].into()))
}

fn count(each: impl Iterator<Item = usize>) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    for destination in each {
        *counts.entry(destination).or_default() += 1;
    }
    counts
}
