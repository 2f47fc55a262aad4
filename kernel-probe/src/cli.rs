//! The command line, and its environment variables, turned into checked settings.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, error::ErrorKind};
use syntrace_probe::{BridgeAddress, MeshKey, Network, Settings, cgroup};

/// What the process is to do.
pub(crate) enum Command {
    /// Follow connections.
    Run(Settings),
    /// Say what is possible.
    Check,
}

/// A command line that does not run.
pub(crate) enum Usage {
    /// It asked for this text.
    Asked(String),
    /// One line: the key, what was found, what was expected.
    Wrong(String),
}

/// Follows the TCP connections of a cgroup and reports them to the bridge.
#[derive(Debug, Parser)]
#[command(name = "syntrace-probe", version, arg_required_else_help = false)]
struct Line {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Attaches to a cgroup and reports until told to stop.
    Run(Orders),
    /// Says, one line for each capability, what this kernel and this process allow.
    Check,
}

#[derive(Args, Debug)]
struct Orders {
    /// The cgroup v2 directory whose sockets are followed, with all below it.
    #[arg(long, value_name = "PATH", env = "SYNTRACE_CGROUP")]
    cgroup: PathBuf,
    /// The bridge's socket, such as unix:/run/syntrace/bridge.sock.
    #[arg(long, value_name = "ADDRESS", env = "SYNTRACE_BRIDGE")]
    bridge: BridgeAddress,
    /// The name of this host in what is reported.
    #[arg(
        long,
        value_name = "NAME",
        env = "SYNTRACE_HOST_ID",
        default_value = ""
    )]
    host_id: String,
    /// Tags SYNs to this network with the trace id; may be given several times.
    #[arg(
        long,
        value_name = "NETWORK",
        env = "SYNTRACE_TAG_TO",
        value_delimiter = ','
    )]
    tag_to: Vec<Network>,
    /// Believes and answers tags from this network; may be given several times.
    #[arg(
        long,
        value_name = "NETWORK",
        env = "SYNTRACE_BELIEVE_FROM",
        value_delimiter = ','
    )]
    believe_from: Vec<Network>,
    /// The mesh's key, 32 hexadecimal digits: signs tags; only tags under it are believed then.
    #[arg(long, value_name = "FILE", env = "SYNTRACE_MESH_KEY_FILE")]
    mesh_key_file: Option<PathBuf>,
}

/// Reads the command line and the environment, and opens what they name.
pub(crate) fn parse() -> Result<Command, Usage> {
    match Line::try_parse().map_err(usage)?.action {
        Action::Check => Ok(Command::Check),
        Action::Run(orders) => orders.check().map(Command::Run),
    }
}

impl Orders {
    fn check(self) -> Result<Settings, Usage> {
        let cgroup = cgroup(&self.cgroup)
            .map_err(|error| wrong("--cgroup", &self.cgroup.display(), &error))?;
        let mesh_key = match &self.mesh_key_file {
            None => None,
            Some(path) => {
                let key = MeshKey::read(path)
                    .map_err(|error| wrong("--mesh-key-file", &path.display(), &error))?;
                Some(key)
            }
        };
        Ok(Settings {
            cgroup,
            bridge: self.bridge,
            host_id: self.host_id,
            tag_to: self.tag_to,
            believe_from: self.believe_from,
            mesh_key,
        })
    }
}

fn wrong(key: &str, found: &dyn std::fmt::Display, error: &dyn std::error::Error) -> Usage {
    Usage::Wrong(format!(
        "error: invalid value '{found}' for '{key}': {error}"
    ))
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
    let lines = text
        .lines()
        .take_while(|line| !line.is_empty())
        .map(str::trim);
    Usage::Wrong(lines.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_value_is_one_line_with_key_found_and_expected() {
        let line = refused(&[
            "run", "--cgroup", "/", "--bridge", "unix:/b", "--tag-to", "10/8",
        ]);
        assert_eq!(
            line,
            "error: invalid value '10/8' for '--tag-to <NETWORK>': \
             expected a network such as 10.0.0.0/8 or 2001:db8::/32"
        );
    }

    #[test]
    fn a_missing_value_is_one_line_with_its_key() {
        let line = refused(&["run", "--cgroup", "/"]);
        assert!(
            line.contains("--bridge <ADDRESS>") && !line.contains('\n'),
            "{line}"
        );
    }

    #[test]
    fn the_declaration_is_consistent() {
        use clap::CommandFactory as _;
        Line::command().debug_assert();
    }

    fn refused(arguments: &[&str]) -> String {
        let line = ["syntrace-probe"].iter().chain(arguments);
        match Line::try_parse_from(line).map_err(usage) {
            Err(Usage::Wrong(line)) => line,
            Err(Usage::Asked(_)) | Ok(_) => panic!("the command line was taken"),
        }
    }
}
