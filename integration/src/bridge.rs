//! The bridge as a guard: `syntrace-bridge` on a Unix socket for facts and a free loopback port for questions.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crate::{
    api::Client,
    deadline::Look,
    paths,
    process::{Process, Program},
    sandbox::Sandbox,
};

/// A bridge holds nothing at its start that takes time.
const START_DEADLINE: Duration = Duration::from_secs(10);

/// A running bridge.
#[derive(Debug)]
pub struct Bridge {
    process: Process,
    client: Client,
}

impl Bridge {
    /// Starts a bridge and waits until it listens.
    ///
    /// # Errors
    ///
    /// Fails if the bridge has not been built or does not say where it listens.
    pub fn start(sandbox: &Sandbox) -> anyhow::Result<Self> {
        Self::start_with(sandbox, &facts_url(sandbox), &[])
    }

    /// Starts a bridge that takes facts at `facts_url`, with more options, and waits until it listens.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub fn start_with(
        sandbox: &Sandbox,
        facts_url: &str,
        options: &[&str],
    ) -> anyhow::Result<Self> {
        let mut process = Program::new(
            "bridge",
            &sandbox.watching,
            paths::program("syntrace-bridge")?,
        )
        .args(["--facts", facts_url, "--listen", "127.0.0.1:0"])
        .args(options)
        .env("NO_COLOR", "1")
        .start(sandbox.directory())?;
        let address = process.wait_until("its address", START_DEADLINE, |process| {
            let log = process.log()?;
            let found = log
                .lines()
                .filter(|line| line.contains("Listening"))
                .find_map(loopback_address);
            Ok(found.map_or_else(
                || Look::NotYet("no line with its address".to_owned()),
                Look::Done,
            ))
        })?;
        Ok(Self {
            process,
            client: Client::new(address),
        })
    }

    /// Returns a client for its HTTP API.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Returns its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// Returns the socket on which the sandbox's bridge takes facts, whether or not one runs.
#[must_use]
pub fn facts_socket(sandbox: &Sandbox) -> PathBuf {
    sandbox.directory().join("facts.sock")
}

/// Returns [`facts_socket`] as the probe and the bridge want it.
#[must_use]
pub fn facts_url(sandbox: &Sandbox) -> String {
    format!("unix:{}", facts_socket(sandbox).display())
}

/// Finds the loopback address in a log line, whatever surrounds it.
fn loopback_address(line: &str) -> Option<SocketAddr> {
    let words =
        line.split(|letter: char| !(letter.is_ascii_digit() || matches!(letter, '.' | ':')));
    words
        .filter_map(|word| word.parse::<SocketAddr>().ok())
        .find(|address| address.ip().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_any_log_format() {
        let address = "127.0.0.1:43210".parse().ok();
        for line in [
            "2026-01-01T00:00:00.000Z  INFO syntrace_bridge: Listening address=127.0.0.1:43210",
            "INFO Listening facts=unix:/tmp/x.sock api=http://127.0.0.1:43210/",
        ] {
            assert_eq!(loopback_address(line), address, "{line}");
        }
    }

    #[test]
    fn a_line_about_the_socket_alone_has_no_address() {
        assert_eq!(
            loopback_address("INFO Listening facts=unix:/tmp/syntrace-1-0/facts.sock"),
            None
        );
    }
}
