//! Programs of others, for tests and benchmarks: one that does nothing, as the measure of what a
//! callback costs at least; one that does only what no tag can do without; and one that writes a TCP option of
//! its own and has its own callbacks.
//!
//! Shares nothing with the probe's programs, and is never shipped.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

use aya_ebpf::{
    bindings::{
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_HDR_OPT_LEN_CB, BPF_SOCK_OPS_NEEDS_ECN,
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_RTT_CB_FLAG, BPF_SOCK_OPS_TCP_CONNECT_CB,
        BPF_SOCK_OPS_TCP_LISTEN_CB, BPF_SOCK_OPS_WRITE_HDR_OPT_CB,
        BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG,
    },
    helpers::generated as helpers,
    macros::{map, sock_ops},
    maps::PerCpuArray,
    programs::SockOpsContext,
};

/// `sock_ops` programs return 1 to keep the kernel's default behaviour.
const PASS: u32 = 1;

/// Kind 254 of RFC 4727, length, ExID: the smallest option that tells whose it is.
const OPTION: [u8; 4] = [254, 4, b'N', b'B'];

/// Kind 253, length and ExID of [`bare_tag`]'s option, and 16 bytes that are always the same.
const BARE_TAG: [u32; 5] = [u32::from_ne_bytes([253, 20, b'N', b'B']), 1, 2, 3, 4];

/// What `bpf_load_hdr_opt` is to find of it: kind, length of the search, ExID.
const BARE_SEARCH: [u32; 5] = [u32::from_ne_bytes([253, 4, b'N', b'B']), 0, 0, 0, 0];

/// `BPF_LOAD_HDR_OPT_TCP_SYN`.
const OF_THE_SYN: u64 = 1;

/// The largest callback number that is counted.
const OPS: u32 = 32;

/// How often `neighbour` ran, by callback number.
#[map]
static RUNS: PerCpuArray<u64> = PerCpuArray::with_max_entries(OPS, 0);

/// Returns at once.
#[sock_ops]
fn nothing(_ctx: SockOpsContext) -> u32 {
    PASS
}

/// Tags each SYN and answers each tag, without asking whether it may: changes of callbacks, options
/// reserved, written and read, and nothing else.
#[sock_ops]
fn bare_tag(ctx: SockOpsContext) -> u32 {
    // SAFETY: the kernel passes a context that is alive and aligned.
    let is_whole = || unsafe { (*ctx.ops).is_fullsock } != 0;
    let writes = BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG;
    match ctx.op() {
        BPF_SOCK_OPS_NEEDS_ECN if is_whole() => {
            let _refused = ctx.set_cb_flags((ctx.cb_flags() | writes) as i32);
        }
        BPF_SOCK_OPS_TCP_LISTEN_CB => {
            let _refused = ctx.set_cb_flags((ctx.cb_flags() | writes) as i32);
        }
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB | BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => {
            let _refused = ctx.set_cb_flags((ctx.cb_flags() & !writes) as i32);
        }
        BPF_SOCK_OPS_HDR_OPT_LEN_CB if is_whole() || has_bare_tag(&ctx) => {
            let length = size_of_val(&BARE_TAG) as u32;
            // SAFETY: the helper takes this program type's context, in its HDR_OPT_LEN callback.
            unsafe { helpers::bpf_reserve_hdr_opt(ctx.ops, length, 0) };
        }
        BPF_SOCK_OPS_WRITE_HDR_OPT_CB => {
            let option = BARE_TAG;
            let (from, length) = (option.as_ptr().cast(), size_of_val(&option) as u32);
            // SAFETY: the helper takes this program type's context, in its WRITE_HDR_OPT callback,
            // and reads the option while it lives.
            unsafe { helpers::bpf_store_hdr_opt(ctx.ops, from, length, 0) };
        }
        _ => {}
    }
    PASS
}

/// Returns whether the SYN that is being answered carries [`BARE_TAG`].
#[inline(always)]
fn has_bare_tag(ctx: &SockOpsContext) -> bool {
    let mut option = BARE_SEARCH;
    let (into, length) = (option.as_mut_ptr().cast(), size_of_val(&option));
    // SAFETY: the helper takes this program type's context, reads what to search for from `option`
    // and writes at most its length into it.
    let found = unsafe { helpers::bpf_load_hdr_opt(ctx.ops, into, length as u32, OF_THE_SYN) };
    found == length as i64
}

/// Writes [`OPTION`] into every segment of every connection that it saw begin, and asks for
/// callbacks on every round trip.
#[sock_ops]
fn neighbour(ctx: SockOpsContext) -> u32 {
    let op = ctx.op();
    if let Some(runs) = RUNS.get_ptr_mut(op) {
        // SAFETY: the map's value of this CPU: not null, aligned, alive while the program runs.
        let runs = unsafe { &mut *runs };
        *runs = runs.wrapping_add(1);
    }
    match op {
        BPF_SOCK_OPS_TCP_CONNECT_CB
        | BPF_SOCK_OPS_TCP_LISTEN_CB
        | BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => {
            let ours = BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG | BPF_SOCK_OPS_RTT_CB_FLAG;
            // A socket that is not whole has no flags; its answer does not matter.
            let _refused = ctx.set_cb_flags((ctx.cb_flags() | ours) as i32);
        }
        BPF_SOCK_OPS_HDR_OPT_LEN_CB => {
            // SAFETY: the helper takes this program type's context, in its HDR_OPT_LEN callback.
            unsafe { helpers::bpf_reserve_hdr_opt(ctx.ops, OPTION.len() as u32, 0) };
        }
        BPF_SOCK_OPS_WRITE_HDR_OPT_CB => {
            let option = OPTION.as_ptr().cast();
            // SAFETY: the helper takes this program type's context, in its WRITE_HDR_OPT
            // callback, and reads the option, which is static.
            unsafe { helpers::bpf_store_hdr_opt(ctx.ops, option, OPTION.len() as u32, 0) };
        }
        _ => {}
    }
    PASS
}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The host compiler only checks this crate.
#[cfg(not(target_arch = "bpf"))]
const fn main() {}

/// The helpers for options are for GPL-compatible programs.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
