//! What never became a socket: full queues and SYN cookies, told per listener on every rung.

use crate::{
    cgroup::Cgroup,
    client::Client,
    netns::Netns,
    probe::{Probe, Start},
    turn,
};

/// A listener with room for two, and six who want to be accepted.
const OVERFLOW: &str = "
l, port = listen(1)
tell(port)
step()
clients = []
for _ in range(6):
    s = socket.socket()
    s.setblocking(False)
    s.connect_ex(('127.0.0.1', port))
    clients.append(s)
step()
";

#[test]
fn a_full_accept_queue_is_told_with_hooks() {
    accept_queue_full(|start| start);
}

#[test]
fn a_full_accept_queue_is_told_without_any_privilege() {
    accept_queue_full(|start| start.without("all"));
}

#[test]
fn a_full_accept_queue_is_told_in_a_namespace_that_is_younger_than_the_probe() {
    let Some(_turn) = turn() else { return };
    let cgroup = Cgroup::new();
    let watch = Start::of(&["watch"]).on(&cgroup).until("Gave up");
    let netns = Netns::new();
    let mut client = Client::start(&cgroup, Some(&netns), OVERFLOW);
    let port: u16 = client.told();
    client.step();
    // Who was dropped tries again, also after the namespace was found.
    let told = format!("listener 127.0.0.1:{port} dropped ");
    sum(
        &watch,
        &told,
        "its accept queue was full (2 waiting, limit 1)",
        1,
    );
}

#[test]
fn syn_cookies_are_told() {
    let Some(_turn) = turn() else { return };
    let cgroup = Cgroup::new();
    let netns = Netns::new();
    netns.within(|| std::fs::write("/proc/sys/net/ipv4/tcp_syncookies", "2").unwrap());
    let script = "
l, port = listen(5)
tell(port)
step()
for _ in range(3):
    connect(port)
step()
";
    let mut client = Client::start(&cgroup, Some(&netns), script);
    let port: u16 = client.told();
    let watch = Start::of(&["watch"]).on(&cgroup).until("Gave up");
    watch.line(&["watching"]);
    client.step();
    let told = format!("listener 127.0.0.1:{port} answered ");
    assert_eq!(sum(&watch, &told, "SYNs with SYN cookies", 3), 3);
}

fn accept_queue_full(take: impl Fn(Start) -> Start) {
    let Some(_turn) = turn() else { return };
    let cgroup = Cgroup::new();
    let netns = Netns::new();
    let mut client = Client::start(&cgroup, Some(&netns), OVERFLOW);
    let port: u16 = client.told();
    let watch = take(Start::of(&["watch"]).on(&cgroup));
    let watch = netns.within(|| watch.until("Gave up"));
    watch.line(&["watching"]);
    client.step();
    let told = format!("listener 127.0.0.1:{port} dropped ");
    // Linux takes one more than it was told; clients try again after a second.
    sum(
        &watch,
        &told,
        "its accept queue was full (2 waiting, limit 1)",
        4,
    );
}

/// Waits until lines that begin with `told` and end with `why` tell of `least` together; returns of
/// how many they do. What happens at once may be seen in two looks.
fn sum(watch: &Probe, told: &str, why: &str, least: u32) -> u32 {
    let mut sum = 0;
    while sum < least {
        let line = watch.line(&[told, why]);
        let (_, rest) = line.split_once(told).unwrap();
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        sum += digits.parse::<u32>().unwrap();
    }
    sum
}
