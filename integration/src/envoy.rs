//! Envoy as a guard: the shipped configuration with its placeholders filled in, and its own counters.

pub mod log;

use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::{
    bridge, paths,
    process::{Process, Program},
    sandbox::{GATEWAY, SERVICE_GRPC, SERVICE_HTTP, Sandbox},
    services::{GRPC_PORT, HTTP_PORT},
};

/// Where the gateway listens.
pub const PORT: u16 = 10000;
/// Where the gateway does not listen.
pub const CLOSED_PORT: u16 = 10001;
/// Envoy's admin interface, on the gateway's loopback; its connections are an operator's questions, not traffic.
pub const ADMIN_PORT: u16 = 9901;
/// On the gateway's loopback: where nobody listens.
const DEAD_PORT: u16 = 9;

/// Envoy compiles the module before it listens, once per worker.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// Envoy's admin interface answers from memory.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// How a gateway is set up, before it is started.
#[derive(Debug)]
pub struct Gateway {
    template: PathBuf,
    workers: u32,
    changes: Vec<(&'static str, String)>,
    log_levels: Option<&'static str>,
}

/// A running Envoy with the filter in it.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
}

/// What Envoy itself counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections that its listener accepted.
    pub downstream_connections: u64,
    /// Connections that it tried to open.
    pub upstream_connections: u64,
    /// Those of them that failed.
    pub upstream_failures: u64,
}

// === impl Gateway ===

impl Gateway {
    /// Returns the gateway as it is shipped, with two workers.
    #[must_use]
    pub fn shipped() -> Self {
        Self::configured_by(paths::root().join("envoy/gateway.yaml"))
    }

    /// Returns a gateway that `template` configures; its placeholders are those of the shipped one.
    #[must_use]
    pub fn configured_by(template: PathBuf) -> Self {
        Self {
            template,
            workers: 2,
            changes: Vec::new(),
            log_levels: None,
        }
    }

    /// Replaces `text` of the template by `by`.
    #[must_use]
    pub fn with(mut self, text: &'static str, by: impl Into<String>) -> Self {
        self.changes.push((text, by.into()));
        self
    }

    /// Sets how many workers serve.
    #[must_use]
    pub fn workers(mut self, workers: u32) -> Self {
        self.workers = workers;
        self
    }

    /// Lets the components of `levels` (Envoy's `--component-log-level`) say more.
    #[must_use]
    pub fn saying(mut self, levels: &'static str) -> Self {
        self.log_levels = Some(levels);
        self
    }

    /// Starts Envoy in the gateway's namespace and waits until it listens; connects to it over TCP at no time.
    ///
    /// # Errors
    ///
    /// Fails if Envoy or the module is missing, if a text to replace is not there, or if Envoy refuses
    /// the configuration.
    pub fn start(self, sandbox: &Sandbox) -> anyhow::Result<Envoy> {
        let mut template = fs::read_to_string(&self.template)
            .with_context(|| format!("reading {}", self.template.display()))?;
        for (text, by) in &self.changes {
            if !template.contains(text) {
                bail!("{} does not contain {text:?}", self.template.display());
            }
            template = template.replace(text, by);
        }
        let configuration = sandbox.directory().join("gateway.yaml");
        fs::write(&configuration, render(&template, &values(sandbox)?)?)?;
        let mut program = Program::new("envoy", &sandbox.watched, paths::envoy()?)
            .inside(&sandbox.gateway)
            .args(["--disable-hot-restart", "--log-level", "warning"])
            .args(["--log-format", log::FORMAT])
            .args(["--concurrency", &self.workers.to_string()]);
        if let Some(levels) = self.log_levels {
            program = program.args(["--component-log-level", levels]);
        }
        let mut process = program
            .args(["-c".as_ref(), configuration.as_os_str()])
            .start(sandbox.directory())?;
        process.wait_for_port(PORT, START_DEADLINE)?;
        Ok(Envoy { process })
    }
}

// === impl Envoy ===

impl Envoy {
    /// Starts the gateway as it is shipped.
    ///
    /// # Errors
    ///
    /// As [`Gateway::start`].
    pub fn start(sandbox: &Sandbox) -> anyhow::Result<Self> {
        Gateway::shipped().start(sandbox)
    }

    /// Returns the connects of the pools and what they failed, by Envoy's own log.
    ///
    /// # Errors
    ///
    /// Fails if the log cannot be read.
    pub fn connects(&self) -> anyhow::Result<log::Connects> {
        Ok(log::read(&self.process.log()?))
    }

    /// Returns its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Reads Envoy's counters of the traffic through the gateway; the bridge's own cluster is left out.
    ///
    /// # Errors
    ///
    /// Fails if the admin interface does not answer.
    pub fn counters(&self, sandbox: &Sandbox) -> anyhow::Result<Counters> {
        #[derive(Deserialize)]
        struct Stats {
            stats: Vec<Stat>,
        }
        let printed = Program::new("admin", &sandbox.watching, "curl")
            .inside(&sandbox.gateway)
            .args(["-q", "-sS", "--fail", "--noproxy", "*"])
            .args([format!(
                "http://127.0.0.1:{ADMIN_PORT}/stats?format=json&filter=cx_"
            )])
            .start(sandbox.directory())?
            .finish(ANSWER_DEADLINE)?;
        let stats: Stats = serde_json::from_str(&printed).context("reading Envoy's counters")?;
        let named = stats
            .stats
            .iter()
            .filter_map(|stat| Some((stat.name.as_deref()?, stat.value?)));
        Ok(named.fold(Counters::default(), |counters, (name, value)| {
            counters.plus(name, value)
        }))
    }
}

/// A counter or gauge; histograms have neither field.
#[derive(Deserialize)]
struct Stat {
    name: Option<String>,
    value: Option<u64>,
}

impl Counters {
    fn plus(mut self, name: &str, value: u64) -> Self {
        let is_upstream =
            name.starts_with("cluster.") && !name.starts_with("cluster.syntrace_bridge.");
        if name == format!("listener.{GATEWAY}_{PORT}.downstream_cx_total") {
            self.downstream_connections += value;
        } else if is_upstream && name.ends_with(".upstream_cx_total") {
            self.upstream_connections += value;
        } else if is_upstream && name.ends_with(".upstream_cx_connect_fail") {
            self.upstream_failures += value;
        }
        self
    }
}

/// What the template's placeholders stand for in this sandbox.
fn values(sandbox: &Sandbox) -> anyhow::Result<BTreeMap<&'static str, String>> {
    Ok(BTreeMap::from([
        ("NODE_ID", "gateway-1".to_owned()),
        ("LISTEN", GATEWAY.to_string()),
        ("LISTEN_PORT", PORT.to_string()),
        ("ADMIN_PORT", ADMIN_PORT.to_string()),
        ("HTTP_ADDRESS", SERVICE_HTTP.to_string()),
        ("HTTP_PORT", HTTP_PORT.to_string()),
        ("GRPC_ADDRESS", SERVICE_GRPC.to_string()),
        ("GRPC_PORT", GRPC_PORT.to_string()),
        ("DEAD_PORT", DEAD_PORT.to_string()),
        (
            "BRIDGE_SOCKET",
            bridge::facts_socket(sandbox).display().to_string(),
        ),
        ("MODULE", paths::filter()?.display().to_string()),
        ("FILTER_CONFIG", "{}".to_owned()),
    ]))
}

/// Fills in every `${NAME}` outside of comments.
fn render(template: &str, values: &BTreeMap<&str, String>) -> anyhow::Result<String> {
    let mut rendered = String::new();
    for line in template
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
    {
        let mut pieces = line.split("${");
        rendered.push_str(pieces.next().unwrap_or_default());
        for piece in pieces {
            let (name, rest) = piece
                .split_once('}')
                .with_context(|| format!("no end of the placeholder: {line}"))?;
            match values.get(name) {
                Some(value) => rendered.extend([value, rest]),
                None => bail!("the configuration has a placeholder that nobody fills in: {name}"),
            }
        }
        rendered.push('\n');
    }
    Ok(rendered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_in_and_comments_are_left_out() {
        let values = BTreeMap::from([("PORT", "1".to_owned())]);
        assert_eq!(
            render("# ${PORT} ${ANY}\na: ${PORT}0\n", &values).unwrap(),
            "a: 10\n"
        );
    }

    #[test]
    fn an_unknown_placeholder_is_named() {
        let error = render("a: ${HOST}", &BTreeMap::new()).unwrap_err();
        assert!(error.to_string().ends_with("HOST"), "{error}");
    }

    #[test]
    fn the_bridges_own_cluster_is_no_traffic() {
        let counters = Counters::default()
            .plus("cluster.service_http.upstream_cx_total", 2)
            .plus("cluster.syntrace_bridge.upstream_cx_total", 1)
            .plus("listener.192.0.2.1_10000.downstream_cx_total", 3)
            .plus("listener.192.0.2.1_10000.worker_0.downstream_cx_total", 3);
        assert_eq!(
            counters,
            Counters {
                downstream_connections: 3,
                upstream_connections: 2,
                upstream_failures: 0
            }
        );
    }
}
