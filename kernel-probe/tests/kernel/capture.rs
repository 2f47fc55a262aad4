//! A packet capture of TCP in a namespace: a witness that knows nothing of sockets.
//!
//! Reads what `tcpdump` wrote, packet by packet; what belongs together is for others.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::UdpSocket,
    process::{Child, ChildStderr, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{netns::Netns, waiting::wait_for};

/// A pcap file with nanoseconds, as this machine writes it.
const MAGIC: u32 = 0xa1b2_3c4d;
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
const ETHERNET_HEADER: usize = 14;

/// TCP options.
const MAXIMUM_SEGMENT_SIZE: u8 = 2;
const TIMESTAMPS: u8 = 8;
/// With its padding.
const TIMESTAMPS_LEN: u32 = 12;

/// The datagram behind all that is captured: what it follows is in the file, too.
const LAST: &[u8] = b"the capture ends";
const LAST_PORT: u16 = 9;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// A capture that is running.
pub(crate) struct Capture {
    tcpdump: Child,
    stderr: BufReader<ChildStderr>,
    folder: TempDir,
}

/// An address with a port, as on the wire.
pub(crate) type End = (Vec<u8>, u16);

/// One segment.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    /// When it passed, nanoseconds since 1970.
    pub(crate) at_ns: u64,
    pub(crate) from: End,
    pub(crate) to: End,
    pub(crate) sequence: u32,
    pub(crate) acknowledged: u32,
    flags: u8,
    /// Bytes behind the TCP header.
    pub(crate) payload: u32,
    /// From the IP header on, as far as captured.
    pub(crate) bytes: Vec<u8>,
    /// Where the TCP header begins, and where it ends.
    pub(crate) tcp: (usize, usize),
}

// === impl Capture ===

impl Capture {
    /// Captures TCP on loopback.
    pub(crate) fn begin(netns: &Netns) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut tcpdump = Command::new("ip")
            .args(["netns", "exec", netns.name(), "tcpdump", "-i", "lo", "-n"])
            .args(["--immediate-mode", "--time-stamp-precision=nano"])
            // Room for all, as there is none for so many whole packets.
            .args(["-s", "256", "-B", "4096"])
            .args(["-U", "-Z", "root", "-w"])
            .arg(folder.path().join("pcap"))
            .arg(format!("tcp or udp port {LAST_PORT}"))
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
            stderr,
            folder,
        }
    }

    /// Ends the capture in `netns`; returns what passed so far, in its order.
    pub(crate) fn end(mut self, netns: &Netns) -> Vec<Packet> {
        let path = self.folder.path().join("pcap");
        netns.within(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.send_to(LAST, ("127.0.0.1", LAST_PORT)).unwrap();
        });
        wait_for("the end of the capture", || {
            fs::read(&path).unwrap().ends_with(LAST).then_some(())
        });
        kill_process(Pid::from_child(&self.tcpdump), Signal::INT).unwrap();
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        assert!(said.contains("\n0 packets dropped by kernel"), "{said}");
        self.tcpdump.wait().unwrap();
        let file = fs::read(&path).unwrap();
        assert_eq!(word(&file, 0), MAGIC);
        let mut packets = Vec::new();
        let mut rest = &file[FILE_HEADER..];
        while rest.len() >= RECORD_HEADER {
            let at_ns = u64::from(word(rest, 0)) * 1_000_000_000 + u64::from(word(rest, 4));
            let (captured, len) = (word(rest, 8) as usize, word(rest, 12) as usize);
            let frame = &rest[RECORD_HEADER..][..captured];
            if frame.ends_with(LAST) {
                break;
            }
            packets.push(Packet::of(
                &frame[ETHERNET_HEADER..],
                len - ETHERNET_HEADER,
                at_ns,
            ));
            rest = &rest[RECORD_HEADER + captured..];
        }
        packets
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // A test that fails ends it, too.
        drop(self.tcpdump.kill());
        drop(self.tcpdump.wait());
    }
}

// === impl Packet ===

impl Packet {
    fn of(ip: &[u8], len: usize, at_ns: u64) -> Self {
        let (from, to, begin) = match ip[0] >> 4 {
            4 => (&ip[12..16], &ip[16..20], usize::from(ip[0] & 15) * 4),
            _ => (&ip[8..24], &ip[24..40], 40),
        };
        let tcp = &ip[begin..];
        let port = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
        let number =
            |at: usize| u32::from_be_bytes([tcp[at], tcp[at + 1], tcp[at + 2], tcp[at + 3]]);
        let end = begin + usize::from(tcp[12] >> 4) * 4;
        Self {
            at_ns,
            from: (from.to_vec(), port(0)),
            to: (to.to_vec(), port(2)),
            sequence: number(4),
            acknowledged: number(8),
            flags: tcp[13],
            payload: (len - end) as u32,
            bytes: ip.to_vec(),
            tcp: (begin, end),
        }
    }

    pub(crate) fn is_syn(&self) -> bool {
        self.flags & (SYN | ACK) == SYN
    }

    pub(crate) fn is_syn_ack(&self) -> bool {
        self.flags & (SYN | ACK) == SYN | ACK
    }

    pub(crate) fn is_rst(&self) -> bool {
        self.flags & RST != 0
    }

    pub(crate) fn is_fin(&self) -> bool {
        self.flags & FIN != 0
    }

    pub(crate) fn acknowledges(&self) -> bool {
        self.flags & ACK != 0
    }

    /// Returns where each option begins and ends in `bytes`, with its kind.
    pub(crate) fn options(&self) -> Vec<(u8, usize, usize)> {
        let mut at = self.tcp.0 + 20;
        let mut options = Vec::new();
        // 0 ends the list; 1 is padding, without a length.
        while at < self.tcp.1 && self.bytes[at] != 0 {
            let kind = self.bytes[at];
            let length = if kind == 1 {
                1
            } else {
                usize::from(self.bytes[at + 1])
            };
            options.push((kind, at, at + length));
            at += length;
        }
        options
    }

    /// Returns how many bytes fit into a segment, where this one's options say it (RFC 6691): a
    /// socket that is told of a lower bound both keeps it and asks for it.
    pub(crate) fn segment_size(&self) -> Option<u32> {
        let options = self.options();
        let (_, at, _) = options
            .iter()
            .find(|(kind, ..)| *kind == MAXIMUM_SEGMENT_SIZE)?;
        let size = u16::from_be_bytes([self.bytes[at + 2], self.bytes[at + 3]]);
        let has_times = self.has_option(TIMESTAMPS);
        Some(u32::from(size) - if has_times { TIMESTAMPS_LEN } else { 0 })
    }

    pub(crate) fn has_option(&self, kind: u8) -> bool {
        self.options().iter().any(|(found, ..)| *found == kind)
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}
