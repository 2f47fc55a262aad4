//! The accept: who accepted a connection, and when.
//!
//! `accept` asks the new socket for its peer's address, if its caller wants to know it, and
//! `getpeername` asks too. Whichever comes first is taken; servers want to know in `accept`.

use core::{ffi::c_void, ptr};

use aya_ebpf::programs::SockAddrContext;
use syntrace_ebpf_common::{Flags, Moment, Opening};

use crate::{
    emit::{emit, now, own},
    live, maps,
};

/// The owner of a socket learns its peer's address.
#[inline(always)]
pub(crate) fn accepted(ctx: &SockAddrContext) {
    let Some(config) = maps::config() else {
        return;
    };
    if !config.orders(Flags::ACCEPT_WAIT) {
        return;
    }
    let Some(live) = live::find(config, sk(ctx)) else {
        return;
    };
    let record = &mut live.record;
    if record.opening != Opening::Passive as u8 || record.accepted_at != 0 {
        return;
    }
    let now = now();
    record.accepted_at = now;
    own(record);
    emit(config, record, Moment::Accepted, now);
}

#[inline(always)]
fn sk(ctx: &SockAddrContext) -> *mut c_void {
    // SAFETY: the kernel passes a context that is alive and aligned.
    let field = unsafe { &raw const (*ctx.sock_addr).__bindgen_anon_1 };
    // SAFETY: the field holds the socket's pointer, which nobody writes while the program runs.
    unsafe { ptr::read_volatile(field.cast::<*mut c_void>()) }
}
