//! Another program on the same sockets, with callbacks and a TCP option of its own.

use std::{fs::File, net::TcpListener};

use aya::{
    Ebpf,
    maps::PerCpuArray,
    programs::{CgroupAttachMode, SockOps},
};
use syntrace_proto::{Outcome, TagState};

use crate::{
    LOOPBACK, capture::Capture, cgroup::Cgroup, netns::Netns, probe::Probe, receiver::Receiver,
    traffic, turn,
};

/// `BPF_SOCK_OPS_RTT_CB` and `BPF_SOCK_OPS_WRITE_HDR_OPT_CB` of the UAPI.
const RTT: u32 = 12;
const WRITE: u32 = 15;

/// Attached until dropped.
struct Neighbour {
    ebpf: Ebpf,
}

impl Neighbour {
    fn attach(cgroup: &Cgroup) -> Self {
        let object = concat!(env!("OUT_DIR"), "/syntrace-ebpf-neighbour");
        let mut ebpf = Ebpf::load_file(object).unwrap();
        let program: &mut SockOps = ebpf.program_mut("neighbour").unwrap().try_into().unwrap();
        program.load().unwrap();
        let folder = File::open(cgroup.path()).unwrap();
        program.attach(folder, CgroupAttachMode::Single).unwrap();
        Self { ebpf }
    }

    fn runs(&self, op: u32) -> u64 {
        let runs: PerCpuArray<_, u64> = self.ebpf.map("RUNS").unwrap().try_into().unwrap();
        runs.get(&op, 0).unwrap().iter().sum()
    }
}

#[test]
fn another_programs_callbacks_and_options_survive_in_either_order() {
    let Some(_turn) = turn(&["ip", "nft", "tcpdump"]) else {
        return;
    };
    for is_first in [true, false] {
        let cgroup = Cgroup::new();
        let receiver = Receiver::new();
        let before = is_first.then(|| Neighbour::attach(&cgroup));
        let orders = ["--tag-to", LOOPBACK, "--believe-from", LOOPBACK];
        let _probe = Probe::start(&cgroup, &receiver, &orders);
        let neighbour = before.unwrap_or_else(|| Neighbour::attach(&cgroup));
        let netns = Netns::new();
        let capture = Capture::begin(&netns);
        let member = cgroup.join();
        let port = netns.within(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut pair = traffic::connected(&listener);
            pair.round_trips(10);
            drop(pair);
            listener.local_addr().unwrap().port()
        });
        drop(member);
        let (active, passive) = receiver.both_ends(port, Outcome::Closed);
        // The SYN has no room for both options: the kernel's own, ours of 20 and theirs of 4.
        let is_tagged = active.tag_state() != TagState::None;
        let packets = capture.end(&netns);
        for packet in &packets {
            // Every segment has theirs but, where ours took the room first, SYN and SYN-ACK.
            let is_ours = is_tagged && !is_first && (packet.is_syn() || packet.is_syn_ack());
            assert_eq!(packet.has_option(254), !is_ours, "{is_first} {packet:?}");
        }
        assert!(packets.len() > 20);
        assert!(
            neighbour.runs(WRITE) >= packets.len() as u64 - 2,
            "{is_first}"
        );
        assert!(neighbour.runs(RTT) > 0, "{is_first}");
        assert_eq!((active.bytes_acked, passive.bytes_acked), (10, 10));
        // Ours took what it needed where it came first, and said so where it did not.
        assert_eq!(is_tagged, !is_first);
    }
}
