//! The sandbox itself: it is what it says, and nothing of it stays.

use std::{
    fs, panic,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use syntrace_integration::{
    capture::Capture,
    cgroup, clients,
    deadline::{self, Look},
    netns,
    process::{self, Program},
    requirements,
    sandbox::{CLIENT, GATEWAY, Sandbox},
    services::{self, Services},
    sweep,
};

/// Loopback and virtual cables are fast.
const SOON: Duration = Duration::from_secs(10);

#[test]
fn nothing_remains_of_a_sandbox_whose_test_panics() {
    if !requirements::are_met() {
        return;
    }
    let mut made = Vec::new();
    let outcome = panic::catch_unwind(panic::AssertUnwindSafe(|| {
        let sandbox = Sandbox::new().unwrap();
        let sleeper = Program::new("sleeper", &sandbox.watched, "sleep")
            .inside(&sandbox.client)
            .args(["600"]);
        let sleeper = sleeper.start(sandbox.directory()).unwrap();
        made.extend([
            sandbox.directory().to_owned(),
            sandbox.watched.path().to_owned(),
        ]);
        made.push(netns::directory().join(sandbox.client.name()));
        made.push(PathBuf::from(format!("/proc/{}", sleeper.id())));
        assert!(made.iter().all(|path| path.exists()), "{made:?}");
        panic!("on purpose");
    }));
    assert!(outcome.is_err());
    assert_eq!(made.len(), 4);
    for path in made {
        assert!(!path.exists(), "{}", path.display());
    }
}

#[test]
fn what_a_killed_run_left_behind_is_swept_by_the_next() {
    if !requirements::are_met() {
        return;
    }
    // This process sweeps no more: only the next one finds what is left from now on.
    sweep::unique_name().unwrap();
    let mut ended = Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    let name = format!("syntrace-{}-0", ended.id());
    let leftovers = [
        std::env::temp_dir().join(&name),
        cgroup::mount_point().unwrap().join(&name),
        netns::directory().join(format!("{name}-client")),
    ];
    fs::create_dir(&leftovers[0]).unwrap();
    fs::create_dir(&leftovers[1]).unwrap();
    let namespace = format!("{name}-client");
    process::run("ip", ["netns", "add", &namespace]).unwrap();
    let bpffs = leftovers[0].join("bpffs");
    fs::create_dir(&bpffs).unwrap();
    process::run("mount", ["-t", "bpf", "bpf", bpffs.to_str().unwrap()]).unwrap();

    // A process of its own: each sweeps once, at its first sandbox.
    let test = std::env::current_exe().unwrap();
    let next = Command::new(test)
        .args(["--exact", "nothing_remains_of_a_sandbox_whose_test_panics"])
        .output();
    assert!(next.unwrap().status.success());

    for path in leftovers {
        assert!(!path.exists(), "{}", path.display());
    }
}

#[test]
fn the_demo_removes_everything_when_it_is_interrupted() {
    if !requirements::are_met() {
        return;
    }
    let mut demo = Command::new(env!("CARGO_BIN_EXE_demo"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let name = format!("syntrace-{}-0", demo.id());
    let made = [
        std::env::temp_dir().join(&name),
        cgroup::mount_point().unwrap().join(&name),
        netns::directory().join(format!("{name}-service-grpc")),
    ];
    deadline::wait("the demo's sandbox", SOON, || {
        let status = demo.try_wait()?;
        let is_there = made.iter().all(|path| path.exists());
        Ok(if is_there {
            Look::Done(())
        } else {
            Look::NotYet(format!("{status:?}"))
        })
    })
    .unwrap();
    kill_process(Pid::from_child(&demo), Signal::INT).unwrap();

    assert_eq!(demo.wait().unwrap().code(), Some(130));
    for path in made {
        assert!(!path.exists(), "{}", path.display());
    }
}

#[test]
fn a_capture_tells_an_answered_syn_from_a_refused_one() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let capture = Capture::start(&sandbox, &sandbox.client).unwrap();
    let refused = clients::connect(&sandbox, 9).unwrap();
    assert!(refused.refused);

    let openings = deadline::wait("the SYN in the capture", SOON, || {
        let openings = capture.openings()?;
        Ok(if openings.is_empty() {
            Look::NotYet("nothing".to_owned())
        } else {
            Look::Done(openings)
        })
    });
    let [syn] = openings.unwrap()[..] else {
        panic!("one SYN was sent, none was answered")
    };
    assert_eq!((syn.from, syn.to), (refused.local, (GATEWAY, 9).into()));
    assert_eq!(syn.from.ip(), CLIENT);
    assert!(!syn.is_answer && !syn.is_retransmission);
    assert_eq!(syn.tag, None);
}

#[test]
fn the_services_come_up_where_only_the_gateway_reaches_them() {
    if !requirements::are_met() {
        return;
    }
    let sandbox = Sandbox::new().unwrap();
    let _services = Services::start(&sandbox).unwrap();
    let fetch = |namespace| {
        let url = format!(
            "http://{}:{}/hello",
            syntrace_integration::sandbox::SERVICE_HTTP,
            services::HTTP_PORT
        );
        let curl = Program::new("fetch", &sandbox.watched, "curl").inside(namespace);
        curl.args(["-q", "-sS", "--noproxy", "*", &url])
            .start(sandbox.directory())?
            .finish(SOON)
    };
    assert_eq!(fetch(&sandbox.gateway).unwrap(), "hello\n");
    assert!(fetch(&sandbox.client).is_err());
}
