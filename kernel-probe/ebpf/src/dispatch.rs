//! Which code is for which callback, but for changes of state: apart from the few lines in which most
//! runs end.
//!
//! `OBSERVES` is constant in each program. Where it is false, only tags are written, read and answered, and what
//! else a callback does is not in the program at all.

use aya_ebpf::bindings::{
    BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_HDR_OPT_LEN_CB, BPF_SOCK_OPS_NEEDS_ECN,
    BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_RETRANS_CB, BPF_SOCK_OPS_RWND_INIT,
    BPF_SOCK_OPS_STATE_CB, BPF_SOCK_OPS_TCP_LISTEN_CB, BPF_SOCK_OPS_WRITE_HDR_OPT_CB,
};

use crate::{active, context::SockOps, life, passive};

/// Calls what is done in callback `op`.
#[inline(always)]
pub(crate) fn callback<const OBSERVES: bool>(ops: &SockOps, op: u32) {
    match op {
        BPF_SOCK_OPS_NEEDS_ECN if ops.is_fullsock() => active::connect::<OBSERVES>(ops),
        BPF_SOCK_OPS_RWND_INIT if OBSERVES && !ops.is_fullsock() => passive::syn_received(ops),
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB => active::established::<OBSERVES>(ops),
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => passive::established::<OBSERVES>(ops),
        BPF_SOCK_OPS_HDR_OPT_LEN_CB if ops.is_fullsock() => active::reserve::<OBSERVES>(ops),
        BPF_SOCK_OPS_HDR_OPT_LEN_CB => passive::syn_ack::<OBSERVES>(ops),
        BPF_SOCK_OPS_WRITE_HDR_OPT_CB if ops.is_fullsock() => active::write::<OBSERVES>(ops),
        BPF_SOCK_OPS_WRITE_HDR_OPT_CB => passive::write(ops),
        BPF_SOCK_OPS_TCP_LISTEN_CB => passive::listen(*ops),
        BPF_SOCK_OPS_RETRANS_CB if OBSERVES => life::retransmitted(ops),
        BPF_SOCK_OPS_RETRANS_CB => active::sent_again(*ops),
        BPF_SOCK_OPS_STATE_CB if !OBSERVES => active::given_up(*ops),
        _ => {}
    }
}
