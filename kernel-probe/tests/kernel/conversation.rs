//! What a capture says of each end of each connection: segments, what was sent again, when.

use std::collections::{BTreeMap, BTreeSet};

use crate::capture::{End, Packet};

/// What each end sent to which other, one connection of these ends after the other.
pub(crate) type Conversations = BTreeMap<(End, End), Vec<Sent>>;

/// What one end sent to the other in one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) segments: u32,
    pub(crate) resets: u32,
    /// Segments with data or FIN that were there before.
    pub(crate) again: u32,
    /// When SYNs, SYN-ACKs, and all others passed, nanoseconds since 1970.
    pub(crate) syns: Vec<u64>,
    pub(crate) syn_acks: Vec<u64>,
    pub(crate) others: Vec<u64>,
    /// Bytes of data in its segments at most.
    size: u32,
    /// The number of its SYN, and of its FIN.
    first: Option<u32>,
    fin: Option<u32>,
    /// The highest number that it acknowledged.
    acknowledged: Option<u32>,
    seen: BTreeSet<(u32, u32)>,
}

/// Sorts `packets` by connections: another SYN's number begins the next one.
pub(crate) fn conversations(packets: &[Packet]) -> Conversations {
    let mut conversations = Conversations::new();
    for packet in packets {
        let ends = (packet.from.clone(), packet.to.clone());
        let all = conversations.entry(ends).or_default();
        let begins = packet.is_syn() || packet.is_syn_ack();
        let is_next = match all.last() {
            None => true,
            Some(last) => begins && last.first.is_some_and(|first| first != packet.sequence),
        };
        if is_next {
            all.push(Sent::default());
        }
        if let Some(last) = all.last_mut() {
            last.note(packet);
        }
    }
    conversations
}

// === impl Sent ===

impl Sent {
    fn note(&mut self, packet: &Packet) {
        self.segments += self.segments_in(packet);
        if packet.acknowledges() && !packet.is_rst() {
            let is_higher = |known: u32| packet.acknowledged.wrapping_sub(known) < 1 << 31;
            if self.acknowledged.is_none_or(is_higher) {
                self.acknowledged = Some(packet.acknowledged);
            }
        }
        if packet.is_syn() || packet.is_syn_ack() {
            self.first = Some(packet.sequence);
            let times = if packet.is_syn() {
                &mut self.syns
            } else {
                &mut self.syn_acks
            };
            times.push(packet.at_ns);
            return;
        }
        self.others.push(packet.at_ns);
        if packet.is_rst() {
            self.resets += 1;
            return;
        }
        if packet.is_fin() {
            self.fin = Some(packet.sequence.wrapping_add(packet.payload));
        }
        let length = packet.payload + u32::from(packet.is_fin());
        if length > 0 && !self.seen.insert((packet.sequence, length)) {
            self.again += 1;
        }
    }

    /// Returns as how many segments it would go over a wire: loopback carries several in a packet.
    fn segments_in(&mut self, packet: &Packet) -> u32 {
        if let Some(size) = packet.segment_size() {
            self.size = size;
        }
        packet.payload.div_ceil(self.size.max(1)).max(1)
    }

    /// Returns how many bytes, without SYN and FIN, `to` acknowledged.
    pub(crate) fn bytes_acknowledged_by(&self, to: &Self) -> u64 {
        let (Some(first), Some(acknowledged)) = (self.first, to.acknowledged) else {
            return 0;
        };
        let bytes = acknowledged.wrapping_sub(first).wrapping_sub(1);
        u64::from(bytes) - self.fin_acknowledged_by(to)
    }

    /// Returns 1 if `to` acknowledged the FIN, else 0.
    pub(crate) fn fin_acknowledged_by(&self, to: &Self) -> u64 {
        let (Some(fin), Some(acknowledged)) = (self.fin, to.acknowledged) else {
            return 0;
        };
        u64::from(acknowledged == fin.wrapping_add(1))
    }
}
