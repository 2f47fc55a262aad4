//! `GET /v1/causes`: where the trouble is. Counts by party and code, with an example of each.
#![expect(
    unused_qualifications,
    reason = "utoipa names the types of parameters by their whole path"
)]

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use axum::extract::{Query, State as Extract, rejection::QueryRejection};
use jiff::Timestamp;
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
    json::{self, Incomplete, Json},
    query,
    requests::cluster_of,
    unattributed::{self, Unattributed},
};
use crate::{
    store::{Hole, ReadError, Record},
    view::{Ask, Page, SharedView, joined},
};

/// Failed records that are looked at together, and how often: so many of a kind are counted.
const PAGE: usize = 10_000;
const PAGES_MAX: usize = 10;

/// The query as it is received.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// What began then or later: RFC 3339, a time of the day in UTC such as `10:04`, or how long ago such
    /// as `15m`.
    since: Option<String>,
    /// What began before, as `since`.
    until: Option<String>,
    /// Envoy's cluster.
    cluster: Option<String>,
    /// Length of a bucket, such as `60s`, `5m` or `1h`: the answer has the counts over time, from
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
    /// Present if more failed than are counted: what began before is not among the causes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    counted_since: Option<String>,
    /// The most frequent first.
    causes: Vec<Count>,
    /// Present if connections had trouble that no request is known to have failed or waited for, and no
    /// cluster is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    unattributed: Option<Unattributed>,
    /// Present if a step was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    buckets: Option<Shown>,
    /// Present if records may not be counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    incomplete: Option<Incomplete>,
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
    let causes = super::blocking(move || question.answer(&view)).await??;
    Ok(Json(causes))
}

impl Question {
    fn parse(parameters: Parameters) -> Result<Self, ApiError> {
        let now = Timestamp::now();
        let since = query::time_before("since", parameters.since, now)?.unwrap_or_default();
        let until = query::time_before("until", parameters.until, now)?;
        let end = until.unwrap_or_else(|| query::unix(now));
        Ok(Self {
            since,
            until,
            cluster: parameters.cluster,
            buckets: Buckets::parse(parameters.step, since, end)?,
        })
    }

    fn answer(&self, view: &SharedView) -> Result<Causes, ReadError> {
        let mut counts = Counts::new();
        let (mut seen, mut blamed) = (BTreeSet::new(), BTreeSet::new());
        let mut failed = 0;
        let keep = |record: &RequestRecord| {
            self.is_in_time(record.began_at()) && self.is_of_cluster(record)
        };
        let mut hole = None;
        let requests_since = each(
            self.since,
            |ask| view.failed_requests(ask, keep),
            &mut hole,
            |record| {
                failed += 1;
                if self.cluster.is_some() {
                    seen.extend(joined(record));
                } else if unattributed::is_about_connections(&record.answer) {
                    blamed.extend(joined(record));
                }
                let id = record.id().to_string();
                let count = self.count(&mut counts, &record.answer, "request", id);
                count.requests += 1;
                count.add(1, self.buckets, record.began_at());
            },
        )?;
        let keep = |record: &ConnectionRecord| {
            self.is_in_time(record.began_at())
                && (self.cluster.is_none() || seen.contains(&record.id))
        };
        let connections_since = each(
            self.since,
            |ask| view.failed_connections(ask, keep),
            &mut hole,
            |record| self.count_connection(record, &mut counts),
        )?;
        let mut causes: Vec<_> = counts.into_values().collect();
        causes.sort_by_key(|cause| Reverse(cause.count));
        let from = |at| view.count_requests(at, self.cluster.as_deref());
        let beyond = self.until.map_or(Ok(0), from)?;
        Ok(Causes {
            requests: from(self.since)?.saturating_sub(beyond),
            failed,
            counted_since: requests_since.max(connections_since).map(json::time),
            causes,
            unattributed: match self.cluster {
                Some(_) => None,
                None => unattributed::count(view, self.since, self.until, &blamed)?,
            },
            buckets: match self.buckets {
                Some(buckets) => Some(buckets.show(from)?),
                None => None,
            },
            // The requests were counted after the causes, and further back.
            incomplete: hole
                .or_else(|| view.hole())
                .filter(|hole| hole.touches(self.since, self.until.unwrap_or(UnixNanos(u64::MAX))))
                .map(Incomplete::from),
        })
    }

    fn is_in_time(&self, began_at: UnixNanos) -> bool {
        self.until.is_none_or(|until| began_at < until)
    }

    fn is_of_cluster(&self, record: &RequestRecord) -> bool {
        let cluster = self.cluster.as_deref();
        cluster.is_none_or(|cluster| cluster == cluster_of(record))
    }

    fn count_connection(&self, record: &ConnectionRecord, counts: &mut Counts) {
        if let Some(answer) = &record.answer {
            let id = record.id.to_string();
            let count = self.count(counts, answer, "connection", id);
            count.connections += 1;
            if record.requests.is_empty() {
                count.add(1, self.buckets, record.began_at());
            }
        }
    }

    /// Returns the count of a cause; the first record of it is its example.
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

/// Takes page after page, and gives each record to `count`; returns when the last one began if there were
/// too many. Notes what pages may leave out.
fn each<R: Record>(
    since: UnixNanos,
    page: impl Fn(&Ask<R::Id>) -> Result<Page<R>, ReadError>,
    hole: &mut Option<Hole>,
    mut count: impl FnMut(&R),
) -> Result<Option<UnixNanos>, ReadError> {
    let mut ask = Ask {
        since,
        ..Ask::newest(PAGE)
    };
    let mut turns = 0;
    loop {
        let found = page(&ask)?;
        *hole = hole.or(found.hole);
        found.records.iter().for_each(|record| count(record));
        turns += 1;
        let Some(next) = found.next else {
            return Ok(None);
        };
        if turns == PAGES_MAX {
            return Ok(Some(next.0));
        }
        ask.below = Some(next);
    }
}
