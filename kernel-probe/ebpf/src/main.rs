//! The eBPF programs: hooks and helper calls only; what they decide is in `syntrace-ebpf-common`.
//!
//! Read-only towards the data path, but for the option in a SYN and in its SYN-ACK. After the
//! handshake, no program runs for a segment that carries data.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

mod accept;
mod active;
mod context;
mod emit;
mod kernel;
mod life;
mod maps;
mod passive;
mod tag;

use aya_ebpf::{
    bindings::{
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_HDR_OPT_LEN_CB,
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_RETRANS_CB, BPF_SOCK_OPS_STATE_CB,
        BPF_SOCK_OPS_TCP_CONNECT_CB, BPF_SOCK_OPS_TCP_LISTEN_CB, BPF_SOCK_OPS_TIMEOUT_INIT,
        BPF_SOCK_OPS_WRITE_HDR_OPT_CB,
    },
    macros::{cgroup_sockopt, sock_ops},
    programs::{SockOpsContext, SockoptContext},
};

use crate::context::SockOps;

/// `sock_ops` programs return 1 to keep the kernel's default behaviour.
const PASS: u32 = 1;

/// `cgroup/setsockopt` programs return 1 to let the call through.
const ALLOW: i32 = 1;

/// Follows each TCP connection of the cgroup, and tags its SYN where that is ordered.
#[sock_ops]
fn connections(ctx: SockOpsContext) -> u32 {
    let ops = SockOps::new(&ctx);
    match ops.op() {
        BPF_SOCK_OPS_TCP_CONNECT_CB => active::connect(&ops),
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB => active::established(&ops),
        BPF_SOCK_OPS_TCP_LISTEN_CB => passive::listen(&ops),
        BPF_SOCK_OPS_TIMEOUT_INIT if !ops.is_fullsock() => passive::syn_received(&ops),
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => passive::established(&ops),
        BPF_SOCK_OPS_HDR_OPT_LEN_CB if ops.is_fullsock() => active::reserve(&ops),
        BPF_SOCK_OPS_HDR_OPT_LEN_CB => passive::syn_ack(&ops),
        BPF_SOCK_OPS_WRITE_HDR_OPT_CB if ops.is_fullsock() => active::write(&ops),
        BPF_SOCK_OPS_WRITE_HDR_OPT_CB => passive::write(&ops),
        BPF_SOCK_OPS_RETRANS_CB => life::retransmitted(&ops),
        BPF_SOCK_OPS_STATE_CB => life::state_changed(&ops),
        _ => {}
    }
    PASS
}

/// Sees an accepted socket's owner touch it for the first time.
#[cgroup_sockopt(setsockopt)]
fn accepted_sockets(ctx: SockoptContext) -> i32 {
    accept::touched(&ctx);
    ALLOW
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
