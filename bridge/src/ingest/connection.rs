//! `syntrace.v1.Connection` to [`Snapshot`]: what a probe reports of one socket.

use syntrace_core::fact::{Counters, Origin, Snapshot, Tag, TagState, Watch};
use syntrace_model::{BootNanos, ConnKey, Endpoint, Opening, Outcome, TraceId};
use syntrace_proto as wire;

use super::{Meaningless, boot_id, id, meaningless, optional_id, text, translate_endpoint};

pub(super) fn translate(from: wire::Connection) -> Result<Snapshot, Meaningless> {
    let boot = boot_id(&from.boot_id, "connection.boot_id")?;
    if from.socket_cookie == 0 {
        return Err(meaningless("connection.socket_cookie", 0, "1 or more"));
    }
    if from.seen_at_ns == 0 {
        return Err(meaningless(
            "connection.seen_at_ns",
            0,
            "the time of the snapshot",
        ));
    }
    Ok(Snapshot {
        boot,
        cookie: from.socket_cookie,
        seen_at: BootNanos(from.seen_at_ns),
        netns: from.netns_cookie,
        key: ConnKey {
            local: end(from.local.as_ref(), "connection.local")?,
            peer: end(from.peer.as_ref(), "connection.peer")?,
        },
        opening: opening(from.opening)?,
        outcome: outcome(from.outcome)?,
        syn_at: observed(from.syn_at_ns),
        syn_ack_at: observed(from.syn_ack_at_ns),
        established_at: observed(from.established_at_ns),
        accepted_at: observed(from.accepted_at_ns),
        closed_at: observed(from.closed_at_ns),
        minted: id(
            &from.minted_id,
            "connection.minted_id",
            "16 bytes, not all zero",
            TraceId::from_slice,
        )?,
        tag: tag(&from.tag, from.tag_state)?,
        errno: from.error,
        owner_pid: from.owner_pid,
        owner_tid: from.owner_tid,
        counters: Counters {
            syn_retransmits: from.syn_retransmits,
            syn_ack_retransmits: from.syn_ack_retransmits,
            retransmits: from.retransmits,
            srtt_us: from.srtt_us,
            min_rtt_us: from.min_rtt_us,
            bytes_acked: from.bytes_acked,
            bytes_received: from.bytes_received,
            segments_out: from.segments_out,
            segments_in: from.segments_in,
        },
        watch: Watch {
            origin: origin(from.origin)?,
            first_seen_at: None,
            one_in: from.one_in,
            accepted_exactly: from.accepted_exactly,
            accept_deferred: from.accept_deferred,
            reset_reason: text(from.reset_reason),
            mark: from.mark,
            cgroup: from.cgroup_id,
        },
    })
}

fn end(from: Option<&wire::Endpoint>, field: &'static str) -> Result<Endpoint, Meaningless> {
    let endpoint = from.ok_or_else(|| meaningless(field, "absent", "an address and a port"))?;
    translate_endpoint(endpoint, field)
}

/// 0 means not observed.
fn observed(ns: u64) -> Option<BootNanos> {
    (ns != 0).then_some(BootNanos(ns))
}

fn opening(number: i32) -> Result<Opening, Meaningless> {
    match wire::Opening::try_from(number) {
        Ok(wire::Opening::Active) => Ok(Opening::Active),
        Ok(wire::Opening::Passive) => Ok(Opening::Passive),
        Ok(wire::Opening::Unspecified) | Err(_) => Err(meaningless(
            "connection.opening",
            number,
            "OPENING_ACTIVE or OPENING_PASSIVE",
        )),
    }
}

fn origin(number: i32) -> Result<Origin, Meaningless> {
    match wire::Origin::try_from(number) {
        Ok(wire::Origin::Watched) => Ok(Origin::Watched),
        Ok(wire::Origin::Backfilled) => Ok(Origin::Backfilled),
        Ok(wire::Origin::Polled) => Ok(Origin::Polled),
        Err(_) => Err(meaningless("connection.origin", number, "a known origin")),
    }
}

fn outcome(number: i32) -> Result<Outcome, Meaningless> {
    match wire::Outcome::try_from(number) {
        Ok(wire::Outcome::Connecting) => Ok(Outcome::Connecting),
        Ok(wire::Outcome::Established) => Ok(Outcome::Established),
        Ok(wire::Outcome::Refused) => Ok(Outcome::Refused),
        Ok(wire::Outcome::Unanswered) => Ok(Outcome::Unanswered),
        Ok(wire::Outcome::Unreachable) => Ok(Outcome::Unreachable),
        Ok(wire::Outcome::Aborted) => Ok(Outcome::Aborted),
        Ok(wire::Outcome::Closed) => Ok(Outcome::Closed),
        Ok(wire::Outcome::ResetByPeer) => Ok(Outcome::ResetByPeer),
        Ok(wire::Outcome::ResetLocally) => Ok(Outcome::ResetLocally),
        Ok(wire::Outcome::TimedOut) => Ok(Outcome::TimedOut),
        Ok(wire::Outcome::Unknown) => Ok(Outcome::Unknown),
        Ok(wire::Outcome::Unspecified) | Err(_) => {
            Err(meaningless("connection.outcome", number, "a known outcome"))
        }
    }
}

fn tag(bytes: &[u8], number: i32) -> Result<Option<Tag>, Meaningless> {
    let known = optional_id(
        bytes,
        "connection.tag",
        "16 bytes, not all zero",
        TraceId::from_slice,
    )?;
    let state = match wire::TagState::try_from(number) {
        Ok(wire::TagState::None) => None,
        Ok(wire::TagState::Sent) => Some(TagState::Sent),
        Ok(wire::TagState::Answered) => Some(TagState::Answered),
        Ok(wire::TagState::Believed) => Some(TagState::Believed),
        Ok(wire::TagState::Disbelieved) => Some(TagState::Disbelieved),
        Err(_) => {
            return Err(meaningless("connection.tag_state", number, "a known state"));
        }
    };
    match (known, state) {
        (None, None) => Ok(None),
        (Some(id), Some(state)) => Ok(Some(Tag { id, state })),
        (Some(_), None) | (None, Some(_)) => Err(meaningless(
            "connection.tag_state",
            number,
            "a state with a tag, and none without",
        )),
    }
}
