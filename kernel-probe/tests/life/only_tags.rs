//! Where only tags are ordered: the places of sockets whose tagged SYN led to nothing.
//!
//! The close of such a socket is seen only where its SYN tried whether its destination passes the option. Where others
//! were refused, their places wait for sockets of the same addresses.

use std::{
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use aya::maps::{Array, Map, MapData};
use syntrace_ebpf_common::{CONN_RECORD_LEN, Repeats};

use crate::{orders::Place, turn};

/// A place: its owner, counts, and the record.
const PLACE_BYTES: usize = OWNER_BYTES + size_of::<Repeats>() + CONN_RECORD_LEN;
const OWNER_BYTES: usize = size_of::<u64>();

/// The places of sockets that are followed, pinned.
struct Places(Array<MapData, [u8; PLACE_BYTES]>);

impl Places {
    fn of(place: &Place) -> Self {
        let pins = place.bpffs.pins();
        let pin = pins.iter().find(|pin| pin.ends_with("LIVE")).unwrap();
        let map = Map::from_map_data(MapData::from_pin(pin).unwrap()).unwrap();
        Self(map.try_into().unwrap())
    }

    /// Returns how many have an owner.
    fn taken(&self) -> usize {
        let places = self.0.iter().map(Result::unwrap);
        places
            .filter(|place| place[..OWNER_BYTES] != [0; OWNER_BYTES])
            .count()
    }

    /// Gives each to an owner that is no socket's: none lies where the orders do.
    fn take_all(&mut self) {
        let mut taken = [0; PLACE_BYTES];
        taken[0] = 1;
        for at in 0..self.0.len() {
            self.0.set(at, taken, 0).unwrap();
        }
    }
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
        assert_eq!(places.taken(), 0, "{address}");
    }
    // One that is answered does, too, and so does the next, which is no trial.
    let listener = place.listener();
    for _ in 0..2 {
        drop(place.connected(&listener));
        assert_eq!(places.taken(), 0);
    }
}

#[test]
fn where_every_place_is_taken_syns_are_tagged_and_answered_all_the_same() {
    let Some(_turn) = turn() else { return };
    let place = Place::new();
    place.netns.nft("tcp option 253 exists counter");
    let _probe = place.only_tagging().until("Attached");
    Places::of(&place).take_all();
    let listener = place.listener();
    for _ in 0..10 {
        drop(place.connected(&listener));
    }
    assert_eq!(place.netns.dropped_packets(), 20);
}
