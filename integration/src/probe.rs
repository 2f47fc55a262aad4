//! The probe as a guard: `syntrace-probe run` on the sandbox's cgroup, with tags ordered for its networks.

use std::{process::ExitStatus, time::Duration};

use crate::{
    bridge,
    cgroup::Cgroup,
    paths,
    process::{Process, Program},
    sandbox::{NETWORKS, Sandbox},
};

/// Loading includes the verifier's work.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// A running probe.
#[derive(Debug)]
pub struct Probe {
    process: Process,
}

impl Probe {
    /// Starts the probe and waits until it is attached: every later SYN will be seen.
    ///
    /// # Errors
    ///
    /// Fails if the probe has not been built or cannot attach.
    pub fn start(sandbox: &Sandbox) -> anyhow::Result<Self> {
        Self::start_on(sandbox, &sandbox.watched, &bridge::facts_url(sandbox), &[])
    }

    /// Starts a probe that watches `cgroup` and sends to the bridge at `facts_url`, and waits until it is
    /// attached.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub fn start_on(
        sandbox: &Sandbox,
        cgroup: &Cgroup,
        facts_url: &str,
        options: &[&str],
    ) -> anyhow::Result<Self> {
        let mut process = Program::new(
            "probe",
            &sandbox.watching,
            paths::program("syntrace-probe")?,
        )
        .args(["run", "--cgroup"])
        .args([cgroup.path()])
        .args(["--bridge", facts_url])
        .args(options)
        .args(
            NETWORKS
                .iter()
                .flat_map(|network| ["--tag-to", network, "--believe-from", network]),
        )
        .env("NO_COLOR", "1")
        .start(sandbox.directory())?;
        process.wait_for_line("Attached", START_DEADLINE)?;
        Ok(Self { process })
    }

    /// Ends it in order: it delivers what it has, and says goodbye to the bridge.
    ///
    /// # Errors
    ///
    /// Fails if it does not end.
    pub fn end(&mut self) -> anyhow::Result<ExitStatus> {
        self.process.end()
    }

    /// Returns its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
