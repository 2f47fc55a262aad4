//! The command line, and its environment variables, turned into checked settings.
//!
//! A flag goes before its variable. What is wrong is said in one line.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    str,
};

use clap::{Parser, error::ErrorKind};
use syntrace_core::Limits;

use crate::pipeline;

/// A command line that does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Usage {
    /// It asked for this text.
    Asked(String),
    /// One line: the key, what was found, what was expected.
    Wrong(String),
}

/// Where facts are taken. Text: `unix:/run/syntrace/bridge.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactsAddress(PathBuf);

/// Where questions are answered: an address that only this host reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadsAddress(SocketAddr);

/// Base URL of a collector; empty for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorUrl(String);

/// Text that is not what the key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not a [`FactsAddress`].
    #[error("expected the path of a Unix socket, such as unix:/run/syntrace/bridge.sock")]
    Facts,
    /// Not an address and a port.
    #[error("expected an address and a port, such as 127.0.0.1:4390")]
    Address,
    /// An address that other hosts may reach.
    #[error("expected a loopback address, such as 127.0.0.1:4390: nothing protects any other")]
    NotLoopback,
    /// Not a [`CollectorUrl`].
    #[error(
        "expected an http:// URL, such as http://127.0.0.1:4318; TLS is the local collector's part"
    )]
    Collector,
}

/// Joins what the filter and the probe saw of each connection, answers questions and exports spans.
#[derive(Clone, Debug, Parser)]
#[command(name = "syntrace-bridge", version)]
pub struct Config {
    /// Socket on which facts are taken; owner and group may connect.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "SYNTRACE_FACTS",
        default_value = "unix:/run/syntrace/bridge.sock"
    )]
    facts: FactsAddress,
    /// Loopback address on which questions are answered; port 0 chooses a free one.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "SYNTRACE_LISTEN",
        default_value = "127.0.0.1:4390"
    )]
    listen: ReadsAddress,
    /// How long after its event a fact may arrive, milliseconds.
    #[arg(long, value_name = "MS", env = "SYNTRACE_GRACE_MS", default_value = "2000",
          value_parser = clap::value_parser!(u64).range(1..=600_000))]
    grace_ms: u64,
    /// Settled records that are kept, of connections and of requests each.
    #[arg(long, value_name = "COUNT", env = "SYNTRACE_SETTLED_RECORDS", default_value = "100000",
          value_parser = clap::value_parser!(u32).range(1..))]
    settled_records: u32,
    /// Collector that takes spans by OTLP over HTTP; no export without one.
    #[arg(
        long,
        value_name = "URL",
        env = "OTEL_EXPORTER_OTLP_ENDPOINT",
        default_value = ""
    )]
    otlp_endpoint: CollectorUrl,
    /// Service name of the exported spans.
    #[arg(
        long,
        value_name = "NAME",
        env = "OTEL_SERVICE_NAME",
        default_value = "syntrace"
    )]
    service_name: String,
}

// === impl Config ===

impl Config {
    /// Reads the command line and the environment.
    ///
    /// # Errors
    ///
    /// [`Usage`]: what to say instead of running.
    pub fn parse_line(
        arguments: impl IntoIterator<Item = std::ffi::OsString>,
    ) -> Result<Self, Usage> {
        Self::try_parse_from(arguments).map_err(usage)
    }

    /// Returns the path of the socket on which facts are taken.
    #[must_use]
    pub fn facts(&self) -> &Path {
        &self.facts.0
    }

    /// Returns the address on which questions are answered.
    #[must_use]
    pub const fn listen(&self) -> SocketAddr {
        self.listen.0
    }

    /// Returns what the pipeline is to keep and where it is to export to.
    #[must_use]
    pub fn pipeline(&self) -> pipeline::Settings {
        let endpoint = &self.otlp_endpoint.0;
        pipeline::Settings {
            limits: Limits {
                grace_ns: self.grace_ms.saturating_mul(1_000_000),
                ..Limits::default()
            },
            settled_records: usize::try_from(self.settled_records).unwrap_or(usize::MAX),
            otlp_endpoint: (!endpoint.is_empty()).then(|| endpoint.clone()),
            service_name: self.service_name.clone(),
            ..pipeline::Settings::default()
        }
    }
}

/// Keeps what clap says up to its first empty line, as one line.
fn usage(error: clap::Error) -> Usage {
    let text = error.to_string();
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        return Usage::Asked(text);
    }
    let lines = text.lines().take_while(|line| !line.is_empty());
    Usage::Wrong(lines.map(str::trim).collect::<Vec<_>>().join(" "))
}

// === impl FromStr ===

impl str::FromStr for FactsAddress {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let path = text.strip_prefix("unix:").map(Path::new);
        match path {
            Some(path) if path.is_absolute() => Ok(Self(path.to_owned())),
            Some(_) | None => Err(ParseError::Facts),
        }
    }
}

impl str::FromStr for ReadsAddress {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => Ok(Self(address)),
            Ok(_) => Err(ParseError::NotLoopback),
            Err(_) => Err(ParseError::Address),
        }
    }
}

impl str::FromStr for CollectorUrl {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let host = text.strip_prefix("http://");
        if text.is_empty() || host.is_some_and(|host| !host.is_empty()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseError::Collector)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_other_hosts_reach_is_one_line_with_key_found_and_expected() {
        assert_eq!(
            refused(&["--listen", "0.0.0.0:4390"]),
            "error: invalid value '0.0.0.0:4390' for '--listen <ADDRESS>': \
             expected a loopback address, such as 127.0.0.1:4390: nothing protects any other"
        );
    }

    #[test]
    fn each_wrong_value_is_one_line_with_its_key() {
        let wrong = [
            ["--facts", "/run/bridge.sock"],
            ["--facts", "unix:bridge.sock"],
            ["--listen", "localhost"],
            ["--grace-ms", "0"],
            ["--settled-records", "many"],
            ["--otlp-endpoint", "https://collector:4318"],
        ];
        for [key, value] in wrong {
            let line = refused(&[key, value]);
            assert!(
                line.contains(key) && line.contains(value) && !line.contains('\n'),
                "{line}"
            );
        }
    }

    #[test]
    fn help_is_no_error() {
        let asked = parse(&["--help"]);
        assert!(matches!(asked, Err(Usage::Asked(text)) if text.contains("SYNTRACE_LISTEN")));
    }

    fn refused(arguments: &[&str]) -> String {
        match parse(arguments) {
            Err(Usage::Wrong(line)) => line,
            Err(Usage::Asked(_)) | Ok(_) => panic!("the command line was taken"),
        }
    }

    fn parse(arguments: &[&str]) -> Result<Config, Usage> {
        let line = std::iter::once(&"syntrace-bridge").chain(arguments);
        Config::parse_line(line.map(Into::into))
    }
}
