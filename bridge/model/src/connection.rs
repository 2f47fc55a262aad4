//! What names a connection, and how one ends.

use core::{fmt, str};

use crate::hex;

/// Names one run of a kernel: `/proc/sys/kernel/random/boot_id`, 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootId(pub [u8; 16]);

/// Names one socket in time; a tuple cannot, because ports are reused.
///
/// Text: `<boot id>.<cookie>`, or `<epoch>.p<connection>` where only the proxy saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConnectionId {
    /// A socket that the kernel view knows.
    Socket {
        /// The run of the kernel.
        boot: BootId,
        /// `bpf_get_socket_cookie()`: unique within the run.
        cookie: u64,
    },
    /// A downstream connection that only the proxy view knows.
    Proxy {
        /// The epoch of the filter that reported it.
        epoch: u64,
        /// Envoy's `connection.id`.
        connection: u64,
    },
}

/// Who opened a connection (RFC 9293, section 3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Opening {
    /// This host sent the SYN.
    Active,
    /// This host accepted the SYN.
    Passive,
}

/// How far a connection came, or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The SYN is on its way.
    Connecting,
    /// The handshake is done.
    Established,
    /// An RST answered our SYN.
    Refused,
    /// Nothing answered our SYNs until the kernel gave up.
    Unanswered,
    /// ICMP said that the peer cannot be reached.
    Unreachable,
    /// This host closed the socket while it was connecting.
    Aborted,
    /// Closed in order.
    Closed,
    /// The peer's RST ended it.
    ResetByPeer,
    /// This host's RST ended it.
    ResetLocally,
    /// The kernel gave up after unanswered retransmissions or keep-alives.
    TimedOut,
    /// It ended, and the kernel view cannot tell how.
    Unknown,
}

/// Text that is not a connection id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a connection id, such as <32 hexadecimal digits>.<cookie>")]
pub struct ParseConnectionIdError;

// === impl BootId ===

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === impl ConnectionId ===

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket { boot, cookie } => write!(f, "{boot}.{cookie}"),
            Self::Proxy { epoch, connection } => write!(f, "{epoch:016x}.p{connection}"),
        }
    }
}

impl str::FromStr for ConnectionId {
    type Err = ParseConnectionIdError;

    fn from_str(text: &str) -> Result<Self, ParseConnectionIdError> {
        let (name, number) = text.split_once('.').ok_or(ParseConnectionIdError)?;
        let id = match number.strip_prefix('p') {
            Some(connection) => {
                hex::read(name.as_bytes())
                    .map(u64::from_be_bytes)
                    .and_then(|epoch| {
                        Some(Self::Proxy {
                            epoch,
                            connection: connection.parse().ok()?,
                        })
                    })
            }
            None => hex::read(name.as_bytes()).and_then(|boot| {
                Some(Self::Socket {
                    boot: BootId(boot),
                    cookie: number.parse().ok()?,
                })
            }),
        };
        id.ok_or(ParseConnectionIdError)
    }
}

// === impl Outcome ===

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Connecting,
        Self::Established,
        Self::Refused,
        Self::Unanswered,
        Self::Unreachable,
        Self::Aborted,
        Self::Closed,
        Self::ResetByPeer,
        Self::ResetLocally,
        Self::TimedOut,
        Self::Unknown,
    ];

    /// Returns the name under which the API, metrics and spans show it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Established => "established",
            Self::Refused => "refused",
            Self::Unanswered => "unanswered",
            Self::Unreachable => "unreachable",
            Self::Aborted => "aborted",
            Self::Closed => "closed",
            Self::ResetByPeer => "reset_by_peer",
            Self::ResetLocally => "reset_locally",
            Self::TimedOut => "timed_out",
            Self::Unknown => "unknown",
        }
    }

    /// Returns whether the connect failed: the handshake never completed and never will.
    #[must_use]
    pub const fn is_failed_connect(self) -> bool {
        matches!(
            self,
            Self::Refused | Self::Unanswered | Self::Unreachable | Self::Aborted
        )
    }

    /// Returns whether nothing more will happen on the connection.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Connecting | Self::Established)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_connection_id_survives_its_text_form() {
        let ids = [
            ConnectionId::Socket {
                boot: BootId([0xa5; 16]),
                cookie: 4711,
            },
            ConnectionId::Proxy {
                epoch: 7,
                connection: 12,
            },
        ];
        for id in ids {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn text_that_is_no_connection_id_is_refused() {
        for text in [
            "",
            "1",
            "a5.1",
            "0000000000000007.pp1",
            "0000000000000007.12",
        ] {
            assert_eq!(
                text.parse::<ConnectionId>(),
                Err(ParseConnectionIdError),
                "{text}"
            );
        }
    }
}
