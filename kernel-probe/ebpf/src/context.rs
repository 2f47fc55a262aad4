//! Reads of `struct bpf_sock_ops`, each of exactly one field.
//!
//! The verifier rewrites each access to the context by its offset and size. Left alone, the
//! compiler merges two reads of 32 bits into one of 64 ("invalid bpf_context access ... size=8"),
//! and two branches that read different fields into one read through a computed pointer
//! ("dereference of modified ctx ptr"). Volatile reads prevent only the first: hence assembly.

use core::{ffi::c_void, mem::offset_of};

use aya_ebpf::{bindings::bpf_sock_ops, helpers::generated as helpers, programs::SockOpsContext};
use syntrace_ebpf_common::{TcpState, Wide};

/// `AF_INET` of the kernel.
const AF_INET: u32 = 2;

/// `BPF_WRITE_HDR_TCP_CURRENT_MSS`, first argument of HDR_OPT_LEN: no segment, only a calculation.
pub(crate) const FOR_CURRENT_MSS: u32 = 1;

/// `BPF_WRITE_HDR_TCP_SYNACK_COOKIE`, first argument of HDR_OPT_LEN: a SYN-ACK with a SYN cookie.
pub(crate) const FOR_SYN_COOKIE: u32 = 2;

/// `TCPHDR_SYN` of the kernel.
const TCPHDR_SYN: u32 = 1 << 1;

/// `struct bpf_sock_ops`, as one callback sees it.
#[derive(Clone, Copy)]
pub(crate) struct SockOps {
    ops: *mut bpf_sock_ops,
}

/// Reads one field of 32 bits, or one word of an array of them.
macro_rules! field {
    ($ops:expr, $field:ident) => {
        read_u32::<{ offset_of!(bpf_sock_ops, $field) }>($ops.ops)
    };
    ($ops:expr, $field:ident[$word:literal]) => {
        read_u32::<{ offset_of!(bpf_sock_ops, $field) + 4 * $word }>($ops.ops)
    };
}

impl SockOps {
    pub(crate) const fn new(ctx: &SockOpsContext) -> Self {
        Self { ops: ctx.ops }
    }

    pub(crate) const fn as_ptr(&self) -> *mut bpf_sock_ops {
        self.ops
    }

    pub(crate) fn op(&self) -> u32 {
        field!(self, op)
    }

    /// Whether the socket is a whole one: not the request of a handshake.
    pub(crate) fn is_fullsock(&self) -> bool {
        field!(self, is_fullsock) != 0
    }

    /// The callback's first argument.
    pub(crate) fn arg0(&self) -> u32 {
        field!(self, __bindgen_anon_1[0])
    }

    /// The callback's second argument.
    pub(crate) fn arg1(&self) -> u32 {
        field!(self, __bindgen_anon_1[1])
    }

    pub(crate) fn state(&self) -> TcpState {
        TcpState(field!(self, state))
    }

    /// Bytes of data in the segment whose options are asked for.
    pub(crate) fn data_len(&self) -> u32 {
        field!(self, skb_len)
    }

    /// Whether the segment at hand is a SYN.
    pub(crate) fn is_syn(&self) -> bool {
        field!(self, skb_tcp_flags) & TCPHDR_SYN != 0
    }

    pub(crate) fn cb_flags(&self) -> u32 {
        field!(self, bpf_sock_ops_cb_flags)
    }

    /// The socket; null where it is not a whole one.
    pub(crate) fn sk(&self) -> *mut c_void {
        read_u64::<{ offset_of!(bpf_sock_ops, __bindgen_anon_2) }>(self.ops) as *mut c_void
    }

    /// Smoothed round-trip time in microseconds; the kernel keeps eight times that.
    pub(crate) fn srtt_us(&self) -> u32 {
        field!(self, srtt_us) >> 3
    }

    /// Minimum round-trip time in microseconds; the kernel's "none yet" becomes 0.
    pub(crate) fn min_rtt_us(&self) -> u32 {
        match field!(self, rtt_min) {
            u32::MAX => 0,
            min => min,
        }
    }

    pub(crate) fn segments_out(&self) -> u32 {
        field!(self, segs_out)
    }

    pub(crate) fn segments_in(&self) -> u32 {
        field!(self, segs_in)
    }

    /// Segments sent again, those of the handshake included.
    pub(crate) fn total_retransmits(&self) -> u32 {
        field!(self, total_retrans)
    }

    /// Sequence space that the peer acknowledged.
    pub(crate) fn bytes_acked(&self) -> u64 {
        read_u64::<{ offset_of!(bpf_sock_ops, bytes_acked) }>(self.ops)
    }

    /// Sequence space received.
    pub(crate) fn bytes_received(&self) -> u64 {
        read_u64::<{ offset_of!(bpf_sock_ops, bytes_received) }>(self.ops)
    }

    /// Whether the socket is of the IPv4 family; the request of an IPv6 listener never is.
    pub(crate) fn is_ipv4(&self) -> bool {
        field!(self, family) == AF_INET
    }

    /// This host's address. Not for request sockets: an IPv4 request of an IPv6 listener
    /// claims to be IPv6, and has no IPv6 address.
    pub(crate) fn local_addr(&self) -> Wide {
        if self.is_ipv4() {
            Wide::mapped(field!(self, local_ip4))
        } else {
            Wide::join([
                field!(self, local_ip6[0]),
                field!(self, local_ip6[1]),
                field!(self, local_ip6[2]),
                field!(self, local_ip6[3]),
            ])
        }
    }

    /// The far end's address, with the same reserve.
    pub(crate) fn peer_addr(&self) -> Wide {
        if self.is_ipv4() {
            Wide::mapped(field!(self, remote_ip4))
        } else {
            Wide::join([
                field!(self, remote_ip6[0]),
                field!(self, remote_ip6[1]),
                field!(self, remote_ip6[2]),
                field!(self, remote_ip6[3]),
            ])
        }
    }

    /// This host's port, network order; the context has it in host order.
    pub(crate) fn local_port(&self) -> [u8; 2] {
        (field!(self, local_port) as u16).to_be_bytes()
    }

    /// The far end's port, network order, as the context has it: in the upper half of a big-endian
    /// 32-bit number.
    pub(crate) fn peer_port(&self) -> [u8; 2] {
        let [high, low, ..] = if cfg!(target_endian = "little") {
            (field!(self, remote_port) >> 16).to_ne_bytes()
        } else {
            (field!(self, remote_port) << 16).to_ne_bytes()
        };
        [high, low]
    }

    /// `bpf_get_socket_cookie()`.
    pub(crate) fn cookie(&self) -> u64 {
        // SAFETY: the helper takes this program type's context.
        unsafe { helpers::bpf_get_socket_cookie(self.ops.cast()) }
    }

    /// `bpf_get_netns_cookie()` of the socket.
    pub(crate) fn netns_cookie(&self) -> u64 {
        // SAFETY: the helper takes this program type's context.
        unsafe { helpers::bpf_get_netns_cookie(self.ops.cast()) }
    }

    /// Switches the callbacks `ours` off, and no others.
    pub(crate) fn disable(&self, ours: u32) {
        self.set_cb_flags(self.cb_flags() & !ours);
    }

    /// Switches exactly these callbacks on: what other programs switched on must be among them.
    pub(crate) fn set_cb_flags(&self, flags: u32) {
        // SAFETY: the helper takes this program type's context. It fails only for sockets that
        // are not whole, on which no caller sets flags; its answer lists flags that this kernel
        // does not know, and such callbacks never come.
        unsafe { helpers::bpf_sock_ops_cb_flags_set(self.ops, flags as i32) };
    }
}

#[cfg(target_arch = "bpf")]
#[inline(always)]
fn read_u32<const OFFSET: usize>(ops: *mut bpf_sock_ops) -> u32 {
    let word: u64;
    // SAFETY: the kernel passes a context that is alive, aligned and not written by others while
    // the program runs; the verifier checks that a field of 32 bits begins at `OFFSET`.
    unsafe {
        core::arch::asm!(
            "{word} = *(u32 *)({ops} + {offset})",
            word = out(reg) word,
            ops = in(reg) ops,
            offset = const OFFSET,
            options(nostack, readonly),
        );
    }
    word as u32
}

#[cfg(target_arch = "bpf")]
#[inline(always)]
fn read_u64<const OFFSET: usize>(ops: *mut bpf_sock_ops) -> u64 {
    let word: u64;
    // SAFETY: as for 32 bits.
    unsafe {
        core::arch::asm!(
            "{word} = *(u64 *)({ops} + {offset})",
            word = out(reg) word,
            ops = in(reg) ops,
            offset = const OFFSET,
            options(nostack, readonly),
        );
    }
    word
}

/// The host compiler only checks this crate.
#[cfg(not(target_arch = "bpf"))]
fn read_u32<const OFFSET: usize>(_ops: *mut bpf_sock_ops) -> u32 {
    0
}

/// The host compiler only checks this crate.
#[cfg(not(target_arch = "bpf"))]
fn read_u64<const OFFSET: usize>(_ops: *mut bpf_sock_ops) -> u64 {
    0
}
