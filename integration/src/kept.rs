//! A client that keeps one connection open, and asks over it when told to.

use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal;

use crate::{
    cgroup::Cgroup,
    clients::Exchange,
    deadline::Look,
    paths,
    process::{Process, Program},
    sandbox::{GATEWAY, Sandbox},
};

/// A gateway on a busy machine answers well within this.
const DEADLINE: Duration = Duration::from_secs(30);

/// A client with one connection, which it closes on drop.
#[derive(Debug)]
pub struct Kept {
    process: Process,
    answers: usize,
}

// === impl Kept ===

impl Kept {
    /// Connects to the gateway's `port` as a member of `cgroup`, and asks for `<path>/0`.
    ///
    /// # Errors
    ///
    /// Fails if it gets no answer; a status such as 503 is one.
    pub fn start(
        sandbox: &Sandbox,
        cgroup: &Cgroup,
        port: u16,
        path: &str,
    ) -> anyhow::Result<(Self, Exchange)> {
        let process = Program::new("client-kept", cgroup, paths::python()?)
            .inside(&sandbox.client)
            .args([paths::own("clients/kept.py")])
            .args([&GATEWAY.to_string(), &port.to_string(), path])
            .start(sandbox.directory())?;
        let mut client = Self {
            process,
            answers: 0,
        };
        let answered = client.answered()?;
        Ok((client, answered))
    }

    /// Asks once more, for `<path>/<number>`, and waits for the answer.
    ///
    /// # Errors
    ///
    /// As [`Self::start`], and if the connection has ended.
    pub fn ask(&mut self) -> anyhow::Result<Exchange> {
        self.process.signal(Signal::USR1)?;
        self.answered()
    }

    fn answered(&mut self) -> anyhow::Result<Exchange> {
        let number = self.answers;
        let line = self.process.wait_until("an answer", DEADLINE, |process| {
            let output = process.output()?;
            // Whole lines only: the last one may still be being written.
            let lines = output.split_inclusive('\n');
            let line = lines.filter(|line| line.ends_with('\n')).nth(number);
            Ok(match line {
                Some(line) => Look::Done(line.to_owned()),
                None => Look::NotYet(format!("{number} answers")),
            })
        })?;
        self.answers += 1;
        serde_json::from_str(&line).with_context(|| format!("reading {line}"))
    }
}
