//! The tag in a segment, read where Linux puts it, without the kernel's search: that took as long as two runs.
//!
//! Whatever else is there, or cannot be read, is left to the search.

use core::ffi::c_void;

use aya_ebpf::Global;
use syntrace_ebpf_common::{TAG_HEAD, Wide};

use crate::{cast::cast_context, context::SockOps, kernel::Fields, tag::In};

/// Offset of `skb` in `struct bpf_sock_ops_kern`, bytes: the segment at hand, from its TCP header on.
#[unsafe(no_mangle)]
static SKB_OFFSET: Global<u32> = Global::new(0);

/// Offset of `syn_skb` in the same: the SYN that is being answered.
#[unsafe(no_mangle)]
static SYN_SKB_OFFSET: Global<u32> = Global::new(0);

/// Offset of `data` in `struct sk_buff`, bytes.
#[unsafe(no_mangle)]
static SKB_DATA_OFFSET: Global<u32> = Global::new(0);

/// Number of `struct sk_buff` in the kernel's types.
#[unsafe(no_mangle)]
static SK_BUFF_TYPE: Global<u32> = Global::new(0);

/// Number of `struct in6_addr`, which is nothing but 16 bytes.
#[unsafe(no_mangle)]
static IN6_ADDR_TYPE: Global<u32> = Global::new(0);

/// Where a TCP header has its length, in words, in the upper half of a byte.
const LENGTH_AT: usize = 12;

/// The longest length.
const FULL: u8 = 15;

// What Linux writes into a SYN and into its answer before options of programs, where nothing is
// switched off (`tcp_options_write` in net/ipv4/tcp_output.c): where it lies, and how it begins.
const MSS: (usize, u16) = (20, u16::from_ne_bytes([2, 4]));
const SACK_AND_TIMESTAMPS: (usize, u32) = (24, u32::from_ne_bytes([4, 2, 8, 10]));
const WINDOW_SCALE: (usize, u16) = (36, u16::from_ne_bytes([1, 3]));
const TAG: (usize, u32) = (40, TAG_HEAD);
const ID_AT: usize = 44;

/// Returns the id in a tag that lies where Linux puts it; `None` says nothing.
#[inline(always)]
pub(crate) fn tag(ops: &SockOps, segment: In) -> Option<Wide> {
    let skb = match segment {
        In::Segment => SKB_OFFSET.load(),
        In::Syn => SYN_SKB_OFFSET.load(),
    };
    let context = cast_context(ops.as_ptr().cast_const().cast());
    if context.is_null() || skb == 0 || SKB_DATA_OFFSET.load() == 0 {
        return None;
    }
    let skb = Fields::at(context).read::<*const c_void>(skb);
    let skb = Fields::of(skb, SK_BUFF_TYPE.load())?;
    let header = skb.read::<*const c_void>(SKB_DATA_OFFSET.load());
    if read::<u8>(header, LENGTH_AT)? >> 4 != FULL
        || read::<u16>(header, MSS.0)? != MSS.1
        || read::<u32>(header, SACK_AND_TIMESTAMPS.0)? != SACK_AND_TIMESTAMPS.1
        || read::<u16>(header, WINDOW_SCALE.0)? != WINDOW_SCALE.1
        || read::<u32>(header, TAG.0)? != TAG.1
    {
        return None;
    }
    let id = Wide([read(header, ID_AT)?, read(header, ID_AT + 8)?]);
    (!id.is_zero()).then_some(id)
}

/// Reads bytes at any address, as the kernel's types allow it: what faults is zero.
#[inline(always)]
fn read<T: Copy>(base: *const c_void, offset: usize) -> Option<T> {
    let bytes = Fields::of(base.wrapping_byte_add(offset), IN6_ADDR_TYPE.load())?;
    Some(bytes.read(0))
}
