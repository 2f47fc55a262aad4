//! Tags of SYNs that are answered by SYN cookies: asked for again, and sent again where that harms nothing.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::TcpListener,
    process::Command,
};

use syntrace_proto::{Connection, Outcome, TagState};

use crate::{LOOPBACK, cgroup::Cgroup, netns::Netns, probe::Probe, receiver::Receiver, turn};

/// Connects, sends a byte and waits for one. The first argument is a port, the second 0 where the segment
/// that ends the handshake is to wait for data.
const CLIENT: &str = "
import socket, sys
port, is_bare = map(int, sys.argv[1:])
client = socket.socket()
client.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, is_bare)
client.connect(('127.0.0.1', port))
client.sendall(b'?')
assert client.recv(1) == b'!'
";

#[test]
fn a_tag_that_a_syn_cookie_forgot_is_sent_again_at_the_end_of_the_handshake() {
    let Some(_turn) = turn(&["ip", "nft", "python3"]) else {
        return;
    };
    let (active, passive, counted) = under_cookies(true);
    assert_eq!(active.tag_state(), TagState::Sent);
    assert_eq!(passive.tag_state(), TagState::Believed);
    assert_eq!(active.tag, passive.tag);
    assert_eq!(counted, [1, 1, 0]);
}

/// Room in a segment of data is the kernel's: such a tag is lost, and the connection is none the worse.
#[test]
fn a_tag_that_a_syn_cookie_forgot_is_never_sent_with_data() {
    let Some(_turn) = turn(&["ip", "nft", "python3"]) else {
        return;
    };
    let (active, passive, counted) = under_cookies(false);
    assert_eq!(active.tag_state(), TagState::Sent);
    assert_eq!(passive.tag_state(), TagState::None);
    assert_eq!((active.retransmits, passive.retransmits), (0, 0));
    assert_eq!(counted, [1, 0, 1]);
}

/// Connects once; returns both ends, and how often a tag was asked for again, sent again, and lost.
fn under_cookies(is_bare: bool) -> (Connection, Connection, [u64; 3]) {
    let (cgroup, netns, receiver) = (Cgroup::new(), Netns::new(), Receiver::new());
    netns.sysctl("net.ipv4.tcp_syncookies=2");
    let orders = ["--tag-to", LOOPBACK, "--believe-from", LOOPBACK];
    let probe = Probe::start(&cgroup, &receiver, &orders);
    let port = cgroup.within(|| {
        netns.within(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let arguments = [port.to_string(), u8::from(is_bare).to_string()];
            let mut client = Command::new("python3")
                .args(["-c", CLIENT])
                .args(arguments)
                .spawn()
                .unwrap();
            let (mut accepted, _) = listener.accept().unwrap();
            accepted.read_exact(&mut [0]).unwrap();
            accepted.write_all(b"!").unwrap();
            assert!(client.wait().unwrap().success());
            port
        })
    });
    let (active, passive) = receiver.both_ends(port, Outcome::Closed);
    let counted: BTreeMap<_, _> = probe.counted();
    let count = |name: &str| counted.get(name).copied().unwrap_or(0);
    let counted = [
        "tag_asked_again",
        "tag_sent_again",
        "tag_lost_to_syn_cookie",
    ]
    .map(count);
    (active, passive, counted)
}
