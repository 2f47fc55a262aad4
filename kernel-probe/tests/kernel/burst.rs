//! As many connections as the machine makes: each is told, or counted as lost.

use std::{
    collections::BTreeSet,
    net::TcpListener,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use syntrace_proto::Connection;

use crate::{
    cgroup::Cgroup, probe::Probe, receiver::Receiver, say, traffic, turn, waiting::wait_for,
};

const CONNECTIONS: u64 = 10_000;

/// Each end is told of when established and closed, one of both when accepted.
const SNAPSHOTS: u64 = 5;

/// What makes connections at once, both ends of them.
const THREADS: u64 = 2;

/// How long the reader stands still.
const PAUSE: Duration = Duration::from_secs(1);

#[test]
fn each_connection_is_told_though_the_reader_stands_still_for_a_second() {
    let Some(_turn) = turn(&[]) else { return };
    let cgroup = Cgroup::new();
    let receiver = Receiver::new();
    let probe = Probe::start(&cgroup, &receiver, &[]);
    let _member = cgroup.join();
    for round in 1..=3 {
        let made = AtomicU64::new(0);
        let began = Instant::now();
        let took = thread::scope(|scope| {
            let making = scope.spawn(|| {
                connect(CONNECTIONS, &made);
                began.elapsed()
            });
            wait_for("a quarter of all connections", || {
                (made.load(Ordering::Relaxed) > CONNECTIONS / 4).then_some(())
            });
            probe.freeze();
            thread::sleep(PAUSE);
            probe.thaw();
            making.join().unwrap()
        });
        let expected = round * CONNECTIONS;
        let arrived = receiver.arrived(SNAPSHOTS * expected);
        say(&format!(
            "round {round}: {CONNECTIONS} connections in {took:?}, {arrived} snapshots so far, {} lost",
            receiver.lost()
        ));
        assert_eq!((arrived, receiver.lost()), (SNAPSHOTS * expected, 0));
    }
    let snapshots = receiver.connections();
    let closed = |end: &&Connection| end.closed_at_ns > 0;
    let each: BTreeSet<_> = snapshots
        .iter()
        .filter(closed)
        .map(|end| end.socket_cookie)
        .collect();
    assert_eq!(each.len() as u64, 2 * 3 * CONNECTIONS);
}

#[test]
fn what_finds_the_ring_full_is_counted() {
    let Some(_turn) = turn(&[]) else { return };
    let cgroup = Cgroup::new();
    let receiver = Receiver::new();
    // The ring holds 83,000 snapshots.
    let mut probe = Probe::start(&cgroup, &receiver, &["--ring-bytes", "16777216"]);
    let expected = SNAPSHOTS * 2 * CONNECTIONS;
    probe.freeze();
    cgroup.within(|| connect(2 * CONNECTIONS, &AtomicU64::new(0)));
    probe.thaw();
    assert!(probe.stop().success());
    let arrived = receiver.arrived(expected - receiver.lost());
    say(&format!(
        "of {expected} snapshots {arrived} arrived, {} were lost",
        receiver.lost()
    ));
    assert!(receiver.lost() > 0);
    assert_eq!(arrived + receiver.lost(), expected);
}

/// Makes `count` connections as fast as possible, counted in `made`.
fn connect(count: u64, made: &AtomicU64) {
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                for _ in 0..count / THREADS {
                    drop(traffic::connected(&listener));
                    made.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
}
