//! A successor that gives up leaves the probe that it asked where it was.

use rustix::process::{Pid, Signal, kill_process};

use crate::{in_kernel::InKernel, probe::Probe, site::Site, turn, waiting::wait_for};

#[test]
fn a_probe_that_is_asked_by_nobody_any_more_goes_on() {
    let Some(_turn) = turn() else { return };
    let site = Site::new();
    let mut probe = site.start().until("Attached");
    signal(&probe, Signal::STOP);
    let given_up = site.start().with(&["--take-over"]).output();
    // Before anything can fail: a stopped process hears no request to end.
    signal(&probe, Signal::CONT);
    assert_eq!(given_up.status.code(), Some(1));
    let said = String::from_utf8(given_up.stderr).unwrap();
    assert!(
        said.contains("did not release the cgroup within 10 s"),
        "{said}"
    );

    site.one_connection();
    assert!(is_running(&probe));
    let status = site.command("status").output();
    let status = String::from_utf8(status.stdout).unwrap();
    let line = format!("process {}, ", probe.pid());
    assert!(status.contains(&line), "{status}");

    let mut successor = site.start().with(&["--take-over"]).until("Attached");
    assert!(probe.wait().success());
    let in_kernel = InKernel::of(&site.cgroup);
    assert!(successor.stop().success());
    site.assert_nothing_is_left(&in_kernel);
}

#[test]
fn a_signal_without_a_request_ends_nobody() {
    let Some(_turn) = turn() else { return };
    let site = Site::new();
    let probe = site.start().until("Attached");
    signal(&probe, Signal::USR1);
    site.one_connection();
    assert!(is_running(&probe));
}

#[test]
fn two_successors_at_once_leave_one_probe() {
    let Some(_turn) = turn() else { return };
    let site = Site::new();
    let mut probe = site.start().until("Attached");
    signal(&probe, Signal::STOP);
    let successors = [(); 2].map(|()| site.start().with(&["--take-over"]).until("Gave up"));
    signal(&probe, Signal::CONT);
    assert!(probe.wait().success());
    let (mut gone, mut left): (Vec<Probe>, Vec<Probe>) = (Vec::new(), successors.into());
    wait_for("the end of one successor", || {
        gone.extend(left.extract_if(.., |probe| !is_running(probe)));
        (!gone.is_empty()).then_some(())
    });
    assert!(gone[0].wait().success());
    site.one_connection();
    assert!(is_running(&left[0]));
    assert!(left[0].stop().success());
    assert_eq!(site.receiver.lost(), 0);
}

fn signal(probe: &Probe, signal: Signal) {
    let pid = Pid::from_raw(probe.pid().cast_signed()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// One that has ended is a zombie until it is waited for.
fn is_running(probe: &Probe) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/stat", probe.pid())).unwrap();
    !status.contains(") Z ")
}
