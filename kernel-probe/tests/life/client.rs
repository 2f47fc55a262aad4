//! A process of its own in the cgroup, which does what a script says, a step for each line it is sent.

use std::{
    fmt::Debug,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdout, Command, Stdio},
    str::FromStr,
};

use crate::{cgroup::Cgroup, netns::Netns};

/// What every script begins with: `step()` waits for the test, `tell()` answers, `connect` does not
/// wait, and returns the socket with its errno.
const PRELUDE: &str = "
import select, socket, struct, sys
def step(): assert sys.stdin.readline()
def tell(what): print(what, flush=True)
def connect(port, mark=0):
    s = socket.socket()
    s.setblocking(False)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    s.connect_ex(('127.0.0.1', port))
    select.select([], [s], [], 5)
    error = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    s.setblocking(True)
    return s, error
def listen(backlog):
    s = socket.socket()
    s.bind(('127.0.0.1', 0))
    s.listen(backlog)
    return s, s.getsockname()[1]
";

/// Two ends of one connection that opens and closes.
pub(crate) const ONE_CONNECTION: &str = "
l, port = listen(5)
a, _ = connect(port)
b, _ = l.accept()
b.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
a.close()
b.recv(1)
b.close()
tell(port)
step()
";

/// Ends the process when dropped.
pub(crate) struct Client {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Client {
    /// Starts `script` in `cgroup` and, where one is given, in `netns`.
    pub(crate) fn start(cgroup: &Cgroup, netns: Option<&Netns>, script: &str) -> Self {
        let mut command = Command::new("python3");
        command.arg("-c").arg(format!("{PRELUDE}{script}"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut spawn = || command.spawn().unwrap();
        let mut child = cgroup.within(|| match netns {
            None => spawn(),
            Some(netns) => netns.within(spawn),
        });
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it do the next step.
    pub(crate) fn step(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// Returns the number that it tells.
    pub(crate) fn told<T: FromStr<Err: Debug>>(&mut self) -> T {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().parse().unwrap()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
