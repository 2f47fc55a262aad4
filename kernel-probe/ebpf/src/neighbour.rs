//! Programs of others, for tests and benchmarks: one that does nothing, as the measure of what a
//! callback costs at least, and one that writes a TCP option of its own and has its own callbacks.
//!
//! Shares nothing with the probe's programs, and is never shipped.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

use aya_ebpf::{
    bindings::{
        BPF_SOCK_OPS_HDR_OPT_LEN_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_RTT_CB_FLAG,
        BPF_SOCK_OPS_TCP_CONNECT_CB, BPF_SOCK_OPS_TCP_LISTEN_CB, BPF_SOCK_OPS_WRITE_HDR_OPT_CB,
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
