//! What active and passive connections share: identity, counters, retransmissions, the end.

use syntrace_ebpf_common::{
    ConnRecord, Moment, Opening, TcpState, Volume, application_bytes, outcome_of_close,
};

use crate::{
    active,
    context::SockOps,
    emit::{emit, now},
    kernel, maps,
};

/// Fills in what names the connection.
#[inline(always)]
pub(crate) fn identify(ops: &SockOps, record: &mut ConnRecord) {
    record.socket_cookie = ops.cookie();
    record.netns_cookie = ops.netns_cookie();
    record.local_addr = ops.local_addr();
    record.peer_addr = ops.peer_addr();
    record.local_port = ops.local_port();
    record.peer_port = ops.peer_port();
}

/// Copies the kernel's counters of a connection that is in, or leaves, `state`.
#[inline(always)]
pub(crate) fn measure(ops: &SockOps, record: &mut ConnRecord, state: TcpState) {
    let opening = if record.opening == Opening::Active as u8 {
        Opening::Active
    } else {
        Opening::Passive
    };
    let counted = Volume {
        acked: ops.bytes_acked(),
        received: ops.bytes_received(),
    };
    let peer_finished = state == TcpState::FIN_WAIT2 && kernel::peer_finished(ops.sk());
    let volume = application_bytes(counted, opening, state, peer_finished);
    record.bytes_acked = volume.acked;
    record.bytes_received = volume.received;
    record.srtt_us = ops.srtt_us();
    record.min_rtt_us = ops.min_rtt_us();
    record.segments_out = ops.segments_out();
    record.segments_in = ops.segments_in();
    record.retransmits = data_retransmits(ops, record);
}

/// A segment was sent again.
#[inline(always)]
pub(crate) fn retransmitted(ops: &SockOps) {
    let Some(record) = maps::stored(ops.sk()) else {
        return;
    };
    if ops.state() == TcpState::SYN_SENT {
        let now = now();
        record.syn_retransmits = record.syn_retransmits.saturating_add(1);
        active::retreat(record, now);
        emit(record, Moment::SynRetransmitted, now);
    } else {
        record.retransmits = data_retransmits(ops, record);
    }
}

/// The socket goes from one state to another.
#[inline(always)]
pub(crate) fn state_changed(ops: &SockOps) {
    let (from, to) = (TcpState(ops.arg0()), TcpState(ops.arg1()));
    if to != TcpState::CLOSE {
        return;
    }
    let sk = ops.sk();
    let Some(record) = maps::stored(sk) else {
        return;
    };
    let now = now();
    let error = kernel::error(sk);
    let outcome = outcome_of_close(from, error);
    record.closed_at = now;
    record.error = error.unwrap_or(0);
    record.outcome = outcome as u8;
    if from == TcpState::SYN_SENT {
        // Whatever it was, the tag may be the reason: something on the way may answer it by RST or
        // ICMP, and a short connect timeout ends before a retransmission tells.
        active::retreat(record, now);
    }
    measure(ops, record, from);
    emit(record, Moment::Closed, now);
}

/// Segments sent again after the handshake: the kernel's count has those of the handshake too.
#[inline(always)]
fn data_retransmits(ops: &SockOps, record: &ConnRecord) -> u32 {
    let handshake = record.syn_retransmits.max(record.syn_ack_retransmits);
    ops.total_retransmits().saturating_sub(handshake.into())
}
