//! Fields of the kernel's own structures, by the offsets that the loader found in its BTF.
//!
//! An offset of 0 means "not found": the verifier sees a constant and drops the read.

use core::{ffi::c_void, ptr};

use aya_ebpf::{Global, helpers::generated as helpers};
use syntrace_ebpf_common::Config;

/// Offset of `sk_err` in `struct sock`, bytes.
#[unsafe(no_mangle)]
static SK_ERR_OFFSET: Global<u32> = Global::new(0);

/// Offset of `skc_flags` in `struct sock_common`, bytes.
#[unsafe(no_mangle)]
static SKC_FLAGS_OFFSET: Global<u32> = Global::new(0);

/// Offset of `sk_mark` in `struct sock`, bytes.
#[unsafe(no_mangle)]
static SK_MARK_OFFSET: Global<u32> = Global::new(0);

/// Offset of `tcp_clock_cache` in `struct tcp_sock`, bytes.
#[unsafe(no_mangle)]
static TCP_CLOCK_CACHE_OFFSET: Global<u32> = Global::new(0);

/// Offset of `skc_cookie` in `struct sock_common`, bytes.
#[unsafe(no_mangle)]
static SKC_COOKIE_OFFSET: Global<u32> = Global::new(0);

/// Offset of `skc_net` in `struct sock_common`, bytes.
#[unsafe(no_mangle)]
static SKC_NET_OFFSET: Global<u32> = Global::new(0);

/// Offset of `net_cookie` in `struct net`, bytes.
#[unsafe(no_mangle)]
static NET_COOKIE_OFFSET: Global<u32> = Global::new(0);

/// `1 << SOCK_DONE` of `enum sock_flags`: set when the peer's FIN was received.
const DONE: u64 = 1 << 1;

/// `struct tcp_sock`, of which only what the loader found is read.
#[derive(Clone, Copy)]
pub(crate) struct Socket {
    tcp: *const c_void,
}

/// Returns the socket as the kernel has it; `None` where it is not a whole one.
#[inline(always)]
pub(crate) fn socket(sk: *mut c_void) -> Option<Socket> {
    if sk.is_null() {
        return None;
    }
    // SAFETY: the helper takes a socket that is not null.
    let tcp = unsafe { helpers::bpf_skc_to_tcp_sock(sk) };
    (!tcp.is_null()).then_some(Socket { tcp: tcp.cast() })
}

impl Socket {
    /// Returns the errno on the socket, 0 for none; `None` where this kernel does not tell.
    #[inline(always)]
    pub(crate) fn error(&self) -> Option<u16> {
        match SK_ERR_OFFSET.load() {
            0 => None,
            offset => Some(self.read::<i32>(offset) as u16),
        }
    }

    /// Returns whether the peer's FIN was received; false where this kernel does not tell.
    #[inline(always)]
    pub(crate) fn peer_finished(&self) -> bool {
        match SKC_FLAGS_OFFSET.load() {
            0 => false,
            offset => self.read::<u64>(offset) & DONE != 0,
        }
    }

    /// Returns when the kernel began with the segment that it works on, `CLOCK_BOOTTIME` in
    /// nanoseconds; `None` where this kernel does not tell, or it was before `earliest`.
    ///
    /// The kernel notes it for each segment that arrives; to read that costs half of what the clock
    /// does. Out of a segment's work it is the time of the last one.
    #[inline(always)]
    pub(crate) fn heard_at(&self, config: &Config, earliest: u64) -> Option<u64> {
        match TCP_CLOCK_CACHE_OFFSET.load() {
            0 => None,
            offset => {
                let at = self.read::<u64>(offset).wrapping_add(config.boot_offset_ns);
                if at < earliest { None } else { Some(at) }
            }
        }
    }

    /// Returns the socket's cookie; `None` while it has none, and where this kernel does not tell.
    #[inline(always)]
    pub(crate) fn cookie(&self) -> Option<u64> {
        match SKC_COOKIE_OFFSET.load() {
            0 => None,
            offset => match self.read::<u64>(offset) {
                0 => None,
                cookie => Some(cookie),
            },
        }
    }

    /// Returns the cookie of the socket's network namespace; `None` where this kernel does not tell.
    #[inline(always)]
    pub(crate) fn netns_cookie(&self) -> Option<u64> {
        match (SKC_NET_OFFSET.load(), NET_COOKIE_OFFSET.load()) {
            (0, _) | (_, 0) => None,
            (skc_net, net_cookie) => {
                let net = Self {
                    tcp: self.read::<*const c_void>(skc_net),
                };
                Some(net.read::<u64>(net_cookie))
            }
        }
    }

    /// Returns SO_MARK; 0 for none, and where this kernel does not tell.
    #[inline(always)]
    pub(crate) fn mark(&self) -> u32 {
        match SK_MARK_OFFSET.load() {
            0 => 0,
            offset => self.read::<u32>(offset),
        }
    }

    #[inline(always)]
    fn read<T: Copy>(&self, offset: u32) -> T {
        // SAFETY: the verifier checks that the constant offset lies within the kernel's structure.
        let field = unsafe { self.tcp.byte_add(offset as usize) };
        // SAFETY: the verifier checks the field's type and size, and makes the load safe to fault;
        // the socket is locked.
        unsafe { ptr::read_volatile(field.cast::<T>()) }
    }
}
