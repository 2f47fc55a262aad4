//! The probe as a process: what it costs, what it leaves, and how it does without.

use std::{
    fs,
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use syntrace_proto::{Outcome, TagState};

use crate::{
    LOOPBACK,
    cgroup::Cgroup,
    probe::Probe,
    receiver::Receiver,
    say,
    stats::{Cost, Stats},
    traffic::{self, Exchange, exchange},
    turn,
};

#[test]
fn no_program_runs_for_a_segment_with_data() {
    let Some(_turn) = turn(&[]) else { return };
    let cgroup = Cgroup::new();
    let receiver = Receiver::new();
    let probe = Probe::start(
        &cgroup,
        &receiver,
        &["--tag-to", LOOPBACK, "--believe-from", LOOPBACK],
    );
    let _stats = Stats::new();
    let runs = || Cost::of(probe.pid()).sock_ops_runs;
    let _member = cgroup.join();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let before = Cost::of(probe.pid());
    let mut pair = traffic::connected(&listener);
    pair.round_trips(1);
    let established = runs();
    pair.round_trips(1000);
    assert_eq!(runs(), established);
    drop(pair);
    receiver.both_ends(listener.local_addr().unwrap().port(), Outcome::Closed);
    let cost = Cost::of(probe.pid()) - before;
    say(&format!("both ends of one connection cost: {cost:?}"));
    assert!(cost.sock_ops_runs <= 21, "{cost:?}");
}

#[test]
fn of_the_ring_only_a_window_is_mapped() {
    let Some(_turn) = turn(&[]) else { return };
    let (cgroup, receiver) = (Cgroup::new(), Receiver::new());
    let probe = Probe::start(&cgroup, &receiver, &[]);
    let port = cgroup.within(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        drop(traffic::connected(&listener));
        listener.local_addr().unwrap().port()
    });
    receiver.both_ends(port, Outcome::Closed);
    let maps = fs::read_to_string(format!("/proc/{}/maps", probe.pid())).unwrap();
    let mapped = maps.lines().filter(|line| line.ends_with("bpf-map"));
    let bytes = mapped.map(|line| {
        let (range, _) = line.split_once(' ').unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|at| u64::from_str_radix(at, 16).unwrap());
        end - start
    });
    // The ring has 32 MiB.
    let bytes: u64 = bytes.sum();
    assert!(bytes > 0 && bytes < 1 << 20, "{bytes}");
}

#[test]
fn nothing_is_lost_while_the_bridge_is_away() {
    let Some(_turn) = turn(&[]) else { return };
    let cgroup = Cgroup::new();
    let receiver = Receiver::closed();
    let mut probe = Probe::start(&cgroup, &receiver, &[]);
    let port = cgroup.within(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        exchange(&listener, Exchange::SMALLEST)
    });
    receiver.open();
    receiver.both_ends(port, Outcome::Closed);
    assert!(probe.stop().success());
    receiver.assert_whole_epoch("");
}

#[test]
fn a_probe_that_stands_still_for_longer_than_its_lease_tags_no_more() {
    let Some(_turn) = turn(&[]) else { return };
    let cgroup = Cgroup::new();
    let receiver = Receiver::new();
    let orders = ["--tag-to", LOOPBACK, "--believe-from", LOOPBACK];
    let probe = Probe::start(&cgroup, &receiver, &orders);
    let _member = cgroup.join();
    let connect = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        drop(traffic::connected(&listener));
        listener.local_addr().unwrap().port()
    };
    let before = connect();
    probe.freeze();
    let frozen_at = Instant::now();
    let mut within = connect();
    // The lease is 10 s, of which up to 2 had passed: tagged until 8, no more after 10.
    let mut after = within;
    while frozen_at.elapsed() < Duration::from_millis(10_500) {
        thread::park_timeout(Duration::from_millis(500));
        after = connect();
        if frozen_at.elapsed() < Duration::from_millis(7_500) {
            within = after;
        }
    }
    probe.thaw();
    let tagged = |port| {
        let (active, passive) = receiver.both_ends(port, Outcome::Closed);
        (active.tag_state(), passive.tag_state())
    };
    assert_eq!(tagged(before), (TagState::Answered, TagState::Believed));
    assert_eq!(tagged(within), (TagState::Answered, TagState::Believed));
    assert_eq!(tagged(after), (TagState::None, TagState::None));
}

#[test]
fn without_privileges_the_probe_says_so_and_stays() {
    let Some(_turn) = turn(&[]) else { return };
    let cgroup = Cgroup::new();
    let receiver = Receiver::new();
    let mut probe = Probe::start_as_nobody(&cgroup, &receiver);
    let rung = receiver.rung();
    assert_eq!(rung.name, "poll");
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
    assert_eq!(cgroup.programs().len(), 3);
    assert!(probe.stop().success());
    assert_eq!(cgroup.programs().len(), 0);
}
