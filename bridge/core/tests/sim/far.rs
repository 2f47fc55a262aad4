//! Another host: the far ends of some connections, as the probe and the filter there tell their own bridge.

use std::{collections::BTreeMap, sync::Arc};

use syntrace_core::{
    Limits, Output,
    fact::{Fact, Http, Report, Rung, Snapshot, Tag, TagState},
    record::ConnectionRecord,
};
use syntrace_model::{
    BootId, BootNanos, ClockSample, ConnectionId, Endpoint, Opening, Outcome, SpanId, TraceId,
    UnixNanos,
};

use super::{
    CLOCK_INTERVAL, Sender, WALL,
    hops::{self, Hops},
    truth::{Far, Tagging},
    worker::{MS, Seen, US},
};

/// How much later that host was booted.
const BOOTED: u64 = 50_000 * MS;

/// What one connection is called.
#[derive(Clone, Debug)]
pub struct Ids {
    pub trace_id: TraceId,
    aliases: Vec<TraceId>,
    /// A request is joined to it for certain, so what its filter calls it is known.
    pub is_named: bool,
}

/// Lets the connections of a namespace that `kernel` tells of lead to the other host: tags some of them, and
/// returns what is seen there.
pub fn lead(kernel: &mut [Seen], netns: u64, far: &mut BTreeMap<u64, Far>) -> Vec<Sender> {
    let (mut probe, mut filter) = (Vec::new(), Vec::new());
    for seen in kernel {
        let Fact::Connection(here) = &mut seen.fact else {
            continue;
        };
        let answered = here.opening == Opening::Active && here.established_at.is_some();
        if here.netns != netns || !answered {
            continue;
        }
        let tagging = Tagging::ALL[(here.cookie % 6) as usize];
        let cookie = here.cookie + (1 << 60);
        here.tag = (tagging != Tagging::Untagged).then_some(Tag {
            id: id(0x7a, here.cookie),
            state: if tagging.is_common() {
                TagState::Answered
            } else {
                TagState::Sent
            },
        });
        let is_new = far.insert(here.cookie, Far { cookie, tagging }).is_none();
        let there = there(here, cookie, tagging);
        if is_new && tagging == Tagging::Minted {
            filter.push(asked(&there));
        }
        probe.push(Seen {
            at: there.seen_at.0,
            fact: Fact::Connection(there),
        });
    }
    let times = || probe.iter().map(|seen| seen.at);
    let (first, last) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
    let mut at = first.saturating_sub(CLOCK_INTERVAL);
    probe.push(Seen {
        at,
        fact: Fact::Rung(Rung {
            name: "full".into(),
            missing: Vec::new(),
            counted: Vec::new(),
            sockets_map_id: None,
        }),
    });
    while at < last + CLOCK_INTERVAL {
        let (boot, unix) = (BootNanos(at), unix(at));
        probe.push(Seen {
            at,
            fact: Fact::Clock(ClockSample { boot, unix }),
        });
        at += CLOCK_INTERVAL;
    }
    let sender = |name, epoch, mut facts: Vec<Seen>| {
        facts.sort_by_key(|seen| seen.at);
        Sender { name, epoch, facts }
    };
    vec![
        sender("filter", 9_001, filter),
        sender("probe", 9_000, probe),
    ]
}

/// Lets the other host's bridge fold what its senders saw; returns what its connections are called.
pub fn tell(senders: Vec<Sender>, hops: Hops) -> BTreeMap<u64, Ids> {
    let travelled = hops::travel_all(senders, hops);
    let mut called: BTreeMap<u64, Ids> = BTreeMap::new();
    let mut named = Vec::new();
    hops::feed(
        travelled.arrivals,
        Limits::default(),
        |output| match output {
            Output::Connection(record) => called.extend(Ids::of(&record)),
            Output::Request(record) => {
                let certain = record.received_on.is_certain();
                named.extend(record.received_on.connection().filter(|_| certain));
            }
        },
    );
    for id in named {
        if let ConnectionId::Socket { cookie, .. } = id
            && let Some(ids) = called.get_mut(&cookie)
        {
            ids.is_named = true;
        }
    }
    called
}

fn id(kind: u128, cookie: u64) -> TraceId {
    TraceId::new((kind << 120 | u128::from(cookie)).to_be_bytes()).unwrap()
}

/// That host's wall clock is 3 ms ahead.
fn unix(at: u64) -> UnixNanos {
    UnixNanos(WALL + BOOTED + at + 3 * MS)
}

/// The same connection as it looks there.
fn there(here: &Snapshot, cookie: u64, tagging: Tagging) -> Snapshot {
    let moved = |at: BootNanos| BootNanos(at.0 - BOOTED + 20 * US);
    let mut key = here.key.mirrored();
    if tagging == Tagging::Rewritten {
        key.peer = Endpoint::new([203, 0, 113, 77].into(), key.peer.port());
    }
    let state = match tagging {
        Tagging::Delivered | Tagging::Rewritten | Tagging::Minted => Some(TagState::Believed),
        Tagging::Disbelieved => Some(TagState::Disbelieved),
        Tagging::Stripped | Tagging::Untagged => None,
    };
    Snapshot {
        boot: BootId([2; 16]),
        cookie,
        netns: 1,
        key,
        opening: Opening::Passive,
        outcome: match here.outcome {
            Outcome::Established => Outcome::Established,
            _ => Outcome::Closed,
        },
        seen_at: moved(here.seen_at),
        syn_at: here.syn_at.map(moved),
        syn_ack_at: here.syn_at.map(moved),
        established_at: here.established_at.map(moved),
        accepted_at: here.established_at.map(moved),
        closed_at: here.closed_at.map(moved),
        minted: id(0xec, here.cookie),
        tag: state
            .zip(here.tag)
            .map(|(state, tag)| Tag { id: tag.id, state }),
        errno: 0,
        owner_pid: 201,
        owner_tid: 2_010,
        ..here.clone()
    }
}

/// The first request on a connection there, whose filter mints an id.
fn asked(there: &Snapshot) -> Seen {
    let began = there.accepted_at.unwrap_or(there.seen_at).0 + 40 * US;
    let minted = id(0xf2, there.cookie);
    let duration_ns = 100 * US;
    let report = Report {
        downstream_connection: there.cookie,
        connection_trace_id: Some(minted),
        trace_id: minted,
        span_id: SpanId::new(there.cookie.to_be_bytes()).unwrap(),
        parent_span_id: None,
        trace_flags: 3,
        tracestate: "".into(),
        started_at: unix(began),
        duration_ns,
        downstream: Some(there.key),
        direct: Some(there.key),
        tls_handshake_ns: None,
        links: Vec::new(),
        http: Http {
            status: 200,
            ..Http::default()
        },
        upstream: None,
    };
    Seen {
        at: began + duration_ns,
        fact: Fact::Request(Arc::new(report)),
    }
}

impl Ids {
    /// By the cookie of the connection.
    pub fn of(record: &ConnectionRecord) -> Option<(u64, Self)> {
        let ConnectionId::Socket { cookie, .. } = record.id else {
            return None;
        };
        let ids = Self {
            trace_id: record.trace_id,
            aliases: record.aliases.clone(),
            is_named: false,
        };
        Some((cookie, ids))
    }

    /// Whether the trace id of one is known to the other.
    pub fn lead_to(&self, other: &Self) -> bool {
        let knows = |ids: &Self, id| ids.trace_id == id || ids.aliases.contains(&id);
        knows(self, other.trace_id) || knows(other, self.trace_id)
    }
}
