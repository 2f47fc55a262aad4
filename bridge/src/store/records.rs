//! The fields of a record as bytes: all of them, in the order of this list.
//!
//! A record begins with its trace id, and a request's span id follows: the database's views read them there
//! ([`super::row`]).

mod said;

use syntrace_core::{
    Confidence, Output,
    answer::{Answer, Cause, Code as CauseCode, Party, TimeByParty},
    fact::{
        Counters, Header, Http, IncidentKind, Mark, Origin, Queue, Report, SenderId, Snapshot, Tag,
        TagState, TraceLink, TraceLinkKind, Upstream, Watch,
    },
    record::{
        ChargedIncident, ConnectionCoverage, ConnectionIncident, ConnectionRecord, IdSource, Join,
        LinkKind, Method, Missing, Phase, PhaseKind, RequestCoverage, RequestRecord, RequestRef,
        Role, Sharing,
    },
};
use syntrace_model::{
    BootId, BootNanos, ClockSample, ConnKey, ConnectionId, Endpoint, Opening, Outcome, SpanId,
    TraceId, UnixNanos,
};

use super::codec::{Code, fields, variants, wrappers};

wrappers! { BootId }

fields! {
    ClockSample { boot, unix }
    ConnKey { local, peer }
    SenderId { name, epoch }
    Snapshot {
        boot, cookie, seen_at, netns, key, opening, outcome, syn_at, syn_ack_at, established_at,
        accepted_at, closed_at, minted, tag, errno, owner_pid, owner_tid, counters, watch,
    }
    Watch { origin, first_seen_at, one_in, accepted_exactly, accept_deferred, reset_reason, mark, cgroup }
    Counters {
        syn_retransmits, syn_ack_retransmits, retransmits, srtt_us, min_rtt_us, bytes_acked,
        bytes_received, segments_out, segments_in,
    }
    Tag { id, state }
    Report {
        trace_id, span_id, downstream_connection, connection_trace_id, parent_span_id, trace_flags,
        tracestate, started_at, duration_ns, downstream, direct, tls_handshake_ns, links, http,
        upstream,
    }
    Http {
        method, path, authority, protocol, status, grpc, grpc_status, response_flags,
        response_details, request_bytes, response_bytes, request_id, dye, baggage, route, mark,
        tcp_session, server_name, headers, head_ns,
    }
    Mark { reason, at }
    Header { name, value, response }
    TraceLink { trace_id, span_id, kind }
    Upstream { local, peer, cluster, pool_wait_ns, attempts, failure, first_byte_ns }
    ConnectionRecord {
        trace_id, id, trace_id_source, aliases, role, socket, clock, phases, requests,
        requests_evicted, incidents, answer, coverage, settled,
    }
    RequestRecord {
        report, sender, received_on, served_by, opened, earlier, phases, incidents, answer, coverage,
        settled,
    }
    RequestRef { started_at, span_id, trace_id, kind, duration_ns }
    Phase { kind, party, after_ns, duration_ns }
    ConnectionCoverage {
        kernel, proxy, one_in, facts_lost, close_missing, no_goodbye, late, incidents_evicted,
        evicted, contradictions,
    }
    RequestCoverage { late, facts_lost, incidents_evicted, evicted, contradictions }
    ConnectionIncident { at, kind, count, queue, listener, sharing }
    ChargedIncident { connection, link, incident }
    Queue { length, max }
    Answer { cause, time }
    Cause { party, code, sentence, evidence, confidence }
    TimeByParty { client_ns, network_ns, kernel_ns, proxy_ns, service_ns, unknown_ns }
}

variants! {
    Opening { Active, Passive }
    Outcome {
        Connecting, Established, Refused, Unanswered, Unreachable, Aborted, Closed, ResetByPeer,
        ResetLocally, TimedOut, Unknown,
    }
    Origin { Watched, Backfilled, Polled }
    TagState { Sent, Answered, Believed, Disbelieved }
    TraceLinkKind { Restarted, Rotated }
    Method { Exact, Peer, Failure }
    Missing {
        NoKernelView, NoClock, NoAddress, AddressHidden, TimeDiffers, NumberDiffers,
        ProcessUnknown, FactsLost, NoConnection, NotSought,
    }
    Role { Downstream, Upstream }
    IdSource { Filter, Tag, Kernel, Request }
    LinkKind { ReceivedOn, Opened, ServedBy }
    Party { Client, Network, Kernel, Proxy, Service, Unknown }
    CauseCode {
        Completed, ConnectRefused, ConnectUnanswered, ConnectUnreachable, ConnectAborted,
        ConnectTimeout, ConnectFailed, TlsFailed, AnsweredByProxy, RateLimited, CircuitOpen,
        Overloaded, NoHealthyUpstream, NoRoute, ServiceError, ClientGone, ClientProtocol,
        UpstreamReset, ResetBeforeFirstByte, UpstreamProtocol, UpstreamTimeout, AcceptWait,
        AcceptOverflow, SynLost, ConnectSynLost, RequestRetransmitted, ResponseRetransmitted,
        PoolWait, SlowService, SlowClient, Unexplained, FaultInjected, NotAuthorised,
        NameUnresolved, AnswerReplaced, LocalReset, StreamIdleTimeout, DurationTimeout,
        RequestTimeout,
    }
    PhaseKind {
        Handshake, AcceptWait, Tls, RequestWait, FailedAttempts, PoolWait, UpstreamHandshake,
        RequestLost, RoundTrip, Service, Response, Proxy, Session, Unreported, Open, Head, Backoff,
    }
    IncidentKind { Retransmit, ZeroWindow, AcceptOverflow, SynOverflow, SynCookies }
}

/// As long as they are: a time is a large number.
macro_rules! times {
    ($($type:ident)*) => {$(
        impl Code for $type {
            fn put(&self, to: &mut Vec<u8>) {
                self.0.to_le_bytes().put(to);
            }

            fn take(from: &mut &[u8]) -> Option<Self> {
                Code::take(from).map(u64::from_le_bytes).map(Self)
            }
        }
    )*};
}

times! { BootNanos UnixNanos }

impl Code for TraceId {
    fn put(&self, to: &mut Vec<u8>) {
        self.to_bytes().put(to);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Self::new(Code::take(from)?)
    }
}

impl Code for SpanId {
    fn put(&self, to: &mut Vec<u8>) {
        self.to_bytes().put(to);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Self::new(Code::take(from)?)
    }
}

impl Code for Endpoint {
    fn put(&self, to: &mut Vec<u8>) {
        self.address().put(to);
        self.port().put(to);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(Self::new(Code::take(from)?, Code::take(from)?))
    }
}

impl Code for ConnectionId {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::Socket { boot, cookie } => {
                false.put(to);
                boot.put(to);
                cookie.put(to);
            }
            Self::Proxy { epoch, connection } => {
                true.put(to);
                epoch.put(to);
                connection.put(to);
            }
        }
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(if bool::take(from)? {
            Self::Proxy {
                epoch: Code::take(from)?,
                connection: Code::take(from)?,
            }
        } else {
            Self::Socket {
                boot: Code::take(from)?,
                cookie: Code::take(from)?,
            }
        })
    }
}

impl Code for Confidence {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::Certain => 0_u8.put(to),
            Self::Likely => 1_u8.put(to),
            Self::Ambiguous { candidates } => {
                2_u8.put(to);
                candidates.put(to);
            }
        }
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        match u8::take(from)? {
            0 => Some(Self::Certain),
            1 => Some(Self::Likely),
            2 => Some(Self::Ambiguous {
                candidates: Code::take(from)?,
            }),
            _ => None,
        }
    }
}

impl Code for Join {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::To {
                connection,
                trace_id,
                method,
                confidence,
                candidates,
            } => {
                true.put(to);
                connection.put(to);
                trace_id.put(to);
                method.put(to);
                confidence.put(to);
                candidates.put(to);
            }
            Self::Missing(missing) => {
                false.put(to);
                missing.put(to);
            }
        }
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(if bool::take(from)? {
            Self::To {
                connection: Code::take(from)?,
                trace_id: Code::take(from)?,
                method: Code::take(from)?,
                confidence: Code::take(from)?,
                candidates: Code::take(from)?,
            }
        } else {
            Self::Missing(Code::take(from)?)
        })
    }
}

impl Code for Output {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::Request(record) => {
                false.put(to);
                record.put(to);
            }
            Self::Connection(record) => {
                true.put(to);
                record.put(to);
            }
        }
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(if bool::take(from)? {
            Self::Connection(Code::take(from)?)
        } else {
            Self::Request(Code::take(from)?)
        })
    }
}

impl Code for Sharing {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::Nobody => 0_u8.put(to),
            Self::Exclusive(request) => {
                1_u8.put(to);
                request.put(to);
            }
            Self::Shared { streams } => {
                2_u8.put(to);
                streams.put(to);
            }
        }
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        match u8::take(from)? {
            0 => Some(Self::Nobody),
            1 => Some(Self::Exclusive(Code::take(from)?)),
            2 => Some(Self::Shared {
                streams: Code::take(from)?,
            }),
            _ => None,
        }
    }
}
