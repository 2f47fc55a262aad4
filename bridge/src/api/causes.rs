//! `GET /v1/causes`: where the trouble is. Counts by party and code, with an example of each.
#![expect(
    unused_qualifications,
    reason = "utoipa names the types of parameters by their whole path"
)]

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::extract::{Query, State as Extract, rejection::QueryRejection};
use serde::{Deserialize, Serialize};
use syntrace_core::{
    answer::{Answer, Code, Party},
    record::{ConnectionRecord, RequestRecord},
};

use syntrace_model::UnixNanos;
use utoipa::{IntoParams, ToSchema};

use super::{
    ApiError, State,
    buckets::{Buckets, Shown},
    json::Json,
    query,
    requests::cluster_of,
};
use crate::{
    store::Record as _,
    view::{SharedView, joined},
};

/// The query as it comes.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// What began then or later, RFC 3339.
    #[param(format = DateTime)]
    since: Option<String>,
    /// What began before, RFC 3339.
    #[param(format = DateTime)]
    until: Option<String>,
    /// Envoy's cluster.
    cluster: Option<String>,
    /// Length of a bucket, such as `60s`, `5m` or `1h`: the answer tells the counts over time, from
    /// `since` on, in at most 120 buckets.
    step: Option<String>,
}

/// Where the trouble is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Causes {
    /// All requests.
    requests: u64,
    /// Those that failed or were slow.
    failed: u64,
    /// The most frequent first.
    causes: Vec<Count>,
    /// Present if a step was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    buckets: Option<Shown>,
}

/// How often one cause was found.
#[derive(Debug, Serialize, ToSchema)]
struct Count {
    party: &'static str,
    code: &'static str,
    /// The requests, and the connections that failed without failing one of these.
    count: u64,
    requests: u64,
    connections: u64,
    example: Example,
    /// `count` by bucket; present if a step was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    series: Option<Vec<u64>>,
}

/// The newest record with the cause.
#[derive(Debug, Serialize, ToSchema)]
struct Example {
    /// `request` or `connection`.
    kind: &'static str,
    id: String,
    sentence: String,
}

/// Which records are counted.
#[derive(Debug)]
struct Question {
    since: UnixNanos,
    until: Option<UnixNanos>,
    cluster: Option<String>,
    buckets: Option<Buckets>,
}

/// The counts by cause.
type Counts = BTreeMap<(Party, Code), Count>;

/// Counts causes, the most frequent first.
#[utoipa::path(
    get,
    path = "/v1/causes",
    params(Parameters),
    responses((status = 200, body = Causes))
)]
pub(super) async fn list(
    Extract(state): Extract<State>,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<Causes>, ApiError> {
    let Query(parameters) = parameters?;
    let question = Question::parse(parameters)?;
    let view = state.view.clone();
    let causes = super::blocking(move || question.answer(&view)).await?;
    Ok(Json(causes))
}

impl Question {
    fn parse(parameters: Parameters) -> Result<Self, ApiError> {
        let since = query::time("since", parameters.since)?.unwrap_or_default();
        let until = query::time("until", parameters.until)?;
        Ok(Self {
            since,
            until,
            cluster: parameters.cluster,
            buckets: Buckets::parse(parameters.step, since, until)?,
        })
    }

    fn answer(&self, view: &SharedView) -> Causes {
        let failed = view.failed_requests(self.since, |record| {
            self.is_in_time(record.began_at()) && self.is_of_cluster(record)
        });
        let mut counts = Counts::new();
        let mut seen = BTreeSet::new();
        for record in &failed {
            seen.extend(joined(record));
            let id = record.id().to_string();
            let count = self.count(&mut counts, &record.answer, "request", id);
            count.requests += 1;
            count.add(1, self.buckets, record.began_at());
        }
        let connections = view.failed_connections(self.since, |record| {
            self.is_in_time(record.began_at())
                && (self.cluster.is_none() || seen.contains(&record.id))
        });
        self.count_connections(&connections, &mut counts);
        let mut causes: Vec<_> = counts.into_values().collect();
        causes.sort_by_key(|cause| Reverse(cause.count));
        let from = |at| view.count_requests(at, self.cluster.as_deref());
        let beyond = self.until.map_or(0, from);
        Causes {
            requests: from(self.since).saturating_sub(beyond),
            failed: failed.len() as u64,
            causes,
            buckets: self.buckets.map(|buckets| buckets.show(from)),
        }
    }

    fn is_in_time(&self, began_at: UnixNanos) -> bool {
        self.until.is_none_or(|until| began_at < until)
    }

    fn is_of_cluster(&self, record: &RequestRecord) -> bool {
        let cluster = self.cluster.as_deref();
        cluster.is_none_or(|cluster| cluster == cluster_of(record))
    }

    fn count_connections(&self, failed: &[Arc<ConnectionRecord>], counts: &mut Counts) {
        for record in failed {
            if let Some(answer) = &record.answer {
                let id = record.id.to_string();
                let count = self.count(counts, answer, "connection", id);
                count.connections += 1;
                if record.requests.is_empty() {
                    count.add(1, self.buckets, record.began_at());
                }
            }
        }
    }

    /// Returns the count of a cause; the first record that asks is its example.
    fn count<'a>(
        &self,
        counts: &'a mut Counts,
        answer: &Answer,
        kind: &'static str,
        id: String,
    ) -> &'a mut Count {
        let cause = &answer.cause;
        let key = (cause.party, cause.code);
        counts.entry(key).or_insert_with(|| Count {
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
            series: self.buckets.map(|buckets| buckets.empty()),
        })
    }
}

impl Count {
    fn add(&mut self, count: u64, buckets: Option<Buckets>, at: UnixNanos) {
        self.count += count;
        let bucket = buckets.zip(self.series.as_mut());
        if let Some(place) = bucket.and_then(|(buckets, series)| series.get_mut(buckets.index(at)))
        {
            *place += count;
        }
    }
}
