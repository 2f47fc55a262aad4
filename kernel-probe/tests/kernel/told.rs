//! A connection's whole record as one line, in which only what is out of the ordinary stands beside
//! the outcome, the order of times, and the bytes.

use std::fmt::Write as _;

use syntrace_proto::{Connection, Opening, Origin, TagState};

/// Returns the line of `end`, whose owner should be `process`.
pub(crate) fn told(end: &Connection, process: u32) -> String {
    let opening = match end.opening() {
        Opening::Active => "active",
        Opening::Passive => "passive",
        Opening::Unspecified => "unspecified",
    };
    let outcome = end.outcome().as_str_name().trim_start_matches("OUTCOME_");
    let mut line = format!(
        "{opening} {}: {}; {} out, {} in",
        outcome.to_lowercase(),
        times(end),
        end.bytes_acked,
        end.bytes_received
    );
    let counts = [
        (end.error, "errno"),
        (end.syn_retransmits, "more syn"),
        (end.syn_ack_retransmits, "more syn_ack"),
        (end.retransmits, "again"),
        (end.mark, "mark"),
        (u32::from(end.accept_deferred), "deferred"),
        (u32::from(end.origin() != Origin::Watched), "backfilled"),
        (u32::from(end.tag_state() != TagState::None), "tag"),
        (u32::from(!end.tag.is_empty()), "tag's id"),
        (u32::from(end.one_in > 1), "sampled"),
        (u32::from(end.minted_id.len() != 16), "no id"),
        (u32::from(end.boot_id.len() != 16), "no boot id"),
        (
            u32::from(end.seen_at_ns < end.closed_at_ns),
            "seen before its end",
        ),
        ((end.socket_cookie >> 56) as u32, "earlier connections"),
        (
            u32::from(end.accepted_at_ns != 0 && !end.accepted_exactly),
            "inexact accept",
        ),
        (
            u32::from(has_round_trip(end) != (end.established_at_ns != 0)),
            "round trip",
        ),
    ];
    for (count, what) in counts.into_iter().filter(|&(count, _)| count != 0) {
        write!(line, "; {count} {what}").unwrap();
    }
    if !end.reset_reason.is_empty() {
        write!(line, "; {}", end.reset_reason).unwrap();
    }
    let owner = (end.owner_pid, end.cgroup_id != 0);
    if owner.0 != process || end.owner_tid != process || !owner.1 {
        write!(line, "; owner {}/{}", end.owner_pid, end.owner_tid).unwrap();
    }
    line
}

fn has_round_trip(end: &Connection) -> bool {
    end.srtt_us > 0
}

/// Returns the names of the times that were seen, in their order.
fn times(end: &Connection) -> String {
    let mut times = vec![
        (end.syn_at_ns, "syn"),
        (end.syn_ack_at_ns, "syn_ack"),
        (end.established_at_ns, "established"),
        (end.accepted_at_ns, "accepted"),
        (end.closed_at_ns, "closed"),
    ];
    times.retain(|&(at, _)| at != 0);
    times.sort_by_key(|&(at, _)| at);
    let mut line = String::new();
    let mut before = 0;
    for (at, name) in times {
        if before != 0 {
            line += if at == before { "=" } else { "<" };
        }
        line += name;
        before = at;
    }
    line
}
