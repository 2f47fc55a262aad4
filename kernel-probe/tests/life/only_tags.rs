//! Where only tags are ordered: the places of sockets whose tagged SYN led to nothing.
//!
//! The close of such a socket is seen only where its SYN tried whether its destination passes the option. Others
//! have their places only for a time: where they were refused, the next one that needs the place takes it then.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use aya::maps::{Array, MapData};
use syntrace_ebpf_common::{CONN_RECORD_LEN, Repeats, Tenant, is_forgotten};

use crate::{clock::boot_time, orders::Place, traffic::crossed, turn};

/// A place: its owner, counts, and the record.
const PLACE_BYTES: usize = OWNER_BYTES + size_of::<Repeats>() + CONN_RECORD_LEN;
const OWNER_BYTES: usize = size_of::<u64>();

/// No socket's: none lies where the orders do.
const NOBODY: Tenant = Tenant::of(0);

/// Longer than a place is lent, nanoseconds.
const LONG: u64 = 200_000_000_000;

/// The places of sockets that are followed, pinned.
struct Places(Array<MapData, [u8; PLACE_BYTES]>);

impl Places {
    fn of(place: &Place) -> Self {
        Self(place.site.bpffs.array("LIVE"))
    }

    /// Returns the words by which places are taken.
    fn taken(&self) -> Vec<u64> {
        let places = self.0.iter().map(Result::unwrap);
        let owners = places.map(|place| u64::from_ne_bytes(*place.first_chunk().unwrap()));
        owners.filter(|owner| *owner != 0).collect()
    }

    /// Returns how many are taken by another word than `owner`.
    fn taken_but_by(&self, owner: u64) -> usize {
        self.taken().iter().filter(|word| **word != owner).count()
    }

    /// Has all taken by `owner`.
    fn fill(&mut self, owner: u64) {
        let mut place = [0; PLACE_BYTES];
        place[..OWNER_BYTES].copy_from_slice(&owner.to_ne_bytes());
        for at in 0..self.0.len() {
            self.0.set(at, place, 0).unwrap();
        }
    }
}

/// Nanoseconds of `CLOCK_BOOTTIME`.
fn now() -> u64 {
    boot_time().as_nanos() as u64
}

/// Connects to a port of `host` where nobody listens.
fn refused(place: &Place, host: [u8; 4]) {
    let nobody = SocketAddr::from((host, 1));
    let error = place.within(|| TcpStream::connect(nobody).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_tagged_syn_that_is_a_trial_gives_its_place_back_however_it_ends() {
    let Some(_turn) = turn() else { return };
    let place = Place::new();
    place.netns.nft("tcp option 253 exists counter");
    place
        .netns
        .nft("ip daddr 127.0.1.2 reject with icmp type host-unreachable");
    place.netns.nft("ip daddr 127.0.1.3 drop");
    place.netns.nft("ip daddr 127.0.1.4 drop");
    // One retransmission, after 1 s; then 2 s until the kernel gives up.
    place.netns.sysctl("net.ipv4.tcp_syn_retries=1");
    place.netns.sysctl("net.ipv4.tcp_syn_linear_timeouts=0");
    let _probe = place.only_tagging().until("Attached");
    let places = Places::of(&place);
    // Refused, unreachable, given up, unanswered.
    let short = Duration::from_millis(50);
    let long = Duration::from_secs(9);
    for (host, timeout) in [(1, long), (2, long), (3, short), (4, long)] {
        let address = SocketAddr::from(([127, 0, 1, host], 1));
        place.within(|| TcpStream::connect_timeout(&address, timeout).unwrap_err());
        assert_eq!(place.netns.dropped_packets(), u64::from(host), "{address}");
        assert_eq!(places.taken(), [0; 0], "{address}");
    }
    // One that is answered does, too, and so does the next, which is no trial.
    let listener = place.listener();
    for _ in 0..2 {
        drop(place.connected(&listener));
        assert_eq!(places.taken(), [0; 0]);
    }
}

#[test]
fn a_syn_that_goes_untagged_takes_no_place() {
    let Some(_turn) = turn() else { return };
    let place = Place::new();
    place.netns.nft("tcp option 253 exists counter");
    let _probe = place.only_tagging().until("Attached");
    let places = Places::of(&place);
    // The first tries, and its address is left alone.
    for _ in 0..5 {
        refused(&place, [127, 0, 1, 1]);
        assert_eq!(places.taken(), [0; 0]);
    }
    assert_eq!(place.netns.dropped_packets(), 1);
}

#[test]
fn a_socket_whose_syn_crosses_anothers_gives_its_place_back() {
    let Some(_turn) = turn() else { return };
    let place = Place::new();
    let _probe = place.only_tagging().until("Attached");
    let address = Ipv4Addr::new(127, 0, 1, 1);
    // Shows that the address passes the option: no SYN tries that any more.
    let listener = place.within(|| TcpListener::bind((address, 0)).unwrap());
    drop(place.connected(&listener));
    // The first SYN is lost: else it would find that nobody listens.
    place
        .netns
        .nft("tcp flags == syn numgen inc mod 99 < 1 drop");
    let _pair = place.within(|| crossed(address));
    assert_eq!(Places::of(&place).taken(), [0; 0]);
}

#[test]
fn a_place_whose_connect_was_refused_is_taken_over_when_it_was_lent_long_enough() {
    let Some(_turn) = turn() else { return };
    let place = Place::new();
    place.netns.nft("tcp option 253 exists counter");
    let _probe = place.only_tagging().until("Attached");
    let mut places = Places::of(&place);
    // Shows that the address passes the option: from here on every SYN is tagged.
    drop(place.connected(&place.listener()));
    refused(&place, [127, 0, 0, 1]);
    let lent = places.taken();
    assert_eq!(lent.len(), 1);
    assert!(!is_forgotten(lent[0], now()));
    assert!(is_forgotten(lent[0], now() + LONG));
    for (owner, n_taken_over) in [
        (NOBODY.holding(), 0),
        (NOBODY.lent(now()), 0),
        (NOBODY.lent(now().wrapping_sub(LONG)), 1),
    ] {
        places.fill(owner);
        refused(&place, [127, 0, 0, 1]);
        assert_eq!(places.taken_but_by(owner), n_taken_over, "{owner:#x}");
    }
    assert_eq!(place.netns.dropped_packets(), 6);
}

#[test]
fn where_every_place_is_taken_syns_are_tagged_and_answered_all_the_same() {
    let Some(_turn) = turn() else { return };
    let place = Place::new();
    place.netns.nft("tcp option 253 exists counter");
    let _probe = place.only_tagging().until("Attached");
    Places::of(&place).fill(NOBODY.holding());
    let listener = place.listener();
    for _ in 0..10 {
        drop(place.connected(&listener));
    }
    assert_eq!(place.netns.dropped_packets(), 20);
}
