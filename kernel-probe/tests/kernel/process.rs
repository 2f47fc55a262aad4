//! The probe as a process: what it costs, what it leaves, and how it does without.

use std::net::TcpListener;

use syntrace_proto::Outcome;

use crate::{
    LOOPBACK,
    cgroup::Cgroup,
    probe::Probe,
    receiver::Receiver,
    say,
    stats::{self, Stats},
    traffic::{self, Exchange, exchange},
    turn,
};

#[test]
fn no_program_runs_for_a_segment_with_data() {
    let Some(_turn) = turn(&["bpftool"]) else {
        return;
    };
    let cgroup = Cgroup::new();
    let receiver = Receiver::new();
    let _probe = Probe::start(
        &cgroup,
        &receiver,
        &["--tag-to", LOOPBACK, "--believe-from", LOOPBACK],
    );
    let stats = Stats::new(&cgroup);
    let _member = cgroup.join();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let before = stats.runs();
    let mut pair = traffic::connected(&listener);
    pair.round_trips(1);
    let established = stats.runs();
    pair.round_trips(1000);
    assert_eq!(stats.runs(), established);
    drop(pair);
    receiver.both_ends(listener.local_addr().unwrap().port(), Outcome::Closed);
    let (runs, ns) = (stats.runs() - before, stats.run_time_ns());
    say(&format!(
        "sock_ops runs for both ends of a connection: {runs}, all runs took {ns} ns"
    ));
    assert!(runs <= 21, "{runs} runs");
}

#[test]
fn nothing_is_lost_while_the_bridge_is_away() {
    let Some(_turn) = turn(&[]) else { return };
    let cgroup = Cgroup::new();
    let receiver = Receiver::closed();
    let mut probe = Probe::start(&cgroup, &receiver, &[]);
    let port = cgroup.within(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        exchange(
            &listener,
            Exchange {
                request: 1,
                response: 1,
            },
        )
    });
    receiver.open();
    receiver.both_ends(port, Outcome::Closed);
    assert!(probe.stop().success());
    receiver.assert_whole_epoch("");
}

#[test]
fn without_privileges_the_probe_says_so_and_stays() {
    let Some(_turn) = turn(&[]) else { return };
    let cgroup = Cgroup::new();
    let receiver = Receiver::new();
    let mut probe = Probe::start_as_nobody(&cgroup, &receiver);
    let rung = receiver.rung();
    assert_eq!(rung.name, "l7-only");
    assert!(
        rung.missing
            .iter()
            .any(|sentence| sentence.contains("CAP_BPF")),
        "{rung:?}"
    );
    assert!(probe.stop().success());
}

#[test]
fn nothing_stays_attached_behind() {
    let Some(_turn) = turn(&["bpftool"]) else {
        return;
    };
    let cgroup = Cgroup::new();
    let receiver = Receiver::new();
    let mut probe = Probe::start(&cgroup, &receiver, &[]);
    assert_eq!(stats::attached(&cgroup).len(), 2);
    assert!(probe.stop().success());
    assert_eq!(stats::attached(&cgroup).len(), 0);
}
