//! `watch`: alone, and in words.

use crate::{
    cgroup::Cgroup,
    client::{Client, ONE_CONNECTION},
    probe::Start,
    turn,
    waiting::wait_for,
};

#[test]
fn refused_connects_and_accept_waits_are_printed_without_a_bridge() {
    let Some(_turn) = turn() else { return };
    let cgroup = Cgroup::new();
    let script = format!(
        "
step()
s, _ = connect(9)
s.close()
{ONE_CONNECTION}"
    );
    let mut client = Client::start(&cgroup, None, &script);
    let pid = client.pid().to_string();
    let mut watch = Start::of(&["watch", "--pid", &pid]).until("Gave up privileges");
    watch.line(&["watching, rung `observe`"]);
    client.step();
    let port: u16 = client.told();
    watch.line(&["to 127.0.0.1:9 was refused after"]);
    let listener = format!("at 127.0.0.1:{port} ");
    watch.line(&[&listener, "waited ", "ms to be accepted"]);
    watch.line(&[&format!("to 127.0.0.1:{port} closed")]);
    assert!(watch.stop().success());
    watch.line(&["3 connections ended", "1 refused"]);
    wait_for("the programs' end", || {
        cgroup.programs().is_empty().then_some(())
    });
}
