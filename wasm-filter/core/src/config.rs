//! The filter's configuration: the JSON that Envoy hands over when it loads the filter.
//!
//! Strict on purpose: an unknown or wrong key makes Envoy refuse the configuration when it is
//! loaded, with one line that names it, instead of running with something else than was meant.

use serde_json::Value;

/// Every key; an empty configuration means all defaults.
pub const KEYS: [&str; 8] = [
    "bridge_cluster",
    "detail_above_ms",
    "flush_interval_ms",
    "gateway",
    "max_batch_facts",
    "max_connections",
    "max_queue_bytes",
    "requests_per_trace",
];

/// How the filter behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The Envoy cluster behind which the bridge listens.
    pub bridge_cluster: String,
    /// Requests that took at least this long are reported in detail, milliseconds.
    pub detail_above_ms: u64,
    /// Longest time that a fact waits to be sent, milliseconds.
    pub flush_interval_ms: u64,
    /// Name of this gateway; Envoy's node id where it is not given.
    pub gateway: Option<String>,
    /// Most facts in one batch.
    pub max_batch_facts: usize,
    /// Most downstream connections that are remembered, per worker.
    pub max_connections: usize,
    /// Most bytes of facts that wait for the bridge, per worker.
    pub max_queue_bytes: usize,
    /// Requests without a context after which a connection's next trace begins.
    pub requests_per_trace: u64,
}

/// A configuration that Envoy must refuse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The text is not JSON.
    #[error("configuration is not JSON: {0}")]
    Json(String),
    /// The JSON is not an object.
    #[error("configuration is {found}, expected a JSON object")]
    NotAnObject {
        /// What it is.
        found: String,
    },
    /// A key is not one of ours.
    #[error("unknown key `{key}`, expected one of {}", KEYS.join(", "))]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// A value is not what its key needs.
    #[error("`{key}` is {found}, expected {expected}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value, as JSON, shortened.
        found: String,
        /// What it should be.
        expected: String,
    },
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            bridge_cluster: "syntrace_bridge".to_owned(),
            detail_above_ms: 10,
            flush_interval_ms: 200,
            gateway: None,
            max_batch_facts: 512,
            max_connections: 4_096,
            max_queue_bytes: 4 << 20,
            requests_per_trace: 100,
        }
    }
}

impl Config {
    /// Reads a configuration; nothing but white space means all defaults.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first thing that is wrong, what was found and what was expected.
    pub fn parse(text: &[u8]) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        if text.trim_ascii().is_empty() {
            return Ok(config);
        }
        let json: Value =
            serde_json::from_slice(text).map_err(|error| ConfigError::Json(error.to_string()))?;
        let Value::Object(entries) = &json else {
            return Err(ConfigError::NotAnObject {
                found: shown(&json),
            });
        };
        for (key, value) in entries {
            match key.as_str() {
                "bridge_cluster" => config.bridge_cluster = name("bridge_cluster", value)?,
                "detail_above_ms" => {
                    config.detail_above_ms = number("detail_above_ms", value, 0, 3_600_000)?
                }
                "flush_interval_ms" => {
                    config.flush_interval_ms = number("flush_interval_ms", value, 10, 60_000)?;
                }
                "gateway" => config.gateway = Some(name("gateway", value)?),
                "max_batch_facts" => {
                    config.max_batch_facts = number("max_batch_facts", value, 1, 10_000)?
                }
                "max_connections" => {
                    config.max_connections = number("max_connections", value, 2, 1_000_000)?;
                }
                "max_queue_bytes" => {
                    config.max_queue_bytes = number("max_queue_bytes", value, 64 << 10, 256 << 20)?;
                }
                "requests_per_trace" => {
                    config.requests_per_trace = number("requests_per_trace", value, 1, 1_000_000)?;
                }
                _ => return Err(ConfigError::UnknownKey { key: key.clone() }),
            }
        }
        Ok(config)
    }
}

/// Reads a whole number from `least` to `most`.
fn number<N: TryFrom<u64>>(
    key: &'static str,
    value: &Value,
    least: u64,
    most: u64,
) -> Result<N, ConfigError> {
    value
        .as_u64()
        .filter(|number| (least..=most).contains(number))
        .and_then(|number| N::try_from(number).ok())
        .ok_or_else(|| ConfigError::Value {
            key,
            found: shown(value),
            expected: format!("a whole number from {least} to {most}"),
        })
}

/// Reads a name: 1 to 200 visible ASCII characters.
fn name(key: &'static str, value: &Value) -> Result<String, ConfigError> {
    match value.as_str() {
        Some(name) if is_name(name) => Ok(name.to_owned()),
        _ => Err(ConfigError::Value {
            key,
            found: shown(value),
            expected: "a text of 1 to 200 visible ASCII characters".to_owned(),
        }),
    }
}

/// Returns whether `text` can name a gateway or a cluster.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=200).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Returns the JSON of a wrong value, short enough for one line.
fn shown(value: &Value) -> String {
    const LIMIT: usize = 60;
    let json = value.to_string();
    match json.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}...", json.get(..end).unwrap_or_default()),
        None => json,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_configuration_means_all_defaults() {
        for text in ["", "  \n", "{}"] {
            assert_eq!(Config::parse(text.as_bytes()), Ok(Config::default()));
        }
    }

    #[test]
    fn every_key_is_read() {
        let config = Config::parse(
            br#"{"bridge_cluster": "b", "detail_above_ms": 1, "flush_interval_ms": 20, "gateway": "g",
                 "max_batch_facts": 3, "max_connections": 4, "max_queue_bytes": 65536,
                 "requests_per_trace": 5}"#,
        );
        let expected = Config {
            bridge_cluster: "b".to_owned(),
            detail_above_ms: 1,
            flush_interval_ms: 20,
            gateway: Some("g".to_owned()),
            max_batch_facts: 3,
            max_connections: 4,
            max_queue_bytes: 65_536,
            requests_per_trace: 5,
        };
        assert_eq!(config, Ok(expected));
    }

    #[test]
    fn what_is_wrong_is_named_in_one_line() {
        let cases = [
            (
                "{",
                "configuration is not JSON: EOF while parsing an object at line 1 column 1",
            ),
            ("[]", "configuration is [], expected a JSON object"),
            (
                r#"{"gateway": ""}"#,
                r#"`gateway` is "", expected a text of 1 to 200 visible ASCII characters"#,
            ),
            (
                r#"{"flush_interval_ms": "1"}"#,
                r#"`flush_interval_ms` is "1", expected a whole number from 10 to 60000"#,
            ),
            (
                r#"{"requests_per_trace": 0}"#,
                "`requests_per_trace` is 0, expected a whole number from 1 to 1000000",
            ),
        ];
        for (text, message) in cases {
            assert_eq!(
                Config::parse(text.as_bytes()).unwrap_err().to_string(),
                message
            );
        }
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_known_ones() {
        let error = Config::parse(br#"{"bridge_clutser": "b"}"#)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("unknown key `bridge_clutser`, expected one of bridge_cluster, ")
        );
    }

    #[test]
    fn a_giant_wrong_value_is_shortened() {
        let text = format!(r#"{{"gateway": "{}"}}"#, "\u{e9}".repeat(1_000));
        assert!(
            Config::parse(text.as_bytes())
                .unwrap_err()
                .to_string()
                .len()
                < 250
        );
    }
}
