//! The filter's decisions: what context a request gets, what is reported of it, what is sent when.
//!
//! Everything that is asked of the proxy goes through [`Host`]; a test answers it from a map. Not
//! here: the proxy-wasm ABI (the `syntrace-wasm-filter` package), any clock, any source of
//! randomness but the seed that [`Filter::new`] is given.
#![forbid(unsafe_code)]

mod attribute;
mod batch;
mod bundle;
mod config;
mod connections;
mod context;
mod dyeing;
mod ends;
mod filter;
mod headers;
mod host;
mod json;
mod mark;
mod network;
pub mod pairs;
mod plugins;
mod propagation;
mod random;
mod recent;
mod report;
mod sending;
mod upstreams;
mod wire;

pub use attribute::Attribute;
pub use config::{Config, ConfigError, KEYS, Mode, PathForm, Policy, Rules, Sending};
pub use filter::Filter;
pub use host::{Expression, HeaderMap, Host, Metric, MetricKind};
pub use json::JsonError;
