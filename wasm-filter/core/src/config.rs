//! The filter's configuration: the JSON that Envoy hands over when it loads the filter.
//!
//! Strict on purpose: an unknown, wrong or contradictory key makes Envoy refuse the configuration when it
//! is loaded, with one line that names it, instead of running with something else than was meant.
//! `envoy/filter-config.schema.json` describes the same to editors; a test holds both together.

mod capture;
mod dye;
mod house_id;
mod object;
mod path;

use syntrace_model::{Endpoint, baggage, tracestate};

pub(crate) use self::{
    capture::{Capture, captured},
    dye::{Dye, MAX_DYE_BYTES, Seen, is_dye},
    house_id::HouseId,
};
pub use self::{object::ConfigError, path::PathForm};
use crate::{json::Json, network::Network};
use object::Object;

/// Every key at the top; an empty configuration means all defaults.
pub const KEYS: [&str; 19] = [
    "baggage",
    "bridge_cluster",
    "capture",
    "context",
    "detail_above_ms",
    "dye",
    "edges",
    "flush_interval_ms",
    "gateway",
    "house_id",
    "max_batch_facts",
    "max_connections",
    "max_queue_bytes",
    "mode",
    "path",
    "read",
    "requests_per_trace",
    "tracestate_key",
    "write",
];

/// How the filter behaves.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// What concerns the worker as a whole.
    pub sending: Sending,
    /// What concerns each request.
    pub rules: Rules,
}

/// How facts reach the bridge, and how much a worker may keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    /// The Envoy cluster behind which the bridge listens.
    pub bridge_cluster: String,
    /// Longest time that a fact waits to be sent, milliseconds.
    pub flush_interval_ms: u32,
    /// Name of this gateway; Envoy's node id where it is not given.
    pub gateway: Option<String>,
    /// Most facts in one batch.
    pub max_batch_facts: u32,
    /// Most downstream connections that are remembered, per worker.
    pub max_connections: u32,
    /// Most bytes of facts that wait for the bridge, per worker.
    pub max_queue_bytes: u32,
}

/// What is done with each request.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Whether the filter writes contexts, or only watches.
    pub mode: Mode,
    /// What is done with the contexts that requests bring.
    pub context: Policy,
    /// The same, for clients of some networks; the first that fits counts.
    pub(crate) edges: Vec<Edge>,
    /// Formats in which contexts are read; the first valid one counts.
    pub(crate) read: Vec<Format>,
    /// Formats in which contexts are written.
    pub(crate) write: Vec<Format>,
    pub(crate) house_id: Option<HouseId>,
    /// The filter's own key in `tracestate`; none is written without.
    pub(crate) tracestate_key: Option<String>,
    /// Requests without a context after which a connection's next trace begins.
    pub requests_per_trace: u32,
    /// Requests that took at least this long are reported in detail, milliseconds.
    pub detail_above_ms: u32,
    /// What a report says of a path.
    pub path: PathForm,
    /// Members of `baggage` that are reported.
    pub(crate) baggage: Vec<String>,
    pub(crate) capture: Vec<Capture>,
    pub(crate) dye: Option<Dye>,
}

/// Who is in charge of the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The filter: it decides each request's context and writes it.
    Tag,
    /// Envoy's own tracer, or nobody: the filter writes nothing, and adopts at the end what Envoy wrote.
    Observe,
}

/// What is done with a context that a request brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// It is continued.
    Continue,
    /// The trace begins anew, and is linked to it.
    Restart,
    /// It counts as absent.
    Ignore,
}

/// A format of contexts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `traceparent` and `tracestate`.
    W3c,
    /// `b3`.
    B3,
    /// `x-b3-traceid` and its companions.
    B3Multi,
    /// The configured header of the house.
    House,
}

/// Clients that are trusted more, or less, than others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    networks: Vec<Network>,
    context: Policy,
}

const POLICIES: [(&str, Policy); 3] = [
    ("continue", Policy::Continue),
    ("restart", Policy::Restart),
    ("ignore", Policy::Ignore),
];

const MODES: [(&str, Mode); 2] = [("tag", Mode::Tag), ("observe", Mode::Observe)];

const FORMATS: [(&str, Format); 4] = [
    ("w3c", Format::W3c),
    ("b3", Format::B3),
    ("b3_multi", Format::B3Multi),
    ("house", Format::House),
];

/// Keys that decide what is written; nothing is, where the filter only watches.
const WRITING: [&str; 6] = [
    "context",
    "dye",
    "edges",
    "requests_per_trace",
    "tracestate_key",
    "write",
];

// === impl Config ===

impl Config {
    /// Reads a configuration; nothing but white space means all defaults.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first thing that is wrong, what was found and what was expected.
    pub fn parse(text: &[u8]) -> Result<Self, ConfigError> {
        if text.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let json = Json::parse(text)?;
        let top = Object::new(String::new(), &json, &KEYS)?;
        Ok(Self {
            sending: Sending::read(&top)?,
            rules: Rules::read(&top)?,
        })
    }
}

// === impl Sending ===

impl Default for Sending {
    fn default() -> Self {
        Self {
            bridge_cluster: "syntrace_bridge".to_owned(),
            flush_interval_ms: 200,
            gateway: None,
            max_batch_facts: 512,
            max_connections: 4_096,
            max_queue_bytes: 4 << 20,
        }
    }
}

impl Sending {
    fn read(top: &Object<'_>) -> Result<Self, ConfigError> {
        let default = Self::default();
        Ok(Self {
            bridge_cluster: top
                .name("bridge_cluster")?
                .unwrap_or(default.bridge_cluster),
            flush_interval_ms: top
                .number("flush_interval_ms", 10, 60_000)?
                .unwrap_or(default.flush_interval_ms),
            gateway: top.name("gateway")?,
            max_batch_facts: top
                .number("max_batch_facts", 1, 10_000)?
                .unwrap_or(default.max_batch_facts),
            max_connections: top
                .number("max_connections", 2, 1_000_000)?
                .unwrap_or(default.max_connections),
            max_queue_bytes: top
                .number("max_queue_bytes", 64 << 10, 256 << 20)?
                .unwrap_or(default.max_queue_bytes),
        })
    }
}

// === impl Rules ===

impl Default for Rules {
    fn default() -> Self {
        Self {
            mode: Mode::Tag,
            context: Policy::Continue,
            edges: Vec::new(),
            read: vec![Format::W3c, Format::B3, Format::B3Multi],
            write: vec![Format::W3c],
            house_id: None,
            tracestate_key: None,
            requests_per_trace: 100,
            detail_above_ms: 10,
            path: PathForm::Full,
            baggage: Vec::new(),
            capture: Vec::new(),
            dye: None,
        }
    }
}

impl Rules {
    fn read(top: &Object<'_>) -> Result<Self, ConfigError> {
        let default = Self::default();
        let rules = Self {
            mode: top.choice("mode", &MODES)?.unwrap_or(default.mode),
            context: top.choice("context", &POLICIES)?.unwrap_or(default.context),
            edges: top.list("edges", Edge::read)?.unwrap_or_default(),
            read: top.choices("read", &FORMATS)?.unwrap_or(default.read),
            write: top.choices("write", &FORMATS)?.unwrap_or(default.write),
            house_id: top
                .object("house_id", &house_id::KEYS)?
                .map(|house_id| HouseId::read_config(&house_id))
                .transpose()?,
            tracestate_key: top.text(
                "tracestate_key",
                tracestate::is_key,
                "a key of tracestate, such as syntrace",
            )?,
            requests_per_trace: top
                .number("requests_per_trace", 1, 1_000_000)?
                .unwrap_or(default.requests_per_trace),
            detail_above_ms: top
                .number("detail_above_ms", 0, 3_600_000)?
                .unwrap_or(default.detail_above_ms),
            path: top.choice("path", &path::FORMS)?.unwrap_or(default.path),
            baggage: top
                .texts("baggage", baggage::is_key, "a key of baggage")?
                .unwrap_or_default(),
            capture: top.list("capture", Capture::read)?.unwrap_or_default(),
            dye: top
                .object("dye", &dye::KEYS)?
                .map(|dye| Dye::read(&dye))
                .transpose()?,
        };
        rules.contradicts(top).map_or(Ok(rules), Err)
    }

    fn contradicts(&self, top: &Object<'_>) -> Option<ConfigError> {
        if self.mode == Mode::Observe
            && let Some(key) = WRITING.into_iter().find(|key| top.has(key))
        {
            return Some(
                top.contradiction(key, "none where `mode` is \"observe\": nothing is written"),
            );
        }
        for (key, formats) in [("read", &self.read), ("write", &self.write)] {
            if formats.contains(&Format::House) && self.house_id.is_none() {
                return Some(top.contradiction(key, "\"house\" only beside `house_id`"));
            }
        }
        let is_used = self.read.contains(&Format::House) || self.write.contains(&Format::House);
        if self.house_id.is_some() && !is_used {
            return Some(top.contradiction("house_id", "\"house\" in `read` or in `write`"));
        }
        if self.tracestate_key.is_some() && !self.write.contains(&Format::W3c) {
            return Some(top.contradiction("tracestate_key", "\"w3c\" in `write`"));
        }
        None
    }

    /// Returns whether a request's context or dye depends on where its connection comes from.
    pub(crate) fn need_ends(&self) -> bool {
        !self.edges.is_empty() || self.dye.as_ref().is_some_and(Dye::needs_ends)
    }

    /// Returns what is done with the context that a client brings.
    pub(crate) fn policy(&self, peer: Option<Endpoint>) -> Policy {
        let edge = self.edges.iter().find(|edge| {
            let fits = |peer| edge.networks.iter().any(|network| network.contains(peer));
            peer.is_some_and(fits)
        });
        edge.map_or(self.context, |edge| edge.context)
    }
}

// === impl Edge ===

impl Edge {
    fn read(edge: &Object<'_>) -> Result<Self, ConfigError> {
        edge.check_keys(&["context", "networks"])?;
        Ok(Self {
            networks: edge.required("networks", networks(edge, "networks")?)?,
            context: edge.required("context", edge.choice("context", &POLICIES)?)?,
        })
    }
}

fn networks(object: &Object<'_>, key: &'static str) -> Result<Option<Vec<Network>>, ConfigError> {
    let is_network = |text: &str| Network::parse(text).is_some();
    let texts = object.texts(key, is_network, "a network, such as 10.0.0.0/8")?;
    Ok(texts.map(|texts| {
        texts
            .iter()
            .filter_map(|text| Network::parse(text))
            .collect()
    }))
}

/// Returns whether `text` can name a gateway or a cluster.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=200).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Returns whether `text` can name a header: lower case, as proxies write it.
pub(crate) fn is_header(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
        })
}

#[cfg(test)]
mod tests;
