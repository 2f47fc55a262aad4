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

/// `1 << SOCK_DONE` of `enum sock_flags`: set when the peer's FIN was received.
const DONE: u64 = 1 << 1;

/// Returns the errno on the socket, 0 for none; `None` where this kernel does not tell.
#[inline(always)]
pub(crate) fn error(sk: *mut c_void) -> Option<u16> {
    match SK_ERR_OFFSET.load() {
        0 => None,
        offset => read::<i32>(sk, offset).map(|error| error as u16),
    }
}

/// Returns whether the peer's FIN was received; false where this kernel does not tell.
#[inline(always)]
pub(crate) fn peer_finished(sk: *mut c_void) -> bool {
    match SKC_FLAGS_OFFSET.load() {
        0 => false,
        offset => read::<u64>(sk, offset).is_some_and(|flags| flags & DONE != 0),
    }
}

#[inline(always)]
fn read<T: Copy>(sk: *mut c_void, offset: u32) -> Option<T> {
    if sk.is_null() {
        return None;
    }
    // SAFETY: the helper takes the context's socket, which is not null.
    let tcp = unsafe { helpers::bpf_skc_to_tcp_sock(sk) };
    if tcp.is_null() {
        return None;
    }
    // SAFETY: the verifier checks that the constant offset lies within the kernel's structure.
    let field = unsafe { tcp.byte_add(offset as usize) };
    // SAFETY: the verifier checks the field's type and size, and makes the load safe to fault;
    // the socket is locked.
    Some(unsafe { ptr::read_volatile(field.cast::<T>()) })
}
