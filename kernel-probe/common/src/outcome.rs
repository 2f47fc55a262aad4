//! How a connection ended, from the state it left and the kernel's error.

use crate::record::Outcome;

/// A TCP state as the kernel numbers it (`BPF_TCP_*` of the UAPI).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpState(pub u32);

/// errno numbers of `asm-generic/errno.h`, which every architecture that runs eBPF Rust uses.
mod errno {
    pub(super) const EACCES: u16 = 13;
    pub(super) const EPIPE: u16 = 32;
    pub(super) const ENONET: u16 = 64;
    pub(super) const EPROTO: u16 = 71;
    pub(super) const ENOPROTOOPT: u16 = 92;
    pub(super) const EOPNOTSUPP: u16 = 95;
    pub(super) const ENETUNREACH: u16 = 101;
    pub(super) const ECONNRESET: u16 = 104;
    pub(super) const ETIMEDOUT: u16 = 110;
    pub(super) const ECONNREFUSED: u16 = 111;
    pub(super) const EHOSTDOWN: u16 = 112;
    pub(super) const EHOSTUNREACH: u16 = 113;
}

/// Returns how a connection ended that went from state `from` to CLOSE with `error` on its socket.
///
/// `error` is `None` where this kernel's `sk_err` could not be found; then only what the state
/// alone proves is claimed, the rest is [`Outcome::Unknown`].
#[inline]
#[must_use]
pub const fn outcome_of_close(from: TcpState, error: Option<u16>) -> Outcome {
    match (from, error) {
        (TcpState::SYN_SENT, Some(error)) => outcome_of_connect(error),
        (_, Some(errno::ECONNRESET | errno::EPIPE)) => Outcome::ResetByPeer,
        (_, Some(errno::ETIMEDOUT)) => Outcome::TimedOut,
        // A socket that times out keeps the error that ICMP left, where it left one (`sk_err_soft`).
        (_, Some(error)) if is_icmp(error) => Outcome::TimedOut,
        // Both FINs are exchanged in the states behind these; leaving these at once is a reset,
        // by close with unread data, SO_LINGER 0, or `ss --kill`.
        (
            TcpState::ESTABLISHED | TcpState::SYN_RECV | TcpState::FIN_WAIT1 | TcpState::CLOSE_WAIT,
            Some(_),
        ) => Outcome::ResetLocally,
        (
            TcpState::SYN_SENT
            | TcpState::ESTABLISHED
            | TcpState::SYN_RECV
            | TcpState::FIN_WAIT1
            | TcpState::CLOSE_WAIT,
            None,
        ) => Outcome::Unknown,
        (_, Some(_) | None) => Outcome::Closed,
    }
}

/// Returns how a connect ended that never got a SYN-ACK.
#[inline]
const fn outcome_of_connect(error: u16) -> Outcome {
    match error {
        errno::ECONNREFUSED => Outcome::Refused,
        errno::ETIMEDOUT => Outcome::Unanswered,
        _ if is_icmp(error) => Outcome::Unreachable,
        _ => Outcome::Aborted,
    }
}

/// Returns whether `error` is one of ICMP's: those of `icmp_err_convert` and `icmpv6_err_convert`
/// but ECONNREFUSED.
#[inline]
const fn is_icmp(error: u16) -> bool {
    matches!(
        error,
        errno::EACCES
            | errno::ENONET
            | errno::EPROTO
            | errno::ENOPROTOOPT
            | errno::EOPNOTSUPP
            | errno::ENETUNREACH
            | errno::EHOSTDOWN
            | errno::EHOSTUNREACH
    )
}

// === impl TcpState ===

impl TcpState {
    /// Data may flow both ways.
    pub const ESTABLISHED: Self = Self(1);
    /// Our SYN is on its way.
    pub const SYN_SENT: Self = Self(2);
    /// Their SYN was received.
    pub const SYN_RECV: Self = Self(3);
    /// Our FIN is on its way.
    pub const FIN_WAIT1: Self = Self(4);
    /// Our FIN was acknowledged.
    pub const FIN_WAIT2: Self = Self(5);
    /// Gone.
    pub const CLOSE: Self = Self(7);
    /// Their FIN was received.
    pub const CLOSE_WAIT: Self = Self(8);
    /// Their FIN was received, then ours is on its way.
    pub const LAST_ACK: Self = Self(9);
    /// Both FINs crossed on their way.
    pub const CLOSING: Self = Self(11);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connect_ends_as_its_error_says() {
        let table = [
            (111, Outcome::Refused),
            (110, Outcome::Unanswered),
            (113, Outcome::Unreachable),
            (101, Outcome::Unreachable),
            (13, Outcome::Unreachable),
            (0, Outcome::Aborted),
            (103, Outcome::Aborted),
        ];
        for (error, outcome) in table {
            assert_eq!(
                outcome_of_close(TcpState::SYN_SENT, Some(error)),
                outcome,
                "{error}"
            );
        }
    }

    #[test]
    fn a_connection_ends_as_its_state_and_error_say() {
        let table = [
            (TcpState::ESTABLISHED, 104, Outcome::ResetByPeer),
            (TcpState::CLOSE_WAIT, 32, Outcome::ResetByPeer),
            (TcpState::LAST_ACK, 104, Outcome::ResetByPeer),
            (TcpState::ESTABLISHED, 0, Outcome::ResetLocally),
            (TcpState::CLOSE_WAIT, 0, Outcome::ResetLocally),
            (TcpState::ESTABLISHED, 103, Outcome::ResetLocally),
            (TcpState::ESTABLISHED, 110, Outcome::TimedOut),
            (TcpState::FIN_WAIT1, 110, Outcome::TimedOut),
            (TcpState::LAST_ACK, 0, Outcome::Closed),
            (TcpState::FIN_WAIT2, 0, Outcome::Closed),
            (TcpState::CLOSING, 0, Outcome::Closed),
        ];
        for (from, error, outcome) in table {
            assert_eq!(
                outcome_of_close(from, Some(error)),
                outcome,
                "{from:?} {error}"
            );
        }
    }

    #[test]
    fn without_the_error_only_the_proven_is_claimed() {
        assert_eq!(outcome_of_close(TcpState::SYN_SENT, None), Outcome::Unknown);
        assert_eq!(
            outcome_of_close(TcpState::ESTABLISHED, None),
            Outcome::Unknown
        );
        assert_eq!(outcome_of_close(TcpState::LAST_ACK, None), Outcome::Closed);
    }
}
