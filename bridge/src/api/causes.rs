//! `GET /v1/causes`: where the trouble is. Counts by party and code, with an example of each.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use axum::{
    Json,
    extract::{Query, State as Extract, rejection::QueryRejection},
};
use serde::{Deserialize, Serialize};
use syntrace_core::{
    answer::{Answer, Code, Party},
    record::RequestRecord,
};

use super::{ApiError, State, query};
use crate::{
    store::Record,
    view::{View, joined},
};

/// The query as it comes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    since: Option<String>,
    cluster: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Causes {
    requests: u64,
    failed: u64,
    causes: Vec<Count>,
}

/// How often one cause was found.
#[derive(Debug, Serialize)]
struct Count {
    party: &'static str,
    code: &'static str,
    /// The requests, and the connections that failed without failing one of these.
    count: u64,
    requests: u64,
    connections: u64,
    example: Example,
}

/// The newest record with the cause.
#[derive(Debug, Serialize)]
struct Example {
    kind: &'static str,
    id: String,
    sentence: String,
}

/// The counts by cause.
type Counts = BTreeMap<(Party, Code), Count>;

/// Counts causes, the most frequent first.
pub(super) async fn list(
    Extract(state): Extract<State>,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Causes>, ApiError> {
    let Query(parameters) = parameters?;
    let since = query::time("since", parameters.since)?.unwrap_or_default();
    let cluster = parameters.cluster.as_deref();
    let view = state.view.read();
    let requests = view.requests(None, usize::MAX, |record| {
        record.report.started_at >= since && cluster.is_none_or(|name| cluster_of(record) == name)
    });
    let mut counts = Counts::new();
    let mut failed = 0;
    let mut seen = BTreeSet::new();
    for record in &requests.records {
        seen.extend(joined(record));
        if record.answer.cause.code != Code::Completed {
            failed += 1;
            let count = count(
                &mut counts,
                &record.answer,
                "request",
                record.id().to_string(),
            );
            count.requests += 1;
            count.count += 1;
        }
    }
    count_connections(&view, &mut counts, |record| {
        record.began_at() >= since && (cluster.is_none() || seen.contains(&record.id))
    });
    drop(view);
    let mut causes: Vec<_> = counts.into_values().collect();
    causes.sort_by_key(|cause| Reverse(cause.count));
    Ok(Json(Causes {
        requests: requests.records.len() as u64,
        failed,
        causes,
    }))
}

fn count_connections(
    view: &View,
    counts: &mut Counts,
    keep: impl Fn(&syntrace_core::record::ConnectionRecord) -> bool,
) {
    let failed = view.connections(None, None, usize::MAX, |record| {
        record.answer.is_some() && keep(record)
    });
    for record in &failed.records {
        if let Some(answer) = &record.answer {
            let count = count(counts, answer, "connection", record.id.to_string());
            count.connections += 1;
            count.count += u64::from(record.requests.is_empty());
        }
    }
}

/// Returns the count of a cause; the first record that asks is its example.
fn count<'a>(
    counts: &'a mut Counts,
    answer: &Answer,
    kind: &'static str,
    id: String,
) -> &'a mut Count {
    let cause = &answer.cause;
    counts
        .entry((cause.party, cause.code))
        .or_insert_with(|| Count {
            party: cause.party.name(),
            code: cause.code.name(),
            count: 0,
            requests: 0,
            connections: 0,
            example: Example {
                kind,
                id,
                sentence: cause.sentence.to_string(),
            },
        })
}

fn cluster_of(record: &RequestRecord) -> &str {
    record
        .report
        .upstream
        .as_ref()
        .map_or("", |upstream| &*upstream.cluster)
}
