//! The word of the wire: tcpdump in a namespace, independent of everything that is under test.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Context as _;

use crate::{
    netns::Namespace,
    pcap::{self, Opening},
    process::{Process, Program},
    sandbox::Sandbox,
};

/// tcpdump opens its socket well within this.
const START_DEADLINE: Duration = Duration::from_secs(10);

/// All devices in one format, without names and without another user. Packets are written as they come; short
/// ones in a large buffer, because a witness must not look away from a burst.
const OPTIONS: &str =
    "-i any -y LINUX_SLL -n -Z root -U --immediate-mode --snapshot-length=128 --buffer-size=8192";

/// A running capture of all SYN and SYN-ACK segments that cross a namespace.
#[derive(Debug)]
pub struct Capture {
    file: PathBuf,
    _tcpdump: Process,
}

impl Capture {
    /// Starts capturing in `namespace`; returns when every later segment will be seen.
    ///
    /// # Errors
    ///
    /// Fails if tcpdump cannot listen.
    pub fn start(sandbox: &Sandbox, namespace: &Namespace) -> anyhow::Result<Self> {
        // Named .pcap: some distributions confine tcpdump to such files.
        let file = sandbox
            .directory()
            .join(format!("{}.pcap", namespace.name()));
        let mut tcpdump = Program::new("tcpdump", &sandbox.watching, "tcpdump")
            .inside(namespace)
            .args(OPTIONS.split(' '))
            .args(["-w"])
            .args([file.as_os_str()])
            .args(["tcp[tcpflags] & tcp-syn != 0"])
            .start(sandbox.directory())?;
        tcpdump.wait_for_line("listening on", START_DEADLINE)?;
        Ok(Self {
            file,
            _tcpdump: tcpdump,
        })
    }

    /// Returns the segments seen so far, in their order.
    ///
    /// # Errors
    ///
    /// Fails if the file is gone.
    pub fn openings(&self) -> anyhow::Result<Vec<Opening>> {
        let file =
            fs::read(&self.file).with_context(|| format!("reading {}", self.file.display()))?;
        Ok(pcap::openings(&file))
    }
}
