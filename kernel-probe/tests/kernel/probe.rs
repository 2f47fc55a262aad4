//! The probe's process, stopped at the end.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{cgroup::Cgroup, receiver::Receiver, say};

/// How long the probe may take to say that it is ready.
const DEADLINE: Duration = Duration::from_secs(20);

/// `nobody` of Debian and most others.
const NOBODY: u32 = 65534;

/// Ends the process when dropped.
pub(crate) struct Probe {
    child: Child,
    /// What it says after it is ready.
    lines: mpsc::Receiver<String>,
}

impl Probe {
    /// Starts the probe and waits until it has attached.
    pub(crate) fn start(cgroup: &Cgroup, receiver: &Receiver, flags: &[&str]) -> Self {
        Self::spawn(command(cgroup, receiver).args(flags), "Attached")
    }

    /// Starts the probe without any privilege and waits until it has said so.
    pub(crate) fn start_as_nobody(cgroup: &Cgroup, receiver: &Receiver) -> Self {
        let mut command = command(cgroup, receiver);
        Self::spawn(command.uid(NOBODY).gid(NOBODY), "without hooks")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets the probe read nothing until [`Self::thaw`].
    pub(crate) fn freeze(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).unwrap();
    }

    pub(crate) fn thaw(&self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).unwrap();
    }

    /// Asks the probe to stop and waits for it.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }

    /// Stops the probe; returns what it says that its programs counted, by name.
    pub(crate) fn counted(mut self) -> BTreeMap<String, u64> {
        assert!(self.stop().success());
        let lines = self.lines.iter();
        let fields = lines.filter_map(|line| {
            let (_, fields) = line.split_once("Counted in the kernel counter=\"")?;
            let (name, count) = fields.split_once("\" count=")?;
            Some((name.to_owned(), count.parse().unwrap()))
        });
        fields.collect()
    }

    fn spawn(command: &mut Command, ready: &'static str) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                say(&line);
                // The test may have heard enough.
                drop(tell.send(line));
            }
        });
        let probe = Self { child, lines: told };
        while !probe.lines.recv_timeout(DEADLINE).unwrap().contains(ready) {}
        probe
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.stop();
        }
    }
}

fn command(cgroup: &Cgroup, receiver: &Receiver) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_syntrace-probe"));
    command
        .arg("run")
        .arg("--cgroup")
        .arg(cgroup.path())
        .arg("--bridge")
        .arg(receiver.address());
    command
}
