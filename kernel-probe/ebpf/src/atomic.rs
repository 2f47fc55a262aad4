//! Atomic operations on words of a map, for which this target has no intrinsics.

/// Adds one in one instruction: a program may interrupt another on its CPU.
#[cfg(target_arch = "bpf")]
#[inline(always)]
pub(crate) fn increment(word: *mut u64) {
    // SAFETY: every caller passes a map's value: not null, aligned, alive while the program runs.
    unsafe {
        core::arch::asm!(
            "lock *(u64 *)({word} + 0) += {one}",
            word = in(reg) word,
            one = in(reg) 1_u64,
        );
    }
}

/// Puts `new` into `word` if `old` stands there, in one instruction; returns whether it did.
#[cfg(target_arch = "bpf")]
#[inline(always)]
pub(crate) fn replace(word: *mut u64, old: u64, new: u64) -> bool {
    let found: u64;
    // SAFETY: as above; the instruction compares with r0 and leaves there what it found.
    unsafe {
        core::arch::asm!(
            "r0 = cmpxchg_64({word} + 0, r0, {new})",
            word = in(reg) word,
            new = in(reg) new,
            inout("r0") old => found,
        );
    }
    found == old
}

/// Reads one word, of which nothing is known but that others may write it.
#[inline(always)]
pub(crate) fn read(word: *const u64) -> u64 {
    // SAFETY: every caller passes a map's value: not null, aligned, alive while the program runs.
    unsafe { word.read_volatile() }
}

/// The host compiler only checks this crate.
#[cfg(not(target_arch = "bpf"))]
pub(crate) fn increment(_word: *mut u64) {}

/// The host compiler only checks this crate.
#[cfg(not(target_arch = "bpf"))]
pub(crate) fn replace(_word: *mut u64, _old: u64, _new: u64) -> bool {
    false
}
