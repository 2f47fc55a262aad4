//! Successors with other orders: one that only tags in the place of one that observes too, and back,
//! while connections are open, come and go.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{Read as _, Write as _},
    mem,
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use rustix::net::{
    AddressFamily, SocketType, socket,
    sockopt::{set_tcp_quickack, socket_cookie},
};
use syntrace_proto::{Connection, Opening, Outcome, TagState};

use crate::{
    in_kernel::InKernel,
    netns::Netns,
    probe::{Probe, Start, TAGS},
    receiver::port_of,
    say,
    site::Site,
    stats::{Cost, Stats},
    traffic::{Pair, connected},
    turn,
    waiting::wait_for,
};

const NOTHING_ELSE: [&str; 2] = ["--without", "life-cycle,accept-wait,incidents,backfill"];

/// How often the orders change under load.
const CHANGES: usize = 3;

/// Connections between two changes.
const OBSERVED: usize = 100;

/// How far connections lie apart of which several are to be in one moment of 200 ms (`TCP_DELACK_MAX`).
const APART: Duration = Duration::from_millis(5);

/// How many of these are kept: half a second's.
const KEPT: usize = 100;

/// Where probes follow each other: a network namespace, in which somebody of the cgroup is.
pub(crate) struct Place {
    pub(crate) site: Site,
    pub(crate) netns: Netns,
    /// Namespaces are found by who is in them.
    inhabitant: Child,
}

impl Place {
    pub(crate) fn new() -> Self {
        let (site, netns) = (Site::new(), Netns::new());
        let sleep = || Command::new("sleep").arg("600").spawn().unwrap();
        Self {
            inhabitant: site.cgroup.within(|| netns.within(sleep)),
            site,
            netns,
        }
    }

    /// Tags, and observes as well.
    pub(crate) fn observing(&self) -> Start {
        self.site.start().with(&TAGS)
    }

    pub(crate) fn only_tagging(&self) -> Start {
        self.observing().with(&NOTHING_ELSE)
    }

    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.site.cgroup.within(|| self.netns.within(work))
    }

    pub(crate) fn listener(&self) -> TcpListener {
        self.within(|| TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub(crate) fn connected(&self, listener: &TcpListener) -> Pair {
        self.within(|| connected(listener))
    }

    /// Returns what was told of the ends of connections to `listener`.
    fn ends(&self, listener: &TcpListener) -> Vec<Connection> {
        let port = listener.local_addr().unwrap().port();
        let mut told = self.site.receiver.connections();
        told.retain(|end| port_of(end) == u32::from(port) && end.closed_at_ns > 0);
        told
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.inhabitant.kill());
        drop(self.inhabitant.wait());
    }
}

/// Puts `successor` in the place of `probe`.
fn take_over(probe: &mut Probe, successor: Start) {
    let successor = successor.with(&["--take-over"]).until("Attached");
    assert!(mem::replace(probe, successor).wait().success());
}

#[test]
fn open_connections_outlive_a_successor_that_only_tags_and_one_that_observes_again() {
    let Some(_turn) = turn() else { return };
    let place = Place::new();
    place.netns.nft("tcp option 253 exists counter");
    let mut probe = place.observing().until("Attached");
    let listeners = [(); 3].map(|()| place.listener());
    let through = place.connected(&listeners[0]);
    let unseen = place.connected(&listeners[1]);
    take_over(&mut probe, place.only_tagging());
    let tagged = place.connected(&listeners[2]);
    let late = place.listener();
    drop(unseen);
    take_over(&mut probe, place.observing());
    let observed = place.connected(&late);
    // The SYN and the SYN-ACK of each, whoever was there.
    assert_eq!(place.netns.dropped_packets(), 8);

    let stats = Stats::new();
    let before = Cost::of(probe.pid());
    let mut pairs = [through, tagged, observed];
    for pair in &mut pairs {
        pair.round_trips(100);
    }
    assert_eq!((Cost::of(probe.pid()) - before).sock_ops_runs, 0);
    drop((stats, pairs));

    let ends = |listener: &TcpListener| {
        let port = listener.local_addr().unwrap().port();
        let ends = place.site.receiver.both_ends(port, Outcome::Closed);
        assert_eq!(place.ends(listener).len(), 2);
        ends
    };
    for listener in [&listeners[0], &late] {
        let (active, passive) = ends(listener);
        let states = (active.tag_state(), passive.tag_state());
        assert_eq!(states, (TagState::Answered, TagState::Believed));
        assert!(active.syn_at_ns > 0 && passive.syn_at_ns > 0);
    }
    // Nobody observed this handshake.
    let (active, passive) = ends(&listeners[2]);
    assert_eq!((active.syn_at_ns, passive.syn_at_ns), (0, 0));
    // Nor this end.
    assert!(place.ends(&listeners[1]).is_empty());
    let in_kernel = InKernel::of(&place.site.cgroup);
    assert!(probe.stop().success());
    place.site.assert_nothing_is_left(&in_kernel);
}

#[test]
fn while_orders_change_connections_that_are_observed_are_told_once() {
    let Some(_turn) = turn() else { return };
    let place = Place::new();
    let mut probe = place.observing().until("Attached");
    let n_connected = AtomicUsize::new(0);
    // Even while one observes and nobody follows yet.
    let moment = AtomicUsize::new(0);
    let is_over = |moment| moment > 2 * CHANGES;
    let listener = place.listener();
    let address = listener.local_addr().unwrap();
    let member = place.site.cgroup.join();
    let names: Vec<([u64; 2], bool)> = thread::scope(|scope| {
        let connecting = scope.spawn(|| {
            place.netns.within(|| {
                let mut names = Vec::new();
                loop {
                    let before = moment.load(Ordering::SeqCst);
                    if is_over(before) {
                        return names;
                    }
                    let active = TcpStream::connect(address).unwrap();
                    let (mut passive, _) = listener.accept().unwrap();
                    let both = [socket_cookie(&active), socket_cookie(&passive)];
                    drop(active);
                    assert_eq!(passive.read(&mut [0]).unwrap(), 0);
                    drop(passive);
                    let is_observed =
                        before.is_multiple_of(2) && moment.load(Ordering::SeqCst) == before;
                    n_connected.fetch_add(1, Ordering::SeqCst);
                    thread::sleep(APART);
                    names.push((both.map(Result::unwrap), is_observed));
                }
            })
        });
        for _ in 0..CHANGES {
            moment.fetch_add(1, Ordering::SeqCst);
            take_over(&mut probe, place.only_tagging());
            take_over(&mut probe, place.observing());
            moment.fetch_add(1, Ordering::SeqCst);
            let before = n_connected.load(Ordering::SeqCst);
            wait_for("connections", || {
                (n_connected.load(Ordering::SeqCst) - before > OBSERVED).then_some(())
            });
        }
        moment.fetch_add(1, Ordering::SeqCst);
        connecting.join().unwrap()
    });
    drop(member);
    assert!(probe.stop().success());
    assert_eq!(place.site.receiver.lost(), 0);
    let mut told: BTreeMap<(Opening, u64), usize> = BTreeMap::new();
    for end in place.ends(&listener) {
        *told.entry((end.opening(), end.socket_cookie)).or_default() += 1;
    }
    let n_observed = names.iter().filter(|(_, is_observed)| *is_observed).count();
    say(&format!(
        "{} connections, {n_observed} of them observed",
        names.len()
    ));
    assert!(n_observed >= CHANGES * OBSERVED, "{n_observed}");
    for ([active, passive], is_observed) in names {
        for name in [(Opening::Active, active), (Opening::Passive, passive)] {
            let times = told.get(&name).copied().unwrap_or(0);
            assert!(
                times == 1 || times == 0 && !is_observed,
                "{name:?}: {times}"
            );
        }
    }
}

/// The tag is to be sent again with a segment for which the client waits; who follows does not do that.
#[test]
fn a_tag_that_is_asked_for_again_before_orders_change_costs_no_data_packet_anything() {
    let Some(_turn) = turn() else { return };
    let place = Place::new();
    place.netns.sysctl("net.ipv4.tcp_syncookies=2");
    let mut probe = place.observing().until("Attached");
    let listener = place.listener();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let is_over = AtomicBool::new(false);
    let member = place.site.cgroup.join();
    let (mut waiting, accepted) = thread::scope(|scope| {
        let connecting = scope.spawn(|| {
            place.netns.within(|| {
                let (mut waiting, mut accepted) = (VecDeque::new(), VecDeque::new());
                let mut n_unaccepted = 0;
                while !is_over.load(Ordering::SeqCst) {
                    waiting.push_back(connect_without_ack(address));
                    n_unaccepted += 1;
                    while let Ok((passive, _)) = listener.accept() {
                        accepted.push_back(passive);
                        n_unaccepted -= 1;
                    }
                    if waiting.len() > KEPT {
                        drop((waiting.pop_front(), accepted.pop_front()));
                    }
                    thread::sleep(APART);
                }
                listener.set_nonblocking(false).unwrap();
                let rest = (0..n_unaccepted).map(|_| listener.accept().unwrap().0);
                accepted.extend(rest);
                (waiting, accepted)
            })
        });
        take_over(&mut probe, place.only_tagging());
        is_over.store(true, Ordering::SeqCst);
        connecting.join().unwrap()
    });
    let _stats = Stats::new();
    let before = Cost::of(probe.pid());
    for active in &mut waiting {
        active.set_nodelay(true).unwrap();
        for _ in 0..10 {
            active.write_all(b"?").unwrap();
        }
    }
    let cost = Cost::of(probe.pid()) - before;
    assert_eq!(cost.sock_ops_runs, 0, "{} connections", waiting.len());
    drop((waiting, accepted, member));
    let in_kernel = InKernel::of(&place.site.cgroup);
    let detach = place.site.command("detach").on(&place.site.cgroup);
    assert!(detach.output().status.success());
    assert!(probe.wait().success());
    place.site.assert_nothing_is_left(&in_kernel);
}

/// Connects, and leaves the segment that ends the handshake to the first data, or to a timer.
fn connect_without_ack(address: SocketAddr) -> TcpStream {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    set_tcp_quickack(&socket, false).unwrap();
    rustix::net::connect(&socket, &address).unwrap();
    socket.into()
}
