//! The bridge's own count of what it saw, joined and lost.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Deserialize;
use syntrace_integration::deadline::{self, Look};

use crate::world::World;

/// What the pools dialled lingers, and a busy bridge catches up.
const SETTLED: Duration = Duration::from_secs(180);

/// How long the database may take to catch up.
const LISTED: Duration = Duration::from_secs(180);

/// `GET /v1/coverage`, as far as it is used.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Ledger {
    pub(crate) connections: Counts,
    pub(crate) requests: Requests,
    senders: Vec<Sender>,
    pub(crate) lost: u64,
    pub(crate) late: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Counts {
    pub(crate) settled: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Requests {
    pub(crate) live: u64,
    pub(crate) settled: u64,
    pub(crate) joined: Vec<Joined>,
    pub(crate) unjoined: Vec<Unjoined>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Joined {
    pub(crate) method: String,
    pub(crate) confidence: String,
    pub(crate) count: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Unjoined {
    pub(crate) missing: String,
    pub(crate) count: u64,
}

#[derive(Clone, Debug, Deserialize)]
struct Sender {
    name: String,
    received: u64,
}

impl Ledger {
    /// Returns how many facts came from the senders whose names begin so.
    pub(crate) fn received(&self, name: &str) -> u64 {
        let senders = self.senders.iter();
        let received = senders
            .filter(|sender| sender.name.starts_with(name))
            .map(|sender| sender.received);
        received.sum()
    }

    /// Returns how many requests were joined exactly and for certain.
    pub(crate) fn certain(&self) -> u64 {
        let certain = |joined: &&Joined| joined.method == "exact" && joined.confidence == "certain";
        self.requests
            .joined
            .iter()
            .filter(certain)
            .map(|joined| joined.count)
            .sum()
    }

    /// Returns how many requests were not joined, whatever the reason.
    pub(crate) fn unmatched(&self) -> u64 {
        self.requests
            .unjoined
            .iter()
            .map(|unjoined| unjoined.count)
            .sum()
    }
}

/// Reads the ledger.
pub(crate) fn read(world: &World) -> anyhow::Result<Ledger> {
    get(world, "/v1/coverage")
}

/// Waits until every request is settled, and returns the ledger.
pub(crate) fn settled(world: &World) -> anyhow::Result<Ledger> {
    let mut before = None;
    deadline::wait("all requests to be settled", SETTLED, || {
        let ledger = read(world)?;
        let settled = ledger.requests.settled;
        // Facts may still be under way to a bridge that has none: two looks in a row have to agree.
        let is_quiet = ledger.requests.live == 0 && before == Some(settled);
        before = Some(settled);
        Ok(if is_quiet {
            Look::Done(ledger)
        } else {
            std::thread::sleep(Duration::from_millis(1500));
            Look::NotYet(format!("{} live, {settled} settled", ledger.requests.live))
        })
    })
}

/// Waits until the database has caught up: before that, lists leave out what memory could not hold meanwhile.
pub(crate) fn listed(world: &World) -> anyhow::Result<Duration> {
    let began = Instant::now();
    deadline::wait("all records to be listed", LISTED, || {
        let metrics = text(world, "/metrics")?;
        Ok(
            if metrics
                .lines()
                .any(|line| line == "syntrace_database_rebuilding 0")
            {
                Look::Done(())
            } else {
                std::thread::sleep(Duration::from_millis(500));
                Look::NotYet("records are being made anew from the log".to_owned())
            },
        )
    })?;
    Ok(began.elapsed())
}

/// Asks the bridge.
pub(crate) fn get<T: serde::de::DeserializeOwned>(world: &World, path: &str) -> anyhow::Result<T> {
    serde_json::from_str(&text(world, path)?).with_context(|| format!("reading {path}"))
}

fn text(world: &World, path: &str) -> anyhow::Result<String> {
    let url = format!("{}{path}", world.bridge.client().base());
    let config = ureq::Agent::config_builder()
        .proxy(None)
        .timeout_global(Some(SETTLED))
        .build();
    let mut response = ureq::Agent::from(config)
        .get(&url)
        .call()
        .with_context(|| url.clone())?;
    let body = response.body_mut().with_config().limit(u64::MAX);
    Ok(body.read_to_string()?)
}
