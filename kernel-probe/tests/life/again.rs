//! A socket that connects again after its connect failed: nothing that the first SYN left changes what becomes of
//! the second.

use std::net::{SocketAddr, TcpListener, TcpStream};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketType, connect, socket},
};

use crate::{
    orders::Place,
    probe::Start,
    stats::{Cost, Stats},
    traffic::Pair,
    turn,
};

/// Connects a socket to a port where nobody listens, and then to `listener`.
fn connected_again(listener: &TcpListener) -> Pair {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    assert_eq!(connect(&socket, &nobody).unwrap_err(), Errno::CONNREFUSED);
    connect(&socket, &listener.local_addr().unwrap()).unwrap();
    Pair::of(TcpStream::from(socket), listener)
}

#[test]
fn a_socket_that_connects_again_keeps_no_callback_for_data() {
    for orders in [Place::observing, Place::only_tagging] {
        connects_again(orders);
    }
}

fn connects_again(orders: fn(&Place) -> Start) {
    let Some(_turn) = turn() else { return };
    let place = Place::new();
    place.netns.nft("tcp option 253 exists counter");
    let probe = orders(&place).until("Attached");
    let listener = place.listener();
    // Shows that its address passes the option: from here on every SYN is tagged.
    drop(place.connected(&listener));
    assert_eq!(place.netns.dropped_packets(), 2);
    let mut pair = place.within(|| connected_again(&listener));
    let _stats = Stats::new();
    let before = Cost::of(probe.pid());
    pair.round_trips(100);
    assert_eq!((Cost::of(probe.pid()) - before).sock_ops_runs, 0);
}
