//! Copies and zeros in words. Left alone, the compiler calls functions for them that go byte by
//! byte, and a call costs more than the copy.

use syntrace_ebpf_common::Wide;

/// Makes `wide` all zero.
#[inline(always)]
pub(crate) fn clear(wide: &mut Wide) {
    let Wide([first, second]) = wide;
    put(first, 0);
    put(second, 0);
}

/// Returns words that are all zero.
#[inline(always)]
pub(crate) fn zeros<const N: usize>() -> [u64; N] {
    let mut words = [u64::MAX; N];
    for word in &mut words {
        put(word, 0);
    }
    words
}

/// Puts `from` in the place of `to`.
#[inline(always)]
pub(crate) fn copy(to: &mut Wide, from: &Wide) {
    let (Wide([first, second]), Wide([from_first, from_second])) = (to, from);
    put(first, get(from_first));
    put(second, get(from_second));
}

/// Puts `value` in the place of `word`.
#[inline(always)]
pub(crate) fn put(word: &mut u64, value: u64) {
    // SAFETY: a reference may be written through.
    unsafe { core::ptr::from_mut(word).write_volatile(value) };
}

#[inline(always)]
fn get(word: &u64) -> u64 {
    // SAFETY: a reference may be read through.
    unsafe { core::ptr::from_ref(word).read_volatile() }
}
