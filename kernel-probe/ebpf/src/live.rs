//! What is kept of each socket that is followed, found by the socket's address.
//!
//! A place holds one socket from its SYN to its close, or is lent to it until its SYN is answered. The
//! address is no identity beyond that: whoever begins to follow a socket takes its place anew, and only
//! sockets that are followed have callbacks in which it is looked for.

use core::{ffi::c_void, ptr};

use aya_ebpf::{bindings::BPF_SK_STORAGE_GET_F_CREATE, helpers::generated as helpers};
use syntrace_ebpf_common::{Config, ConnRecord, Repeats, Tenant, is_forgotten, name_attempt};

use crate::{
    atomic,
    emit::now,
    maps::{LIVE, LIVE_BESIDE},
};

/// One socket that is followed.
#[repr(C)]
pub(crate) struct Live {
    /// Whose the place is, as [`Tenant`] says it; 0 while it is free.
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
    let tenant = tenant(config, sk);
    place(tenant).filter(|live| tenant.has(live.owner))
}

/// Returns where to keep `sk`, the socket `cookie`, from now on, with nothing known but its name.
///
/// What stands there of its last connection tells that it had one: connect, fail, connect again.
#[inline(always)]
pub(crate) fn open(config: &Config, sk: *mut c_void, cookie: u64) -> Option<&'static mut Live> {
    if sk.is_null() {
        return None;
    }
    let tenant = tenant(config, sk);
    let live = take(tenant, tenant.holding(), sk)?;
    let name = name_attempt(cookie, live.record.socket_cookie);
    clear(live);
    live.record.socket_cookie = name;
    Some(live)
}

/// The same for a socket that gets no name, at the time `now`: forgets only what a tag needs to be forgotten.
///
/// Its place is lent: nobody sees that its SYN is refused, or its connect given up.
#[inline(always)]
pub(crate) fn open_unnamed(
    config: &Config,
    sk: *mut c_void,
    now: u64,
) -> Option<&'static mut Live> {
    if sk.is_null() {
        return None;
    }
    let tenant = tenant(config, sk);
    let live = take(tenant, tenant.lent(now), sk)?;
    let record = &mut live.record;
    record.socket_cookie = 0;
    record.syn_retransmits = 0;
    record.tag_state = 0;
    record.notes = 0;
    Some(live)
}

/// Returns the place of `sk`, the `tenant`, in which `owner` stands from now on; or storage of its own.
#[inline(always)]
fn take(tenant: Tenant, owner: u64, sk: *mut c_void) -> Option<&'static mut Live> {
    let live = place(tenant)?;
    let found = atomic::read(&raw const live.owner);
    let is_free = found == 0 || tenant.has(found) || is_left(found);
    if is_free && atomic::replace(&raw mut live.owner, found, owner) {
        Some(live)
    } else {
        beside(sk, BPF_SK_STORAGE_GET_F_CREATE.into())
    }
}

/// Returns whether who has the place by the word `owner` needs it no more.
#[cold]
#[inline(never)]
fn is_left(owner: u64) -> bool {
    is_forgotten(owner, now())
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

#[inline(always)]
fn tenant(config: &Config, sk: *mut c_void) -> Tenant {
    Tenant::of(key(config, sk))
}

/// Returns a number that no other socket has at the same time: the distance of its
/// address from that of the orders, as the verifier lets no program see an address.
#[cfg(target_arch = "bpf")]
#[inline(always)]
fn key(config: &Config, sk: *mut c_void) -> u64 {
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
fn key(_config: &Config, sk: *mut c_void) -> u64 {
    sk as u64
}

#[inline(always)]
fn place(tenant: Tenant) -> Option<&'static mut Live> {
    let live = LIVE.get_ptr_mut(tenant.place)?;
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
