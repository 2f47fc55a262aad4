//! Which sockets are a gateway's, and how long its senders are remembered.

use syntrace_model::Opening;

use super::*;
use crate::{example, fact::Snapshot, limits::Limits, probes::ProbeId, sockets::Sockets};

/// What a gateway says of a socket: may own it, owns it, may have dialled it, dialled it.
fn says(known: (u64, u32, u32), (netns, pid, tid): (u64, u32, u32)) -> [bool; 4] {
    let gateway = gateway(known);
    with_socket(netns, pid, tid, |socket| {
        [
            gateway.may_own(socket),
            gateway.owns(socket),
            gateway.may_have_dialled(socket),
            gateway.dialled(socket),
        ]
    })
}

#[test]
fn namespace_process_and_thread_are_all_held_against_a_socket() {
    let known = (7, 1, 2);
    assert_eq!(says(known, (7, 1, 2)), [true; 4]);
    assert_eq!(says(known, (0, 1, 2)), [true; 4]);
    assert_eq!(says(known, (8, 1, 2)), [false; 4]);
    assert_eq!(says(known, (7, 9, 2)), [false; 4]);
    assert_eq!(says(known, (7, 1, 9)), [true, true, false, false]);
}

#[test]
fn what_is_not_known_may_be_but_is_not() {
    let perhaps = [true, false, true, false];
    assert_eq!(says((7, 1, 2), (7, 0, 2)), perhaps);
    assert_eq!(says((7, 0, 2), (7, 0, 2)), perhaps);
    assert_eq!(says((7, 0, 2), (7, 1, 2)), perhaps);
    assert_eq!(says((7, 1, 2), (7, 1, 0)), [true, true, true, false]);
    assert_eq!(says((7, 1, 0), (7, 1, 0)), [true, true, true, false]);
}

#[test]
fn a_socket_completes_only_what_is_not_known() {
    let completed = |known| with_socket(8, 9, 10, |socket| gateway(known).completed_by(socket));
    assert_eq!(completed((0, 0, 0)), gateway((8, 9, 10)));
    assert_eq!(completed((7, 1, 2)), gateway((7, 1, 2)));
    assert_eq!(completed((7, 1, 0)), gateway((7, 1, 10)));
}

#[test]
fn who_dialled_is_the_thread_before_who_accepted() {
    let mut bindings = Bindings::default();
    with_socket(7, 1, 3, |socket| bindings.accepted(5, socket));
    assert_eq!(bindings.of(5), gateway((7, 1, 3)));
    with_socket(7, 1, 2, |socket| bindings.dialled(5, socket));
    assert_eq!(bindings.of(5), gateway((7, 1, 2)));
    assert_eq!(bindings.of(6), Gateway::default());
}

#[test]
fn beyond_the_bound_the_lowest_epoch_is_forgotten() {
    let mut bindings = Bindings::default();
    let senders = SENDERS_MAX as u64;
    with_socket(7, 1, 2, |socket| {
        (0..senders).for_each(|epoch| bindings.dialled(epoch, socket));
        bindings.dialled(1, socket);
        assert_eq!(bindings.of(0), gateway((7, 1, 2)));
        bindings.dialled(senders, socket);
    });
    assert_eq!(bindings.of(0), Gateway::default());
    assert_eq!(bindings.all().count(), SENDERS_MAX);
}

#[test]
fn evidence_that_contradicts_itself_teaches_nothing() {
    let mut agreed = Agreed::default();
    agreed.learn(0);
    assert_eq!(agreed, Agreed::Unknown);
    agreed.learn(7);
    agreed.learn(7);
    assert_eq!(agreed.value(), 7);
    agreed.learn(8);
    agreed.learn(7);
    assert_eq!((agreed, agreed.value()), (Agreed::Torn, 0));
}

#[test]
fn what_is_not_known_contradicts_nothing() {
    assert!(agree(0, 7) && agree(7, 0) && agree(7, 7));
    assert!(!agree(7, 8));
}

fn gateway((netns, pid, tid): (u64, u32, u32)) -> Gateway {
    Gateway { netns, pid, tid }
}

fn with_socket<T>(netns: u64, pid: u32, tid: u32, then: impl FnOnce(Socket<'_>) -> T) -> T {
    let told = Snapshot {
        netns,
        opening: Opening::Active,
        owner_pid: pid,
        owner_tid: tid,
        ..example::socket()
    };
    let mut sockets = Sockets::new(Limits::default());
    sockets.observe(None, &told, ProbeId::default());
    let connection = sockets.get(told.id()).unwrap();
    then(connection.socket().unwrap())
}
