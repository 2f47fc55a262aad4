//! The eBPF programs: hooks and helper calls only; what they decide is in `syntrace-ebpf-common`.
//!
//! Read-only towards the data path, but for the option in a SYN and in its SYN-ACK. After the
//! handshake, no program runs for a segment that carries data, but for one that is sent again.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

mod accept;
mod active;
mod atomic;
mod cast;
mod context;
mod dispatch;
mod emit;
mod handshake;
mod kernel;
mod life;
mod live;
mod maps;
mod older_listeners;
mod passive;
mod reset;
mod segment;
mod tag;
mod words;

use aya_ebpf::{
    bindings::{
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_HDR_OPT_LEN_CB, BPF_SOCK_OPS_NEEDS_ECN,
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_RETRANS_CB, BPF_SOCK_OPS_RWND_INIT,
        BPF_SOCK_OPS_STATE_CB, BPF_SOCK_OPS_TCP_LISTEN_CB, BPF_SOCK_OPS_WRITE_HDR_OPT_CB,
    },
    macros::{btf_tracepoint, cgroup_sock_addr, sock_ops},
    programs::{BtfTracePointContext, SockAddrContext, SockOpsContext},
};
use syntrace_ebpf_common::TcpState;

use crate::{context::SockOps, older_listeners::Visit};

/// `sock_ops` programs return 1 to keep the kernel's default behaviour.
const PASS: u32 = 1;

/// `cgroup/getpeername` programs return 1 to let the call through.
const ALLOW: i32 = 1;

/// Callbacks in which a tag is written, read or answered, or what is left of it is ended; one bit each.
const FOR_TAGS: u32 = 1 << BPF_SOCK_OPS_NEEDS_ECN
    | 1 << BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB
    | 1 << BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB
    | 1 << BPF_SOCK_OPS_RETRANS_CB
    | 1 << BPF_SOCK_OPS_STATE_CB
    | 1 << BPF_SOCK_OPS_TCP_LISTEN_CB
    | 1 << BPF_SOCK_OPS_HDR_OPT_LEN_CB
    | 1 << BPF_SOCK_OPS_WRITE_HDR_OPT_CB;

/// Those in which something is observed, too.
const WANTED: u32 = FOR_TAGS | 1 << BPF_SOCK_OPS_RWND_INIT;

/// Follows each TCP connection of the cgroup, and tags its SYN where that is ordered.
#[sock_ops]
#[inline(always)]
fn connections(ctx: SockOpsContext) -> u32 {
    called_back::<true>(&SockOps::new(&ctx));
    PASS
}

/// Tags SYNs and answers tags, and keeps nothing else: attached instead where nothing else is ordered.
#[sock_ops]
#[inline(always)]
fn tags(ctx: SockOpsContext) -> u32 {
    called_back::<false>(&SockOps::new(&ctx));
    PASS
}

/// The kernel calls.
///
/// More than half of all runs end within these lines. What a run costs is in good part the code that it brings
/// into the processor's cache: what is seldom needed is in functions apart (`#[cold]`), all else in one.
#[inline(always)]
fn called_back<const OBSERVES: bool>(ops: &SockOps) {
    let op = ops.op();
    let wanted = const { if OBSERVES { WANTED } else { FOR_TAGS } };
    // The instruction shifts by the lowest five bits, as does this; the kernel has fewer than 32 callbacks.
    leave_unless(wanted & 1_u32.wrapping_shl(op));
    if OBSERVES && op == BPF_SOCK_OPS_STATE_CB {
        if TcpState(ops.arg1()) == TcpState::CLOSE {
            life::closed(ops);
        }
    } else {
        dispatch::callback::<OBSERVES>(ops, op);
    }
}

/// Ends the run here, with [`PASS`], where `wanted` is 0.
///
/// The kernel's compiler puts what ends a program behind the first instruction that does: here, within the lines
/// of the processor's cache that every run begins with. The compiler of this source would put it last.
#[cfg(target_arch = "bpf")]
#[inline(always)]
fn leave_unless(wanted: u32) {
    // SAFETY: reads nothing; ends the program as its last instruction does, with nothing left to be done: no
    // value in it is dropped by code.
    unsafe {
        core::arch::asm!(
            "if {wanted} != 0 goto +2",
            "r0 = {pass}",
            "exit",
            wanted = in(reg) u64::from(wanted),
            pass = const PASS,
            out("r0") _,
            options(nostack),
        );
    }
}

/// The host compiler only checks this crate.
#[cfg(not(target_arch = "bpf"))]
fn leave_unless(_wanted: u32) {}

/// Sees an IPv4 socket's owner learn its peer's address, as `accept` does.
#[cgroup_sock_addr(getpeername4)]
fn accepts_ipv4(ctx: SockAddrContext) -> i32 {
    accept::accepted(&ctx);
    ALLOW
}

/// The same for IPv6 sockets.
#[cgroup_sock_addr(getpeername6)]
fn accepts_ipv6(ctx: SockAddrContext) -> i32 {
    accept::accepted(&ctx);
    ALLOW
}

/// Sees this host send an RST.
#[btf_tracepoint(function = "tcp_send_reset")]
fn resets(ctx: BtfTracePointContext) -> i32 {
    reset::sent(&ctx);
    0
}

/// Visits a TCP socket of a network namespace, when user space has them visited.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
extern "C" fn older_listeners(visit: *const Visit) -> i32 {
    older_listeners::visited(visit);
    0
}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The host compiler only checks this crate.
#[cfg(not(target_arch = "bpf"))]
const fn main() {}

/// `bpf_skc_to_tcp_sock` and probe reads are for GPL-compatible programs.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
