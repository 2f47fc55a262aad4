//! `record` and `replay`: what was seen once can be told again, without a kernel.

use std::fs;

use syntrace_proto::Outcome;

use crate::{
    cgroup::Cgroup,
    client::{Client, ONE_CONNECTION},
    probe::Start,
    receiver::Receiver,
    turn,
};

#[test]
fn what_was_recorded_is_replayed_to_a_bridge() {
    let Some(_turn) = turn() else { return };
    let cgroup = Cgroup::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("facts");
    let file = file.to_str().unwrap();
    let mut recording = Start::of(&["record", file]).on(&cgroup).until("Gave up");
    let port: u16 = Client::start(&cgroup, None, ONE_CONNECTION).told();
    assert!(recording.stop().success());
    recording.line(&["recorded"]);

    let receiver = Receiver::new();
    let replay = || Start::of(&["replay", file, "--bridge", &receiver.address()]).output();
    assert!(replay().status.success());
    let (active, passive) = receiver.both_ends(port, Outcome::Closed);
    assert!(active.established_at_ns > 0 && passive.established_at_ns > 0);

    // As a full disk leaves it: one more batch was begun.
    let whole = fs::read(file).unwrap();
    fs::write(file, [&whole, &whole[..10]].concat()).unwrap();
    let cut_off = Receiver::new();
    let replayed = Start::of(&["replay", file, "--bridge", &cut_off.address()]).output();
    assert!(replayed.status.success());
    let said = String::from_utf8(replayed.stderr).unwrap();
    assert!(said.contains("the file was cut off"), "{said}");
    assert!(said.contains("n_bytes=10"), "{said}");
    cut_off.both_ends(port, Outcome::Closed);

    fs::write(file, b"something else").unwrap();
    let refused = replay();
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.starts_with("error: expected a file of batches"),
        "{said}"
    );
}
