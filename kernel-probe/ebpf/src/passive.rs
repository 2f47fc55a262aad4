//! Connections that this host accepts: SYN, SYN-ACK, final ACK.
//!
//! Until the final ACK there is only a request socket, which can hold nothing: what is known is
//! kept by its cookie. Two limits: listeners older than the programs have no write callback, so
//! their SYN-ACKs and tags are not seen; and another program that switches the write callback on
//! at the listener must do so again at the child, where what was inherited goes off.

use aya_ebpf::bindings::{
    BPF_NOEXIST, BPF_SOCK_OPS_RETRANS_CB_FLAG, BPF_SOCK_OPS_STATE_CB_FLAG,
    BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG,
};
use syntrace_ebpf_common::{
    Config, ConnRecord, Counter, Flags, Moment, Note, Opening, Outcome, TagState, TcpState, mint,
    verify,
};

use crate::{
    context::{FOR_SYN_COOKIE, SockOps},
    emit::{count, emit, now},
    life,
    maps::{self, BORNE, HANDSHAKES},
    tag::{self, In},
};

/// Where each handshake begins.
static NOTHING_KNOWN: ConnRecord = ConnRecord::EMPTY;

/// A socket begins to listen: its SYN-ACKs are to be seen.
#[inline(always)]
pub(crate) fn listen(ops: &SockOps) {
    ops.enable(BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
}

/// A SYN made a request socket, whose first callback this is.
#[inline(always)]
pub(crate) fn syn_received(ops: &SockOps) {
    let cookie = ops.cookie();
    #[expect(
        clippy::needless_borrows_for_generic_args,
        reason = "by value it would be copied to the stack first"
    )]
    let inserted = HANDSHAKES.insert(cookie, &NOTHING_KNOWN, BPF_NOEXIST.into());
    if inserted.is_err() {
        count(Counter::HandshakeFull);
        return;
    }
    if let Some(record) = handshake(cookie) {
        record.syn_at = now();
    }
}

/// A SYN-ACK is being built: its options are asked for.
#[inline(always)]
pub(crate) fn syn_ack(ops: &SockOps) {
    if ops.arg0() == FOR_SYN_COOKIE {
        if tag::read(ops, In::Syn).is_some() {
            count(Counter::SynCookie);
        }
        return;
    }
    let Some(record) = handshake(ops.cookie()) else {
        return;
    };
    if record.syn_ack_at != 0 {
        record.syn_ack_retransmits = record.syn_ack_retransmits.saturating_add(1);
        return;
    }
    let now = now();
    record.syn_ack_at = now;
    // The SYN is at hand only for its first answer.
    let (Some(config), Some(tag)) = (maps::config(), tag::read(ops, In::Syn)) else {
        return;
    };
    record.tag = tag;
    if !believe(ops, config, tag, now) {
        record.tag_state = TagState::Disbelieved as u8;
        return;
    }
    record.tag_state = TagState::Believed as u8;
    if config.may_write(Flags::BELIEVE, now) {
        if tag::reserve(ops) {
            record.note(Note::RESERVED);
        } else {
            count(Counter::ReserveFailed);
        }
    }
}

/// The SYN-ACK's own options are written, and the room reserved is left.
#[inline(always)]
pub(crate) fn write(ops: &SockOps) {
    let Some(record) = handshake(ops.cookie()) else {
        return;
    };
    if !record.has(Note::RESERVED) {
        return;
    }
    record.strike(Note::RESERVED);
    if !tag::write(ops, record.tag) {
        count(Counter::StoreFailed);
    }
}

/// The final ACK made the child socket: it inherits what was kept by cookie.
#[inline(always)]
pub(crate) fn established(ops: &SockOps) {
    let Some(config) = maps::config() else {
        return;
    };
    let cookie = ops.cookie();
    let stored = match handshake(cookie) {
        Some(known) => {
            let stored = maps::store(ops.sk(), Some(known));
            // Evicted meanwhile, at worst.
            let _gone = HANDSHAKES.remove(cookie);
            stored
        }
        // Under SYN cookies, or evicted: the handshake was not observed.
        None => maps::store(ops.sk(), None),
    };
    let Some(record) = stored else {
        count(Counter::StorageFull);
        return;
    };
    let now = now();
    record.established_at = now;
    record.opening = Opening::Passive as u8;
    record.outcome = Outcome::Established as u8;
    life::identify(ops, record);
    record.minted = mint(config, record.socket_cookie, now);
    // The write callback is the listener's, inherited: nothing is ever written after the SYN-ACK.
    ops.disable(BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
    ops.enable(BPF_SOCK_OPS_STATE_CB_FLAG | BPF_SOCK_OPS_RETRANS_CB_FLAG);
    life::measure(ops, record, TcpState::ESTABLISHED);
    emit(record, Moment::Established, now);
}

/// Returns whether `tag` is believed: from a configured network, under a valid MAC where a key
/// is configured, and for the first time.
#[inline(always)]
fn believe(ops: &SockOps, config: &Config, tag: [u8; 16], now: u64) -> bool {
    let from_believed =
        config.orders(Flags::BELIEVE) && tag::syn_source(ops).is_some_and(maps::is_believed);
    if !from_believed {
        count(Counter::TagForeign);
        return false;
    }
    if config.orders(Flags::MESH_KEYED) && !verify(config.mesh_key, tag, config.unix_ns(now)) {
        count(Counter::TagForged);
        return false;
    }
    if BORNE.insert(tag, 1, BPF_NOEXIST.into()).is_err() {
        count(Counter::TagReplayed);
        return false;
    }
    true
}

#[inline(always)]
fn handshake(cookie: u64) -> Option<&'static mut ConnRecord> {
    let record = HANDSHAKES.get_ptr_mut(cookie)?;
    // SAFETY: the map's value: not null, aligned, alive while the program runs. A request has one
    // callback at a time; were its entry evicted meanwhile, another handshake's counts could
    // suffer, never memory.
    unsafe { record.as_mut() }
}
