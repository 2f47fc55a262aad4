//! What is known of a passive handshake before it has a socket.
//!
//! Until the final ACK there is only a request, which can hold nothing: what is known stands at one
//! of two places that follow from the request's cookie, which the child inherits. Where both are
//! taken, as in a SYN flood, the older handshake is "not observed". Requests that came to nothing leave
//! theirs by their age.

use syntrace_ebpf_common::{Counter, Wide};

use crate::{
    emit::count,
    maps::{HANDSHAKE_PLACES, HANDSHAKES},
};

/// One handshake.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Handshake {
    /// The request's cookie; 0 while the place is free.
    cookie: u64,
    /// The SYN was received; 0 while nothing was noted.
    pub(crate) syn_at: u64,
    /// The id in the SYN's option; what was there before, while `tag_state` is 0.
    pub(crate) tag: Wide,
    /// A `TagState`.
    pub(crate) tag_state: u8,
    /// 1 where the listener waits for data (TCP_DEFER_ACCEPT), else 0.
    pub(crate) accept_deferred: u8,
    /// 1 where a request went to its second place, for this was its first; never taken back.
    has_displaced: u8,
    reserved: [u8; 5],
}

/// How long a request keeps its place, nanoseconds: longer than the kernel waits for a client, unless
/// it is told to send the SYN-ACK more than five times.
const KEPT_FOR: u64 = 1 << 37;

impl Handshake {
    #[inline(always)]
    const fn is_free(&self, now: u64) -> bool {
        self.cookie == 0 || now.saturating_sub(self.syn_at) > KEPT_FOR
    }
}

/// Returns the place of the request `cookie`, its own or a new one at the time `now`.
///
/// The second place is far from the first, and seldom in the processor's cache: it is looked at only
/// where another request was there before.
#[inline(always)]
pub(crate) fn open(cookie: u64, now: u64) -> Option<&'static mut Handshake> {
    let first = place(first(cookie))?;
    if first.cookie == cookie {
        return Some(first);
    }
    let is_free = first.is_free(now);
    if is_free && first.has_displaced == 0 {
        return Some(begin(first, cookie));
    }
    let second = place(second(cookie))?;
    if second.cookie == cookie {
        return Some(second);
    }
    if is_free {
        return Some(begin(first, cookie));
    }
    if !second.is_free(now) {
        count(Counter::HandshakeFull);
        if first.syn_at <= second.syn_at {
            return Some(begin(first, cookie));
        }
    }
    first.has_displaced = 1;
    Some(begin(second, cookie))
}

/// Gives `place` to the request `cookie`.
#[inline(always)]
fn begin(place: &'static mut Handshake, cookie: u64) -> &'static mut Handshake {
    place.cookie = cookie;
    place.syn_at = 0;
    place.tag_state = 0;
    place.accept_deferred = 0;
    place
}

/// Returns what is known of the request `cookie`.
#[inline(always)]
pub(crate) fn find(cookie: u64) -> Option<&'static mut Handshake> {
    let candidate = place(first(cookie))?;
    if candidate.cookie == cookie {
        return Some(candidate);
    }
    let candidate = place(second(cookie))?;
    if candidate.cookie == cookie {
        Some(candidate)
    } else {
        None
    }
}

/// Frees the place.
#[inline(always)]
pub(crate) fn close(handshake: &mut Handshake) {
    handshake.cookie = 0;
}

/// Cookies follow each other, so that neighbours in time are neighbours here.
#[inline(always)]
const fn first(cookie: u64) -> u32 {
    cookie as u32 & (HANDSHAKE_PLACES - 1)
}

#[inline(always)]
const fn second(cookie: u64) -> u32 {
    (cookie.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32 & (HANDSHAKE_PLACES - 1)
}

#[inline(always)]
fn place(at: u32) -> Option<&'static mut Handshake> {
    let handshake = HANDSHAKES.get_ptr_mut(at)?;
    // SAFETY: the map's value: not null, aligned, alive while the program runs. A request has one
    // callback at a time; were its place taken meanwhile, another handshake's times could suffer,
    // never memory.
    unsafe { handshake.as_mut() }
}
