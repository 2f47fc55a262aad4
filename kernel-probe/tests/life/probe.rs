//! The probe's process, started with what it is allowed, and stopped at the end.

use std::{
    io::{BufRead as _, BufReader, Read},
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{bpffs::Bpffs, cgroup::Cgroup, receiver::Receiver, say};

/// How long the probe may take to say what is waited for.
const DEADLINE: Duration = Duration::from_secs(20);

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_syntrace-probe");

/// Orders to tag what stays on the host, and to believe what comes from there.
pub(crate) const TAGS: [&str; 4] = ["--tag-to", "127.0.0.0/8", "--believe-from", "127.0.0.0/8"];

/// Ends the process when dropped.
pub(crate) struct Probe {
    child: Child,
    out: mpsc::Receiver<String>,
}

/// A way to start the probe.
pub(crate) struct Start {
    /// Programs that start it with less than the test has.
    through: Vec<String>,
    arguments: Vec<String>,
}

impl Start {
    /// `run` in `cgroup`, for `receiver`, with nothing pinned.
    pub(crate) fn run(cgroup: &Cgroup, receiver: &Receiver) -> Self {
        Self::run_with(cgroup, receiver, Path::new("/nonexistent"))
    }

    /// `run`, with state pinned in `bpffs`.
    pub(crate) fn pinned(cgroup: &Cgroup, receiver: &Receiver, bpffs: &Bpffs) -> Self {
        Self::run_with(cgroup, receiver, bpffs.path())
    }

    fn run_with(cgroup: &Cgroup, receiver: &Receiver, bpffs: &Path) -> Self {
        Self::of(&["run"])
            .on(cgroup)
            .with(&["--bridge", &receiver.address()])
            .with(&["--bpffs", bpffs.to_str().unwrap()])
    }

    pub(crate) fn of(arguments: &[&str]) -> Self {
        Self {
            through: Vec::new(),
            arguments: Vec::new(),
        }
        .with(arguments)
    }

    pub(crate) fn on(self, cgroup: &Cgroup) -> Self {
        self.with(&["--cgroup", cgroup.path().to_str().unwrap()])
    }

    pub(crate) fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(ToString::to_string));
        self
    }

    /// Started without these capabilities, for ever.
    pub(crate) fn without(mut self, capabilities: &str) -> Self {
        let program = ["capsh", &format!("--drop={capabilities}"), "--", "-c"];
        self.through = program.iter().map(ToString::to_string).collect();
        self
    }

    /// Started in a mount namespace of its own, in which `script` was run.
    pub(crate) fn after(mut self, script: &str) -> Self {
        let program = ["unshare", "--mount", "sh", "-c"];
        self.through = program.iter().map(ToString::to_string).collect();
        self.through.push(format!("{script}; exec \"$0\" \"$@\""));
        self.through.push(PROGRAM.to_owned());
        self.through.append(&mut self.arguments);
        self
    }

    /// Starts it, and waits until it says `ready` on standard error.
    pub(crate) fn until(self, ready: &str) -> Probe {
        let mut child = self
            .command()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = lines(child.stderr.take().unwrap());
        let out = lines(child.stdout.take().unwrap());
        let probe = Probe { child, out };
        while !said.recv_timeout(DEADLINE).unwrap().contains(ready) {}
        probe
    }

    /// Runs it to its end.
    pub(crate) fn output(self) -> Output {
        self.command().output().unwrap()
    }

    fn command(&self) -> Command {
        let Some((first, rest)) = self.through.split_first() else {
            let mut command = Command::new(PROGRAM);
            command.args(&self.arguments);
            return command;
        };
        let mut command = Command::new(first);
        command.args(rest);
        if first == "capsh" {
            // One argument: a line for a shell, which no argument of ours needs quotes in.
            command.arg(format!("exec {PROGRAM} {}", self.arguments.join(" ")));
        }
        command
    }
}

impl Probe {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop and waits for it.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.child.wait().unwrap()
    }

    /// Ends it without a goodbye.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Waits for a line on standard output that has all `words`.
    pub(crate) fn line(&self, words: &[&str]) -> String {
        loop {
            let line = self.out.recv_timeout(DEADLINE).unwrap();
            if words.iter().all(|word| line.contains(word)) {
                return line;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.stop();
        }
    }
}

/// Reads lines on a thread, prints them, and hands them on.
fn lines(from: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (told, tell) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            say(&line);
            // The test may have heard enough.
            drop(told.send(line));
        }
    });
    tell
}
