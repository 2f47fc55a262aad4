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

/// Eight bytes of a TCP header: where they lie, which of them count, and what these hold.
struct Bytes {
    at: usize,
    mask: u64,
    values: u64,
}

/// The longest length of a header: in words, in the upper half of a byte.
const FULL: Bytes = Bytes::new(12, [0xf0, 0, 0, 0, 0, 0, 0, 0], [0xf0, 0, 0, 0, 0, 0, 0, 0]);

// What Linux writes into a SYN and into its answer before options of programs, where nothing is
// switched off (`tcp_options_write` in net/ipv4/tcp_output.c): the segment size with its value, then how the
// selective acknowledgements and the time stamps begin; and before the tag, the window's scale with its value.
const FIRST_OPTIONS: Bytes = Bytes::new(
    20,
    [255, 255, 0, 0, 255, 255, 255, 255],
    [2, 4, 0, 0, 4, 2, 8, 10],
);
const LAST_OPTIONS: Bytes = {
    let [kind, length, ex_id @ ..] = TAG_HEAD.to_ne_bytes();
    let [first, second] = ex_id;
    Bytes::new(
        36,
        [255, 255, 0, 0, 255, 255, 255, 255],
        [1, 3, 0, 0, kind, length, first, second],
    )
};
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
    let is_usual =
        FULL.are_in(header)? && FIRST_OPTIONS.are_in(header)? && LAST_OPTIONS.are_in(header)?;
    if !is_usual {
        return None;
    }
    let id = bytes(header, ID_AT)?;
    let id = Wide([id.read(0), id.read(8)]);
    (!id.is_zero()).then_some(id)
}

/// Returns the 16 bytes at any address, as the kernel's types allow it: what faults is zero.
#[inline(always)]
fn bytes(base: *const c_void, offset: usize) -> Option<Fields> {
    Fields::of(base.wrapping_byte_add(offset), IN6_ADDR_TYPE.load())
}

impl Bytes {
    const fn new(at: usize, mask: [u8; 8], values: [u8; 8]) -> Self {
        Self {
            at,
            mask: u64::from_ne_bytes(mask),
            values: u64::from_ne_bytes(values),
        }
    }

    /// Returns whether `header` holds them; `None` where it cannot be read.
    #[inline(always)]
    fn are_in(&self, header: *const c_void) -> Option<bool> {
        Some(bytes(header, self.at)?.read::<u64>(0) & self.mask == self.values)
    }
}
