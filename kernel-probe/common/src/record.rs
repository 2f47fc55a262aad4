//! The one record: everything the kernel knows of one socket at one moment.
//!
//! It is what is kept for the socket and what the ring buffer carries, in one layout: emission
//! copies it out. Each record is a cumulative
//! snapshot, so losing any but the last loses nothing.

use crate::{wide::Wide, wire_enum::wire_enum};

/// What the kernel knows of one socket at [`ConnRecord::seen_at`].
///
/// Times are `bpf_ktime_get_boot_ns()`: nanoseconds of `CLOCK_BOOTTIME`, 0 while not observed.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnRecord {
    /// Moment of this snapshot.
    pub seen_at: u64,
    /// `bpf_get_socket_cookie()`: names the socket until reboot. The top byte counts the
    /// connections that the same socket had before: connect, fail, connect again.
    pub socket_cookie: u64,
    /// `bpf_get_netns_cookie()` of the socket's network namespace.
    pub netns_cookie: u64,
    /// The first SYN was sent (active open) or received (passive open).
    pub syn_at: u64,
    /// The SYN-ACK was received (active open) or first sent (passive open).
    pub syn_ack_at: u64,
    /// The handshake was done.
    pub established_at: u64,
    /// The owner accepted the connection.
    pub accepted_at: u64,
    /// The socket closed.
    pub closed_at: u64,
    /// Application bytes that the peer acknowledged.
    pub bytes_acked: u64,
    /// Application bytes received from the peer.
    pub bytes_received: u64,
    /// Control group of the owner; 0 if unknown.
    pub cgroup_id: u64,
    /// The id in the SYN's option; all zero without one.
    pub tag: Wide,
    /// Address of this host's end; IPv4 is v4-mapped (RFC 4291, section 2.5.5.2).
    pub local_addr: Wide,
    /// Address of the far end, in the same form.
    pub peer_addr: Wide,
    /// Process that called `connect` or `accept`; 0 if unknown.
    pub owner_pid: u32,
    /// Its thread; 0 if unknown.
    pub owner_tid: u32,
    /// Smoothed round-trip time, microseconds; 0 if unknown.
    pub srtt_us: u32,
    /// Minimum round-trip time, microseconds; 0 if unknown.
    pub min_rtt_us: u32,
    /// Segments sent, SYN and pure ACKs included.
    pub segments_out: u32,
    /// Segments received.
    pub segments_in: u32,
    /// Segments with data or FIN that were sent again.
    pub retransmits: u32,
    /// SO_MARK at the end; 0 for none, or while it lasts.
    pub mark: u32,
    /// One of how many such connections is reported; 0 and 1 mean all.
    pub one_in: u32,
    /// Port of this host's end.
    pub local_port: [u8; 2],
    /// Port of the far end.
    pub peer_port: [u8; 2],
    /// errno with which the kernel ended the connection; 0 for none.
    pub error: u16,
    /// SYNs that were sent again.
    pub syn_retransmits: u8,
    /// SYN-ACKs that were sent again.
    pub syn_ack_retransmits: u8,
    /// An [`Opening`].
    pub opening: u8,
    /// A [`Moment`]: why this snapshot was taken.
    pub moment: u8,
    /// An [`Outcome`].
    pub outcome: u8,
    /// A [`TagState`].
    pub tag_state: u8,
    /// An [`Origin`].
    pub origin: u8,
    /// The kernel's `enum sk_rst_reason` of the RST that this host sent, plus one; 0 for none.
    pub reset_reason: u8,
    /// [`Note`]s.
    pub notes: u8,
    /// 1 where the listener waits for data before it lets anybody accept (TCP_DEFER_ACCEPT), else 0.
    pub accept_deferred: u8,
    /// Zero; keeps the layout free of implicit padding.
    pub reserved: [u8; 4],
}

/// Length of one record, in bytes.
pub const CONN_RECORD_LEN: usize = 11 * 8 + 3 * 16 + 9 * 4 + 3 * 2 + 10 + 4;

// The sum of the fields equals the size: no implicit padding.
const _: () = assert!(size_of::<ConnRecord>() == CONN_RECORD_LEN);
// Three cache lines, and what ring buffer and maps align to.
const _: () = assert!(CONN_RECORD_LEN == 192 && align_of::<ConnRecord>() == 8);

wire_enum! {
    /// Who opened a connection (RFC 9293, section 3.5).
    Opening {
        /// This host sent the SYN.
        Active = 1,
        /// This host accepted the SYN.
        Passive = 2,
    }
}

wire_enum! {
    /// Why a snapshot was taken.
    Moment {
        /// The handshake was done.
        Established = 1,
        /// The owner accepted the connection.
        Accepted = 2,
        /// The socket closed.
        Closed = 3,
        /// A SYN was sent again.
        SynRetransmitted = 4,
        /// A connection older than the programs was found.
        Found = 5,
    }
}

wire_enum! {
    /// How far a connection came, or how it ended.
    Outcome {
        /// It ended, and the kernel's reason could not be read.
        Unknown = 0,
        /// The SYN is on its way.
        Connecting = 1,
        /// The handshake is done.
        Established = 2,
        /// An RST answered our SYN.
        Refused = 3,
        /// Nothing answered our SYNs until the kernel gave up.
        Unanswered = 4,
        /// ICMP said that the peer cannot be reached.
        Unreachable = 5,
        /// This host closed the socket while it was connecting.
        Aborted = 6,
        /// Closed in order.
        Closed = 7,
        /// The peer's RST ended it.
        ResetByPeer = 8,
        /// This host's RST ended it.
        ResetLocally = 9,
        /// The kernel gave up after unanswered retransmissions or keep-alives.
        TimedOut = 10,
    }
}

wire_enum! {
    /// What became of the tag in the SYN's option.
    TagState {
        /// The SYN carried none.
        None = 0,
        /// Sent with our SYN.
        Sent = 1,
        /// Sent with our SYN, and the peer's SYN-ACK answered it.
        Answered = 2,
        /// Received, and believed.
        Believed = 3,
        /// Received, and not believed.
        Disbelieved = 4,
    }
}

wire_enum! {
    /// How the programs came to know a connection.
    Origin {
        /// Watched from its SYN.
        Watched = 0,
        /// Older than the programs: the handshake was not observed.
        Backfilled = 1,
    }
}

/// One bit of [`ConnRecord::notes`]: of the programs to themselves; nothing for user space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note(u8);

/// Bits of [`ConnRecord::socket_cookie`] that are the kernel's number; the others count attempts.
const COOKIE_BITS: u32 = 56;

/// Returns how the socket `cookie` is named for its next connection, where `before` names the
/// last one of its place: its own, or another's.
#[inline]
#[must_use]
pub const fn name_attempt(cookie: u64, before: u64) -> u64 {
    if before << (u64::BITS - COOKIE_BITS) == cookie << (u64::BITS - COOKIE_BITS) {
        before.wrapping_add(1 << COOKIE_BITS)
    } else {
        cookie
    }
}

/// Returns the kernel's number of the socket that is named `name`.
#[inline]
#[must_use]
pub const fn cookie_of_name(name: u64) -> u64 {
    name << (u64::BITS - COOKIE_BITS) >> (u64::BITS - COOKIE_BITS)
}

// === impl ConnRecord ===

impl ConnRecord {
    /// A record of which nothing is known yet.
    pub const EMPTY: Self = Self {
        seen_at: 0,
        socket_cookie: 0,
        netns_cookie: 0,
        syn_at: 0,
        syn_ack_at: 0,
        established_at: 0,
        accepted_at: 0,
        closed_at: 0,
        bytes_acked: 0,
        bytes_received: 0,
        cgroup_id: 0,
        tag: Wide::ZERO,
        local_addr: Wide::ZERO,
        peer_addr: Wide::ZERO,
        owner_pid: 0,
        owner_tid: 0,
        srtt_us: 0,
        min_rtt_us: 0,
        segments_out: 0,
        segments_in: 0,
        retransmits: 0,
        mark: 0,
        one_in: 0,
        local_port: [0; 2],
        peer_port: [0; 2],
        error: 0,
        syn_retransmits: 0,
        syn_ack_retransmits: 0,
        opening: 0,
        moment: 0,
        outcome: 0,
        tag_state: 0,
        origin: 0,
        reset_reason: 0,
        notes: 0,
        accept_deferred: 0,
        reserved: [0; 4],
    };

    /// Returns whether it says whose it is: not where only a tag was ordered.
    #[inline]
    #[must_use]
    pub const fn is_named(&self) -> bool {
        self.socket_cookie != 0
    }

    /// Returns whether `note` was taken.
    #[inline]
    #[must_use]
    pub const fn has(&self, note: Note) -> bool {
        self.notes & note.0 != 0
    }

    /// Takes `note`.
    #[inline]
    pub const fn note(&mut self, note: Note) {
        self.notes |= note.0;
    }

    /// Strikes `note` out.
    #[inline]
    pub const fn strike(&mut self, note: Note) {
        self.notes &= !note.0;
    }
}

// === impl Note ===

impl Note {
    /// The first SYN is to carry the tag.
    pub const TAG_WANTED: Self = Self(1 << 0);
    /// We switched the socket's write callback on, and may switch it off.
    pub const WRITE_IS_OURS: Self = Self(1 << 1);
    /// Room for the option was reserved in the segment being built.
    pub const RESERVED: Self = Self(1 << 2);
    /// The tagged SYN tries whether its destination passes the option.
    pub const TRIAL: Self = Self(1 << 3);
    /// Not of the sample: reported only if it fails.
    pub const UNSAMPLED: Self = Self(1 << 4);
    /// The peer asked for the tag again, with the segment that ends the handshake.
    pub const ASKED_AGAIN: Self = Self(1 << 5);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_of_one_socket_has_a_name_of_its_own() {
        let first = name_attempt(7, 0);
        let second = name_attempt(7, first);
        assert_eq!(cookie_of_name(second), 7);
        assert_eq!((first, second), (7, 7 | 1 << COOKIE_BITS));
        assert_eq!(name_attempt(7, second), 7 | 2 << COOKIE_BITS);
        assert_eq!(name_attempt(8, second), 8);
    }
}
