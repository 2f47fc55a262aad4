//! Connections that this host accepts: SYN, SYN-ACK, final ACK.
//!
//! SYN-ACKs are seen only where tags are believed: a listener then has the callback for writing
//! options, and so have its children, where it goes off again.

use aya_ebpf::bindings::{
    BPF_SOCK_OPS_RETRANS_CB_FLAG, BPF_SOCK_OPS_STATE_CB_FLAG, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG,
};
use syntrace_ebpf_common::{
    Borne, Config, ConnRecord, Counter, Flags, Moment, Opening, Outcome, Stranger, TagState,
    TcpState, Wide, tick, verify,
};

use crate::{
    active, atomic,
    context::{FOR_SYN_COOKIE, SockOps},
    emit::{count, emit, now},
    handshake::{self, Handshake},
    kernel::{self, Socket},
    life, live,
    maps::{self, BORNE},
    tag::{self, In},
    words,
};

/// What says at a child whose its inherited write callback is: with this and without that, it is
/// ours alone. Both are wanted at children anyway, so nothing of others is lost by it.
const OURS: u32 = BPF_SOCK_OPS_RETRANS_CB_FLAG;
const OF_OTHERS: u32 = BPF_SOCK_OPS_STATE_CB_FLAG;

/// A socket begins to listen: its SYN-ACKs are to be seen.
#[cold]
#[inline(never)]
pub(crate) fn listen(ops: SockOps) {
    if !maps::config().is_some_and(|config| config.orders(Flags::BELIEVE)) {
        return;
    }
    let switched_on = ops.cb_flags();
    ops.set_cb_flags(switched_on | listeners(switched_on));
}

/// Returns the callbacks that a listener is to have beside those that are `switched_on`.
#[inline(always)]
pub(crate) const fn listeners(switched_on: u32) -> u32 {
    if switched_on & BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG == 0 {
        BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG | OURS
    } else {
        OURS | OF_OTHERS
    }
}

/// Returns whether a listener with these callbacks shows its SYN-ACKs to us already.
#[inline(always)]
pub(crate) const fn are_listeners(switched_on: u32) -> bool {
    let needed = BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG | OURS;
    switched_on & needed == needed
}

/// A SYN made a request socket, and its answer is about to be sent.
///
/// Where that is seen, too, the SYN is noted then: the kernel has noted the time.
#[inline(always)]
pub(crate) fn syn_received(ops: &SockOps) {
    if !maps::config().is_some_and(|config| config.orders(Flags::OBSERVE)) {
        return;
    }
    let listener = kernel::request(ops).and_then(|request| request.listener());
    if listener.is_some_and(|listener| listener.shows_syn_acks()) {
        return;
    }
    note(ops.cookie(), now(), listener);
}

/// Notes the SYN of the request `cookie`, received at `now`, unless that was done.
#[inline(always)]
fn note(cookie: u64, now: u64, listener: Option<Socket>) -> Option<&'static mut Handshake> {
    let known = handshake::open(cookie, now)?;
    if known.syn_at == 0 {
        known.syn_at = now;
        known.accept_deferred = listener.is_some_and(|listener| listener.defers_accept()) as u8;
    }
    Some(known)
}

/// A SYN-ACK is being built: its options are asked for.
#[inline(always)]
pub(crate) fn syn_ack<const OBSERVES: bool>(ops: &SockOps) {
    tag::forget_answer();
    let Some(config) = maps::config() else {
        return;
    };
    let is_observed = OBSERVES && config.orders(Flags::OBSERVE);
    let is_believing = config.orders(Flags::BELIEVE);
    // A SYN cookie leaves no request.
    let is_cookie = ops.arg0() == FOR_SYN_COOKIE;
    if !is_observed && !is_believing {
        return;
    }
    let request = kernel::request(ops);
    let now = request
        .and_then(|request| request.answered_at(config))
        .unwrap_or_else(now);
    let known = match request {
        Some(request) if is_observed && !is_cookie => {
            let cookie = request.cookie().unwrap_or_else(|| ops.cookie());
            note(cookie, now, request.listener())
        }
        None if is_observed && !is_cookie => handshake::find(ops.cookie()),
        Some(_) | None => None,
    };
    // The SYN is at hand only for its first answer.
    if !is_believing {
        return;
    }
    let Some(tag) = tag::read(ops, In::Syn) else {
        match tag::stranger_in_syn(*ops) {
            Some(Stranger::Malformed) => count(Counter::TagMalformed),
            Some(Stranger::OfOthers) => count(Counter::TagOfOthers),
            None => {}
        }
        return;
    };
    let source = tag::syn_source(ops);
    if is_cookie {
        ask_again(ops, config, source, now);
        return;
    }
    let is_believed = believe(source, config, tag, now);
    if let Some(known) = known {
        known.tag = tag;
        known.tag_state = if is_believed {
            TagState::Believed as u8
        } else {
            TagState::Disbelieved as u8
        };
    }
    if is_believed && config.may_write(Flags::BELIEVE, now) {
        if tag::reserve(ops) {
            tag::prepare_answer(tag);
        } else {
            count(Counter::ReserveFailed);
        }
    }
}

/// Asks for the tag of a SYN from `source` that is answered by a cookie again: nothing is kept of the SYN.
#[inline(always)]
fn ask_again(ops: &SockOps, config: &Config, source: Option<Wide>, now: u64) {
    let is_wanted = config.may_write(Flags::BELIEVE, now) && source.is_some_and(maps::is_believed);
    if is_wanted && tag::reserve_ask(ops) {
        tag::prepare_ask();
        count(Counter::TagAskedAgain);
    } else {
        count(Counter::SynCookie);
    }
}

/// The SYN-ACK's own options are written, and the room reserved is left.
#[inline(always)]
pub(crate) fn write(ops: &SockOps) {
    let is_written = match tag::take_answer() {
        Some(tag) => tag::write(ops, tag),
        None => !tag::take_ask() || tag::write_ask(ops),
    };
    if !is_written {
        count(Counter::StoreFailed);
    }
}

/// The final ACK made the child socket.
#[inline(always)]
pub(crate) fn established<const OBSERVES: bool>(ops: &SockOps) {
    let Some(config) = maps::config() else {
        return;
    };
    let switched_on = ops.cb_flags();
    let kept = if switched_on & (OURS | OF_OTHERS) == OURS {
        switched_on & !BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG
    } else {
        switched_on
    };
    if !OBSERVES || !config.orders(Flags::OBSERVE) {
        if kept != switched_on {
            ops.set_cb_flags(kept);
        } else if switched_on & OURS != 0 {
            // SYNs that crossed: the socket is the one that sent ours, with callbacks of ours.
            active::leave(*ops);
        }
        return;
    }
    let socket = kernel::socket(ops.sk());
    let cookie = socket
        .and_then(|socket| socket.cookie())
        .unwrap_or_else(|| ops.cookie());
    // SYNs that crossed: the socket is the one that sent ours, with callbacks of ours.
    if switched_on & BPF_SOCK_OPS_STATE_CB_FLAG != 0
        && let Some(live) = live::find(config, ops.sk())
        && live.record.socket_cookie == cookie
        && live.record.outcome == Outcome::Connecting as u8
    {
        active::established::<true>(ops);
        return;
    }
    ops.set_cb_flags(kept | BPF_SOCK_OPS_STATE_CB_FLAG | BPF_SOCK_OPS_RETRANS_CB_FLAG);
    let Some(live) = live::open(config, ops.sk(), cookie) else {
        count(Counter::StorageFull);
        return;
    };
    let record = &mut live.record;
    // Under SYN cookies, or overwritten: the handshake was not observed.
    let known = handshake::find(cookie);
    let is_observed = known.is_some();
    if let Some(known) = known {
        record.syn_at = known.syn_at;
        // The kernel answers a SYN at once.
        record.syn_ack_at = known.syn_at;
        record.accept_deferred = known.accept_deferred;
        if known.tag_state != 0 {
            words::copy(&mut record.tag, &known.tag);
            record.tag_state = known.tag_state;
        }
        handshake::close(known);
    }
    // The child of a Fast Open has the listener's times.
    let now = match record.syn_at {
        0 => now(),
        syn_at => socket
            .and_then(|socket| socket.worked_at(config, syn_at))
            .unwrap_or_else(now),
    };
    record.established_at = now;
    if !is_observed {
        hear_again(ops, config, record, now);
    }
    record.opening = Opening::Passive as u8;
    record.outcome = Outcome::Established as u8;
    let netns_cookie = socket
        .and_then(|socket| socket.netns_cookie())
        .unwrap_or_else(|| ops.netns_cookie());
    life::identify(ops, record, netns_cookie);
    life::sample(config, record);
    // The child begins with its request's count.
    record.syn_ack_retransmits = u8::try_from(ops.total_retransmits()).unwrap_or(u8::MAX);
    life::measure(ops, record, TcpState::ESTABLISHED, false);
    emit(config, record, Moment::Established, now);
}

/// Reads the tag that was asked for again, in the segment that ended the handshake.
#[inline(always)]
fn hear_again(ops: &SockOps, config: &Config, record: &mut ConnRecord, now: u64) {
    // The child of a Fast Open begins with its SYN, whose answer is still to come.
    if !config.orders(Flags::BELIEVE) || ops.is_syn() {
        return;
    }
    let Some(tag) = tag::read(ops, In::Segment) else {
        return;
    };
    count(Counter::TagSentAgain);
    record.tag = tag;
    record.tag_state = if believe(Some(ops.peer_addr()), config, tag, now) {
        TagState::Believed as u8
    } else {
        TagState::Disbelieved as u8
    };
}

/// Returns whether `tag` is believed: from a configured network, under a valid MAC where a key
/// is configured, and for the first time.
#[inline(always)]
fn believe(source: Option<Wide>, config: &Config, tag: Wide, now: u64) -> bool {
    if !source.is_some_and(maps::is_believed) {
        count(Counter::TagForeign);
        return false;
    }
    let unix_ns = config.unix_ns(now);
    let signed_in = if config.orders(Flags::MESH_KEYED) {
        verify(config, tag, unix_ns)
    } else {
        Some(tick(unix_ns))
    };
    let Some(tick) = signed_in else {
        count(Counter::TagForged);
        return false;
    };
    let borne = Borne::of(tag, tick);
    let Some(word) = BORNE.get_ptr_mut(borne.word) else {
        return false;
    };
    let known = atomic::read(word);
    let is_first = borne
        .remember(known)
        // Another tag of the same word at the same moment is as good as the same.
        .is_some_and(|next| atomic::replace(word, known, next));
    if !is_first {
        count(Counter::TagReplayed);
    }
    is_first
}
