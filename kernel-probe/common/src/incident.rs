//! What happened to a connection at one moment, and how often that is worth a record.

use crate::{wide::Wide, wire_enum::wire_enum};

/// Least time between two records of one connection: below the least retransmission timeout
/// (`TCP_RTO_MIN`, 200 ms), so that each retransmission that is waited for is told at its time.
const QUIET_NS: u64 = 100_000_000;

/// An incident, as written to the ring.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncidentRecord {
    /// `bpf_ktime_get_boot_ns()`: nanoseconds of `CLOCK_BOOTTIME`.
    pub at: u64,
    /// As in the connection's record.
    pub socket_cookie: u64,
    /// `bpf_get_netns_cookie()` of the socket's network namespace.
    pub netns_cookie: u64,
    /// Address of this host's end, in the connection's form.
    pub local_addr: Wide,
    /// Address of the far end, in the same form.
    pub peer_addr: Wide,
    /// How often, those included that were left out since the last record; 1 or more.
    pub count: u32,
    /// Port of this host's end.
    pub local_port: [u8; 2],
    /// Port of the far end.
    pub peer_port: [u8; 2],
    /// An [`IncidentKind`].
    pub kind: u8,
    /// Zero; keeps the layout free of implicit padding.
    pub reserved: [u8; 7],
}

/// Length of one record, in bytes.
pub const INCIDENT_LEN: usize = 3 * 8 + 2 * 16 + 4 + 2 * 2 + 1 + 7;

// The sum of the fields equals the size: no implicit padding.
const _: () = assert!(size_of::<IncidentRecord>() == INCIDENT_LEN);

wire_enum! {
    /// What happened.
    IncidentKind {
        /// A segment with data or FIN was sent again.
        Retransmit = 1,
    }
}

/// Leaves repetitions out, and counts them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repeats {
    /// The last record, `CLOCK_BOOTTIME` in nanoseconds; 0 for none.
    reported_at: u64,
    /// Left out since.
    pending: u64,
}

// === impl Repeats ===

impl Repeats {
    /// Counts one more at `now`; returns how many a record is to tell of, if one is due.
    #[inline]
    #[must_use]
    pub const fn count(&mut self, now: u64) -> Option<u32> {
        self.pending = self.pending.saturating_add(1);
        if self.reported_at != 0 && now.saturating_sub(self.reported_at) < QUIET_NS {
            return None;
        }
        self.reported_at = now;
        self.rest()
    }

    /// Returns how many were left out, and forgets them; `None` for none.
    #[inline]
    #[must_use]
    pub const fn rest(&mut self) -> Option<u32> {
        let count = self.pending as u32;
        self.pending = 0;
        if count == 0 { None } else { Some(count) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_what_was_left_out_later() {
        let mut repeats = Repeats::default();
        assert_eq!(repeats.count(5), Some(1));
        assert_eq!(repeats.count(6), None);
        assert_eq!(repeats.count(4 + QUIET_NS), None);
        assert_eq!(repeats.count(5 + QUIET_NS), Some(3));
        assert_eq!(repeats.rest(), None);
        assert_eq!(repeats.count(6 + QUIET_NS), None);
        assert_eq!(repeats.rest(), Some(1));
    }
}
