//! What is measured: the real probe, or a program that does nothing, each with a cgroup of its own.

use std::{fs::File, process};

use aya::{
    Ebpf,
    programs::{CgroupAttachMode, SockOps},
};

use crate::{cgroup::Cgroup, probe::Probe, receiver::Receiver, stats::Cost};

/// Programs that are attached to a cgroup.
pub(crate) struct Subject {
    cgroup: Cgroup,
    programs: Programs,
}

/// Who holds them.
enum Programs {
    Probe { probe: Probe, receiver: Receiver },
    Alone { _ebpf: Ebpf },
}

impl Subject {
    /// Starts the probe with these orders.
    pub(crate) fn probe(orders: &[&str]) -> Self {
        let (cgroup, receiver) = (Cgroup::new(), Receiver::new());
        let probe = Probe::start(&cgroup, &receiver, orders);
        Self {
            cgroup,
            programs: Programs::Probe { probe, receiver },
        }
    }

    /// Attaches a `sock_ops` program that returns at once.
    pub(crate) fn empty() -> Self {
        Self::alone("nothing")
    }

    /// Attaches a `sock_ops` program that does only what no tag can do without.
    pub(crate) fn bare_tag() -> Self {
        Self::alone("bare_tag")
    }

    fn alone(name: &str) -> Self {
        let cgroup = Cgroup::new();
        let object = concat!(env!("OUT_DIR"), "/syntrace-ebpf-neighbour");
        let mut ebpf = Ebpf::load_file(object).unwrap();
        let program: &mut SockOps = ebpf.program_mut(name).unwrap().try_into().unwrap();
        program.load().unwrap();
        let folder = File::open(cgroup.path()).unwrap();
        program.attach(folder, CgroupAttachMode::Single).unwrap();
        Self {
            cgroup,
            programs: Programs::Alone { _ebpf: ebpf },
        }
    }

    /// Does `work` as a member of the cgroup.
    pub(crate) fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        self.cgroup.within(work)
    }

    /// Does `work` as a member; returns what the programs cost meanwhile.
    ///
    /// Other subjects' programs that the same process holds do not run meanwhile: they are
    /// attached elsewhere.
    pub(crate) fn cost(&self, work: impl FnOnce()) -> Cost {
        let before = Cost::of(self.pid());
        self.within(work);
        Cost::of(self.pid()) - before
    }

    /// The probe and its receiver.
    pub(crate) fn running(&mut self) -> (&mut Probe, &Receiver) {
        match &mut self.programs {
            Programs::Probe { probe, receiver } => (probe, receiver),
            Programs::Alone { .. } => panic!("a program alone has no probe"),
        }
    }

    fn pid(&self) -> u32 {
        match &self.programs {
            Programs::Probe { probe, .. } => probe.pid(),
            Programs::Alone { .. } => process::id(),
        }
    }
}
