//! A client that asks without a pause, so that whatever happens happens in the middle of a request.

use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;

use crate::{
    deadline::{self, Look},
    paths,
    process::{Process, Program},
    sandbox::{GATEWAY, Sandbox},
};

/// A gateway may be killed and started again meanwhile.
const DEADLINE: Duration = Duration::from_secs(60);

/// A client that never pauses.
#[derive(Debug)]
pub struct Steady {
    process: Process,
}

/// What a [`Steady`] client has seen so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Requests answered by 200.
    pub answered: usize,
    /// What ended connections early, in order.
    pub errors: Vec<String>,
    /// No connection has ended early since.
    pub is_well: bool,
}

impl Steady {
    /// Starts asking the gateway's `port` for `path`, again and again.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be started.
    pub fn start(sandbox: &Sandbox, port: u16, path: &str) -> anyhow::Result<Self> {
        let process = Program::new("client-steady", &sandbox.watched, paths::python()?)
            .inside(&sandbox.client)
            .args([paths::own("clients/steady.py")])
            .args([GATEWAY.to_string(), port.to_string(), path.to_owned()])
            .start(sandbox.directory())?;
        Ok(Self { process })
    }

    /// Returns what it has seen so far.
    ///
    /// # Errors
    ///
    /// Fails if what it printed cannot be read.
    pub fn progress(&self) -> anyhow::Result<Progress> {
        #[derive(Deserialize)]
        struct Line {
            answered: usize,
            error: Option<String>,
        }
        let printed = self.process.output()?;
        let mut progress = Progress::default();
        for line in printed
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
        {
            let Line { answered, error } =
                serde_json::from_str(line).with_context(|| format!("reading {line}"))?;
            progress.answered += answered;
            progress.is_well = error.is_none();
            progress.errors.extend(error);
        }
        Ok(progress)
    }

    /// Waits until 200 more requests were answered, and all is well at the end of it.
    ///
    /// # Errors
    ///
    /// Fails at the deadline.
    pub fn wait_for_more(&self) -> anyhow::Result<Progress> {
        let enough = self.progress()?.answered + 200;
        deadline::wait("200 more answers", DEADLINE, || {
            let progress = self.progress()?;
            let is_enough = progress.answered >= enough && progress.is_well;
            Ok(if is_enough {
                Look::Done(progress)
            } else {
                Look::NotYet(format!("{progress:?}"))
            })
        })
    }
}
