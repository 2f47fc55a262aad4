//! Where probes follow each other: a cgroup, what outlives them, and a small receiver for a bridge.

use syntrace_proto::{Connection, Outcome};

use crate::{
    bpffs::Bpffs,
    cgroup::Cgroup,
    client::{Client, ONE_CONNECTION},
    in_kernel::InKernel,
    probe::Start,
    receiver::Receiver,
    waiting::wait_for,
};

/// All of them our own, and gone when dropped.
pub(crate) struct Site {
    pub(crate) cgroup: Cgroup,
    pub(crate) bpffs: Bpffs,
    pub(crate) receiver: Receiver,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self {
            cgroup: Cgroup::new(),
            bpffs: Bpffs::new(),
            receiver: Receiver::new(),
        }
    }

    /// `run`, with state pinned.
    pub(crate) fn start(&self) -> Start {
        Start::pinned(&self.cgroup, &self.receiver, &self.bpffs)
    }

    /// `command`, with what is pinned here.
    pub(crate) fn command(&self, command: &str) -> Start {
        Start::of(&[command, "--bpffs", self.bpffs.path().to_str().unwrap()])
    }

    /// Has a connection come and go, and waits until it was told; returns its ends, the active one first.
    pub(crate) fn one_connection(&self) -> (Connection, Connection) {
        let port: u16 = Client::start(&self.cgroup, None, ONE_CONNECTION).told();
        self.receiver.both_ends(port, Outcome::Closed)
    }

    /// The kernel frees what was let go some time after.
    pub(crate) fn assert_nothing_is_left(&self, in_kernel: &InKernel) {
        assert!(self.bpffs.pins().is_empty());
        wait_for("the end of links, programs and maps", || {
            in_kernel.is_gone().then_some(())
        });
    }
}
