//! Pointers as the kernel types them, so that its fields can be read without a helper.
//!
//! Both casts are functions of the kernel that the verifier replaces by a move: they cost nothing,
//! where `bpf_skc_to_tcp_sock` costs as much as any helper. Both return null where the kernel does not
//! know them; what they return otherwise may be anything, and reading it is safe: a load that
//! faults answers zero.

use core::ffi::c_void;

#[cfg(target_arch = "bpf")]
use syntrace_ebpf_common::{CAST, CAST_CONTEXT};

/// Returns `pointer` as one to the structure numbered `to` in the kernel's types.
#[cfg(target_arch = "bpf")]
#[inline(always)]
#[expect(
    clippy::pointers_in_nomem_asm_block,
    reason = "nothing is read behind it"
)]
pub(crate) fn cast(pointer: *const c_void, to: u32) -> *const c_void {
    let cast: *const c_void;
    // SAFETY: a call that reads and writes no memory, and leaves no register but the first as it was.
    unsafe {
        core::arch::asm!(
            ".8byte {call}",
            call = const CAST,
            lateout("r0") cast,
            inout("r1") pointer => _,
            inout("r2") u64::from(to) => _,
            lateout("r3") _,
            lateout("r4") _,
            lateout("r5") _,
            options(pure, nomem, nostack),
        );
    }
    cast
}

/// Returns a program's context as the kernel has it.
#[cfg(target_arch = "bpf")]
#[inline(always)]
#[expect(
    clippy::pointers_in_nomem_asm_block,
    reason = "nothing is read behind it"
)]
pub(crate) fn cast_context(context: *const c_void) -> *const c_void {
    let cast: *const c_void;
    // SAFETY: as for a cast to a structure.
    unsafe {
        core::arch::asm!(
            ".8byte {call}",
            call = const CAST_CONTEXT,
            lateout("r0") cast,
            inout("r1") context => _,
            lateout("r2") _,
            lateout("r3") _,
            lateout("r4") _,
            lateout("r5") _,
            options(pure, nomem, nostack),
        );
    }
    cast
}

/// The host compiler only checks this crate.
#[cfg(not(target_arch = "bpf"))]
pub(crate) fn cast(_pointer: *const c_void, _to: u32) -> *const c_void {
    core::ptr::null()
}

/// The host compiler only checks this crate.
#[cfg(not(target_arch = "bpf"))]
pub(crate) fn cast_context(_context: *const c_void) -> *const c_void {
    core::ptr::null()
}
