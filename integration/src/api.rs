//! The bridge's answers, as its HTTP API documents them, and a small client.
//!
//! Written against the documentation and not against the bridge's code: a field that goes missing or
//! changes its type fails here.

mod records;

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use serde::{Deserialize, de::DeserializeOwned};

pub use self::records::{
    Cause, Connection, Counters, Coverage, Join, Link, Opening, Owner, Phase, Request, Rung,
    Sender, Tag, Time, Trace, Upstream,
};

/// The bridge answers from memory.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// Records on a page, as many as the bridge allows.
const LIMIT: u32 = 1000;

/// Asks the bridge.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    agent: ureq::Agent,
}

// === impl Client ===

impl Client {
    /// Talks to the bridge at `address`.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(ANSWER_DEADLINE))
            .proxy(None)
            .build();
        Self {
            base: format!("http://{address}"),
            agent: config.into(),
        }
    }

    /// Returns the address to which the paths are appended.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Lists all connections, newest first.
    ///
    /// # Errors
    ///
    /// Fails if the bridge does not answer as documented.
    pub fn connections(&self) -> anyhow::Result<Vec<Connection>> {
        #[derive(Deserialize)]
        struct Page {
            connections: Vec<Connection>,
            next: Option<String>,
        }
        self.pages("/v1/connections", |page: Page| {
            (page.connections, page.next)
        })
    }

    /// Lists all requests, newest first.
    ///
    /// # Errors
    ///
    /// Fails if the bridge does not answer as documented.
    pub fn requests(&self) -> anyhow::Result<Vec<Request>> {
        #[derive(Deserialize)]
        struct Page {
            requests: Vec<Request>,
            next: Option<String>,
        }
        self.pages("/v1/requests", |page: Page| (page.requests, page.next))
    }

    /// Returns everything under a trace id or an alias.
    ///
    /// # Errors
    ///
    /// Fails if the id is unknown, or if the bridge does not answer as documented.
    pub fn trace(&self, id: &str) -> anyhow::Result<Trace> {
        self.get(&format!("/v1/traces/{id}"))
    }

    /// Returns what is joined and what was lost.
    ///
    /// # Errors
    ///
    /// Fails if the bridge does not answer as documented.
    pub fn coverage(&self) -> anyhow::Result<Coverage> {
        self.get("/v1/coverage")
    }

    /// Follows a list to its end; `open` parts a page into its records and the cursor of the next one.
    fn pages<Page: DeserializeOwned, T>(
        &self,
        path: &str,
        open: impl Fn(Page) -> (Vec<T>, Option<String>),
    ) -> anyhow::Result<Vec<T>> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let (records, next) = open(self.get(&format!("{path}?limit={LIMIT}{cursor}"))?);
            all.extend(records);
            match next {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(all),
            }
        }
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let url = format!("{}{path}", self.base);
        let asking = || format!("GET {url}");
        let mut response = self.agent.get(&url).call().with_context(asking)?;
        let body = response.body_mut().read_to_string().with_context(asking)?;
        serde_json::from_str(&body).with_context(asking)
    }
}
