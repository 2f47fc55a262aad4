//! What is kept of each socket that is followed, found by the socket's address.
//!
//! A place holds one socket from its SYN to its close. The address is no identity beyond that:
//! whoever begins to follow a socket takes its place anew, and only sockets that are followed have
//! callbacks in which it is looked for.

use core::{ffi::c_void, ptr};

use aya_ebpf::{bindings::BPF_SK_STORAGE_GET_F_CREATE, helpers::generated as helpers};
use syntrace_ebpf_common::{Config, ConnRecord, Repeats, name_attempt};

use crate::{
    atomic,
    maps::{LIVE, LIVE_BESIDE, LIVE_BITS},
};

/// One socket that is followed.
#[repr(C)]
pub(crate) struct Live {
    /// The [`key`] of the socket; 0 while the place is free.
    owner: u64,
    /// Retransmissions that were not told yet.
    pub(crate) repeats: Repeats,
    /// What is known, and told.
    pub(crate) record: ConnRecord,
}

/// Returns what is kept of `sk`; `None` where nothing is, or `sk` is null.
#[inline(always)]
pub(crate) fn find(config: &Config, sk: *mut c_void) -> Option<&'static mut Live> {
    if sk.is_null() {
        return None;
    }
    match find_placed(config, sk) {
        Some(live) => Some(live),
        None => beside(sk, 0),
    }
}

/// Returns what is kept of `sk` in its place, where it has one.
///
/// For hooks that see sockets of all kinds, or none: nothing is read from it.
#[inline(always)]
pub(crate) fn find_placed(config: &Config, sk: *mut c_void) -> Option<&'static mut Live> {
    if sk.is_null() {
        return None;
    }
    let key = key(config, sk);
    place(key).filter(|live| live.owner == key)
}

/// Returns where to keep `sk`, the socket `cookie`, from now on, with nothing known but its name.
///
/// What stands there of its last connection tells that it had one: connect, fail, connect again.
#[inline(always)]
pub(crate) fn open(config: &Config, sk: *mut c_void, cookie: u64) -> Option<&'static mut Live> {
    let live = take(config, sk)?;
    let name = name_attempt(cookie, live.record.socket_cookie);
    clear(live);
    live.record.socket_cookie = name;
    Some(live)
}

/// The same for a socket that gets no name: forgets only what a tag needs to be forgotten.
#[inline(always)]
pub(crate) fn open_unnamed(config: &Config, sk: *mut c_void) -> Option<&'static mut Live> {
    let live = take(config, sk)?;
    let record = &mut live.record;
    record.socket_cookie = 0;
    record.syn_retransmits = 0;
    record.tag_state = 0;
    record.notes = 0;
    Some(live)
}

/// Returns the place of `sk`, its own or one that it takes.
#[inline(always)]
fn take(config: &Config, sk: *mut c_void) -> Option<&'static mut Live> {
    if sk.is_null() {
        return None;
    }
    let key = key(config, sk);
    let live = place(key)?;
    let is_ours = live.owner == key || atomic::replace(&raw mut live.owner, 0, key);
    if is_ours {
        Some(live)
    } else {
        beside(sk, BPF_SK_STORAGE_GET_F_CREATE.into())
    }
}

/// Forgets all but the owner: all zero.
#[inline(always)]
fn clear(live: &mut Live) {
    let words = ptr::from_mut(live).cast::<u64>();
    // The owner is the first.
    for at in 1..size_of::<Live>() / size_of::<u64>() {
        // SAFETY: `at` is within `live`, which is aligned to words.
        let word = unsafe { words.add(at) };
        // SAFETY: as above; all zero is a record, and no repeats. Volatile, for the compiler would
        // call a `memset` that goes byte by byte.
        unsafe { word.write_volatile(0) };
    }
}

/// Forgets the socket. Storage of its own goes with it.
#[inline(always)]
pub(crate) fn close(live: &mut Live) {
    live.owner = 0;
}

/// Returns a number that no other socket has at the same time, never 0: the distance of its
/// address from that of the orders, as the verifier lets no program see an address.
#[cfg(target_arch = "bpf")]
#[inline(always)]
pub(crate) fn key(config: &Config, sk: *mut c_void) -> u64 {
    let mut distance = sk as u64;
    // SAFETY: a subtraction of two pointers, neither of which is followed.
    unsafe {
        core::arch::asm!(
            "{distance} -= {config}",
            distance = inout(reg) distance,
            config = in(reg) ptr::from_ref(config) as u64,
            options(pure, nomem, nostack),
        );
    }
    distance
}

/// The host compiler only checks this crate.
#[cfg(not(target_arch = "bpf"))]
pub(crate) fn key(_config: &Config, sk: *mut c_void) -> u64 {
    sk as u64
}

#[inline(always)]
fn place(key: u64) -> Option<&'static mut Live> {
    let spread = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - LIVE_BITS);
    let live = LIVE.get_ptr_mut(spread as u32)?;
    // SAFETY: the map's value: not null, aligned, alive while the program runs. Only its owner's
    // callbacks go beyond `owner`, and those run with the socket locked.
    unsafe { live.as_mut() }
}

#[cold]
#[inline(never)]
fn beside(sk: *mut c_void, flags: u64) -> Option<&'static mut Live> {
    let map = ptr::from_ref(&LIVE_BESIDE).cast_mut().cast();
    // SAFETY: the map is of this type, and `sk` is a socket and not null.
    let live = unsafe { helpers::bpf_sk_storage_get(map, sk, ptr::null_mut(), flags) };
    // SAFETY: the helper returns null or the map's value: aligned, and alive while the program
    // runs. Every caller's hook runs with the socket locked, so that no other refers to it.
    unsafe { live.cast::<Live>().as_mut() }
}
