//! Stories of sockets: tables and ends in, facts out.

use super::*;
use crate::diag::TcpInfo;

const SYN_SENT: u8 = 2;
const ESTABLISHED: u8 = 1;
const LISTEN: u8 = 10;

#[test]
fn a_connection_is_told_when_it_is_found_and_when_it_ends() {
    let mut poll = poll();
    let found = poll.handle_table(10, vec![socket(1, ESTABLISHED)], 42);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].outcome(), Outcome::Established);
    assert_eq!(found[0].origin(), Origin::Polled);
    assert_eq!(found[0].netns_cookie, 4711);
    assert_eq!((found[0].owner_pid, found[0].established_at_ns), (42, 0));
    assert_eq!(poll.handle_table(20, vec![socket(1, ESTABLISHED)], 42), []);
    let end = poll.handle_destroyed(30, ended(1, 2), false).unwrap();
    assert_eq!((end.outcome(), end.closed_at_ns), (Outcome::Closed, 30));
    assert_eq!(end.minted_id, found[0].minted_id);
    assert_eq!(poll.len(), 0);
}

#[test]
fn a_mark_stays_known_after_the_end() {
    let mut poll = poll();
    let marked = TcpSocket {
        mark: 7,
        cgroup_id: 8,
        ..socket(1, ESTABLISHED)
    };
    poll.handle_table(10, vec![marked], 0);
    let end = poll.handle_destroyed(30, ended(1, 2), false).unwrap();
    assert_eq!((end.mark, end.cgroup_id), (7, 8));
}

#[test]
fn a_connect_is_told_again_when_it_succeeds() {
    let mut poll = poll();
    let connecting = poll.handle_table(10, vec![socket(1, SYN_SENT)], 0);
    assert_eq!(connecting[0].outcome(), Outcome::Connecting);
    let established = poll.handle_table(20, vec![socket(1, ESTABLISHED)], 0);
    assert_eq!(established[0].outcome(), Outcome::Established);
}

#[test]
fn what_no_table_showed_is_told_only_if_it_can_be_ours() {
    let mut poll = poll();
    assert_eq!(poll.handle_destroyed(10, ended(1, 2), false), None);
    assert!(poll.handle_destroyed(10, ended(1, 2), true).is_some());
    poll.handle_listeners([socket(9, LISTEN)].iter());
    let accepted = poll.handle_destroyed(10, ended(2, 1), false).unwrap();
    assert_eq!(accepted.opening(), Opening::Passive);
}

#[test]
fn an_end_of_which_no_news_came_is_unknown() {
    let mut poll = poll();
    poll.handle_table(10, vec![socket(1, ESTABLISHED)], 0);
    assert_eq!(poll.handle_table(20, vec![], 0), []);
    let ends = poll.handle_table(30, vec![], 0);
    assert_eq!(ends[0].outcome(), Outcome::Unknown);
    assert_eq!(ends[0].closed_at_ns, 30);
}

#[test]
fn a_socket_that_never_connected_is_no_connection() {
    let mut poll = poll();
    let closed_listener = TcpSocket {
        peer_port: 0,
        ..ended(1, 0)
    };
    assert_eq!(poll.handle_destroyed(10, closed_listener, true), None);
}

#[test]
fn retransmitted_syns_are_not_counted_as_data() {
    let mut poll = poll();
    let connecting = TcpSocket {
        retransmits: 2,
        ..socket(1, SYN_SENT)
    };
    poll.handle_table(10, vec![connecting], 0);
    let mut end = ended(1, 2);
    end.info.as_mut().unwrap().total_retransmits = 3;
    let end = poll.handle_destroyed(30, end, false).unwrap();
    assert_eq!((end.syn_retransmits, end.retransmits), (2, 1));
}

#[test]
fn before_an_answer_only_syns_are_sent_again() {
    let mut poll = poll();
    poll.handle_table(10, vec![socket(1, SYN_SENT)], 0);
    let mut end = ended(1, 0);
    end.info.as_mut().unwrap().total_retransmits = 3;
    let end = poll.handle_destroyed(30, end, false).unwrap();
    assert_eq!((end.syn_retransmits, end.retransmits), (3, 0));
}

fn poll() -> Poll {
    let identity = Identity {
        boot_id: [9; 16],
        netns_cookie: 4711,
        origin: Origin::Polled,
    };
    Poll::new([1; 16], identity, SynRetries(6))
}

fn socket(cookie: u64, state: u8) -> TcpSocket {
    TcpSocket {
        cookie,
        state,
        is_ipv4: true,
        local_port: 8080,
        peer_port: 40_000,
        info: Some(TcpInfo::default()),
        ..TcpSocket::default()
    }
}

fn ended(cookie: u64, bytes_acked: u64) -> TcpSocket {
    TcpSocket {
        info: Some(TcpInfo {
            bytes_acked,
            segments_in: 3,
            ..TcpInfo::default()
        }),
        ..socket(cookie, 7)
    }
}
