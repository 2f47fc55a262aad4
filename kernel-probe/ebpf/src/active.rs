//! Connections that this host opens: SYN, tag, SYN-ACK.

use aya_ebpf::bindings::{
    BPF_NOEXIST, BPF_SOCK_OPS_RETRANS_CB_FLAG, BPF_SOCK_OPS_STATE_CB_FLAG,
    BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG,
};
use syntrace_ebpf_common::{
    ConnRecord, Counter, Destination, Flags, Moment, Note, Opening, Outcome, Permit, TagState,
    TcpState, mint,
};

use crate::{
    context::{FOR_CURRENT_MSS, SockOps},
    emit::{count, emit, now, own},
    life,
    maps::{self, DESTINATIONS},
    tag::{self, In},
};

/// The owner calls `connect`; the SYN is about to be built.
#[inline(always)]
pub(crate) fn connect(ops: &SockOps) {
    let Some(config) = maps::config() else {
        return;
    };
    // A socket that failed to connect may try again: same cookie, new connection.
    let Some(record) = maps::renew(ops.sk()) else {
        count(Counter::StorageFull);
        return;
    };
    let now = now();
    record.syn_at = now;
    record.opening = Opening::Active as u8;
    record.outcome = Outcome::Connecting as u8;
    life::identify(ops, record);
    record.minted = mint(config, record.socket_cookie, now);
    own(record);

    let mut callbacks = BPF_SOCK_OPS_STATE_CB_FLAG | BPF_SOCK_OPS_RETRANS_CB_FLAG;
    if config.may_write(Flags::TAG, now)
        && maps::is_tagged(record.peer_addr)
        && claim(record.peer_addr, now)
    {
        record.note(Note::TAG_WANTED);
        if ops.cb_flags() & BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG == 0 {
            record.note(Note::WRITE_IS_OURS);
            callbacks |= BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG;
        }
    }
    ops.enable(callbacks);
}

/// The kernel asks how much room options need.
#[inline(always)]
pub(crate) fn reserve(ops: &SockOps) {
    if ops.state() != TcpState::SYN_SENT || ops.arg0() == FOR_CURRENT_MSS {
        return;
    }
    let Some(record) = maps::stored(ops.sk()) else {
        return;
    };
    if !record.has(Note::TAG_WANTED) {
        return;
    }
    record.strike(Note::TAG_WANTED);
    if tag::reserve(ops) {
        record.note(Note::RESERVED);
    } else {
        count(Counter::ReserveFailed);
        stop_writing(ops, record);
    }
}

/// The kernel has written its own options, and left the room reserved.
///
/// The write callback goes off here, so that a retransmitted SYN has no option.
#[inline(always)]
pub(crate) fn write(ops: &SockOps) {
    let Some(record) = maps::stored(ops.sk()) else {
        return;
    };
    if !record.has(Note::RESERVED) {
        return;
    }
    record.strike(Note::RESERVED);
    if tag::write(ops, record.minted) {
        record.tag = record.minted;
        record.tag_state = TagState::Sent as u8;
    } else {
        count(Counter::StoreFailed);
    }
    stop_writing(ops, record);
}

/// The SYN-ACK has arrived.
#[inline(always)]
pub(crate) fn established(ops: &SockOps) {
    let Some(record) = maps::stored(ops.sk()) else {
        return;
    };
    let now = now();
    record.syn_ack_at = now;
    record.established_at = now;
    record.outcome = Outcome::Established as u8;
    if record.tag_state == TagState::Sent as u8 {
        passed(record);
        if tag::read(ops, In::Segment) == Some(record.tag) {
            record.tag_state = TagState::Answered as u8;
        }
    }
    life::measure(ops, record, TcpState::ESTABLISHED);
    emit(record, Moment::Established, now);
}

/// Notes that the destination answered a tagged SYN, if the tagged one it was.
#[inline(always)]
fn passed(record: &ConnRecord) {
    if record.tag_state != TagState::None as u8 && record.syn_retransmits == 0 {
        remember(record.peer_addr, Destination::PROVEN);
    }
}

/// Notes that a tagged SYN to the destination had to be sent again, or led to no connection.
#[inline(always)]
pub(crate) fn retreat(record: &ConnRecord, now: u64) {
    if record.tag_state != TagState::None as u8 {
        remember(record.peer_addr, Destination::in_retreat(now));
    }
}

/// Returns whether a SYN to `address` may carry the tag, claiming the trial where one is due.
#[inline(always)]
fn claim(address: [u8; 16], now: u64) -> bool {
    let permit = match DESTINATIONS.get_ptr(address) {
        // SAFETY: the value is one aligned word of the map, alive while the program runs; a
        // write meanwhile gives the old one or the new.
        Some(known) => unsafe { known.read() }.permit(now),
        None => Permit::Trial,
    };
    let granted = match permit {
        Permit::Granted => true,
        Permit::Withheld => false,
        // Whoever inserts first has it: the insertion is atomic. The trial that is over goes
        // first; it may be gone already.
        Permit::Trial => {
            let _gone = DESTINATIONS.remove(address);
            let trial = Destination::on_trial(now);
            DESTINATIONS
                .insert(address, trial, BPF_NOEXIST.into())
                .is_ok()
        }
    };
    if !granted {
        count(Counter::TagWithheld);
    }
    granted
}

#[inline(always)]
fn remember(address: [u8; 16], destination: Destination) {
    // An LRU map makes room; where it cannot, the destination is tried again.
    let _full = DESTINATIONS.insert(address, destination, 0);
}

#[inline(always)]
fn stop_writing(ops: &SockOps, record: &ConnRecord) {
    if record.has(Note::WRITE_IS_OURS) {
        ops.disable(BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
    }
}
