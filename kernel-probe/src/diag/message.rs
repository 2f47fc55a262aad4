//! The messages of `sock_diag` (linux/inet_diag.h), as bytes. Pure; never fails on what it is given.
//!
//! Integers are native-endian, addresses and ports in network order, as the kernel holds them.

/// `NLMSG_ERROR` and `NLMSG_DONE` of linux/netlink.h.
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `SOCK_DIAG_BY_FAMILY` of linux/sock_diag.h.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const DUMP_REQUEST: u16 = 0x001 | 0x300;

const NLMSG_HEADER_BYTES: usize = 16;
const REQUEST_BYTES: usize = NLMSG_HEADER_BYTES + 56;
const MESSAGE_BYTES: usize = 72;
const ALIGNMENT: usize = 4;

/// `IPPROTO_TCP`.
const TCP: u8 = 6;
/// `AF_INET`; every other family of a TCP socket is `AF_INET6`.
const AF_INET: u8 = 2;

/// Attributes of an answer (`INET_DIAG_*`).
mod attribute {
    pub(super) const INFO: u16 = 2;
    pub(super) const SKMEMINFO: u16 = 7;
    pub(super) const MARK: u16 = 15;
    pub(super) const SK_BPF_STORAGES: u16 = 20;
    pub(super) const CGROUP_ID: u16 = 21;
}

/// `NLA_TYPE_MASK`: above it are flags.
const ATTRIBUTE_KIND: u16 = 0x3fff;

/// Attributes of a request: `INET_DIAG_REQ_SK_BPF_STORAGES`, and within it
/// `SK_DIAG_BPF_STORAGE_REQ_MAP_FD`.
const STORAGES_WANTED: u16 = 2;
const OF_MAP: u16 = 1;

/// Place of `SK_MEMINFO_DROPS` within its attribute, in words of 4 bytes.
const DROPS_WORD: usize = 8;

/// A set of TCP states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct States(u32);

/// One TCP socket, as the kernel describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TcpSocket {
    /// `bpf_get_socket_cookie()` of the same socket.
    pub(crate) cookie: u64,
    /// A TCP state as the kernel numbers it.
    pub(crate) state: u8,
    /// Whether the addresses are IPv4 ones.
    pub(crate) is_ipv4: bool,
    /// Addresses in network order; of an IPv4 socket the first 4 bytes.
    pub(crate) local: [u8; 16],
    pub(crate) peer: [u8; 16],
    pub(crate) local_port: u16,
    pub(crate) peer_port: u16,
    /// Of a listener: connections that wait for their accept, and the bound.
    pub(crate) queue: u32,
    pub(crate) queue_max: u32,
    /// How often the current segment was sent again.
    pub(crate) retransmits: u8,
    /// Inode of the socket's file; 0 if it has none, and in news of a destroyed socket.
    pub(crate) inode: u32,
    /// Id of the socket's cgroup v2; 0 if untold.
    pub(crate) cgroup_id: u64,
    /// `SO_MARK`; 0 without CAP_NET_ADMIN.
    pub(crate) mark: u32,
    /// What the socket dropped since it was made.
    pub(crate) drops: u32,
    /// A program keeps something with it, in the map that the request names.
    pub(crate) has_storage: bool,
    /// Its counters.
    pub(crate) info: Option<TcpInfo>,
}

/// What is used of `struct tcp_info`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TcpInfo {
    /// Microseconds; 0 if unmeasured.
    pub(crate) srtt_us: u32,
    /// Microseconds; 0 if unmeasured.
    pub(crate) min_rtt_us: u32,
    /// Segments sent again over the socket's life, SYNs included.
    pub(crate) total_retransmits: u32,
    /// Bytes acknowledged; our SYN (of an active open) and our FIN count one each.
    pub(crate) bytes_acked: u64,
    /// Bytes received; the peer's FIN counts one.
    pub(crate) bytes_received: u64,
    pub(crate) segments_out: u32,
    pub(crate) segments_in: u32,
    /// Bytes of data sent, and of those the ones that were sent again.
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_sent_again: u64,
}

/// One netlink message of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A socket.
    Socket(TcpSocket),
    /// The dump is complete.
    Done,
    /// The kernel refused, with this errno.
    Refused(i32),
    /// Nothing that is understood here.
    Other,
}

/// The messages of one datagram, one after the other.
#[derive(Debug)]
pub(crate) struct Answers<'a> {
    rest: &'a [u8],
}

// === impl States ===

impl States {
    /// Listeners.
    pub(crate) const LISTENING: Self = Self(1 << 10);
    /// All states in which a socket is a connection of a process: from SYN_SENT to LAST_ACK.
    /// TIME_WAIT and request sockets, which no process holds, are left out.
    pub(crate) const CONNECTED: Self =
        Self(1 << 1 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 11);
}

/// Returns the request for all TCP sockets of `family` (`AF_INET` or `AF_INET6`) in `states`; where
/// `storage` names the descriptor of a map, with what it holds of each.
pub(crate) fn dump_request(family: u8, states: States, storage: Option<u32>) -> Vec<u8> {
    let extensions = 1 << (attribute::INFO - 1) | 1 << (attribute::SKMEMINFO - 1);
    let mut request = vec![0; 4];
    request.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request.extend(DUMP_REQUEST.to_ne_bytes());
    // Sequence and port: the kernel fills in what matters.
    request.extend([0; 8]);
    request.extend([family, TCP, extensions, 0]);
    request.extend(states.0.to_ne_bytes());
    // Any ends, any cookie.
    request.resize(REQUEST_BYTES, 0);
    if let Some(map) = storage {
        // One attribute within the other, 8 bytes in 12.
        for half in [12, STORAGES_WANTED, 8, OF_MAP] {
            request.extend(half.to_ne_bytes());
        }
        request.extend(map.to_ne_bytes());
    }
    let length = (request.len() as u32).to_ne_bytes();
    for (byte, value) in request.iter_mut().zip(length) {
        *byte = value;
    }
    request
}

// === impl Answers ===

impl<'a> Answers<'a> {
    /// Reads `datagram`.
    pub(crate) const fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }
}

impl Iterator for Answers<'_> {
    type Item = Answer;

    fn next(&mut self) -> Option<Answer> {
        let length = usize::try_from(u32_at(self.rest, 0)?).ok()?;
        let message = self.rest.get(..length)?;
        let kind = u16_at(message, 4)?;
        let body = message.get(NLMSG_HEADER_BYTES..)?;
        self.rest = self.rest.get(aligned(length)..).unwrap_or_default();
        Some(match kind {
            NLMSG_DONE => Answer::Done,
            NLMSG_ERROR => Answer::Refused(-(u32_at(body, 0)?.cast_signed())),
            SOCK_DIAG_BY_FAMILY => socket(body).map_or(Answer::Other, Answer::Socket),
            _ => Answer::Other,
        })
    }
}

/// Reads a `struct inet_diag_msg` and its attributes.
fn socket(body: &[u8]) -> Option<TcpSocket> {
    let &[family, state, _timer, retransmits] = body.first_chunk()?;
    let mut socket = TcpSocket {
        state,
        retransmits,
        is_ipv4: family == AF_INET,
        local_port: port_at(body, 4)?,
        peer_port: port_at(body, 6)?,
        local: array_at(body, 8)?,
        peer: array_at(body, 24)?,
        // Two words, the lower first.
        cookie: u64::from(u32_at(body, 44)?) | u64::from(u32_at(body, 48)?) << 32,
        queue: u32_at(body, 56)?,
        queue_max: u32_at(body, 60)?,
        inode: u32_at(body, 68)?,
        ..TcpSocket::default()
    };
    let mut rest = body.get(MESSAGE_BYTES..)?;
    while let Some((kind, value, behind)) = attribute_at(rest) {
        rest = behind;
        match kind {
            attribute::INFO => socket.info = tcp_info(value),
            attribute::SKMEMINFO => socket.drops = u32_at(value, DROPS_WORD * 4).unwrap_or(0),
            attribute::MARK => socket.mark = u32_at(value, 0).unwrap_or(0),
            attribute::SK_BPF_STORAGES => socket.has_storage = !value.is_empty(),
            attribute::CGROUP_ID => socket.cgroup_id = u64_at(value, 0).unwrap_or(0),
            _ => {}
        }
    }
    Some(socket)
}

/// Reads a `struct tcp_info`, which newer kernels make longer; `None` if it is too short.
fn tcp_info(value: &[u8]) -> Option<TcpInfo> {
    /// What `tcpi_min_rtt` holds while nothing was measured.
    const UNMEASURED: u32 = u32::MAX;
    let min_rtt_us = u32_at(value, 148)?;
    Some(TcpInfo {
        srtt_us: u32_at(value, 68)?,
        min_rtt_us: if min_rtt_us == UNMEASURED {
            0
        } else {
            min_rtt_us
        },
        total_retransmits: u32_at(value, 100)?,
        bytes_acked: u64_at(value, 120)?,
        bytes_received: u64_at(value, 128)?,
        segments_out: u32_at(value, 136)?,
        segments_in: u32_at(value, 140)?,
        bytes_sent: u64_at(value, 200)?,
        bytes_sent_again: u64_at(value, 208)?,
    })
}

/// Splits off the first attribute: its kind, its value, what follows.
fn attribute_at(rest: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::from(u16_at(rest, 0)?);
    let kind = u16_at(rest, 2)? & ATTRIBUTE_KIND;
    let value = rest.get(4..length)?;
    Some((kind, value, rest.get(aligned(length)..).unwrap_or_default()))
}

const fn aligned(length: usize) -> usize {
    length.next_multiple_of(ALIGNMENT)
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn port_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_be_bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_ne_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_family_protocol_extensions_and_states() {
        let request = dump_request(AF_INET, States::LISTENING, None);
        assert_eq!(u32_at(&request, 0), Some(72));
        assert_eq!(u16_at(&request, 4), Some(20));
        assert_eq!(request[16..20], [2, 6, 0b0100_0010, 0]);
        assert_eq!(u32_at(&request, 20), Some(0x400));
        let request = dump_request(AF_INET, States::LISTENING, Some(7));
        assert_eq!(u32_at(&request, 0), Some(84));
        assert_eq!(
            (u16_at(&request, 72), u16_at(&request, 74)),
            (Some(12), Some(2))
        );
        assert_eq!(
            (u16_at(&request, 76), u16_at(&request, 78)),
            (Some(8), Some(1))
        );
        assert_eq!(u32_at(&request, 80), Some(7));
    }

    #[test]
    fn a_socket_is_read_with_its_attributes() {
        let mut body = vec![0; MESSAGE_BYTES];
        body[..4].copy_from_slice(&[AF_INET, 10, 0, 1]);
        body[4..8].copy_from_slice(&[0x1f, 0x90, 0, 80]);
        body[8..12].copy_from_slice(&[127, 0, 0, 1]);
        body[44..52].copy_from_slice(&0x0102_0304_0506_0708_u64.to_le_bytes());
        body[56] = 3;
        body[60] = 128;
        body[68] = 9;
        let mut drops = [0; 36];
        drops[32] = 7;
        push(&mut body, attribute::SKMEMINFO, &drops);
        push(&mut body, attribute::MARK, &5_u32.to_ne_bytes());
        push(&mut body, attribute::CGROUP_ID, &6_u64.to_ne_bytes());
        push(&mut body, attribute::INFO, &[1; 248]);
        // `NLA_F_NESTED`.
        push(&mut body, attribute::SK_BPF_STORAGES | 0x8000, &[0; 4]);
        let mut datagram = message(SOCK_DIAG_BY_FAMILY, &body);
        datagram.extend(message(NLMSG_DONE, &[0; 4]));
        let mut answers = Answers::new(&datagram);
        let Some(Answer::Socket(found)) = answers.next() else {
            panic!("no socket");
        };
        let word = u32::from_ne_bytes([1; 4]);
        assert_eq!((found.local_port, found.peer_port), (8080, 80));
        assert_eq!((found.queue, found.queue_max, found.drops), (3, 128, 7));
        assert_eq!((found.mark, found.cgroup_id, found.inode), (5, 6, 9));
        assert!(found.has_storage);
        assert_eq!(found.cookie, 0x0102_0304_0506_0708);
        assert_eq!(found.info.unwrap().srtt_us, word);
        assert_eq!(answers.next(), Some(Answer::Done));
        assert_eq!(answers.next(), None);
    }

    #[test]
    fn a_refusal_keeps_its_errno() {
        let datagram = message(NLMSG_ERROR, &(-13_i32).to_ne_bytes());
        assert_eq!(Answers::new(&datagram).next(), Some(Answer::Refused(13)));
    }

    #[test]
    fn what_is_cut_short_ends_the_answers() {
        let whole = message(SOCK_DIAG_BY_FAMILY, &[0; MESSAGE_BYTES]);
        for length in 0..whole.len() {
            assert_eq!(Answers::new(&whole[..length]).next(), None, "{length}");
        }
        let short = message(SOCK_DIAG_BY_FAMILY, &[0; MESSAGE_BYTES - 4]);
        assert_eq!(Answers::new(&short).next(), Some(Answer::Other));
    }

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let length = (NLMSG_HEADER_BYTES + body.len()) as u32;
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(body);
        bytes
    }

    fn push(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
        body.extend((4 + value.len() as u16).to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        body.extend(value);
        body.resize(aligned(body.len()), 0);
    }
}
