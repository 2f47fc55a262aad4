//! One connection as JSON.

use serde::Serialize;
use syntrace_core::{
    audit,
    fact::{Counters, Snapshot, TagState},
    record::{ConnectionCoverage, ConnectionRecord, RequestRef},
};
use syntrace_model::{BootNanos, Opening};
use utoipa::ToSchema;

use super::{Cause, Time, given, incident::Incident, phase::Phase, time};
use crate::store::Record as _;

/// One connection: one socket of this host, from its SYN to its close.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Connection {
    /// Boot id and socket cookie, or what the proxy calls it.
    id: String,
    /// Its one trace id, 32 hexadecimal digits.
    trace_id: String,
    /// `filter`, `tag`, `kernel` or `request`.
    trace_id_source: &'static str,
    /// Other ids that lead to it.
    aliases: Vec<String>,
    /// `active`: this host sent the SYN; `passive`: it accepted it.
    opening: Option<&'static str>,
    /// `downstream` or `upstream`.
    role: Option<&'static str>,
    /// This host's end, address and port.
    local: Option<String>,
    /// The far end.
    peer: Option<String>,
    /// Decimal.
    netns_cookie: Option<String>,
    owner: Option<Owner>,
    /// Control group of the owner, decimal.
    cgroup_id: Option<String>,
    /// `SO_MARK`.
    mark: Option<u32>,
    /// How far it came, or how it ended.
    outcome: Option<&'static str>,
    /// `errno` that ended it.
    errno: Option<u32>,
    /// Why this host sent an RST, in its kernel's words.
    reset_reason: Option<String>,
    tag: Option<Tag>,
    /// RFC 3339, as are all times.
    syn_at: Option<String>,
    syn_ack_at: Option<String>,
    established_at: Option<String>,
    /// An upper bound, unless `accepted_exactly`.
    accepted_at: Option<String>,
    accepted_exactly: bool,
    /// The listener lets the accept wait for data.
    accept_deferred: bool,
    closed_at: Option<String>,
    phases: Vec<Phase>,
    counters: Option<CountersJson>,
    incidents: Vec<Incident>,
    requests: Vec<Link>,
    /// Requests that a bound left out of `requests`.
    requests_evicted: u64,
    /// Why it failed, where it failed.
    cause: Option<Cause>,
    time: Option<Time>,
    coverage: Coverage,
    /// Nothing more is expected.
    settled: bool,
    /// The rules that the record breaks; present if requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    audit: Option<Vec<Finding>>,
}

/// Process and thread that own the socket.
#[derive(Debug, Serialize, ToSchema)]
struct Owner {
    pid: u32,
    tid: u32,
}

/// The id in the SYN's option.
#[derive(Debug, Serialize, ToSchema)]
struct Tag {
    id: String,
    /// `sent`, `answered`, `believed` or `disbelieved`.
    state: &'static str,
}

/// What the kernel counted on the socket.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Counters)]
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

/// A request that the connection carried or failed.
#[derive(Debug, Serialize, ToSchema)]
struct Link {
    id: String,
    trace_id: String,
    /// `received_on`, `opened` or `served_by`.
    kind: &'static str,
    started_at: String,
    duration_ns: u64,
}

/// How well the connection was seen.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConnectionCoverage)]
struct Coverage {
    kernel: bool,
    proxy: bool,
    handshake: bool,
    /// Where the kernel view found it: `watched`, `backfilled` or `polled`.
    origin: Option<&'static str>,
    /// One of how many such connections is reported.
    one_in: u32,
    facts_lost: bool,
    close_missing: bool,
    no_goodbye: bool,
    /// Facts that came after it was settled.
    late: u64,
    incidents_evicted: u64,
    evicted: bool,
    contradictions: Vec<&'static str>,
}

/// A rule that the record breaks.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Finding {
    rule: &'static str,
    detail: String,
}

impl Connection {
    /// Shows the rules that the record breaks, too.
    pub(in crate::api) fn audited(record: &ConnectionRecord) -> Self {
        let findings = audit::connection(record);
        let findings = findings.iter().map(|finding| Finding {
            rule: finding.rule.name(),
            detail: finding.detail.to_string(),
        });
        Self {
            audit: Some(findings.collect()),
            ..record.into()
        }
    }
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
            reset_reason: socket.and_then(|socket| given(&socket.watch.reset_reason)),
            cgroup_id: socket
                .filter(|socket| socket.watch.cgroup != 0)
                .map(|socket| socket.watch.cgroup.to_string()),
            mark: socket
                .map(|socket| socket.watch.mark)
                .filter(|&mark| mark != 0),
            tag: socket.and_then(|socket| socket.tag).map(Tag::from),
            syn_at: at(|socket| socket.syn_at),
            syn_ack_at: at(|socket| socket.syn_ack_at),
            established_at: at(|socket| socket.established_at),
            accepted_at: at(|socket| socket.accepted_at),
            accepted_exactly: socket.is_some_and(|socket| socket.watch.accepted_exactly),
            accept_deferred: socket.is_some_and(|socket| socket.watch.accept_deferred),
            closed_at: at(|socket| socket.closed_at),
            phases: Phase::of(&record.phases, record.began_at()),
            counters: socket.map(|socket| socket.counters.into()),
            incidents: record
                .incidents
                .iter()
                .map(|incident| Incident::of(incident, record.to_unix(incident.at)))
                .collect(),
            requests: record.requests.iter().map(Link::from).collect(),
            requests_evicted: record.requests_evicted,
            cause: record.answer.as_ref().map(Cause::from),
            time: record
                .answer
                .as_ref()
                .map(|answer| Time::from(&answer.time)),
            coverage: Coverage::of(record),
            settled: record.settled,
            audit: None,
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

impl Coverage {
    fn of(record: &ConnectionRecord) -> Self {
        let ConnectionCoverage {
            kernel,
            proxy,
            one_in,
            facts_lost,
            close_missing,
            no_goodbye,
            late,
            incidents_evicted,
            evicted,
            contradictions,
        } = &record.coverage;
        let socket = record.socket.as_ref();
        Self {
            kernel: kernel.is_some(),
            proxy: *proxy,
            handshake: socket.is_some_and(|socket| socket.syn_at.is_some()),
            origin: kernel.map(|origin| origin.name()),
            one_in: *one_in,
            facts_lost: *facts_lost,
            close_missing: *close_missing,
            no_goodbye: *no_goodbye,
            late: *late,
            incidents_evicted: *incidents_evicted,
            evicted: *evicted,
            contradictions: contradictions.clone(),
        }
    }
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
            duration_ns: request.duration_ns,
        }
    }
}
