//! The owner of an accepted socket, by the first option that it sets there.
//!
//! An upper bound of the accept's end. The call itself is never altered.

use core::{ffi::c_void, ptr};

use aya_ebpf::programs::SockoptContext;
use syntrace_ebpf_common::{Moment, Opening};

use crate::{
    emit::{emit, now, own},
    maps,
};

/// The longest value that the kernel hands to these programs whole: the smallest page.
const HANDED_WHOLE_BYTES: i32 = 4096;

/// The owner of a socket sets one of its options.
#[inline(always)]
pub(crate) fn touched(ctx: &SockoptContext) {
    pass_through(ctx);
    let Some(record) = maps::stored(sk(ctx)) else {
        return;
    };
    if record.opening != Opening::Passive as u8 || record.accepted_at != 0 {
        return;
    }
    let now = now();
    record.accepted_at = now;
    own(record);
    emit(record, Moment::Accepted, now);
}

#[inline(always)]
fn sk(ctx: &SockoptContext) -> *mut c_void {
    // SAFETY: the kernel passes a context that is alive and aligned.
    let field = unsafe { &raw const (*ctx.sockopt).__bindgen_anon_1 };
    // SAFETY: the field holds the socket's pointer, which nobody writes while the program runs.
    unsafe { ptr::read_volatile(field.cast::<*mut c_void>()) }
}

/// Lets a long value through as the caller gave it: the program sees only a page of it, and the
/// kernel takes a length that it left alone for a wish to cut it (Documentation/bpf/prog_cgroup_sockopt).
#[inline(always)]
fn pass_through(ctx: &SockoptContext) {
    // SAFETY: the kernel passes a context that is alive and aligned.
    let optlen = unsafe { &raw mut (*ctx.sockopt).optlen };
    // SAFETY: a field of the context, which nobody else uses while the program runs.
    if unsafe { ptr::read_volatile(optlen) } > HANDED_WHOLE_BYTES {
        // SAFETY: as above; the verifier allows this program type to write the field.
        unsafe { ptr::write_volatile(optlen, 0) };
    }
}
