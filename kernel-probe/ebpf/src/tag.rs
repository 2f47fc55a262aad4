//! The option in the segment: helper calls around the codec in common.

use core::ptr;

use aya_ebpf::helpers::generated as helpers;
use syntrace_ebpf_common::{
    ASK, SEARCH, Stranger, TAG_OPTION_LEN, TCP_HEADER_LEN, Wide, decode_tag, encode_tag, stranger,
};

use crate::{context::SockOps, maps::ANSWER, segment, words};

/// What goes into a SYN-ACK.
///
/// Room is reserved for it, and then it is written, without anything between on the same CPU.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Answer {
    /// The tag; all zero for none.
    tag: Wide,
    /// 1 where the tag is asked for again, else 0.
    asks: u64,
    /// Tags that this processor minted.
    minted: u64,
}

/// Where the option is looked for.
#[derive(Clone, Copy)]
pub(crate) enum In {
    /// The segment that made the kernel call.
    Segment = 0,
    /// The SYN that is being answered (`BPF_LOAD_HDR_OPT_TCP_SYN`).
    Syn = 1,
}

/// `SOL_TCP` of the kernel.
const SOL_TCP: i32 = 6;

/// `TCP_BPF_SYN`: the SYN, from its TCP header on.
const TCP_BPF_SYN: i32 = 1005;

/// `TCP_BPF_SYN_IP`: the SYN, from its IP header on.
const TCP_BPF_SYN_IP: i32 = 1006;

/// Bytes of an IPv6 header; an IPv4 header's addresses lie within.
const IP_HEADER_LEN: usize = 40;

/// Reserves room for the option in the segment being built; false if there is none.
#[inline(always)]
pub(crate) fn reserve(ops: &SockOps) -> bool {
    // SAFETY: the helper takes this program type's context, in its HDR_OPT_LEN callback.
    (unsafe { helpers::bpf_reserve_hdr_opt(ops.as_ptr(), TAG_OPTION_LEN as u32, 0) }) == 0
}

/// Reserves room to ask for the tag again; false if there is none.
#[inline(always)]
pub(crate) fn reserve_ask(ops: &SockOps) -> bool {
    let length = size_of_val(&ASK) as u32;
    // SAFETY: as above.
    (unsafe { helpers::bpf_reserve_hdr_opt(ops.as_ptr(), length, 0) }) == 0
}

/// Asks for the tag again in the room reserved; false if another program took it.
#[inline(always)]
pub(crate) fn write_ask(ops: &SockOps) -> bool {
    let option = ASK;
    let from = ptr::from_ref(&option).cast();
    let length = size_of_val(&option) as u32;
    // SAFETY: the helper takes this program type's context, in its WRITE_HDR_OPT callback, and
    // reads `option` while it lives.
    (unsafe { helpers::bpf_store_hdr_opt(ops.as_ptr(), from, length, 0) }) == 0
}

/// Returns whether the segment at hand asks for the tag again.
#[cold]
#[inline(never)]
pub(crate) fn is_asked_again(ops: SockOps) -> bool {
    let mut option = ASK;
    let into = ptr::from_mut(&mut option).cast();
    let length = size_of_val(&option);
    // SAFETY: the helper takes this program type's context, reads what to search for from
    // `option` and writes at most its length into it.
    let found =
        unsafe { helpers::bpf_load_hdr_opt(ops.as_ptr(), into, length as u32, In::Segment as u64) };
    found == length as i64
}

/// Writes `id` into the room reserved; false if another program took it, or wrote the same option.
#[inline(always)]
pub(crate) fn write(ops: &SockOps, id: Wide) -> bool {
    let option = encode_tag(id);
    let from = ptr::from_ref(&option).cast();
    // SAFETY: the helper takes this program type's context, in its WRITE_HDR_OPT callback, and
    // reads `option` while it lives.
    (unsafe { helpers::bpf_store_hdr_opt(ops.as_ptr(), from, TAG_OPTION_LEN as u32, 0) }) == 0
}

/// Returns the id in the option, where there is one.
#[inline(always)]
pub(crate) fn read(ops: &SockOps, segment: In) -> Option<Wide> {
    if let Some(tag) = segment::tag(ops, segment) {
        return Some(tag);
    }
    let mut tag = Wide::ZERO;
    search(*ops, segment, &mut tag).then_some(tag)
}

/// The same by the kernel's search through all options.
#[cold]
#[inline(never)]
fn search(ops: SockOps, segment: In, into_tag: &mut Wide) -> bool {
    let mut option = SEARCH;
    let into = ptr::from_mut(&mut option).cast();
    // SAFETY: the helper takes this program type's context, reads what to search for from
    // `option` and writes at most its length into it.
    let found = unsafe {
        helpers::bpf_load_hdr_opt(ops.as_ptr(), into, TAG_OPTION_LEN as u32, segment as u64)
    };
    match decode_tag(option) {
        Some(tag) if found == TAG_OPTION_LEN as i64 => {
            *into_tag = tag;
            true
        }
        Some(_) | None => false,
    }
}

/// Returns what stands in the place of a tag in the SYN that is being answered, which holds none.
#[cold]
#[inline(never)]
pub(crate) fn stranger_in_syn(ops: SockOps) -> Option<Stranger> {
    let mut header = words::zeros::<{ TCP_HEADER_LEN.div_ceil(8) }>();
    let into = header.as_mut_ptr().cast();
    // SAFETY: the helper takes this program type's context and writes at most `header`'s length.
    unsafe {
        helpers::bpf_getsockopt(
            ops.as_ptr().cast(),
            SOL_TCP,
            TCP_BPF_SYN,
            into,
            TCP_HEADER_LEN as i32,
        )
    };
    // SAFETY: there are as many bytes, all of which hold a value.
    stranger(unsafe { &*header.as_ptr().cast() })
}

/// Returns the source address of the SYN that is being answered.
///
/// At an IPv6 listener from its IP header: there, the request socket of an IPv4 SYN does not tell.
#[inline(always)]
pub(crate) fn syn_source(ops: &SockOps) -> Option<Wide> {
    if ops.is_ipv4() {
        return Some(ops.peer_addr());
    }
    let mut header = words::zeros::<{ IP_HEADER_LEN / 8 }>();
    let into = ptr::from_mut(&mut header).cast();
    // The answer is an error where the SYN is longer than the buffer, which is then full all the
    // same; where nothing was copied, the version is 0.
    // SAFETY: the helper takes this program type's context and writes at most `header`'s length.
    unsafe {
        helpers::bpf_getsockopt(
            ops.as_ptr().cast(),
            SOL_TCP,
            TCP_BPF_SYN_IP,
            into,
            IP_HEADER_LEN as i32,
        )
    };
    let [first, second, third, ..] = header;
    match first.to_ne_bytes()[0] >> 4 {
        4 => {
            let [_, _, _, source] = Wide([first, second]).split();
            Some(Wide::mapped(source))
        }
        6 => Some(Wide([second, third])),
        _ => None,
    }
}

/// Counts a tag that is minted; returns how many were before.
#[inline(always)]
pub(crate) fn count_minted() -> u32 {
    let Some(answer) = answer() else { return 0 };
    let before = answer.minted;
    answer.minted = before.wrapping_add(1);
    before as u32
}

/// Forgets the answer in an earlier SYN-ACK.
#[inline(always)]
pub(crate) fn forget_answer() {
    if let Some(answer) = answer() {
        words::clear(&mut answer.tag);
        answer.asks = 0;
    }
}

/// Keeps the tag for the SYN-ACK in whose options room was reserved.
#[inline(always)]
pub(crate) fn prepare_answer(tag: Wide) {
    if let Some(answer) = answer() {
        words::copy(&mut answer.tag, &tag);
    }
}

/// Notes that the SYN-ACK, in whose options room was reserved, asks for the tag again.
#[inline(always)]
pub(crate) fn prepare_ask() {
    if let Some(answer) = answer() {
        answer.asks = 1;
    }
}

/// Returns whether the SYN-ACK that is being written is to ask for the tag again, and forgets it.
#[inline(always)]
pub(crate) fn take_ask() -> bool {
    answer().is_some_and(|answer| core::mem::take(&mut answer.asks) != 0)
}

/// Takes the tag for the SYN-ACK that is being written; `None` where no room was reserved for one.
#[inline(always)]
pub(crate) fn take_answer() -> Option<Wide> {
    let answer = answer()?;
    let mut tag = Wide::ZERO;
    words::copy(&mut tag, &answer.tag);
    if tag.is_zero() {
        return None;
    }
    words::clear(&mut answer.tag);
    Some(tag)
}

#[inline(always)]
fn answer() -> Option<&'static mut Answer> {
    let answer = ANSWER.get_ptr_mut(0)?;
    // SAFETY: the map's value of this CPU: not null, aligned, alive while the program runs, and
    // referred to by nobody else meanwhile.
    unsafe { answer.as_mut() }
}
