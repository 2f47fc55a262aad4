//! Listeners that are older than the programs: nobody saw them begin to listen, and their SYN-ACKs are
//! to be seen all the same.
//!
//! User space says which they are, and has all sockets of their network namespace visited.

use core::{ffi::c_void, ptr};

use aya_ebpf::helpers::generated as helpers;

use crate::{maps::OLDER, passive};

/// `SOL_TCP` of the kernel.
const SOL_TCP: i32 = 6;

/// `TCP_BPF_SOCK_OPS_CB_FLAGS`: the callbacks that are switched on for a socket.
const CALLBACKS: i32 = 1008;

/// What [`OLDER`] says of a listener whose callbacks are switched on.
const WATCHED: u32 = 1;

/// `struct bpf_iter__tcp`: one socket, or null behind the last.
#[repr(C)]
pub(crate) struct Visit {
    meta: *mut c_void,
    sk: *mut c_void,
    uid: u64,
}

/// Switches the callbacks of a listener on that is to be watched. The kernel has locked it.
#[inline(always)]
pub(crate) fn visited(visit: *const Visit) {
    // SAFETY: the kernel passes a context that is alive and aligned.
    let field = unsafe { &raw const (*visit).sk };
    // SAFETY: the field holds the socket's pointer, which nobody writes while the program runs.
    let sk = unsafe { ptr::read_volatile(field) };
    if sk.is_null() {
        return;
    }
    // SAFETY: the helper takes a socket of any kind.
    let cookie = unsafe { helpers::bpf_get_socket_cookie(sk) };
    let Some(state) = OLDER.get_ptr_mut(cookie) else {
        return;
    };
    let length = size_of::<u32>() as i32;
    let mut callbacks = 0_u32;
    let value = ptr::from_mut(&mut callbacks).cast();
    // SAFETY: the helper takes a socket that is locked, and writes `length` bytes to `value`.
    if unsafe { helpers::bpf_getsockopt(sk, SOL_TCP, CALLBACKS, value, length) } != 0 {
        return;
    }
    if !passive::are_listeners(callbacks) {
        let mut wanted = callbacks | passive::listeners(callbacks);
        let value = ptr::from_mut(&mut wanted).cast();
        // SAFETY: the helper takes a socket that is locked, and reads `length` bytes from `value`.
        if unsafe { helpers::bpf_setsockopt(sk, SOL_TCP, CALLBACKS, value, length) } != 0 {
            return;
        }
    }
    // SAFETY: the map's value: not null, aligned, alive while the program runs.
    unsafe { state.write_volatile(WATCHED) };
}
