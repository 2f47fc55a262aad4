//! The processor time of Envoy's one worker, by the kernel's scheduler statistics.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use syntrace_integration::deadline::{self, Look};

/// How Envoy names its first worker.
const THREAD: &str = "wrk:worker_0";
/// The worker rests when it used less than this in [`QUIET`]: its timers alone use some.
const RESTING_NS: u64 = 400_000;
/// Longer than any flush interval of the variants (1 s) beside a margin.
const QUIET: Duration = Duration::from_millis(300);
const DEADLINE: Duration = Duration::from_secs(20);

/// One thread.
#[derive(Debug)]
pub(crate) struct Worker(PathBuf);

impl Worker {
    /// Finds the worker of the Envoy with this process id.
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = task?.path();
            if fs::read_to_string(task.join("comm"))?.trim() == THREAD {
                return Ok(Self(task.join("schedstat")));
            }
        }
        anyhow::bail!("process {pid} has no thread {THREAD}")
    }

    /// Returns how long it ran so far, nanoseconds.
    pub(crate) fn ran_ns(&self) -> anyhow::Result<u64> {
        let text = fs::read_to_string(&self.0)?;
        let ran = text.split(' ').next().and_then(|ran| ran.parse().ok());
        ran.with_context(|| format!("reading {}", self.0.display()))
    }

    /// Waits until it rests; returns how long it ran then.
    pub(crate) fn rest(&self) -> anyhow::Result<u64> {
        let mut seen = (Instant::now(), self.ran_ns()?);
        deadline::wait("the worker to rest", DEADLINE, || {
            if seen.0.elapsed() < QUIET {
                return Ok(Look::NotYet("too early to tell".to_owned()));
            }
            let ran = self.ran_ns()?;
            let used = ran - seen.1;
            seen = (Instant::now(), ran);
            Ok(if used < RESTING_NS {
                Look::Done(ran)
            } else {
                Look::NotYet(format!("{used} ns in {QUIET:?}"))
            })
        })
    }
}
