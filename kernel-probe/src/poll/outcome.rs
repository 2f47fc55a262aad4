//! How a connection stands or ended, as far as its counters prove it.

use syntrace_ebpf_common::Volume;
use syntrace_proto::{Opening, Outcome};

use crate::diag::{TcpInfo, TcpSocket};

/// `TCP_SYN_SENT` of the kernel.
const SYN_SENT: u8 = 2;

/// How often the kernel sends a SYN again before it gives up (`net.ipv4.tcp_syn_retries`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SynRetries(pub(crate) u32);

/// Returns how far a living connection came.
pub(super) const fn outcome_so_far(socket: &TcpSocket) -> Outcome {
    if socket.state == SYN_SENT {
        Outcome::Connecting
    } else {
        Outcome::Established
    }
}

/// Returns how a connection ended that left these counters.
///
/// A connect that got no segment at all and was not tried to the end was given up here, or ended
/// by ICMP: the counters do not say which. Neither do they name the side of a reset.
pub(super) const fn outcome_of_end(
    opening: Opening,
    info: &TcpInfo,
    retries: SynRetries,
) -> Outcome {
    if was_answered(opening, info) {
        return if our_fin_was_acked(opening, info) {
            Outcome::Closed
        } else {
            Outcome::Unknown
        };
    }
    if info.segments_in > 0 {
        Outcome::Refused
    } else if info.total_retransmits >= retries.0 {
        Outcome::Unanswered
    } else {
        Outcome::Unknown
    }
}

/// Returns whether the handshake got on: a SYN-ACK acknowledges the SYN of an active open.
pub(super) const fn was_answered(opening: Opening, info: &TcpInfo) -> bool {
    info.bytes_acked > 0 || !matches!(opening, Opening::Active)
}

/// Returns the application's bytes: without our SYN and FIN. The peer's FIN stays in, because
/// nothing tells whether it came.
pub(super) const fn application_bytes(
    opening: Opening,
    outcome: Outcome,
    info: &TcpInfo,
) -> Volume {
    let fin = matches!(outcome, Outcome::Closed) as u64;
    Volume {
        acked: info.bytes_acked.saturating_sub(our_syn(opening) + fin),
        received: info.bytes_received,
    }
}

const fn our_fin_was_acked(opening: Opening, info: &TcpInfo) -> bool {
    let data = info.bytes_sent.saturating_sub(info.bytes_sent_again);
    info.bytes_acked > data + our_syn(opening)
}

/// The SYN of an active open is counted; that of a passive one before the counter begins.
const fn our_syn(opening: Opening) -> u64 {
    matches!(opening, Opening::Active) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRIES: SynRetries = SynRetries(6);

    #[test]
    fn a_connect_ends_as_its_counters_prove() {
        let outcome = |segments_in, total_retransmits| {
            let info = TcpInfo {
                segments_in,
                total_retransmits,
                ..TcpInfo::default()
            };
            outcome_of_end(Opening::Active, &info, RETRIES)
        };
        assert_eq!(outcome(1, 0), Outcome::Refused);
        assert_eq!(outcome(0, 6), Outcome::Unanswered);
        assert_eq!(outcome(0, 5), Outcome::Unknown);
    }

    #[test]
    fn an_end_is_in_order_only_if_our_fin_was_acknowledged() {
        let outcome = |opening, bytes_acked| {
            let info = TcpInfo {
                bytes_acked,
                bytes_sent: 150,
                bytes_sent_again: 50,
                ..TcpInfo::default()
            };
            outcome_of_end(opening, &info, RETRIES)
        };
        assert_eq!(outcome(Opening::Active, 102), Outcome::Closed);
        assert_eq!(outcome(Opening::Active, 101), Outcome::Unknown);
        assert_eq!(outcome(Opening::Passive, 101), Outcome::Closed);
        assert_eq!(outcome(Opening::Passive, 0), Outcome::Unknown);
    }
}
