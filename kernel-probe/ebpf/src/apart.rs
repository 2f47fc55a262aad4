//! The callbacks' code, each in a function that is not inlined: a run touches its own alone.

use aya_ebpf::bindings::{
    BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_HDR_OPT_LEN_CB, BPF_SOCK_OPS_NEEDS_ECN,
    BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_RETRANS_CB, BPF_SOCK_OPS_RWND_INIT,
    BPF_SOCK_OPS_TCP_LISTEN_CB, BPF_SOCK_OPS_WRITE_HDR_OPT_CB,
};

use crate::{active, context::SockOps, life, passive};

/// Calls what is done in callback `op`, but for changes of state.
#[inline(always)]
pub(crate) fn dispatch(ops: SockOps, op: u32) {
    match op {
        BPF_SOCK_OPS_NEEDS_ECN if ops.is_fullsock() => connect(ops),
        BPF_SOCK_OPS_RWND_INIT if !ops.is_fullsock() => syn_received(ops),
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB => connected(ops),
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => accepted(ops),
        BPF_SOCK_OPS_HDR_OPT_LEN_CB if ops.is_fullsock() => reserve_in_syn(ops),
        BPF_SOCK_OPS_HDR_OPT_LEN_CB => reserve_in_syn_ack(ops),
        BPF_SOCK_OPS_WRITE_HDR_OPT_CB if ops.is_fullsock() => write_into_syn(ops),
        BPF_SOCK_OPS_WRITE_HDR_OPT_CB => write_into_syn_ack(ops),
        BPF_SOCK_OPS_TCP_LISTEN_CB => listen(ops),
        BPF_SOCK_OPS_RETRANS_CB => retransmitted(ops),
        _ => {}
    }
}

macro_rules! apart {
    ($($(#[$doc:meta])* $name:ident = $module:ident :: $function:ident;)+) => {
        $(
            $(#[$doc])*
            #[inline(always)]
            pub(crate) fn $name(ops: SockOps) {
                $module::$function(&ops);
            }
        )+
    };
}

apart! {
    /// The socket closed.
    closed = life::closed;
    /// A SYN is about to be built.
    connect = active::connect;
    reserve_in_syn = active::reserve;
    write_into_syn = active::write;
    connected = active::established;
    listen = passive::listen;
    syn_received = passive::syn_received;
    reserve_in_syn_ack = passive::syn_ack;
    write_into_syn_ack = passive::write;
    accepted = passive::established;
    retransmitted = life::retransmitted;
}
