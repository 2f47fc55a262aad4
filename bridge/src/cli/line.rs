//! The arguments of the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::bridge::Address;

const AFTER: &str = "\
Exit codes: 0 done; 1 it could not be done, such as no bridge or a wrong token; 2 doctor found a broken \
link; 3 nothing is known under what was asked for; 64 a wrong command line.

Colours are off where the output is no terminal, and where NO_COLOR is set.";

/// Says which party made a request fail or wait: the client, the network, the kernel's queues, the proxy
/// or the service.
#[derive(Clone, Debug, Parser)]
#[command(name = "syntrace", version, after_help = AFTER, infer_subcommands = true)]
pub struct Line {
    #[command(flatten)]
    pub(super) to: To,
    /// The answer as the bridge gave it, in JSON.
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// The server's address.
#[derive(Clone, Debug, Args)]
pub(super) struct To {
    /// Where the bridge answers: http://HOST:PORT, https://HOST:PORT or unix:/PATH.
    #[arg(
        long,
        global = true,
        value_name = "ADDRESS",
        env = "SYNTRACE_BRIDGE",
        default_value = "http://127.0.0.1:4390"
    )]
    pub(super) bridge: Address,
    /// File with the token for the bridge; of several lines, the first.
    #[arg(long, global = true, value_name = "FILE", env = "SYNTRACE_TOKEN_FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// Certificates of those who sign the bridge's, PEM; the system's without.
    #[arg(long, global = true, value_name = "FILE", env = "SYNTRACE_CA")]
    pub(super) ca: Option<PathBuf>,
    /// Certificate to show to a bridge that demands one, PEM.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "SYNTRACE_CERT",
        requires = "key"
    )]
    pub(super) cert: Option<PathBuf>,
    /// Key of that certificate, PEM.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "SYNTRACE_KEY",
        requires = "cert"
    )]
    pub(super) key: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Command {
    /// Where the trouble is: causes by party, the most frequent first, each with its latest example.
    Why(Why),
    /// Requests or connections, one a line: what is there, then each as it settles, a few seconds after its end.
    Tail(Tail),
    /// One connection, request or trace in full, by any of its ids; or whatever `find` finds.
    Show {
        /// Id of a connection, span id, trace id, alias, traceparent, or x-request-id.
        #[arg(required = true)]
        what: Vec<String>,
        #[command(flatten)]
        many: Many,
    },
    /// What is known of an address, a pair of addresses, a network, a dye, a status and a time, or an id.
    Find {
        /// Such as 192.0.2.2:41230, "192.0.2.2:41230 192.0.2.1:80", 192.0.2.0/24, "503 10:04" (UTC; also with a date
        /// before the time), "p99 10:04" for the slowest requests of that minute, dye=gray=v2 for those with that
        /// label, alone or before a status and a time, or an id.
        #[arg(required = true)]
        what: Vec<String>,
        #[command(flatten)]
        many: Many,
    },
    /// What is seen and what is not: joins by method, and every loss.
    Coverage,
    /// The records of a copied log, one per line; no bridge is needed.
    Replay {
        /// The bridge's data directory, or a copy of its log.
        directory: PathBuf,
    },
    /// Looks at the whole chain (kernel, cgroup, Envoy's filter, bridge, export) and names the broken link.
    Doctor(Doctor),
    /// Prints the completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Prints a manual page, in roff.
    Man {
        /// The command that it is of; without one, the page of all.
        of: Option<String>,
    },
}

/// How much of a list.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Many {
    /// Records that are listed at most; if more match, that is printed.
    #[arg(long, value_name = "COUNT", default_value = "100", value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Lists all that fit.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Why {
    /// Only what began since: a time (RFC 3339), one of the day in UTC such as 10:04, or how long ago, such as 15m or 2d.
    #[arg(long, default_value = "1h")]
    pub(super) since: String,
    /// Only what began before; as --since.
    #[arg(long)]
    pub(super) until: Option<String>,
    /// Only requests to this cluster of Envoy's.
    #[arg(long)]
    pub(super) cluster: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Tail {
    /// Connections instead of requests.
    #[arg(long)]
    pub(super) connections: bool,
    /// How many that are there already.
    #[arg(short = 'n', long, value_name = "COUNT", default_value = "10",
          value_parser = clap::value_parser!(u16).range(0..=1000))]
    pub(super) lines: u16,
    /// End after those.
    #[arg(long)]
    pub(super) once: bool,
    /// Filters of the bridge's list, such as status=503, party=service, cause=connect_refused,
    /// peer=192.0.2.2:41230, since=15m.
    #[arg(value_name = "KEY=VALUE", value_parser = filter)]
    pub(super) filters: Vec<(String, String)>,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Doctor {
    /// Where Envoy's admin interface answers.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "SYNTRACE_ENVOY_ADMIN",
        default_value = "http://127.0.0.1:9901"
    )]
    pub(super) envoy_admin: Address,
    /// Envoy's cluster that leads to the bridge.
    #[arg(long, value_name = "NAME", default_value = "syntrace_bridge")]
    pub(super) bridge_cluster: String,
}

impl Many {
    /// Returns how many records are listed at most.
    pub(super) fn most(self) -> usize {
        if self.all {
            usize::MAX
        } else {
            usize::try_from(self.limit).unwrap_or(usize::MAX)
        }
    }
}

/// Text that is no filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected KEY=VALUE, such as status=503")]
struct FilterError;

fn filter(text: &str) -> Result<(String, String), FilterError> {
    let (key, value) = text.split_once('=').ok_or(FilterError)?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Line::command().debug_assert();
    }

    #[test]
    fn filters_are_words_with_an_equals_sign() {
        let words = [
            "syntrace",
            "tail",
            "--connections",
            "outcome=refused",
            "--once",
        ];
        let line = Line::try_parse_from(words).unwrap();
        let Command::Tail(tail) = line.command else {
            panic!("{line:?}");
        };
        assert!(tail.connections && tail.once);
        assert_eq!(tail.filters, [("outcome".to_owned(), "refused".to_owned())]);
        assert!(Line::try_parse_from(["syntrace", "tail", "refused"]).is_err());
    }
}
