//! One request as JSON.

use serde::Serialize;
use syntrace_core::{
    fact,
    record::{self, RequestRecord},
};

use super::{Cause, HowSure, Time, given, time};
use crate::flags;

/// One request.
#[derive(Debug, Serialize)]
pub(in crate::api) struct Request {
    id: String,
    trace_id: String,
    parent_span_id: Option<String>,
    started_at: String,
    duration_ns: u64,
    method: String,
    path: String,
    authority: String,
    protocol: String,
    status: Option<u16>,
    grpc_status: Option<u32>,
    response_flags: Vec<&'static str>,
    response_details: String,
    request_id: String,
    dye: Option<String>,
    request_bytes: u64,
    response_bytes: u64,
    upstream: Option<Upstream>,
    received_on: Join,
    served_by: Option<Join>,
    opened: Option<Join>,
    cause: Cause,
    time: Time,
    settled: bool,
}

#[derive(Debug, Serialize)]
struct Upstream {
    local: Option<String>,
    peer: String,
    cluster: String,
    pool_wait_ns: Option<u64>,
    attempts: u32,
    failure: Option<String>,
    first_byte_ns: Option<u64>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Join {
    To {
        connection: String,
        trace_id: String,
        method: &'static str,
        #[serde(flatten)]
        confidence: HowSure,
    },
    Missing {
        /// Always `null`, so that both shapes have the field.
        connection: Option<String>,
        missing: &'static str,
    },
}

impl From<&RequestRecord> for Request {
    fn from(record: &RequestRecord) -> Self {
        let report = &*record.report;
        let http = &report.http;
        Self {
            id: report.span_id.to_string(),
            trace_id: report.trace_id.to_string(),
            parent_span_id: report.parent_span_id.map(|id| id.to_string()),
            started_at: time(report.started_at),
            duration_ns: report.duration_ns,
            method: http.method.to_string(),
            path: http.path.to_string(),
            authority: http.authority.to_string(),
            protocol: http.protocol.to_string(),
            status: (http.status != 0).then_some(http.status),
            grpc_status: http.grpc_status,
            response_flags: flags::names(http.response_flags).collect(),
            response_details: http.response_details.to_string(),
            request_id: http.request_id.to_string(),
            dye: given(&http.dye),
            request_bytes: http.request_bytes,
            response_bytes: http.response_bytes,
            upstream: report.upstream.as_ref().map(Upstream::from),
            received_on: Join::from(&record.received_on),
            served_by: record.served_by.as_ref().map(Join::from),
            opened: record.opened.as_ref().map(Join::from),
            cause: Cause::from(&record.answer),
            time: Time::from(&record.answer.time),
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

impl From<&record::Join> for Join {
    fn from(join: &record::Join) -> Self {
        match join {
            record::Join::To {
                connection,
                trace_id,
                method,
                confidence,
            } => Self::To {
                connection: connection.to_string(),
                trace_id: trace_id.to_string(),
                method: method.name(),
                confidence: (*confidence).into(),
            },
            record::Join::Missing(missing) => Self::Missing {
                connection: None,
                missing: missing.name(),
            },
        }
    }
}
