//! Each capability, for real: what is taken away is named, and the best that is left works.

use syntrace_proto::Outcome;

use crate::{
    cgroup::Cgroup,
    client::{Client, ONE_CONNECTION},
    netns::Netns,
    probe::{Probe, Start},
    receiver::{Receiver, port_of},
    turn,
    waiting::wait_for,
};

/// What a start with less than everything is to look like.
struct Expected {
    rung: &'static str,
    /// Words of a sentence that names what is missing, and why.
    missing: &'static [&'static str],
}

#[test]
fn without_cap_bpf_the_table_of_sockets_is_left() {
    let taken = |start: Start| start.without("cap_bpf,cap_sys_admin");
    check(
        taken,
        &Expected {
            rung: "poll",
            missing: &["life cycle", "lacks CAP_BPF"],
        },
    );
}

#[test]
fn without_cap_net_admin_no_program_is_loaded() {
    let taken = |start: Start| start.without("cap_net_admin,cap_sys_admin");
    check(
        taken,
        &Expected {
            rung: "poll",
            missing: &["life cycle", "lacks CAP_NET_ADMIN"],
        },
    );
}

#[test]
fn without_cap_perfmon_the_verifier_takes_no_program() {
    let taken = |start: Start| start.without("cap_perfmon,cap_sys_admin");
    check(
        taken,
        &Expected {
            rung: "poll",
            missing: &["life cycle", "lacks CAP_PERFMON"],
        },
    );
}

#[test]
fn without_the_kernels_types_only_the_close_reason_is_lost() {
    let taken = |start: Start| start.after("mount -t tmpfs tmpfs /sys/kernel/btf");
    check(
        taken,
        &Expected {
            rung: "observe",
            missing: &[
                "close reason",
                "/sys/kernel/btf/vmlinux",
                "CONFIG_DEBUG_INFO_BTF",
            ],
        },
    );
}

#[test]
fn without_bpffs_only_the_successor_is_worse_off() {
    check(
        |start| start,
        &Expected {
            rung: "observe",
            missing: &["take over", "bpffs is not mounted at /nonexistent"],
        },
    );
}

#[test]
fn without_cgroup_v2_one_process_is_followed_by_the_table_of_sockets() {
    let Some(_turn) = turn() else { return };
    let cgroup = Cgroup::new();
    let receiver = Receiver::new();
    let mount = crate::cgroup::mount().unwrap();
    let hide = format!("umount -l {}", mount.display());
    let by_cgroup = Start::run(&cgroup, &receiver).after(&hide).output();
    assert_eq!(by_cgroup.status.code(), Some(64));
    let said = String::from_utf8(by_cgroup.stderr).unwrap();
    assert!(said.contains("No such file or directory"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");

    let script = "
step()
l, port = listen(5)
a, _ = connect(port)
b, _ = l.accept()
tell(port)
step()
";
    let mut client = Client::start(&cgroup, None, script);
    let pid = client.pid().to_string();
    let by_pid = Start::of(&["run", "--pid", &pid, "--bridge", &receiver.address()]);
    let _probe = by_pid.after(&hide).until("Attached");
    let rung = receiver.rung();
    assert_eq!(rung.name, "poll");
    assert!(
        rung.missing[0].contains("hooks need a cgroup v2"),
        "{rung:?}"
    );
    client.step();
    let port: u16 = client.told();
    wait_for("the connection", || {
        let mut told = receiver.connections().into_iter();
        told.find(|end| port_of(end) == u32::from(port))
    });
}

#[test]
fn what_is_attached_keeps_no_privilege_but_in_the_thread_that_enters_namespaces() {
    let Some(_turn) = turn() else { return };
    let cgroup = Cgroup::new();
    let receiver = Receiver::new();
    let probe = Start::run(&cgroup, &receiver).until("Attached");
    let status = std::fs::read_to_string(format!("/proc/{}/status", probe.pid())).unwrap();
    for held in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(
            status.contains(&format!("{held}:\t0000000000000000")),
            "{status}"
        );
    }
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    let held = "none; thread namespaces: CAP_SYS_PTRACE CAP_SYS_ADMIN";
    assert_status(&probe, held);
    // It still does its work.
    let port: u16 = Client::start(&cgroup, None, ONE_CONNECTION).told();
    receiver.both_ends(port, Outcome::Closed);
}

#[test]
fn who_wants_no_other_namespaces_keeps_nothing_at_all() {
    let Some(_turn) = turn() else { return };
    let (cgroup, receiver) = (Cgroup::new(), Receiver::new());
    let probe = Start::run(&cgroup, &receiver).with(&["--without", "listeners,backfill"]);
    assert_status(&probe.until("Attached"), "none");
}

#[test]
fn a_namespace_that_cannot_be_entered_is_missing_as_long_as_somebody_is_in_it() {
    let Some(_turn) = turn() else { return };
    let (cgroup, receiver) = (Cgroup::new(), Receiver::new());
    let start = Start::run(&cgroup, &receiver).without("cap_sys_admin");
    let _probe = start.until("Attached");
    let (first, second) = (Netns::new(), Netns::new());
    let in_first = Client::start(&cgroup, Some(&first), "step()");
    await_missing(&receiver, Some(&in_first));
    let in_second = Client::start(&cgroup, Some(&second), "step()");
    drop(in_first);
    await_missing(&receiver, Some(&in_second));
    drop(in_second);
    await_missing(&receiver, None);
}

/// Waits until the listeners of nobody but `client` are said to be missing.
fn await_missing(receiver: &Receiver, client: Option<&Client>) {
    let expected = client.map(|client| {
        let pid = client.pid();
        format!("listeners: entering the network namespace of process {pid} failed")
    });
    wait_for("what is missing", || {
        let missing = receiver.latest_rung()?.missing.into_iter();
        let found = missing.filter(|sentence| sentence.starts_with("listeners"));
        let found: Vec<String> = found.collect();
        let is_expected = match (&expected, found.as_slice()) {
            (None, []) => true,
            (Some(expected), [only]) => only.starts_with(expected),
            _ => false,
        };
        is_expected.then_some(())
    });
}

fn assert_status(probe: &Probe, held: &str) {
    let line = format!(
        "process {}, capabilities: {held} (no new ones)",
        probe.pid()
    );
    wait_for("what is given up", || {
        let output = Start::of(&["status"]).output();
        let said = String::from_utf8(output.stdout).unwrap();
        said.contains(&line).then_some(())
    });
}

/// Starts the probe with what `take` leaves it, and compares what it says of itself; then a
/// connection comes and goes, unharmed.
fn check(take: impl Fn(Start) -> Start, expected: &Expected) {
    let Some(_turn) = turn() else { return };
    let cgroup = Cgroup::new();
    let receiver = Receiver::new();
    let mut probe = take(Start::run(&cgroup, &receiver)).until("Attached");
    let rung = receiver.rung();
    assert_eq!(rung.name, expected.rung, "{rung:?}");
    let is_named = |sentence: &String| {
        let mut words = expected.missing.iter();
        words.all(|word| sentence.contains(word))
    };
    assert!(rung.missing.iter().any(is_named), "{rung:?}");
    let port: u16 = Client::start(&cgroup, None, ONE_CONNECTION).told();
    if expected.rung == "observe" {
        let closed = |end: &syntrace_proto::Connection| {
            end.closed_at_ns > 0 && port_of(end) == u32::from(port)
        };
        wait_for("both ends", || {
            (receiver
                .connections()
                .iter()
                .filter(|end| closed(end))
                .count()
                == 2)
                .then_some(())
        });
    }
    assert!(probe.stop().success());
}
