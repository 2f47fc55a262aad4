//! Successors: nothing is lost, nothing is seen twice, nothing is left.

use std::{
    collections::BTreeMap,
    fs,
    net::{TcpListener, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use syntrace_proto::{Connection, Opening, Outcome};

use crate::{
    bpffs::Bpffs,
    cgroup::Cgroup,
    in_kernel::InKernel,
    probe::{Probe, Start},
    receiver::Receiver,
    say,
    site::Site,
    turn,
    waiting::wait_for,
};

/// Successors in a row, the last of which does not differ from the first: a roll-back.
const SUCCESSORS: u32 = 100;

/// Connections that nobody accepts before the listener closes: this host resets them.
const UNACCEPTED: u64 = 32;

#[test]
fn a_hundred_take_overs_lose_nothing_and_see_nothing_twice() {
    let Some(_turn) = turn() else { return };
    let site = Site::new();
    let mut probe = site.start().until("Attached");
    let is_over = AtomicBool::new(false);
    let member = site.cgroup.join();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let n_connected: u64 = thread::scope(|scope| {
        let listener = &listener;
        let accepting = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                drop(listener.accept().unwrap());
            }
        });
        let connecting = scope.spawn(|| {
            let mut n_connected = 0;
            while !is_over.load(Ordering::Relaxed) {
                drop(TcpStream::connect(address).unwrap());
                n_connected += 1;
            }
            n_connected
        });
        for _ in 0..SUCCESSORS {
            let successor = site.start().with(&["--take-over"]).until("Attached");
            assert!(std::mem::replace(&mut probe, successor).wait().success());
        }
        is_over.store(true, Ordering::Relaxed);
        let mut n_connected: u64 = connecting.join().unwrap();
        // The other thread may wait for one more.
        while !accepting.is_finished() {
            drop(TcpStream::connect(address).unwrap());
            n_connected += 1;
        }
        accepting.join().unwrap();
        n_connected
    });
    for _ in 0..UNACCEPTED {
        drop(TcpStream::connect(address).unwrap());
    }
    let n_connected = n_connected + UNACCEPTED;
    // Both ends of those end as well.
    drop(listener);
    let in_kernel = InKernel::of(&site.cgroup);
    drop(member);
    assert!(probe.stop().success());
    assert_eq!(site.receiver.lost(), 0);
    let mut ends: BTreeMap<(Opening, u64), Vec<Connection>> = BTreeMap::new();
    for end in site.receiver.connections() {
        if end.closed_at_ns > 0 {
            let name = (end.opening(), end.socket_cookie);
            ends.entry(name).or_default().push(end);
        }
    }
    say(&format!(
        "{n_connected} connections during {SUCCESSORS} take-overs"
    ));
    let count = |opening| ends.keys().filter(|(found, _)| *found == opening).count() as u64;
    let counts = (count(Opening::Active), count(Opening::Passive));
    assert_eq!(counts, (n_connected, n_connected));
    let mut n_explained = 0;
    for told in ends.values() {
        match told.as_slice() {
            [_] => {}
            // The RST leaves just after the socket closed: then it is added why.
            [end, added] if is_end_with_reason(end, added) => n_explained += 1,
            twice => panic!("an end was told twice: {twice:#?}"),
        }
    }
    // Of sockets whose place was taken, the reason is not found.
    assert!(n_explained >= UNACCEPTED / 2, "{n_explained}");
    site.assert_nothing_is_left(&in_kernel);
}

#[test]
fn what_a_crashed_probe_knew_its_successor_knows() {
    let Some(_turn) = turn() else { return };
    let site = Site::new();
    let mut probe = site.start().until("Attached");
    let member = site.cgroup.join();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let active = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (passive, _) = listener.accept().unwrap();
    let map = site.receiver.rung().sockets_map_id;
    probe.kill();
    // Nobody reads meanwhile; the connection ends all the same.
    drop((active, passive));
    drop(member);
    let _successor = site.start().until("Attached");
    // By this the bridge knows that what was open is still followed.
    let successor_s = wait_for("the successor's rung", || {
        let latest = site.receiver.latest_rung();
        latest.filter(|_| site.receiver.runs() == 2)
    });
    assert_eq!((map != 0, successor_s.sockets_map_id), (true, map));
    let port = listener.local_addr().unwrap().port();
    let (active, passive) = site.receiver.both_ends(port, Outcome::Closed);
    for end in [active, passive] {
        assert!(
            end.syn_at_ns > 0 && end.established_at_ns > end.syn_at_ns,
            "{end:?}"
        );
    }
}

#[test]
fn every_map_is_kept_for_a_successor() {
    let Some(_turn) = turn() else { return };
    let site = Site::new();
    let _probe = site.start().until("Attached");
    let printed = Start::of(&["manifest"]).output().stdout;
    let manifest: serde_json::Value = serde_json::from_slice(&printed).unwrap();
    let pins = site.bpffs.pins();
    for map in manifest["maps"].as_object().unwrap().keys() {
        // Each version has its own constants, and notes older listeners for itself.
        let is_kept = pins.iter().any(|pin| pin.ends_with(map));
        assert_eq!(is_kept, map != ".rodata" && map != "OLDER", "{map}");
    }
}

#[test]
fn a_second_probe_is_refused_in_one_sentence() {
    let Some(_turn) = turn() else { return };
    let site = Site::new();
    let probe = site.start().until("Attached");
    let second = site.start().output();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    let last = said.lines().last().unwrap();
    assert_eq!(
        last,
        format!(
            "error: another probe (process {}) follows this cgroup: \
             end it, or take over from it with --take-over",
            probe.pid()
        )
    );
    assert!(!site.cgroup.programs().is_empty());
}

#[test]
fn detaching_ends_a_probe_and_what_a_crash_left() {
    let Some(_turn) = turn() else { return };
    let site = Site::new();
    let start = || site.start().until("Attached");
    let detach = || {
        let output = site.command("detach").on(&site.cgroup).output();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let mut crashed: Probe = start();
    crashed.kill();
    let left = InKernel::of(&site.cgroup);
    assert!(detach().contains("links and maps"));
    site.assert_nothing_is_left(&left);
    let mut running = start();
    let in_kernel = InKernel::of(&site.cgroup);
    assert!(detach().contains(&format!("ended process {}", running.pid())));
    assert!(running.wait().success());
    site.assert_nothing_is_left(&in_kernel);
}

#[test]
fn detaching_wants_to_be_told_whose_probe_is_meant() {
    let output = Start::of(&["detach"]).output();
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--cgroup"), "{said}");
}

#[test]
fn detaching_from_one_cgroup_leaves_the_probe_of_another() {
    let Some(_turn) = turn() else { return };
    let (ours, other, bpffs) = (Cgroup::new(), Cgroup::new(), Bpffs::new());
    let receiver = Receiver::new();
    let start = |cgroup| Start::pinned(cgroup, &receiver, &bpffs).until("Attached");
    let mut first: Probe = start(&ours);
    let _second: Probe = start(&other);
    let output = Start::of(&["detach", "--bpffs", bpffs.path().to_str().unwrap()])
        .on(&ours)
        .output();
    assert!(output.status.success());
    assert!(first.wait().success());
    assert!(!other.programs().is_empty());
}

/// Returns whether `added` is `end`, but for the reason of the RST that ended it.
fn is_end_with_reason(end: &Connection, added: &Connection) -> bool {
    let reason = &added.reset_reason;
    let with_reason = Connection {
        seen_at_ns: added.seen_at_ns,
        reset_reason: reason.clone(),
        ..end.clone()
    };
    end.reset_reason.is_empty() && !reason.is_empty() && with_reason == *added
}

#[test]
fn what_only_an_older_version_used_is_removed() {
    let Some(_turn) = turn() else { return };
    let site = Site::new();
    let start = || site.start().until("Attached");
    let mut older: Probe = start();
    older.kill();
    let links = site.bpffs.pins();
    let link = links.iter().find(|pin| pin.ends_with("accepts_ipv4"));
    let link = link.unwrap();
    fs::rename(link, link.with_file_name("older_program")).unwrap();
    let maps = link.ancestors().nth(2).unwrap().join("v0");
    fs::create_dir(&maps).unwrap();
    let n_programs = site.cgroup.programs().len();
    let _newer = start();
    wait_for("the older program's end", || {
        (site.cgroup.programs().len() == n_programs).then_some(())
    });
    assert!(!maps.exists());
    assert_eq!(site.bpffs.pins().len(), links.len());
}
