//! Application bytes from the kernel's counters, which count SYN and FIN as one byte each.

use crate::{outcome::TcpState, record::Opening};

/// Bytes both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Acknowledged by the peer.
    pub acked: u64,
    /// Received from the peer.
    pub received: u64,
}

/// Takes SYN and FIN out of `counted`, the kernel's `bytes_acked` and `bytes_received`, of a
/// connection that leaves `from`.
///
/// `peer_finished` says whether the peer's FIN was received where the state does not: in FIN_WAIT2.
#[inline]
#[must_use]
pub const fn application_bytes(
    counted: Volume,
    opening: Opening,
    from: TcpState,
    peer_finished: bool,
) -> Volume {
    // The SYN of a passive open is counted before the counter begins; a SYN that was never
    // acknowledged is not counted at all.
    let syn = matches!(opening, Opening::Active) as u64;
    let fin_acked = matches!(
        from,
        TcpState::FIN_WAIT2 | TcpState::LAST_ACK | TcpState::CLOSING
    );
    let fin_received = match from {
        TcpState::CLOSE_WAIT | TcpState::LAST_ACK | TcpState::CLOSING => true,
        TcpState::FIN_WAIT2 => peer_finished,
        _ => false,
    };
    Volume {
        acked: counted
            .acked
            .saturating_sub(syn)
            .saturating_sub(fin_acked as u64),
        received: counted.received.saturating_sub(fin_received as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTED: Volume = Volume {
        acked: 102,
        received: 51,
    };

    #[test]
    fn an_open_connection_counts_only_its_own_syn() {
        let of = |opening| application_bytes(COUNTED, opening, TcpState::ESTABLISHED, false);
        assert_eq!(
            of(Opening::Active),
            Volume {
                acked: 101,
                received: 51
            }
        );
        assert_eq!(of(Opening::Passive), COUNTED);
    }

    #[test]
    fn a_closed_connection_counts_both_fins() {
        let of =
            |from, peer_finished| application_bytes(COUNTED, Opening::Active, from, peer_finished);
        assert_eq!(
            of(TcpState::FIN_WAIT2, true),
            Volume {
                acked: 100,
                received: 50
            }
        );
        assert_eq!(
            of(TcpState::FIN_WAIT2, false),
            Volume {
                acked: 100,
                received: 51
            }
        );
        assert_eq!(
            of(TcpState::LAST_ACK, false),
            Volume {
                acked: 100,
                received: 50
            }
        );
        assert_eq!(
            of(TcpState::CLOSE_WAIT, false),
            Volume {
                acked: 101,
                received: 50
            }
        );
    }

    #[test]
    fn a_refused_connection_carried_nothing() {
        let counted = Volume {
            acked: 0,
            received: 0,
        };
        assert_eq!(
            application_bytes(counted, Opening::Active, TcpState::SYN_SENT, false),
            counted
        );
    }
}
