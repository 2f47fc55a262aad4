//! The filter's decisions: what context a request gets, what is reported of it, what is sent when.
//!
//! Everything that is asked of the proxy goes through [`Host`]; a test answers it from a map. Not
//! here: the proxy-wasm ABI (the `syntrace-wasm-filter` package), any clock, any source of
//! randomness but the seed that [`Filter::new`] is given.
#![forbid(unsafe_code)]

mod attribute;
mod batch;
mod config;
mod connections;
mod context;
mod filter;
mod headers;
mod host;
mod random;
mod recent;
mod report;

pub use attribute::Attribute;
pub use config::{Config, ConfigError, KEYS};
pub use filter::{Filter, Stream};
pub use host::Host;
