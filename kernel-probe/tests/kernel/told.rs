//! A connection's whole record as one line, in which only what is out of the ordinary stands beside
//! the outcome, the order of times, and the bytes.
//!
//! Numbers that no table can know, such as times and segments, are for the witnesses.

use std::{collections::BTreeMap, fmt::Write as _};

use syntrace_proto::{Connection, Incident, Opening, Origin, TagState};

/// What the record should say of where it was taken.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) boot_id: Vec<u8>,
    pub(crate) cgroup_id: u64,
    pub(crate) netns_cookie: u64,
    /// Who made the traffic, `self`, and others by their names.
    pub(crate) processes: BTreeMap<u32, String>,
    /// The port of the listener.
    pub(crate) port: u16,
}

/// Returns the line of `end`.
pub(crate) fn told(end: &Connection, known: &Known) -> String {
    // A field that is new has to be told, too, or left to a witness.
    let Connection {
        seen_at_ns,
        boot_id,
        socket_cookie,
        netns_cookie,
        local: _,
        peer: _,
        opening: _,
        outcome: _,
        syn_at_ns: _,
        syn_ack_at_ns: _,
        established_at_ns,
        accepted_at_ns,
        closed_at_ns,
        minted_id,
        tag,
        tag_state: _,
        error,
        owner_pid,
        owner_tid,
        syn_retransmits,
        syn_ack_retransmits,
        retransmits,
        srtt_us,
        min_rtt_us,
        bytes_acked,
        bytes_received,
        segments_out,
        segments_in,
        origin: _,
        one_in,
        accepted_exactly,
        accept_deferred,
        reset_reason,
        mark,
        cgroup_id,
    } = end;
    let mut line = format!(
        "{} {}: {}; {bytes_acked} out, {bytes_received} in",
        opening(end),
        name(end.outcome().as_str_name(), "OUTCOME_"),
        times(end),
    );
    let was_observed = end.origin() == Origin::Watched;
    let was_measured = *established_at_ns != 0 || !was_observed;
    let is_wrong = [
        (tag.is_empty() == (end.tag_state() == TagState::None), "tag"),
        (*one_in <= 1, "sampled"),
        (minted_id.len() == 16, "no id"),
        (*boot_id == known.boot_id, "another boot"),
        (
            *cgroup_id == known.cgroup_id || (*cgroup_id, *owner_pid) == (0, 0),
            "another cgroup",
        ),
        (*netns_cookie == known.netns_cookie, "another namespace"),
        (seen_at_ns >= closed_at_ns, "seen before its end"),
        (
            *accepted_exactly == (*accepted_at_ns != 0),
            "inexact accept",
        ),
        ((*srtt_us > 0) == was_measured, "round trip"),
        ((*min_rtt_us > 0) == was_measured, "shortest round trip"),
        (*segments_out > 0, "nothing sent"),
        (
            (*segments_in > 0) == was_measured || *error != 0,
            "segments received",
        ),
        (
            was_observed || *socket_cookie >> 56 == 0,
            "attempt of an older one",
        ),
    ];
    for (_, what) in is_wrong.into_iter().filter(|(is_right, _)| !is_right) {
        write!(line, "; {what}").unwrap();
    }
    let counts = [
        (*error, "errno"),
        (*syn_retransmits, "more syn"),
        (*syn_ack_retransmits, "more syn_ack"),
        (*retransmits, "again"),
        (*mark, "mark"),
        ((socket_cookie >> 56) as u32, "earlier connections"),
    ];
    for (count, what) in counts.into_iter().filter(|&(count, _)| count != 0) {
        write!(line, "; {count} {what}").unwrap();
    }
    let tag_state = name(end.tag_state().as_str_name(), "TAG_STATE_");
    let origin = name(end.origin().as_str_name(), "ORIGIN_");
    let deferred = if *accept_deferred { "deferred" } else { "" };
    let words = [
        (&*tag_state, "none"),
        (&*origin, "watched"),
        (deferred, ""),
        (reset_reason, ""),
    ];
    for (word, _) in words.iter().filter(|(word, usual)| word != usual) {
        write!(line, "; {word}").unwrap();
    }
    let owner = [owner_pid, owner_tid].map(|process| known.name(*process));
    if owner != ["self", "self"] {
        write!(line, "; owner {}/{}", owner[0], owner[1]).unwrap();
    }
    line
}

/// Returns the line of incidents of one kind at one socket.
pub(crate) fn told_incident(incident: &Incident, known: &Known) -> String {
    let Incident {
        at_ns: _,
        boot_id,
        socket_cookie: _,
        netns_cookie,
        local,
        peer,
        kind: _,
        count,
        queue,
        queue_max,
    } = incident;
    let is_at_listener = local.as_ref().unwrap().port == u32::from(known.port);
    let whose = match (peer, is_at_listener) {
        (None, true) => "listener",
        (None, false) => "nobody",
        (Some(_), true) => "passive",
        (Some(_), false) => "active",
    };
    let kind = name(incident.kind().as_str_name(), "INCIDENT_KIND_");
    let mut line = format!("{whose} {kind}: {count}");
    if peer.is_none() {
        write!(line, " of {queue_max}").unwrap();
    }
    // It is read a moment later; Linux takes one more than it was told.
    if *queue > queue_max + 1 {
        line += "; a queue beyond its bound";
    }
    if *netns_cookie != known.netns_cookie {
        line += "; another namespace";
    }
    if *boot_id != known.boot_id {
        line += "; another boot";
    }
    line
}

// === impl Known ===

impl Known {
    fn name(&self, process: u32) -> &str {
        let nobody = if process == 0 { "nobody" } else { "somebody" };
        self.processes.get(&process).map_or(nobody, String::as_str)
    }
}

fn opening(end: &Connection) -> &'static str {
    match end.opening() {
        Opening::Active => "active",
        Opening::Passive => "passive",
        Opening::Unspecified => "unspecified",
    }
}

fn name(constant: &str, prefix: &str) -> String {
    constant.trim_start_matches(prefix).to_lowercase()
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
