//! Without hooks: the kernel's table of sockets, and what it tells of their ends.

use syntrace_proto::{Connection, Opening, Origin, Outcome};

use crate::{
    cgroup::Cgroup, client::Client, netns::Netns, probe::Start, receiver::Receiver, turn,
    waiting::wait_for,
};

/// Everything that allows eBPF, but not sockets' marks.
const EBPF: &str = "cap_bpf,cap_perfmon,cap_sys_admin";

/// One connection, both ends: it lives until the next step.
const CONNECTION_IN_STEPS: &str = "
l, port = listen(5)
tell(port)
step()
a, _ = connect(port, 7)
b, _ = l.accept()
a.send(b'hello')
b.recv(5)
step()
a.close()
b.recv(1)
b.close()
step()
";

#[test]
fn a_connection_is_told_with_its_counters_and_its_mark() {
    let Some(_turn) = turn() else { return };
    let cgroup = Cgroup::new();
    let receiver = Receiver::new();
    let probe = Start::run(&cgroup, &receiver).without(EBPF);
    let _probe = probe.until("Attached");
    assert_eq!(receiver.rung().name, "poll");
    let mut client = Client::start(&cgroup, None, CONNECTION_IN_STEPS);
    let port: u16 = client.told();
    client.step();
    let ends = [Opening::Active, Opening::Passive].map(|opening| {
        find(&receiver, |end| {
            end.opening() == opening && end.outcome() == Outcome::Established
        })
    });
    for end in &ends {
        assert_eq!(end.origin(), Origin::Polled);
        assert_eq!(end.owner_pid, client.pid());
        assert_eq!((end.syn_at_ns, end.established_at_ns), (0, 0));
    }
    client.step();
    let (active, passive) = receiver.both_ends(port, Outcome::Closed);
    assert_eq!((active.mark, passive.mark), (7, 0));
    assert_eq!((active.bytes_acked, passive.bytes_acked), (5, 0));
    assert!(active.closed_at_ns > 0);
    assert_eq!(active.socket_cookie, ends[0].socket_cookie);
    assert_eq!(active.minted_id, ends[0].minted_id);
}

#[test]
fn sockets_of_other_cgroups_are_not_told() {
    let Some(_turn) = turn() else { return };
    let (cgroup, other) = (Cgroup::new(), Cgroup::new());
    let receiver = Receiver::new();
    let probe = Start::run(&cgroup, &receiver).without(EBPF);
    let _probe = probe.until("Attached");
    let mut theirs = Client::start(&other, None, CONNECTION_IN_STEPS);
    let their_port = theirs.told::<u32>();
    theirs.step();
    // Theirs is there before ours, which is found at a look.
    let mut ours = Client::start(&cgroup, None, CONNECTION_IN_STEPS);
    let _port: u16 = ours.told();
    ours.step();
    find(&receiver, |end| end.outcome() == Outcome::Established);
    let mut told = receiver.connections();
    told.retain(|end| {
        let ends = [&end.local, &end.peer];
        ends.iter()
            .any(|endpoint| endpoint.as_ref().unwrap().port == their_port)
    });
    assert_eq!(told, []);
}

#[test]
fn a_refused_connect_is_told_in_a_namespace_without_others() {
    let Some(_turn) = turn() else { return };
    let cgroup = Cgroup::new();
    let receiver = Receiver::new();
    let netns = Netns::new();
    let script = "
while True:
    step()
    s, error = connect(9)
    tell(error)
    s.close()
";
    let mut client = Client::start(&cgroup, Some(&netns), script);
    // The probe stands beside the gateway, as in a pod: who may not use eBPF may enter no namespace.
    let probe = Start::run(&cgroup, &receiver).without(EBPF);
    let _probe = netns.within(|| probe.until("Attached"));
    let refused = wait_for("a refused connect", || {
        client.step();
        assert_eq!(client.told::<u32>(), 111);
        let mut told = receiver.connections().into_iter();
        told.find(|end| end.outcome() == Outcome::Refused)
    });
    assert_eq!(refused.opening(), Opening::Active);
    assert_eq!(refused.origin(), Origin::Polled);
    assert_eq!(refused.peer.unwrap().port, 9);
}

#[test]
fn connections_that_are_older_than_the_probe_are_told() {
    let Some(_turn) = turn() else { return };
    let cgroup = Cgroup::new();
    let receiver = Receiver::new();
    let mut client = Client::start(&cgroup, None, CONNECTION_IN_STEPS);
    let port: u16 = client.told();
    client.step();
    wait_for("the connection", || is_established(port).then_some(()));
    let _probe = Start::run(&cgroup, &receiver).until("Attached");
    let older = |opening| {
        find(&receiver, |end| {
            end.opening() == opening && end.origin() == Origin::Backfilled
        })
    };
    for end in [older(Opening::Active), older(Opening::Passive)] {
        assert_eq!(end.outcome(), Outcome::Established);
        assert_eq!((end.syn_at_ns, end.established_at_ns), (0, 0));
    }
    client.step();
    receiver.both_ends(port, Outcome::Closed);
}

/// Waits for a snapshot that `is_meant`.
fn find(receiver: &Receiver, is_meant: impl Fn(&Connection) -> bool) -> Connection {
    wait_for("the snapshot", || {
        receiver.connections().into_iter().find(|end| is_meant(end))
    })
}

/// Returns whether a connection of the listener at `port` is established.
fn is_established(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!(":{port:04X}");
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        fields[1].ends_with(&local) && fields[3] == "01"
    })
}
