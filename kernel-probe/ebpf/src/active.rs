//! Connections that this host opens: SYN, tag, SYN-ACK.

use aya_ebpf::bindings::{
    BPF_SOCK_OPS_RETRANS_CB_FLAG, BPF_SOCK_OPS_STATE_CB_FLAG, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG,
};
use syntrace_ebpf_common::{
    ConnRecord, Counter, Destination, Flags, Moment, Note, Opening, Outcome, Permit, TagOrigin,
    TagState, TcpState, Wide, mint_tag,
};

use crate::{
    atomic,
    context::{FOR_CURRENT_MSS, SockOps},
    emit::{count, emit, now, own, processor},
    kernel, life, live,
    maps::{self, DESTINATIONS},
    tag::{self, In},
};

/// A SYN is about to be built, in its owner's system call: the kernel asks about ECN.
///
/// A callback behind that for `connect`, so that what other programs switched on there is to be
/// seen; and behind the kernel's look at its clock for the SYN.
#[inline(always)]
pub(crate) fn connect<const OBSERVES: bool>(ops: &SockOps) {
    if ops.state() != TcpState::SYN_SENT {
        return;
    }
    let Some(config) = maps::config() else {
        return;
    };
    let sk = ops.sk();
    let socket = kernel::socket(sk);
    let now = socket
        .and_then(|socket| socket.worked_at(config, 0))
        .unwrap_or_else(now);
    let address = ops.peer_addr();
    let is_tagged = config.may_write(Flags::TAG, now) && maps::is_tagged(address);
    let is_observed = OBSERVES && config.orders(Flags::OBSERVE);
    if !is_tagged && !is_observed {
        return;
    }
    let permit = if is_tagged {
        claim(Destination::of(address), now)
    } else {
        Permit::Withheld
    };
    let carries_tag = !matches!(permit, Permit::Withheld);
    if !OBSERVES && !carries_tag {
        return forget(*ops);
    }
    // A tag needs no cookie, and the helper makes one for the socket.
    let cookie = if is_observed { ops.cookie() } else { 0 };
    let live = if OBSERVES {
        live::open(config, sk, cookie)
    } else {
        live::open_unnamed(config, sk, now)
    };
    let Some(live) = live else {
        count(Counter::StorageFull);
        return;
    };
    let record = &mut live.record;
    record.syn_at = now;
    if OBSERVES {
        record.opening = Opening::Active as u8;
        record.outcome = Outcome::Connecting as u8;
        record.peer_addr = address;
    }
    let switched_on = ops.cb_flags();
    let mut callbacks = BPF_SOCK_OPS_RETRANS_CB_FLAG;
    if is_observed {
        let netns_cookie = socket
            .and_then(|socket| socket.netns_cookie())
            .unwrap_or_else(|| ops.netns_cookie());
        life::identify(ops, record, netns_cookie);
        life::sample(config, record);
        own(record);
        callbacks |= BPF_SOCK_OPS_STATE_CB_FLAG;
    }
    if carries_tag {
        record.note(Note::TAG_WANTED);
        if switched_on & BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG == 0 {
            record.note(Note::WRITE_IS_OURS);
            callbacks |= BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG;
        }
        // Whether a trial was in vain is told by the state.
        if matches!(permit, Permit::Trial) {
            record.note(Note::TRIAL);
            callbacks |= BPF_SOCK_OPS_STATE_CB_FLAG;
        }
    }
    ops.set_cb_flags(switched_on | callbacks);
}

/// Where only tags are ordered: a SYN goes untagged. Forgets what the socket's last connect left, should nobody
/// have seen how that ended.
#[cold]
#[inline(never)]
fn forget(ops: SockOps) {
    if let Some(live) = maps::config().and_then(|config| live::find(config, ops.sk())) {
        live.record.tag_state = TagState::None as u8;
        live::close(live);
    }
}

/// The kernel asks how much room options need.
#[inline(always)]
pub(crate) fn reserve<const OBSERVES: bool>(ops: &SockOps) {
    if ops.arg0() == FOR_CURRENT_MSS {
        return;
    }
    match ops.state() {
        TcpState::SYN_SENT => {}
        TcpState::ESTABLISHED if OBSERVES => return reserve_again(*ops),
        TcpState::ESTABLISHED => return leave(*ops),
        _ => return,
    }
    let Some(live) = maps::config().and_then(|config| live::find(config, ops.sk())) else {
        return;
    };
    let record = &mut live.record;
    if !record.has(Note::TAG_WANTED) {
        return;
    }
    // The first SYN only: one that is sent again finds no note.
    record.strike(Note::TAG_WANTED);
    if tag::reserve(ops) {
        record.note(Note::RESERVED);
    } else {
        go_untagged(*ops, record);
    }
}

/// There is no room for the tag: nothing is left to be written.
#[cold]
#[inline(never)]
fn go_untagged(ops: SockOps, record: &mut ConnRecord) {
    switch_off(&ops, record);
    count(Counter::ReserveFailed);
}

/// The same for the first segment after a handshake in which the peer asked for the tag again.
///
/// Nothing is ever reserved beside data: the kernel counts on the room.
#[cold]
#[inline(never)]
fn reserve_again(ops: SockOps) {
    let Some(live) = maps::config().and_then(|config| live::find(config, ops.sk())) else {
        return;
    };
    let record = &mut live.record;
    if !record.has(Note::ASKED_AGAIN) {
        return;
    }
    record.strike(Note::ASKED_AGAIN);
    // The kernel has options written where room was reserved, whatever is switched on by then.
    switch_off(&ops, record);
    if ops.data_len() == 0 && tag::reserve(&ops) {
        record.note(Note::RESERVED);
    } else {
        count(Counter::SynCookie);
    }
}

/// Where only tags are ordered: ends what the handshake of a socket left to be done, for it was begun
/// under other orders, or SYNs crossed.
#[cold]
#[inline(never)]
pub(crate) fn leave(ops: SockOps) {
    let Some(live) = maps::config().and_then(|config| live::find(config, ops.sk())) else {
        return;
    };
    let record = &mut live.record;
    switch_off(&ops, record);
    if record.has(Note::ASKED_AGAIN) {
        record.strike(Note::ASKED_AGAIN);
        count(Counter::SynCookie);
    }
    if !record.is_named() {
        live::close(live);
    }
}

/// The kernel has written its own options, and left the room reserved.
#[inline(always)]
pub(crate) fn write<const OBSERVES: bool>(ops: &SockOps) {
    let Some(config) = maps::config() else {
        return;
    };
    let Some(live) = live::find(config, ops.sk()) else {
        return;
    };
    let record = &mut live.record;
    if !record.has(Note::RESERVED) {
        return;
    }
    record.strike(Note::RESERVED);
    let tag = if !OBSERVES || record.tag_state == TagState::None as u8 {
        let origin = TagOrigin {
            syn_at: record.syn_at,
            processor: processor(),
            before: tag::count_minted(),
        };
        mint_tag(config, origin)
    } else {
        record.tag
    };
    if tag::write(ops, tag) {
        if OBSERVES {
            record.tag = tag;
        }
        record.tag_state = TagState::Sent as u8;
    } else {
        count(Counter::StoreFailed);
    }
    // Now, for how the connect ends may not be seen, and the socket may connect again.
    switch_off(ops, record);
}

/// The SYN-ACK has arrived.
#[inline(always)]
pub(crate) fn established<const OBSERVES: bool>(ops: &SockOps) {
    let Some(config) = maps::config() else {
        return;
    };
    let Some(live) = live::find(config, ops.sk()) else {
        return;
    };
    let record = &mut live.record;
    let is_tagged = record.tag_state == TagState::Sent as u8;
    if is_tagged && record.has(Note::TRIAL) && record.syn_retransmits == 0 {
        prove(*ops);
    }
    if !OBSERVES || !config.orders(Flags::OBSERVE) || !record.is_named() {
        live::close(live);
        return;
    }
    let now = kernel::socket(ops.sk())
        .and_then(|socket| socket.worked_at(config, record.syn_at))
        .unwrap_or_else(now);
    if is_tagged && tag::read(ops, In::Segment) == Some(record.tag) {
        record.tag_state = TagState::Answered as u8;
    } else if is_tagged && config.may_write(Flags::TAG, now) && tag::is_asked_again(*ops) {
        record.note(Note::ASKED_AGAIN);
        switch_on(*ops, record);
    }
    record.syn_ack_at = now;
    record.established_at = now;
    record.outcome = Outcome::Established as u8;
    life::measure(ops, record, TcpState::ESTABLISHED, false);
    emit(config, record, Moment::Established, now);
}

/// Where only tags are ordered: a segment was sent again. A SYN may have been so because of its tag.
#[cold]
#[inline(never)]
pub(crate) fn sent_again(ops: SockOps) {
    if ops.state() != TcpState::SYN_SENT {
        return;
    }
    let Some(live) = maps::config().and_then(|config| live::find(config, ops.sk())) else {
        return;
    };
    let record = &mut live.record;
    record.syn_retransmits = record.syn_retransmits.saturating_add(1);
    retreat(ops, record, now());
    // Nothing more is to be done for the tag: the connect may fail, and nobody would see it.
    if !record.is_named() {
        live::close(live);
    }
}

/// Where only tags are ordered: a socket on trial, or one that other orders left, changes its state. A trial that
/// leads to no connection may do so because of the tag.
#[cold]
#[inline(never)]
pub(crate) fn given_up(ops: SockOps) {
    if TcpState(ops.arg1()) != TcpState::CLOSE {
        return;
    }
    let Some(live) = maps::config().and_then(|config| live::find(config, ops.sk())) else {
        return;
    };
    if TcpState(ops.arg0()) == TcpState::SYN_SENT {
        retreat(ops, &live.record, now());
    }
    live::close(live);
}

/// Switches the callback for writing options off, where it is ours.
#[inline(always)]
fn switch_off(ops: &SockOps, record: &mut ConnRecord) {
    if record.has(Note::WRITE_IS_OURS) {
        record.strike(Note::WRITE_IS_OURS);
        ops.disable(BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
    }
}

/// Switches it on again, unless others have.
#[cold]
#[inline(never)]
fn switch_on(ops: SockOps, record: &mut ConnRecord) {
    let switched_on = ops.cb_flags();
    if switched_on & BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG == 0 {
        record.note(Note::WRITE_IS_OURS);
        ops.set_cb_flags(switched_on | BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG);
    }
}

/// Notes that a tagged SYN to the destination was answered.
#[cold]
#[inline(never)]
fn prove(ops: SockOps) {
    let now = now();
    remember(ops.peer_addr(), |destination, word| {
        destination.proven(word, now)
    });
}

/// Notes that a tagged SYN to the destination had to be sent again, or led to no connection.
#[cold]
#[inline(never)]
pub(crate) fn retreat(ops: SockOps, record: &ConnRecord, now: u64) {
    if record.tag_state != TagState::None as u8 {
        remember(ops.peer_addr(), |destination, word| {
            destination.in_retreat(word, now)
        });
    }
}

/// Returns whether a SYN to `destination` may carry the tag; a trial only to whom it was given.
#[inline(always)]
fn claim(destination: Destination, now: u64) -> Permit {
    let Some(word) = DESTINATIONS.get_ptr_mut(destination.place) else {
        return Permit::Withheld;
    };
    let known = atomic::read(word);
    match destination.permit(known, now) {
        Permit::Granted => return Permit::Granted,
        Permit::Trial if atomic::replace(word, known, destination.on_trial(now)) => {
            return Permit::Trial;
        }
        Permit::Trial | Permit::Withheld => {}
    }
    count(Counter::TagWithheld);
    Permit::Withheld
}

/// Puts what `next` says in the place of what is known of the destination, unless somebody else
/// just did.
#[inline(always)]
fn remember(address: Wide, next: impl Fn(Destination, u64) -> Option<u64>) {
    let destination = Destination::of(address);
    if let Some(word) = DESTINATIONS.get_ptr_mut(destination.place) {
        let known = atomic::read(word);
        if let Some(next) = next(destination, known) {
            atomic::replace(word, known, next);
        }
    }
}
