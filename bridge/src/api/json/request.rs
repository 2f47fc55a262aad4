//! One request as JSON.

use serde::Serialize;
use syntrace_core::{
    fact,
    record::{self, RequestCoverage, RequestRecord},
};
use utoipa::ToSchema;

use super::{Cause, HowSure, Time, given, incident::Charged, phase::Phase, time};
use crate::flags;

/// One HTTP stream, gRPC call or TCP session.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct Request {
    /// Its span id, 16 hexadecimal digits.
    id: String,
    trace_id: String,
    parent_span_id: Option<String>,
    /// W3C trace flags.
    trace_flags: u8,
    tracestate: String,
    /// Who reported it.
    sender: String,
    /// The connection that it came in on: as the proxy names it, where no socket is known.
    connection: String,
    /// When the record begins: with the connection, where the request waited for it. RFC 3339.
    started_at: String,
    /// How long the client waited.
    duration_ns: u64,
    /// When the proxy saw the request.
    request_started_at: String,
    /// How long the proxy had it.
    request_duration_ns: u64,
    /// What the client waited for, in order; they sum to `duration_ns`.
    phases: Vec<Phase>,
    /// A whole TCP session: there is no method, path or status.
    tcp_session: bool,
    method: String,
    /// Without the query string.
    path: String,
    authority: String,
    /// The server name that the client requested (SNI).
    server_name: Option<String>,
    protocol: String,
    /// Absent if there was no response.
    status: Option<u16>,
    grpc_status: Option<u32>,
    /// Short names, as in Envoy's access logs.
    response_flags: Vec<&'static str>,
    response_details: String,
    request_id: String,
    /// Envoy's route name.
    route: Option<String>,
    /// Label on the traffic.
    dye: Option<String>,
    /// W3C baggage.
    baggage: Option<String>,
    mark: Option<Mark>,
    headers: Vec<Header>,
    /// Contexts that it follows without being their child.
    links: Vec<TraceLink>,
    request_bytes: u64,
    response_bytes: u64,
    /// From the connection's beginning to the end of its TLS handshake.
    tls_handshake_ns: Option<u64>,
    upstream: Option<Upstream>,
    received_on: Join,
    served_by: Option<Join>,
    opened: Option<Join>,
    /// Failed connects of earlier attempts.
    earlier: Vec<Join>,
    incidents: Vec<Charged>,
    cause: Cause,
    time: Time,
    coverage: Coverage,
    /// Nothing more is expected.
    settled: bool,
}

/// The last upstream attempt.
#[derive(Debug, Serialize, ToSchema)]
struct Upstream {
    local: Option<String>,
    peer: String,
    cluster: String,
    pool_wait_ns: Option<u64>,
    attempts: u32,
    /// Envoy's transport failure reason.
    failure: Option<String>,
    first_byte_ns: Option<u64>,
}

/// What stopped the request on purpose.
#[derive(Debug, Serialize, ToSchema)]
struct Mark {
    reason: String,
    at: String,
}

/// A captured header.
#[derive(Debug, Serialize, ToSchema)]
struct Header {
    name: String,
    value: String,
    /// Of the response, not of the request.
    response: bool,
}

/// A span of another trace.
#[derive(Debug, Serialize, ToSchema)]
struct TraceLink {
    trace_id: String,
    span_id: String,
    /// `restarted` or `rotated`.
    kind: &'static str,
}

/// An assignment to a connection, or why there is none.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Join {
    connection: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    /// `exact`, `peer` or `failure`.
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'static str>,
    /// `certain`, `likely` or `ambiguous`.
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<&'static str>,
    /// How many it could be.
    #[serde(skip_serializing_if = "Option::is_none")]
    candidates: Option<u32>,
    /// All that fit, where it is ambiguous; the first few of many.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    candidate_ids: Vec<String>,
    /// Why there is no connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<&'static str>,
}

/// How well the request was seen.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RequestCoverage)]
struct Coverage {
    late: bool,
    facts_lost: bool,
    /// Incidents of its connections and their listeners that were too many to be kept, if any of them may have hit it.
    incidents_evicted: u64,
    evicted: bool,
    contradictions: Vec<&'static str>,
}

impl From<&RequestRecord> for Request {
    fn from(record: &RequestRecord) -> Self {
        let report = &*record.report;
        let http = &report.http;
        let links = report.links.iter();
        Self {
            id: report.span_id.to_string(),
            trace_id: report.trace_id.to_string(),
            parent_span_id: report.parent_span_id.map(|id| id.to_string()),
            trace_flags: report.trace_flags,
            tracestate: report.tracestate.to_string(),
            sender: record.sender.name.to_string(),
            connection: record.connection().to_string(),
            started_at: time(record.started_at()),
            duration_ns: record.duration_ns(),
            request_started_at: time(report.started_at),
            request_duration_ns: report.duration_ns,
            phases: Phase::of(&record.phases, record.started_at()),
            tcp_session: http.tcp_session,
            method: http.method.to_string(),
            path: http.path.to_string(),
            authority: http.authority.to_string(),
            server_name: given(&http.server_name),
            protocol: http.protocol.to_string(),
            status: (http.status != 0).then_some(http.status),
            grpc_status: http.grpc_status,
            response_flags: flags::names(http.response_flags).collect(),
            response_details: http.response_details.to_string(),
            request_id: http.request_id.to_string(),
            route: given(&http.route),
            dye: given(&http.dye),
            baggage: given(&http.baggage),
            mark: http.mark.as_ref().map(Mark::from),
            headers: http.headers.iter().map(Header::from).collect(),
            links: links.map(TraceLink::from).collect(),
            request_bytes: http.request_bytes,
            response_bytes: http.response_bytes,
            tls_handshake_ns: report.tls_handshake_ns,
            upstream: report.upstream.as_ref().map(Upstream::from),
            received_on: Join::from(&record.received_on),
            served_by: record.served_by.as_ref().map(Join::from),
            opened: record.opened.as_ref().map(Join::from),
            earlier: record.earlier.iter().map(Join::from).collect(),
            incidents: record.incidents.iter().map(Charged::from).collect(),
            cause: Cause::from(&record.answer),
            time: Time::from(&record.answer.time),
            coverage: Coverage::from(&record.coverage),
            settled: record.settled,
        }
    }
}

impl From<&fact::Upstream> for Upstream {
    fn from(upstream: &fact::Upstream) -> Self {
        Self {
            local: upstream.local.map(|local| local.to_string()),
            peer: upstream.peer.to_string(),
            cluster: upstream.cluster.to_string(),
            pool_wait_ns: upstream.pool_wait_ns,
            attempts: upstream.attempts,
            failure: given(&upstream.failure),
            first_byte_ns: upstream.first_byte_ns,
        }
    }
}

impl From<&fact::Mark> for Mark {
    fn from(mark: &fact::Mark) -> Self {
        Self {
            reason: mark.reason.to_string(),
            at: time(mark.at),
        }
    }
}

impl From<&fact::Header> for Header {
    fn from(header: &fact::Header) -> Self {
        Self {
            name: header.name.to_string(),
            value: header.value.to_string(),
            response: header.response,
        }
    }
}

impl From<&fact::TraceLink> for TraceLink {
    fn from(link: &fact::TraceLink) -> Self {
        Self {
            trace_id: link.trace_id.to_string(),
            span_id: link.span_id.to_string(),
            kind: link.kind.name(),
        }
    }
}

impl From<&record::Join> for Join {
    fn from(join: &record::Join) -> Self {
        match join {
            record::Join::To {
                connection,
                trace_id,
                method,
                confidence,
                candidates,
            } => {
                let sure = HowSure::from(*confidence);
                Self {
                    connection: Some(connection.to_string()),
                    trace_id: Some(trace_id.to_string()),
                    method: Some(method.name()),
                    confidence: Some(sure.confidence),
                    candidates: Some(sure.candidates),
                    candidate_ids: candidates.iter().map(ToString::to_string).collect(),
                    missing: None,
                }
            }
            record::Join::Missing(missing) => Self {
                missing: Some(missing.name()),
                ..Self::default()
            },
        }
    }
}

impl From<&RequestCoverage> for Coverage {
    fn from(coverage: &RequestCoverage) -> Self {
        let RequestCoverage {
            late,
            facts_lost,
            incidents_evicted,
            evicted,
            contradictions,
        } = coverage;
        Self {
            late: *late,
            facts_lost: *facts_lost,
            incidents_evicted: *incidents_evicted,
            evicted: *evicted,
            contradictions: contradictions.clone(),
        }
    }
}
