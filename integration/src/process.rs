//! Programs as guards: started inside a namespace and a cgroup, their output in files, ended by their own
//! process id.
//!
//! A program also dies with the thread that started it (`PR_SET_PDEATHSIG`), so that `kill -9` of a test
//! leaves none behind: keep a [`Process`] on the thread that made it.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    cgroup::Cgroup,
    deadline::{self, Look},
    netns::Namespace,
};

/// How long a program may take to end in order before it is killed.
const END_DEADLINE: Duration = Duration::from_secs(10);

/// How many of its last lines tell what happened to a program.
const TAIL_LINES: usize = 25;

/// Becomes a member of the cgroup, then the program: one process id from beginning to end.
const JOIN_AND_EXEC: &str = r#"echo $$ > "$0" && exec "$@""#;

/// A program to start.
#[derive(Debug)]
pub struct Program {
    name: String,
    namespace: Option<String>,
    cgroup_procs: PathBuf,
    words: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
}

/// A running program; ended on drop: asked first, killed at a deadline.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: PathBuf,
    log: PathBuf,
}

// === impl Program ===

impl Program {
    /// Names `program`, to be run as a member of `cgroup`; `name` names its files.
    #[must_use]
    pub fn new(name: &str, cgroup: &Cgroup, program: impl AsRef<OsStr>) -> Self {
        Self {
            name: name.to_owned(),
            namespace: None,
            cgroup_procs: cgroup.procs(),
            words: vec![program.as_ref().to_owned()],
            variables: Vec::new(),
        }
    }

    /// Runs it in `namespace` instead of the host's own.
    #[must_use]
    pub fn inside(mut self, namespace: &Namespace) -> Self {
        self.namespace = Some(namespace.name().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item: AsRef<OsStr>>) -> Self {
        self.words
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.variables.push((key.into(), value.as_ref().to_owned()));
        self
    }

    /// Starts it; standard output and error go to `<name>.out` and `<name>.log` in `directory`.
    ///
    /// # Errors
    ///
    /// Fails if the files cannot be made or the shell cannot be started.
    pub fn start(self, directory: &Path) -> anyhow::Result<Process> {
        let (output, log) = free_paths(directory, &self.name);
        let mut command = Command::new("sh");
        command.args(["-c", JOIN_AND_EXEC]).arg(&self.cgroup_procs);
        if let Some(namespace) = &self.namespace {
            command.args(["ip", "netns", "exec", namespace]);
        }
        command
            .args(["setpriv", "--pdeathsig", "KILL", "--"])
            .args(&self.words);
        command.envs(self.variables.iter().map(|(key, value)| (key, value)));
        // A group of its own: the terminal's Ctrl-C reaches us, and we end it in order.
        command.process_group(0).stdin(Stdio::null());
        command.stdout(
            File::create(&output).with_context(|| format!("creating {}", output.display()))?,
        );
        command.stderr(File::create(&log).with_context(|| format!("creating {}", log.display()))?);
        let child = command
            .spawn()
            .with_context(|| format!("starting {}", self.name))?;
        Ok(Process {
            name: self.name,
            child,
            output,
            log,
        })
    }
}

// === impl Process ===

impl Process {
    /// Returns the name it was given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns everything it wrote to standard output so far.
    ///
    /// # Errors
    ///
    /// Fails if the file is gone.
    pub fn output(&self) -> anyhow::Result<String> {
        read(&self.output)
    }

    /// Returns everything it wrote to standard error so far.
    ///
    /// # Errors
    ///
    /// Fails if the file is gone.
    pub fn log(&self) -> anyhow::Result<String> {
        read(&self.log)
    }

    /// Returns its last lines, for an error message.
    #[must_use]
    pub fn tail(&self) -> String {
        tail(&self.log)
    }

    /// Looks until `look` is done, for as long as the program runs.
    ///
    /// # Errors
    ///
    /// As [`deadline::wait`], and with its last lines once it has ended.
    pub fn wait_until<T>(
        &mut self,
        what: &str,
        deadline: Duration,
        mut look: impl FnMut(&Self) -> anyhow::Result<Look<T>>,
    ) -> anyhow::Result<T> {
        let what = format!("{}: {what}", self.name);
        deadline::wait(&what, deadline, || {
            let status = self.child.try_wait()?;
            match (look(self)?, status) {
                (Look::NotYet(_), Some(status)) => bail!("it ended, {status}"),
                (look, _) => Ok(look),
            }
        })
        .with_context(|| format!("the last lines of {}:\n{}", self.name, self.tail()))
    }

    /// Waits for a line with `text` on standard error; returns the line.
    ///
    /// # Errors
    ///
    /// As [`Self::wait_until`].
    pub fn wait_for_line(&mut self, text: &str, deadline: Duration) -> anyhow::Result<String> {
        self.wait_until(&format!("a line with \"{text}\""), deadline, |process| {
            let log = process.log()?;
            // Whole lines only: the last one may still be being written.
            let mut lines = log
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'));
            Ok(match lines.find(|line| line.contains(text)) {
                Some(line) => Look::Done(line.trim_end().to_owned()),
                None => Look::NotYet(format!("{} lines without it", log.lines().count())),
            })
        })
    }

    /// Waits until something listens on `port` (TCP) in the program's network namespace, without connecting to it.
    ///
    /// # Errors
    ///
    /// As [`Self::wait_until`].
    pub fn wait_for_port(&mut self, port: u16, deadline: Duration) -> anyhow::Result<()> {
        self.wait_until(&format!("port {port}"), deadline, |process| {
            let tables = ["tcp", "tcp6"]
                .map(|table| fs::read_to_string(format!("/proc/{}/net/{table}", process.id())));
            let is_open = tables
                .iter()
                .flatten()
                .flat_map(|table| table.lines())
                .any(|line| listens_on(line, port));
            Ok(if is_open {
                Look::Done(())
            } else {
                Look::NotYet("closed".to_owned())
            })
        })
    }

    /// Waits until it has ended well; returns what it wrote to standard output.
    ///
    /// # Errors
    ///
    /// Fails if it fails, with its last lines, or does not end by `deadline`.
    pub fn finish(&mut self, deadline: Duration) -> anyhow::Result<String> {
        let status = self.wait(deadline)?;
        if !status.success() {
            bail!("{} failed: {status}\n{}", self.name, self.tail());
        }
        self.output()
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    ///
    /// As [`deadline::wait`].
    pub fn wait(&mut self, deadline: Duration) -> anyhow::Result<ExitStatus> {
        deadline::wait(&format!("{}: its end", self.name), deadline, || {
            self.look_for_end()
        })
    }

    /// Sends it a signal; one that has ended gets none.
    ///
    /// # Errors
    ///
    /// Fails if the kernel refuses.
    pub fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(()); // its id may be another's by now
        }
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("no process id")?;
        kill_process(pid, signal).with_context(|| format!("sending {signal:?} to {}", self.name))
    }

    /// Asks it to end and waits for that.
    ///
    /// # Errors
    ///
    /// Fails if it does not end within 10 s.
    pub fn end(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait_for_end()
    }

    /// Kills it (`kill -9`).
    ///
    /// # Errors
    ///
    /// Fails if the kernel refuses.
    pub fn kill(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::KILL)?;
        self.wait_for_end()
    }

    fn wait_for_end(&mut self) -> anyhow::Result<ExitStatus> {
        deadline::wait_uninterrupted(&format!("{}: its end", self.name), END_DEADLINE, || {
            self.look_for_end()
        })
    }

    fn look_for_end(&mut self) -> anyhow::Result<Look<ExitStatus>> {
        Ok(self
            .child
            .try_wait()?
            .map_or_else(|| Look::NotYet("it runs".to_owned()), Look::Done))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.end().is_err() {
            // Nothing is left to try: the sandbox's cgroup kills what remains.
            drop(self.kill());
        }
    }
}

/// Runs a program of the system to its end, for what it does and not for what it prints.
///
/// # Errors
///
/// Fails if it fails, with what it wrote to standard error.
pub fn run(program: &str, args: impl IntoIterator<Item: AsRef<OsStr>>) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    let output = command
        .args(args)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {program}"))?;
    if !output.status.success() {
        bail!(
            "{command:?} failed: {}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    Ok(())
}

/// Returns the last lines of a log, or why there are none.
#[must_use]
pub fn tail(log: &Path) -> String {
    let text = match fs::read(log) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => error.to_string(),
    };
    let lines: Vec<&str> = text.lines().collect();
    let last = lines
        .get(lines.len().saturating_sub(TAIL_LINES)..)
        .unwrap_or_default();
    last.iter().map(|line| format!("    | {line}\n")).collect()
}

/// Returns files that do not exist yet: a program may be started again under its name.
fn free_paths(directory: &Path, name: &str) -> (PathBuf, PathBuf) {
    let mut stem = name.to_owned();
    let mut number = 1;
    while directory.join(format!("{stem}.log")).exists() {
        number += 1;
        stem = format!("{name}-{number}");
    }
    (
        directory.join(format!("{stem}.out")),
        directory.join(format!("{stem}.log")),
    )
}

fn read(path: &Path) -> anyhow::Result<String> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns whether a line of `/proc/<pid>/net/tcp` is a listener (state 0A) on `port`.
fn listens_on(line: &str, port: u16) -> bool {
    let mut fields = line.split_whitespace().skip(1);
    let (local, state) = (fields.next().unwrap_or_default(), fields.nth(1));
    state == Some("0A") && local.ends_with(&format!(":{port:04X}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_told_from_a_connection_on_the_same_port() {
        let listener = "   0: 010200C0:1F90 00000000:0000 0A 00000000:00000000 00:00000000";
        let connection = "   1: 010200C0:1F90 020200C0:D431 01 00000000:00000000 00:00000000";
        assert!(listens_on(listener, 8080));
        assert!(!listens_on(listener, 8081));
        assert!(!listens_on(connection, 8080));
    }

    #[test]
    fn a_failing_program_tells_what_it_said() {
        let error = run("sh", ["-c", "echo no room >&2; false"]).unwrap_err();
        assert!(error.to_string().ends_with("failed: no room"), "{error}");
    }
}
