//! Fields of the kernel's own structures, by the offsets that the loader found in its BTF.
//!
//! An offset of 0 means "not found": the verifier sees a constant and drops the read.

use core::{ffi::c_void, ptr};

use aya_ebpf::{Global, helpers::generated as helpers};

/// Offset of `sk_err` in `struct sock`, bytes.
#[unsafe(no_mangle)]
static SK_ERR_OFFSET: Global<u32> = Global::new(0);

/// Offset of `skc_flags` in `struct sock_common`, bytes.
#[unsafe(no_mangle)]
static SKC_FLAGS_OFFSET: Global<u32> = Global::new(0);

/// Offset of `sk_mark` in `struct sock`, bytes.
#[unsafe(no_mangle)]
static SK_MARK_OFFSET: Global<u32> = Global::new(0);

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
