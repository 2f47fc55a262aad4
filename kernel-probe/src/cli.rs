//! The command line, and its environment variables, turned into checked settings.

use std::{
    fs::File,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use clap::{Args, Parser, Subcommand, error::ErrorKind};
use syntrace_probe::{
    BridgeAddress, Capability, Destination, MAX_NETWORKS, MeshKeys, Network, RingBytes, Scope,
    Settings, Succession, Whose, cgroup, process,
};

/// Where bpffs is usually mounted.
const BPFFS: &str = "/sys/fs/bpf";

/// What the process is to do.
pub(crate) enum Command {
    /// Follow connections for the bridge.
    Run(Settings, Destination, Succession),
    /// Print them.
    Watch(Settings),
    /// Write them to a file.
    Record(Settings, File, PathBuf),
    /// Send what a file holds.
    Replay(PathBuf, BridgeAddress),
    /// Remove what is below this bpffs, of all cgroups or of one.
    Detach(PathBuf, Scope),
    /// Say what runs, and what is below this bpffs.
    Status(PathBuf),
    /// Say what a verifier's log means.
    Explain(PathBuf),
    /// Print what the programs take, or compare it with this file.
    Manifest(Option<PathBuf>),
    /// Say what is possible, with this bpffs; as JSON or as a table.
    Check(PathBuf, Form),
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Table,
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
    /// Prints connections, refused connects and accept waits, without a bridge, until Ctrl-C.
    Watch(Whom),
    /// Writes what it sees to a file, without a bridge, until Ctrl-C.
    Record {
        /// The file, which must not exist.
        file: PathBuf,
        #[command(flatten)]
        whom: Whom,
    },
    /// Sends what a file holds to the bridge; what it has already is kept once. A last batch that was
    /// cut off is left out.
    Replay {
        /// A file that `record` wrote.
        file: PathBuf,
        /// The bridge's socket, such as unix:/run/syntrace/bridge.sock.
        #[arg(long, value_name = "ADDRESS", env = "SYNTRACE_BRIDGE")]
        bridge: BridgeAddress,
    },
    /// Ends probes that run, and removes everything of theirs from the kernel.
    Detach {
        /// The probe of this cgroup alone.
        #[arg(long, value_name = "PATH", required_unless_present = "all")]
        cgroup: Option<PathBuf>,
        /// The probes of all cgroups of this host.
        #[arg(long, conflicts_with = "cgroup")]
        all: bool,
        #[command(flatten)]
        bpffs: Bpffs,
    },
    /// Says which probes run, and what they may still do.
    Status(Bpffs),
    /// Says what a verifier's log means: where it stopped, why, and what helps.
    Explain {
        /// A file that holds the log.
        file: PathBuf,
    },
    /// Prints what each program takes of this kernel, as JSON.
    Manifest {
        /// Fails if instructions or map memory are more than 10 % above what this file says.
        #[arg(long, value_name = "FILE")]
        compare: Option<PathBuf>,
    },
    /// Says what this kernel and this process allow, by trying.
    Check {
        /// Prints JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        bpffs: Bpffs,
    },
}

/// Where state outlives the process.
#[derive(Args, Debug)]
struct Bpffs {
    /// The bpffs where state is kept for a successor.
    #[arg(
        long = "bpffs",
        value_name = "PATH",
        env = "SYNTRACE_BPFFS",
        default_value = BPFFS
    )]
    path: PathBuf,
}

/// Whom to follow: one of both.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Whom {
    /// The cgroup v2 directory whose sockets are followed, with all below it.
    #[arg(long, value_name = "PATH", env = "SYNTRACE_CGROUP")]
    cgroup: Option<PathBuf>,
    /// A process, which is followed with its cgroup; or alone, by what it has open every 5 s, if
    /// that is the root.
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
}

#[derive(Args, Debug)]
struct Orders {
    #[command(flatten)]
    whom: Whom,
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
    /// Tags SYNs to this network with the trace id; may be given up to 32 times. An address of it
    /// goes untagged for ten minutes, on all ports, where a tagged SYN was sent again, refused, or
    /// given up.
    #[arg(
        long,
        value_name = "NETWORK",
        env = "SYNTRACE_TAG_TO",
        value_delimiter = ','
    )]
    tag_to: Vec<Network>,
    /// Believes and answers tags from this network; may be given up to 32 times.
    #[arg(
        long,
        value_name = "NETWORK",
        env = "SYNTRACE_BELIEVE_FROM",
        value_delimiter = ','
    )]
    believe_from: Vec<Network>,
    /// The mesh's key, 32 hexadecimal digits: signs tags; only tags under it are believed then, or
    /// under the key of the file's second line, while keys are changed. Only its owner should be
    /// able to read the file.
    #[arg(long, value_name = "FILE", env = "SYNTRACE_MESH_KEY_FILE")]
    mesh_key_file: Option<PathBuf>,
    #[command(flatten)]
    bpffs: Bpffs,
    /// The size of the ring between kernel and process, a power of two; 33554432 if not given.
    #[arg(long, value_name = "BYTES", env = "SYNTRACE_RING_BYTES")]
    ring_bytes: Option<RingBytes>,
    /// Takes over from the probe that follows the same cgroup, without losing an event.
    #[arg(long)]
    take_over: bool,
    /// Switches a capability off, such as accept-wait; may be given several times. Without `tag`
    /// nothing is tagged, and no tag is believed or answered.
    #[arg(
        long,
        value_name = "CAPABILITY",
        env = "SYNTRACE_WITHOUT",
        value_delimiter = ','
    )]
    without: Vec<Capability>,
}

/// Reads the command line and the environment, and opens what they name.
pub(crate) fn parse() -> Result<Command, Usage> {
    match Line::try_parse().map_err(usage)?.action {
        Action::Manifest { compare } => Ok(Command::Manifest(compare)),
        Action::Explain { file } => Ok(Command::Explain(file)),
        Action::Check { json, bpffs } => {
            let form = if json { Form::Json } else { Form::Table };
            Ok(Command::Check(bpffs.path, form))
        }
        Action::Watch(whom) => whom.check().map(|whose| Command::Watch(only(whose))),
        // clap demands one of both, and takes no more.
        Action::Detach { cgroup, bpffs, .. } => {
            let scope = cgroup.as_deref().map(id_of).transpose()?;
            Ok(Command::Detach(bpffs.path, scope.unwrap_or(Scope::All)))
        }
        Action::Record { file, whom } => {
            let settings = only(whom.check()?);
            let opened =
                File::create_new(&file).map_err(|error| wrong("FILE", &file.display(), &error))?;
            Ok(Command::Record(settings, opened, file))
        }
        Action::Replay { file, bridge } => {
            File::open(&file).map_err(|error| wrong("FILE", &file.display(), &error))?;
            Ok(Command::Replay(file, bridge))
        }
        Action::Status(bpffs) => Ok(Command::Status(bpffs.path)),
        Action::Run(orders) => orders.check(),
    }
}

impl Whom {
    fn check(&self) -> Result<Whose, Usage> {
        match (&self.cgroup, self.pid) {
            (_, Some(pid)) => process(pid).map_err(|error| wrong("--pid", &pid, &error)),
            (Some(path), None) => in_cgroup(path),
            // clap demands one of both.
            (None, None) => Err(Usage::Wrong("error: expected --cgroup or --pid".to_owned())),
        }
    }
}

/// The number by which the kernel and the pins know a cgroup: its inode.
fn id_of(path: &Path) -> Result<Scope, Usage> {
    let refused = |error: &dyn std::error::Error| wrong("--cgroup", &path.display(), error);
    let directory = cgroup(path).map_err(|error| refused(&error))?;
    let id = directory.metadata().map_err(|error| refused(&error))?.ino();
    Ok(Scope::Cgroup(id))
}

fn in_cgroup(path: &Path) -> Result<Whose, Usage> {
    cgroup(path)
        .map(Whose::Cgroup)
        .map_err(|error| wrong("--cgroup", &path.display(), &error))
}

/// Orders to observe, and nothing else.
const fn only(whose: Whose) -> Settings {
    Settings {
        whose,
        tag_to: Vec::new(),
        believe_from: Vec::new(),
        mesh_keys: None,
        without: Vec::new(),
        ring_bytes: None,
        pins: None,
    }
}

impl Orders {
    fn check(self) -> Result<Command, Usage> {
        for (key, networks) in [
            ("--tag-to", &self.tag_to),
            ("--believe-from", &self.believe_from),
        ] {
            if networks.len() > MAX_NETWORKS {
                return Err(Usage::Wrong(format!(
                    "error: {} networks for '{key}': expected at most {MAX_NETWORKS}",
                    networks.len()
                )));
            }
        }
        let whose = self.whom.check()?;
        let mesh_keys = match &self.mesh_key_file {
            None => None,
            Some(path) => {
                let key = MeshKeys::read(path)
                    .map_err(|error| wrong("--mesh-key-file", &path.display(), &error))?;
                Some(key)
            }
        };
        let destination = Destination {
            bridge: self.bridge,
            host_id: self.host_id,
        };
        let settings = Settings {
            whose,
            tag_to: self.tag_to,
            believe_from: self.believe_from,
            mesh_keys,
            without: self.without,
            ring_bytes: self.ring_bytes,
            pins: Some(self.bpffs.path),
        };
        let succession = if self.take_over {
            Succession::TakeOver
        } else {
            Succession::Refuse
        };
        Ok(Command::Run(settings, destination, succession))
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
