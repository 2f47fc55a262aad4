//! The settings of the process: flags before environment variables before a file before defaults.
//!
//! Each setting is one field of [`Config`]; its flag, its variable, its key in the file, its place in the
//! schema and its line in `docs/configuration.md` all come from there. Each error is one line.

mod address;
mod check;
mod file;
mod reference;
mod usage;
mod variables;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use syntrace_core::Limits;

pub use self::{
    address::{
        CollectorUrl, FactsAddress, ParseError, ReadsAddress, Secret, SocketMode, TcpAddress,
    },
    reference::{markdown, schema},
    usage::Usage,
};
use crate::{
    api::Shown,
    log, otlp, pipeline,
    server::{self, AccessSettings, TlsSettings},
    store,
};

/// `--log-spare-mib`, unless it is given.
const SPARE_MIB: u32 = 256;

/// Joins what the filter and the probe saw of each connection, answers queries and exports spans.
#[derive(Clone, Debug, Parser)]
#[command(name = "syntrace-bridge", version)]
pub struct Config {
    /// TOML file with settings, the names of the flags as keys.
    #[arg(long, value_name = "FILE", env = "SYNTRACE_CONFIG")]
    config: Option<PathBuf>,
    /// Prints the settings in force, as such a file, and exits.
    #[arg(long)]
    print_config: bool,
    /// Prints the JSON Schema of such a file, and exits.
    #[arg(long)]
    print_schema: bool,

    /// Where facts are accepted: `unix:PATH`, `tcp:ADDRESS` or `tls:ADDRESS`; several are allowed.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "SYNTRACE_FACTS",
        value_delimiter = ',',
        default_value = "unix:/run/syntrace/bridge.sock"
    )]
    facts: Vec<FactsAddress>,
    /// Mode of the Unix sockets, octal: who may connect.
    #[arg(
        long,
        value_name = "MODE",
        env = "SYNTRACE_FACTS_MODE",
        default_value = "660"
    )]
    facts_mode: SocketMode,
    /// User ids whose processes may connect to the Unix sockets; without any, all that the mode allows.
    #[arg(
        long,
        value_name = "UID",
        env = "SYNTRACE_FACTS_UIDS",
        value_delimiter = ','
    )]
    facts_uids: Vec<u32>,
    /// File of the tokens with which facts are accepted over TCP, one per line.
    #[arg(long, value_name = "FILE", env = "SYNTRACE_FACTS_TOKEN_FILE")]
    facts_token_file: Option<PathBuf>,
    /// Most batches accepted per second at each address; requests without a required token have a limit of the
    /// same size of their own.
    #[arg(long, value_name = "COUNT", env = "SYNTRACE_FACTS_RATE", default_value = "10000",
          value_parser = clap::value_parser!(u32).range(1..))]
    facts_rate: u32,

    /// Where queries are answered: an address and a port, with `tls:` before it for TLS; port 0
    /// chooses a free one.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "SYNTRACE_LISTEN",
        default_value = "127.0.0.1:4390"
    )]
    listen: ReadsAddress,
    /// File of the tokens with which queries are answered, one per line.
    #[arg(long, value_name = "FILE", env = "SYNTRACE_LISTEN_TOKEN_FILE")]
    listen_token_file: Option<PathBuf>,
    /// Most queries answered per second; requests without a required token have a limit of the same size of their
    /// own.
    #[arg(long, value_name = "COUNT", env = "SYNTRACE_LISTEN_RATE", default_value = "1000",
          value_parser = clap::value_parser!(u32).range(1..))]
    listen_rate: u32,

    /// Certificate chain for `tls:` addresses, PEM.
    #[arg(long, value_name = "FILE", env = "SYNTRACE_TLS_CERTIFICATE")]
    tls_certificate: Option<PathBuf>,
    /// Key of the certificate, PEM.
    #[arg(long, value_name = "FILE", env = "SYNTRACE_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// Certificate authorities for clients' certificates, PEM; with it, `tls:` addresses require one.
    #[arg(long, value_name = "FILE", env = "SYNTRACE_TLS_CLIENT_CA")]
    tls_client_ca: Option<PathBuf>,

    /// How long after its event a fact may arrive, milliseconds.
    #[arg(long, value_name = "MS", env = "SYNTRACE_GRACE_MS", default_value = "2000",
          value_parser = clap::value_parser!(u64).range(1..=600_000))]
    grace_ms: u64,
    /// Settled records that are kept in memory; with a data directory, those that are not stored yet.
    #[arg(long, value_name = "COUNT", env = "SYNTRACE_SETTLED_RECORDS", default_value = "100000",
          value_parser = clap::value_parser!(u32).range(1..))]
    settled_records: u32,
    /// Directory in which everything is kept over restarts; without one, everything is in memory only.
    #[arg(long, value_name = "DIRECTORY", env = "SYNTRACE_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Size beyond which the oldest part of the log is removed, exported or not, MiB.
    #[arg(long, value_name = "MIB", env = "SYNTRACE_LOG_MIB", default_value = "1024",
          value_parser = clap::value_parser!(u32).range(1..))]
    log_mib: u32,
    /// Size up to which the log is kept although all of it is settled, stored and exported, MiB; without
    /// it 256, or all of a log that is bounded by less.
    #[arg(long, value_name = "MIB", env = "SYNTRACE_LOG_SPARE_MIB")]
    log_spare_mib: Option<u32>,
    /// Age beyond which the oldest part of the log is removed, exported or not, hours.
    #[arg(long, value_name = "HOURS", env = "SYNTRACE_LOG_HOURS", default_value = "24",
          value_parser = clap::value_parser!(u32).range(1..))]
    log_hours: u32,
    /// How often the log is synced to the disk, milliseconds: what a loss of power may cost. 0 syncs each group of
    /// batches before it is acknowledged.
    #[arg(
        long,
        value_name = "MS",
        env = "SYNTRACE_LOG_SYNC_MS",
        default_value = "1000"
    )]
    log_sync_ms: u32,
    /// Size beyond which the oldest settled records are removed, MiB.
    #[arg(long, value_name = "MIB", env = "SYNTRACE_VIEW_MIB", default_value = "2048",
          value_parser = clap::value_parser!(u32).range(1..))]
    view_mib: u32,
    /// Age beyond which settled records are removed, hours.
    #[arg(long, value_name = "HOURS", env = "SYNTRACE_VIEW_HOURS", default_value = "168",
          value_parser = clap::value_parser!(u32).range(1..))]
    view_hours: u32,

    /// Base URL of the collector that receives spans by OTLP; no export without one.
    #[arg(
        long,
        value_name = "URL",
        env = "OTEL_EXPORTER_OTLP_ENDPOINT",
        default_value = ""
    )]
    otlp_endpoint: CollectorUrl,
    /// The full URL for spans; takes precedence over `otlp-endpoint`.
    #[arg(
        long,
        value_name = "URL",
        env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        default_value = ""
    )]
    otlp_traces_endpoint: CollectorUrl,
    /// Protocol of the export.
    #[arg(
        long,
        value_name = "PROTOCOL",
        env = "OTEL_EXPORTER_OTLP_PROTOCOL",
        default_value = "http/protobuf"
    )]
    otlp_protocol: otlp::Protocol,
    /// Headers for the collector: `name=value`, separated by commas, percent-encoded; never printed.
    #[arg(
        long,
        value_name = "HEADERS",
        env = "OTEL_EXPORTER_OTLP_HEADERS",
        hide_env_values = true,
        default_value = ""
    )]
    otlp_headers: Secret,
    /// Compression of what is exported.
    #[arg(
        long,
        value_name = "NAME",
        env = "OTEL_EXPORTER_OTLP_COMPRESSION",
        default_value = "none"
    )]
    otlp_compression: Compression,
    /// How long the collector may take for one batch, milliseconds.
    #[arg(long, value_name = "MS", env = "OTEL_EXPORTER_OTLP_TIMEOUT", default_value = "10000",
          value_parser = clap::value_parser!(u64).range(1..))]
    otlp_timeout: u64,
    /// Certificate authorities for the collector, PEM; the system's without it.
    #[arg(long, value_name = "FILE", env = "OTEL_EXPORTER_OTLP_CERTIFICATE")]
    otlp_certificate: Option<PathBuf>,
    /// Client certificate for the collector, PEM.
    #[arg(
        long,
        value_name = "FILE",
        env = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"
    )]
    otlp_client_certificate: Option<PathBuf>,
    /// Key of that certificate, PEM.
    #[arg(long, value_name = "FILE", env = "OTEL_EXPORTER_OTLP_CLIENT_KEY")]
    otlp_client_key: Option<PathBuf>,
    /// Service name of the exported spans. `OTEL_RESOURCE_ATTRIBUTES` adds to it.
    #[arg(
        long,
        value_name = "NAME",
        env = "OTEL_SERVICE_NAME",
        default_value = "syntrace"
    )]
    service_name: String,

    /// Where the page leads to for a trace, with `{trace_id}` in place of its id.
    #[arg(long, value_name = "URL", env = "SYNTRACE_TRACE_URL")]
    trace_url: Option<String>,
}

/// How exported batches are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Compression {
    None,
    Gzip,
}

// === impl Config ===

impl Config {
    /// Reads the command line, the environment and the file.
    ///
    /// # Errors
    ///
    /// [`Usage`]: what to print instead of running.
    pub fn parse_line(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Usage> {
        let line: Vec<_> = arguments.into_iter().collect();
        // Afresh each time: a command that has read a line takes no new defaults.
        let afresh = || variables::settle(Self::command());
        let mut command = afresh();
        let mut matches = command.try_get_matches_from_mut(&line)?;
        let named = Self::from_arg_matches(&matches)?.config;
        if let Some(path) = named {
            command = file::apply(afresh(), &path)?;
            // What the line and the environment say was right by itself.
            let of_file = |error| Usage::from(error).in_file(&path);
            matches = command.try_get_matches_from_mut(&line).map_err(of_file)?;
        }
        let config = Self::from_arg_matches(&matches)?;
        if config.print_schema {
            return Err(Usage::Asked(schema()));
        }
        config.check()?;
        if config.print_config {
            return Err(Usage::Asked(reference::in_force(&command, &matches)));
        }
        Ok(config)
    }

    /// Returns where to listen, and who is allowed to connect.
    #[must_use]
    pub fn server(&self) -> server::Settings {
        server::Settings {
            facts: self.facts.clone(),
            facts_mode: self.facts_mode.0,
            facts_uids: self.facts_uids.clone(),
            facts_access: AccessSettings {
                token_file: self.facts_token_file.clone(),
                rate: self.facts_rate,
            },
            reads: self.listen,
            reads_access: AccessSettings {
                token_file: self.listen_token_file.clone(),
                rate: self.listen_rate,
            },
            tls: self.tls(),
            shown: Shown {
                service_name: self.service_name.clone(),
                trace_url: self.trace_url.clone(),
            },
        }
    }

    /// Returns what the pipeline is to keep and where it is to export to.
    #[must_use]
    pub fn pipeline(&self) -> pipeline::Settings {
        pipeline::Settings {
            limits: Limits {
                grace_ns: self.grace_ms.saturating_mul(1_000_000),
                ..Limits::default()
            },
            settled_records: usize::try_from(self.settled_records).unwrap_or(usize::MAX),
            data_dir: self.data_dir.clone(),
            log: log::Settings {
                bounds: log::Bounds {
                    spare_bytes: mib(self.log_spare()),
                    bytes: mib(self.log_mib),
                    age: hours(self.log_hours),
                    ..log::Bounds::default()
                },
                sync_interval: Duration::from_millis(self.log_sync_ms.into()),
                ..log::Settings::default()
            },
            view: store::Bounds {
                bytes: mib(self.view_mib),
                age: hours(self.view_hours),
                ..store::Bounds::default()
            },
            otlp: self.otlp(),
            ..pipeline::Settings::default()
        }
    }

    /// Returns where to export to, if there is a collector.
    #[must_use]
    pub fn otlp(&self) -> Option<otlp::Settings> {
        let protocol = self.otlp_protocol;
        let base = self.otlp_endpoint.given();
        let base = base.map(|base| otlp::Settings::of_base(base, protocol).endpoint);
        let endpoint = self
            .otlp_traces_endpoint
            .given()
            .map(str::to_owned)
            .or(base)?;
        let client = self.otlp_client_certificate.clone();
        Some(otlp::Settings {
            endpoint,
            protocol,
            gzip: self.otlp_compression == Compression::Gzip,
            headers: self.otlp_headers.0.parse().unwrap_or_default(),
            timeout: Duration::from_millis(self.otlp_timeout),
            service_name: self.service_name.clone(),
            certificate: self.otlp_certificate.clone(),
            client: client.zip(self.otlp_client_key.clone()),
        })
    }

    fn log_spare(&self) -> u32 {
        let default = SPARE_MIB.min(self.log_mib);
        self.log_spare_mib.unwrap_or(default)
    }

    fn tls(&self) -> Option<TlsSettings> {
        Some(TlsSettings {
            certificate: self.tls_certificate.clone()?,
            key: self.tls_key.clone()?,
            client_ca: self.tls_client_ca.clone(),
        })
    }
}

fn mib(count: u32) -> u64 {
    u64::from(count) << 20
}

fn hours(count: u32) -> Duration {
    Duration::from_secs(u64::from(count) * 60 * 60)
}

#[cfg(test)]
mod tests;
