//! One connection as JSON.

use serde::Serialize;
use syntrace_core::{
    fact::{Counters, Snapshot, TagState},
    record::{ConnectionRecord, RequestRef},
};
use syntrace_model::{BootNanos, Opening};

use super::{Cause, Time, time};

/// One connection.
#[derive(Debug, Serialize)]
pub(in crate::api) struct Connection {
    id: String,
    trace_id: String,
    trace_id_source: &'static str,
    aliases: Vec<String>,
    opening: Option<&'static str>,
    role: Option<&'static str>,
    local: Option<String>,
    peer: Option<String>,
    netns_cookie: Option<String>,
    owner: Option<Owner>,
    outcome: Option<&'static str>,
    errno: Option<u32>,
    tag: Option<Tag>,
    syn_at: Option<String>,
    syn_ack_at: Option<String>,
    established_at: Option<String>,
    accepted_at: Option<String>,
    closed_at: Option<String>,
    phases: Vec<Phase>,
    counters: Option<CountersJson>,
    requests: Vec<Link>,
    requests_evicted: u64,
    cause: Option<Cause>,
    time: Option<Time>,
    coverage: Coverage,
    settled: bool,
}

#[derive(Debug, Serialize)]
struct Owner {
    pid: u32,
    tid: u32,
}

#[derive(Debug, Serialize)]
struct Tag {
    id: String,
    state: &'static str,
}

#[derive(Debug, Serialize)]
struct Phase {
    name: &'static str,
    started_at: String,
    duration_ns: u64,
}

#[derive(Debug, Serialize)]
struct CountersJson {
    syn_retransmits: u32,
    syn_ack_retransmits: u32,
    retransmits: u32,
    srtt_us: u32,
    min_rtt_us: u32,
    bytes_acked: u64,
    bytes_received: u64,
    segments_out: u32,
    segments_in: u32,
}

#[derive(Debug, Serialize)]
struct Link {
    id: String,
    trace_id: String,
    kind: &'static str,
    started_at: String,
}

#[derive(Debug, Serialize)]
struct Coverage {
    kernel: bool,
    proxy: bool,
    handshake: bool,
}

impl From<&ConnectionRecord> for Connection {
    fn from(record: &ConnectionRecord) -> Self {
        let socket = record.socket.as_ref();
        let at = |of: fn(&Snapshot) -> Option<BootNanos>| {
            socket
                .and_then(of)
                .and_then(|at| record.to_unix(at))
                .map(time)
        };
        Self {
            id: record.id.to_string(),
            trace_id: record.trace_id.to_string(),
            trace_id_source: record.trace_id_source.name(),
            aliases: record.aliases.iter().map(ToString::to_string).collect(),
            opening: socket.map(|socket| match socket.opening {
                Opening::Active => "active",
                Opening::Passive => "passive",
            }),
            role: record.role.map(|role| role.name()),
            local: socket.map(|socket| socket.key.local.to_string()),
            peer: socket.map(|socket| socket.key.peer.to_string()),
            netns_cookie: socket
                .filter(|socket| socket.netns != 0)
                .map(|socket| socket.netns.to_string()),
            owner: socket.and_then(owner),
            outcome: socket.map(|socket| socket.outcome.name()),
            errno: socket
                .map(|socket| socket.errno)
                .filter(|&errno| errno != 0),
            tag: socket.and_then(|socket| socket.tag).map(Tag::from),
            syn_at: at(|socket| socket.syn_at),
            syn_ack_at: at(|socket| socket.syn_ack_at),
            established_at: at(|socket| socket.established_at),
            accepted_at: at(|socket| socket.accepted_at),
            closed_at: at(|socket| socket.closed_at),
            phases: socket.map_or_else(Vec::new, |socket| phases(record, socket)),
            counters: socket.map(|socket| socket.counters.into()),
            requests: record.requests.iter().map(Link::from).collect(),
            requests_evicted: record.requests_evicted,
            cause: record.answer.as_ref().map(Cause::from),
            time: record
                .answer
                .as_ref()
                .map(|answer| Time::from(&answer.time)),
            coverage: Coverage {
                kernel: socket.is_some(),
                proxy: !record.requests.is_empty(),
                handshake: socket.is_some_and(|socket| socket.syn_at.is_some()),
            },
            settled: record.settled,
        }
    }
}

fn owner(socket: &Snapshot) -> Option<Owner> {
    let owner = Owner {
        pid: socket.owner_pid,
        tid: socket.owner_tid,
    };
    (owner.pid != 0 || owner.tid != 0).then_some(owner)
}

/// The phases of which both ends were observed. A failed connect's handshake ends with the socket.
fn phases(record: &ConnectionRecord, socket: &Snapshot) -> Vec<Phase> {
    let handshake_end = socket.established_at.or(socket.closed_at);
    let phases = [
        ("handshake", socket.syn_at, handshake_end),
        ("accept_wait", socket.established_at, socket.accepted_at),
        ("open", socket.established_at, socket.closed_at),
    ];
    let observed = phases.into_iter().filter_map(|(name, from, until)| {
        let (from, until) = (from?, until?);
        Some(Phase {
            name,
            started_at: time(record.to_unix(from)?),
            duration_ns: until.since_ns(from),
        })
    });
    observed.collect()
}

impl From<syntrace_core::fact::Tag> for Tag {
    fn from(tag: syntrace_core::fact::Tag) -> Self {
        Self {
            id: tag.id.to_string(),
            state: match tag.state {
                TagState::Sent => "sent",
                TagState::Answered => "answered",
                TagState::Believed => "believed",
                TagState::Disbelieved => "disbelieved",
            },
        }
    }
}

impl From<Counters> for CountersJson {
    fn from(counters: Counters) -> Self {
        let Counters {
            syn_retransmits,
            syn_ack_retransmits,
            retransmits,
            srtt_us,
            min_rtt_us,
            bytes_acked,
            bytes_received,
            segments_out,
            segments_in,
        } = counters;
        Self {
            syn_retransmits,
            syn_ack_retransmits,
            retransmits,
            srtt_us,
            min_rtt_us,
            bytes_acked,
            bytes_received,
            segments_out,
            segments_in,
        }
    }
}

impl From<&RequestRef> for Link {
    fn from(request: &RequestRef) -> Self {
        Self {
            id: request.span_id.to_string(),
            trace_id: request.trace_id.to_string(),
            kind: request.kind.name(),
            started_at: time(request.started_at),
        }
    }
}
