//! Reads the SYN and SYN-ACK segments of a packet capture: who, to whom, with which tag, and whether sent again.
//!
//! Knows the one format that [`crate::capture`] asks tcpdump for: classic pcap,
//! Linux "cooked" frames, IPv4. Anything else in a capture is passed over.

use std::{collections::HashSet, net::SocketAddr};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

/// The global header: magic number, version, time zone, accuracy, length limit, frame type.
const FILE_HEADER_BYTES: usize = 24;
/// Seconds, microseconds, captured length, original length: four 32-bit integers of this host's byte order.
const RECORD_HEADER_BYTES: usize = 16;
/// LINKTYPE_LINUX_SLL: packet type, device type, address length, address, protocol.
const SLL_HEADER_BYTES: usize = 16;
/// The packet type of what this host sent.
const OUTGOING: [u8; 2] = [0, 4];
/// The protocol, as Ethernet numbers it.
const IPV4: [u8; 2] = [8, 0];
/// TCP option kind for experiments (RFC 6994), in which a tag travels.
const TAG_KIND: u8 = 253;
/// Length octet of a tag: kind, length, 2 bytes of experiment id, 16 bytes of trace id.
const TAG_BYTES: usize = 20;

/// A segment that opens a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Who sent it.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// Its sequence number.
    pub seq: u32,
    /// A SYN-ACK; otherwise a SYN.
    pub is_answer: bool,
    /// The same segment was seen before.
    pub is_retransmission: bool,
    /// The trace id in its option 253.
    pub tag: Option<[u8; 16]>,
}

/// Reads the complete records of a capture file, in their order.
#[must_use]
pub fn openings(file: &[u8]) -> Vec<Opening> {
    let mut seen = HashSet::new();
    let frames = Frames {
        rest: file.get(FILE_HEADER_BYTES..).unwrap_or_default(),
    };
    let openings = frames.filter_map(opening);
    openings
        .map(|opening| {
            let is_first = seen.insert((opening.from, opening.to, opening.seq, opening.is_answer));
            Opening {
                is_retransmission: !is_first,
                ..opening
            }
        })
        .collect()
}

/// The frames of the complete records; tcpdump may still be writing the last one.
struct Frames<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Frames<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (header, rest) = self.rest.split_at_checked(RECORD_HEADER_BYTES)?;
        let length = u32::from_ne_bytes(header.get(8..12)?.try_into().ok()?);
        let (frame, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some(frame)
    }
}

/// Reads one frame; `None` unless it opens a connection over IPv4.
fn opening(frame: &[u8]) -> Option<Opening> {
    let (header, packet) = frame.split_at_checked(SLL_HEADER_BYTES)?;
    if !header.ends_with(&IPV4) {
        return None;
    }
    let packet = SlicedPacket::from_ip(packet).ok()?;
    let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) =
        (&packet.net, &packet.transport)
    else {
        return None;
    };
    // On loopback each segment passes twice, out and in: the second is enough.
    let is_echo = ip.header().source_addr().is_loopback() && header.starts_with(&OUTGOING);
    (tcp.syn() && !is_echo).then(|| Opening {
        from: (ip.header().source_addr(), tcp.source_port()).into(),
        to: (ip.header().destination_addr(), tcp.destination_port()).into(),
        seq: tcp.sequence_number(),
        is_answer: tcp.ack(),
        is_retransmission: false,
        tag: tag(tcp.options()),
    })
}

/// Finds the tag in a TCP header's options (RFC 9293, section 3.2).
fn tag(mut options: &[u8]) -> Option<[u8; 16]> {
    loop {
        match options {
            [] | [0, ..] => return None,
            [1, rest @ ..] => options = rest,
            [kind, length, ..] => {
                let length = usize::from(*length);
                let (option, rest) = options.split_at_checked(length.max(2))?;
                if *kind == TAG_KIND && length == TAG_BYTES {
                    return option.get(4..)?.try_into().ok();
                }
                options = rest;
            }
            [_] => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_behind_other_options() {
        let mut options = vec![2, 4, 5, 180, 4, 2, 1, 253, 20, 0xab, 0xcd];
        options.extend([7; 16]);
        assert_eq!(tag(&options), Some([7; 16]));
    }

    #[test]
    fn options_without_a_tag_have_none() {
        for options in [
            &[][..],
            &[0],
            &[1, 1],
            &[2, 4, 5, 180],
            &[253, 4, 1, 2],
            &[253, 20, 1],
            &[3, 0, 9, 9],
            &[8],
        ] {
            assert_eq!(tag(options), None, "{options:?}");
        }
    }

    #[test]
    fn a_record_that_is_still_being_written_is_left_for_later() {
        let mut file = vec![0; FILE_HEADER_BYTES + RECORD_HEADER_BYTES];
        file[FILE_HEADER_BYTES + 8..FILE_HEADER_BYTES + 12].copy_from_slice(&100_u32.to_ne_bytes());
        file.extend([0; 99]);
        assert_eq!(openings(&file), []);
    }
}
