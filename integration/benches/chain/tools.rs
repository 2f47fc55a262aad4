//! Rivals that are programs of their own: they watch the whole host while a gateway without anything is measured.

use std::time::Duration;

use syntrace_integration::{
    benchmarks,
    cgroup::Cgroup,
    deadline::Look,
    paths,
    process::{Process, Program},
    sandbox::Sandbox,
};

/// A script is compiled and attached within this, on a busy machine too.
const START_DEADLINE: Duration = Duration::from_secs(60);
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// libbpf-tools and bpftrace find tracepoints where tracefs is mounted; this mounts it for the tool alone.
const WITH_TRACEFS: &str = r#"mount -t tracefs tracefs /sys/kernel/tracing && exec "$0" "$@""#;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rival {
    /// Debian's libbpf-tools: a line for each connection that ended.
    Tcplife,
    /// bpftrace, on tracepoints: how long each connect took.
    Tcpconnlat,
    /// bpftrace, on tracepoints: each retransmission.
    Tcpretrans,
    /// tcpdump, which writes the headers of every segment into a file.
    TcpdumpToFile,
    /// tcpdump, which prints every segment.
    TcpdumpText,
}

impl Rival {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tcplife => "tcplife",
            Self::Tcpconnlat => "tcpconnlat",
            Self::Tcpretrans => "tcpretrans",
            Self::TcpdumpToFile => "tcpdump",
            Self::TcpdumpText => "tcpdump_text",
        }
    }

    fn command(self, sandbox: &Sandbox) -> Vec<String> {
        let script = |name: &str| {
            paths::own(&format!("benches/chain/{name}.bt"))
                .display()
                .to_string()
        };
        let file = sandbox
            .directory()
            .join("headers.pcap")
            .display()
            .to_string();
        let words: &[&str] = match self {
            Self::Tcplife => &["stdbuf", "-oL", "tcplife"],
            Self::Tcpconnlat => &["bpftrace", "-B", "line", &script("tcpconnlat")],
            Self::Tcpretrans => &["bpftrace", "-B", "line", &script("tcpretrans")],
            Self::TcpdumpToFile => &[
                "tcpdump", "-i", "any", "-n", "-Z", "root", "-s", "96", "-w", &file, "tcp",
            ],
            Self::TcpdumpText => &[
                "tcpdump",
                "-i",
                "any",
                "-n",
                "-l",
                "-Z",
                "root",
                "--immediate-mode",
                "tcp",
            ],
        };
        words.iter().map(|&word| word.to_owned()).collect()
    }

    /// Starts it as a member of `cgroup`; returns when it sees everything that happens from now on.
    pub(crate) fn start(self, sandbox: &Sandbox, cgroup: &Cgroup) -> anyhow::Result<Process> {
        let program = match self {
            Self::Tcplife | Self::Tcpconnlat | Self::Tcpretrans => {
                Program::new(self.name(), cgroup, "unshare")
                    .args(["-m", "sh", "-c", WITH_TRACEFS])
                    .args(self.command(sandbox))
            }
            // A capture is of one network namespace: the gateway's.
            Self::TcpdumpToFile | Self::TcpdumpText => {
                let words = self.command(sandbox);
                let (program, rest) = words
                    .split_first()
                    .map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
                Program::new(self.name(), cgroup, program)
                    .inside(&sandbox.gateway)
                    .args(rest)
            }
        };
        let mut process = program.start(sandbox.directory())?;
        process.wait_until("its first words", START_DEADLINE, |process| {
            let said = process.output()? + &process.log()?;
            let ready = ["PID ", "READY", "listening on"]
                .iter()
                .any(|word| said.contains(word));
            Ok(if ready {
                Look::Done(())
            } else {
                Look::NotYet(said)
            })
        })?;
        Ok(process)
    }

    /// Returns how it is run, for the document.
    pub(crate) fn described(self, sandbox: &Sandbox) -> anyhow::Result<benchmarks::Tool> {
        let version = match self {
            Self::Tcplife => version(
                sandbox,
                "dpkg-query",
                &["-W", "-f", "${Package} ${Version}", "libbpf-tools"],
            )?,
            Self::Tcpconnlat | Self::Tcpretrans => version(sandbox, "bpftrace", &["--version"])?,
            Self::TcpdumpToFile | Self::TcpdumpText => version(sandbox, "tcpdump", &["--version"])?,
        };
        let command = self.command(sandbox).join(" ");
        Ok(benchmarks::Tool {
            name: self.name().to_owned(),
            version,
            command: command
                .replace(&sandbox.directory().display().to_string(), "")
                .replace(&format!("{}/", paths::root().display()), ""),
        })
    }
}

/// Returns the first line of what a program says of itself.
pub(crate) fn version(sandbox: &Sandbox, program: &str, args: &[&str]) -> anyhow::Result<String> {
    let mut process = Program::new("version", &sandbox.watching, program)
        .args(args)
        .start(sandbox.directory())?;
    process.wait(ANSWER_DEADLINE)?;
    let said = process.output()? + &process.log()?;
    let line = said.lines().find(|line| !line.trim().is_empty());
    let line = line.unwrap_or_default().trim();
    // Envoy says first where it is.
    Ok(line
        .rsplit_once("version: ")
        .map_or(line, |(_, version)| version)
        .to_owned())
}
