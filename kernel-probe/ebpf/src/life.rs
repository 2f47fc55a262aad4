//! What active and passive connections share: identity, counters, retransmissions, the end.

use syntrace_ebpf_common::{
    Config, ConnRecord, Flags, IncidentKind, Moment, Note, Opening, Outcome, TcpState, Volume,
    application_bytes, outcome_of_close,
};

use crate::{
    active,
    context::SockOps,
    emit::{emit, now, tell},
    kernel, live, maps,
};

/// Fills in what names the connection.
#[inline(always)]
pub(crate) fn identify(ops: &SockOps, record: &mut ConnRecord, netns_cookie: u64) {
    record.netns_cookie = netns_cookie;
    record.local_addr = ops.local_addr();
    record.peer_addr = ops.peer_addr();
    record.local_port = ops.local_port();
    record.peer_port = ops.peer_port();
}

/// Decides whether the connection is reported even if it ends well.
#[inline(always)]
pub(crate) fn sample(config: &Config, record: &mut ConnRecord) {
    record.one_in = config.one_in;
    if !config.samples(record.socket_cookie) {
        record.note(Note::UNSAMPLED);
    }
}

/// Copies the kernel's counters of a connection that is in, or leaves, `state`.
#[inline(always)]
pub(crate) fn measure(
    ops: &SockOps,
    record: &mut ConnRecord,
    state: TcpState,
    peer_finished: bool,
) {
    let opening = if record.opening == Opening::Active as u8 {
        Opening::Active
    } else {
        Opening::Passive
    };
    let counted = Volume {
        acked: ops.bytes_acked(),
        received: ops.bytes_received(),
    };
    let volume = application_bytes(counted, opening, state, peer_finished);
    record.bytes_acked = volume.acked;
    record.bytes_received = volume.received;
    record.srtt_us = ops.srtt_us();
    record.min_rtt_us = ops.min_rtt_us();
    // SYN-ACKs are sent before there is a socket that could count them.
    record.segments_out = match opening {
        Opening::Active => ops.segments_out(),
        Opening::Passive => ops.segments_out() + 1 + u32::from(record.syn_ack_retransmits),
    };
    record.segments_in = ops.segments_in();
    record.retransmits = data_retransmits(ops, record);
}

/// A segment was sent again.
#[inline(always)]
pub(crate) fn retransmitted(ops: &SockOps) {
    let Some(config) = maps::config() else {
        return;
    };
    let Some(live) = live::find(config, ops.sk()) else {
        return;
    };
    let record = &mut live.record;
    let now = now();
    if ops.state() == TcpState::SYN_SENT {
        record.syn_retransmits = record.syn_retransmits.saturating_add(1);
        active::retreat(*ops, record, now);
        emit(config, record, Moment::SynRetransmitted, now);
        return;
    }
    record.retransmits = data_retransmits(ops, record);
    if config.orders(Flags::INCIDENTS)
        && let Some(times) = live.repeats.count(now)
    {
        tell(&live.record, IncidentKind::Retransmit, times, now);
    }
}

/// The socket goes from another state to CLOSE.
#[inline(always)]
pub(crate) fn closed(ops: &SockOps) {
    let from = TcpState(ops.arg0());
    let Some(config) = maps::config() else {
        return;
    };
    let sk = ops.sk();
    let Some(live) = live::find(config, sk) else {
        return;
    };
    let record = &mut live.record;
    let mut error = None;
    let mut peer_finished = false;
    let mut heard_at = None;
    if let Some(socket) = kernel::socket(sk) {
        error = socket.error();
        peer_finished = socket.peer_finished();
        record.mark = socket.mark();
        // In order, it is the peer's last segment that closes a socket; whatever else does may come
        // long after one.
        let is_by_segment =
            from == TcpState::LAST_ACK || from == TcpState::FIN_WAIT2 && peer_finished;
        if is_by_segment && error == Some(0) {
            heard_at = socket.worked_at(config, record.established_at);
        }
    }
    let now = heard_at.unwrap_or_else(now);
    let outcome = outcome_of_close(from, error);
    record.closed_at = now;
    record.error = error.unwrap_or(0);
    record.outcome = outcome as u8;
    if from == TcpState::SYN_SENT {
        // Whatever it was, the tag may be the reason: something on the way may answer it by RST or
        // ICMP, and a short connect timeout ends before a retransmission tells.
        active::retreat(*ops, record, now);
    }
    measure(ops, record, from, peer_finished);
    if !matches!(outcome, Outcome::Closed)
        || record.syn_retransmits > 0
        || record.syn_ack_retransmits > 0
    {
        // All of these are reported, so each stands for itself.
        record.strike(Note::UNSAMPLED);
        record.one_in = 1;
    }
    emit(config, record, Moment::Closed, now);
    if config.orders(Flags::INCIDENTS)
        && let Some(times) = live.repeats.rest()
    {
        tell(&live.record, IncidentKind::Retransmit, times, now);
    }
    let reason_follows = matches!(outcome, Outcome::ResetLocally)
        && live.record.reset_reason == 0
        && config.orders(Flags::RESET_REASON);
    if !reason_follows {
        live::close(live);
    }
}

/// Segments sent again after the handshake: the kernel's count has those of the handshake too.
#[inline(always)]
fn data_retransmits(ops: &SockOps, record: &ConnRecord) -> u32 {
    let handshake = record.syn_retransmits.max(record.syn_ack_retransmits);
    ops.total_retransmits().saturating_sub(handshake.into())
}
