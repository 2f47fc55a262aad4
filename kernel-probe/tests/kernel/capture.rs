//! What a packet capture says of each end of the connections in a namespace: a witness that knows
//! nothing of sockets.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, ChildStderr, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::netns::Netns;

/// A pcap file with nanoseconds, as this machine writes it.
const MAGIC: u32 = 0xa1b2_3c4d;
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
const ETHERNET_HEADER: usize = 14;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// A capture that is running.
pub(crate) struct Capture {
    tcpdump: Child,
    /// Open as long as it runs: it writes there at its end.
    _stderr: BufReader<ChildStderr>,
    folder: TempDir,
}

/// An address with a port, as on the wire.
pub(crate) type End = (Vec<u8>, u16);

/// What one end sent to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) segments: u32,
    pub(crate) syns: u32,
    pub(crate) syn_acks: u32,
    pub(crate) resets: u32,
    /// Segments with data or FIN that were there before.
    pub(crate) again: u32,
    /// Segments with an option of kind 253, and of kind 254.
    pub(crate) with_kind_253: u32,
    pub(crate) with_kind_254: u32,
    /// The first SYN or SYN-ACK, nanoseconds since 1970.
    pub(crate) first_at_ns: u64,
    seen: BTreeSet<(u32, usize)>,
}

// === impl Capture ===

impl Capture {
    /// Captures TCP on loopback.
    pub(crate) fn begin(netns: &Netns) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut tcpdump = Command::new("ip")
            .args(["netns", "exec", netns.name(), "tcpdump", "-i", "lo", "-n"])
            .args([
                "--immediate-mode",
                "--time-stamp-precision=nano",
                "-U",
                "-Z",
                "root",
                "-w",
            ])
            .arg(folder.path().join("pcap"))
            .arg("tcp")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(tcpdump.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "tcpdump ended");
        }
        Self {
            tcpdump,
            _stderr: stderr,
            folder,
        }
    }

    /// Ends the capture; returns what each end sent to which other.
    pub(crate) fn end(mut self) -> BTreeMap<(End, End), Sent> {
        kill_process(Pid::from_child(&self.tcpdump), Signal::INT).unwrap();
        self.tcpdump.wait().unwrap();
        let file = fs::read(self.folder.path().join("pcap")).unwrap();
        assert_eq!(word(&file, 0), MAGIC);
        let mut flows = BTreeMap::<_, Sent>::new();
        let mut rest = &file[FILE_HEADER..];
        while rest.len() >= RECORD_HEADER {
            let at_ns = u64::from(word(rest, 0)) * 1_000_000_000 + u64::from(word(rest, 4));
            let (captured, len) = (word(rest, 8) as usize, word(rest, 12) as usize);
            let packet = &rest[RECORD_HEADER..][..captured];
            note(&mut flows, packet, len, at_ns);
            rest = &rest[RECORD_HEADER + captured..];
        }
        flows
    }
}

fn note(flows: &mut BTreeMap<(End, End), Sent>, packet: &[u8], len: usize, at_ns: u64) {
    let ip = &packet[ETHERNET_HEADER..];
    let (addresses, header) = match ip[0] >> 4 {
        4 => ([&ip[12..16], &ip[16..20]], usize::from(ip[0] & 15) * 4),
        _ => ([&ip[8..24], &ip[24..40]], 40),
    };
    let tcp = &ip[header..];
    let port = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    let [from, to] = [(addresses[0], port(0)), (addresses[1], port(2))]
        .map(|(address, port)| (address.to_vec(), port));
    let sequence = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
    let payload = len - ETHERNET_HEADER - header - usize::from(tcp[12] >> 4) * 4;
    let has = |flag: u8| tcp[13] & flag != 0;
    let sent = flows.entry((from, to)).or_default();
    sent.segments += 1;
    let options = &tcp[20..usize::from(tcp[12] >> 4) * 4];
    sent.with_kind_253 += u32::from(has_option(options, 253));
    sent.with_kind_254 += u32::from(has_option(options, 254));
    if has(SYN) {
        let counter = if has(ACK) {
            &mut sent.syn_acks
        } else {
            &mut sent.syns
        };
        *counter += 1;
        if sent.first_at_ns == 0 {
            sent.first_at_ns = at_ns;
        }
    } else if has(RST) {
        sent.resets += 1;
    } else {
        let length = payload + usize::from(has(FIN));
        if length > 0 && !sent.seen.insert((sequence, length)) {
            sent.again += 1;
        }
    }
}

fn has_option(mut options: &[u8], kind: u8) -> bool {
    // 0 ends the list; 1 is padding, without a length.
    while let [found, rest @ ..] = options
        && *found != 0
    {
        if *found == kind {
            return true;
        }
        options = if *found == 1 {
            rest
        } else {
            &options[usize::from(rest[0])..]
        };
    }
    false
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}
