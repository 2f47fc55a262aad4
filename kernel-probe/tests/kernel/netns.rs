//! A network namespace of our own, with loopback up and a chain to drop in.

use std::{
    fs::File,
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::os::fd::AsFd as _;

/// Removes the namespace when dropped.
pub(crate) struct Netns {
    name: String,
}

impl Netns {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let netns = Self {
            name: format!("syntrace-probe-{}-{number}", process::id()),
        };
        succeed(Command::new("ip").args(["netns", "add", &netns.name]));
        succeed(Command::new("ip").args(["-n", &netns.name, "link", "set", "lo", "up"]));
        netns.exec("nft add table inet test");
        netns.exec("nft add chain inet test in { type filter hook input priority 0; }");
        netns
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Changes a setting, `key=value`.
    pub(crate) fn sysctl(&self, setting: &str) {
        let arguments = ["netns", "exec", &self.name, "sysctl", "-qw", setting];
        succeed(Command::new("ip").args(arguments));
    }

    /// Adds an IPv4 address to loopback.
    pub(crate) fn address(&self, address: &str) {
        let arguments = ["-n", &self.name, "address", "add", address, "dev", "lo"];
        succeed(Command::new("ip").args(arguments));
    }

    /// Adds a rule for what comes in.
    pub(crate) fn nft(&self, rule: &str) {
        self.exec(&format!("nft add rule inet test in {rule}"));
    }

    /// Returns how many packets the rule with a counter has seen.
    pub(crate) fn dropped_packets(&self) -> u64 {
        let rules = self.exec("nft list chain inet test in");
        let after = rules.split("counter packets ").nth(1).unwrap();
        after.split(' ').next().unwrap().parse().unwrap()
    }

    /// Runs `work` on a thread that is in the namespace.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let netns = File::open(format!("/run/netns/{}", self.name)).unwrap();
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(netns.as_fd(), kind).unwrap();
                work()
            });
            inside.join().unwrap()
        })
    }

    fn exec(&self, line: &str) -> String {
        let (tool, arguments) = line.split_once(' ').unwrap();
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, tool]);
        // `nft` joins its arguments; braces and semicolons need no shell.
        succeed(command.arg(arguments))
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        drop(
            Command::new("ip")
                .args(["netns", "del", &self.name])
                .status(),
        );
    }
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
