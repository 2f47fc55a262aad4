//! Load by h2load: many requests at once, over HTTP/1.1, HTTP/2 and gRPC, and how many of them failed.

use std::{fs, time::Duration};

use anyhow::Context as _;

use crate::{
    envoy::PORT,
    process::{Process, Program},
    sandbox::{GATEWAY, Sandbox},
};

/// A busy machine may need minutes for a million requests.
const DEADLINE: Duration = Duration::from_secs(900);

/// A gRPC message of no bytes: not compressed, length 0 (gRPC over HTTP/2, length-prefixed message).
const EMPTY_MESSAGE: [u8; 5] = [0; 5];

/// What is under way.
#[derive(Debug)]
pub struct Load(Vec<Process>);

/// How many requests had an answer of 2xx, and how many had not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// Answered by 2xx.
    pub succeeded: u64,
    /// Answered by another status, or not at all.
    pub not: u64,
}

impl Load {
    /// Starts sending `requests` of each kind through the gateway.
    ///
    /// # Errors
    ///
    /// Fails if h2load cannot be started.
    pub fn start(sandbox: &Sandbox, requests: u64) -> anyhow::Result<Self> {
        let message = sandbox.directory().join("empty-message");
        fs::write(&message, EMPTY_MESSAGE)?;
        let message = message.display().to_string();
        let grpc = [
            "-d",
            &message,
            "-H",
            "content-type: application/grpc",
            "-H",
            "te: trailers",
        ];
        let start = |kind: &str, options: &[&str], path: &str| {
            Program::new(&format!("load-{kind}"), &sandbox.watched, "h2load")
                .inside(&sandbox.client)
                .args(["-t", "1", "-c", "8", "-n", &requests.to_string()])
                .args(options)
                .args([format!("http://{GATEWAY}:{PORT}{path}")])
                .start(sandbox.directory())
        };
        Ok(Self(vec![
            start("http1", &["--h1"], "/hello")?,
            start("http2", &["-m", "4"], "/hello")?,
            start("grpc", &grpc, "/demo.Echo/Say")?,
        ]))
    }

    /// Returns whether all requests were sent and answered.
    ///
    /// # Errors
    ///
    /// Fails if what h2load printed cannot be read.
    pub fn is_done(&self) -> anyhow::Result<bool> {
        for process in &self.0 {
            if !process.output()?.contains("requests: ") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Waits for the end.
    ///
    /// # Errors
    ///
    /// Fails if h2load does.
    pub fn finish(self) -> anyhow::Result<Answered> {
        let mut answered = Answered::default();
        for mut process in self.0 {
            let printed = process.finish(DEADLINE)?;
            let (total, succeeded) = count(&printed).with_context(|| printed.clone())?;
            answered.succeeded += succeeded;
            answered.not += total - succeeded;
        }
        Ok(answered)
    }
}

/// Reads `requests: 10 total, 10 started, 10 done, 10 succeeded, …` and `status codes: 10 2xx, …`.
fn count(printed: &str) -> Option<(u64, u64)> {
    let number = |line: &str, word: &str| {
        let part = line.split(',').find(|part| part.trim().ends_with(word))?;
        part.split_whitespace()
            .find_map(|word| word.parse::<u64>().ok())
    };
    let line = |start: &str| printed.lines().find(|line| line.starts_with(start));
    Some((
        number(line("requests: ")?, "total")?,
        number(line("status codes: ")?, "2xx")?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn successes_are_the_answers_of_2xx() {
        let printed = "requests: 10 total, 10 started, 9 done, 8 succeeded, 1 failed, 1 errored, 0 timeout\n\
                       status codes: 8 2xx, 0 3xx, 0 4xx, 1 5xx\n";
        assert_eq!(count(printed), Some((10, 8)));
    }
}
