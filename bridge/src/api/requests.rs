//! `GET /v1/requests` and `GET /v1/requests/{id}`.
#![expect(
    unused_qualifications,
    reason = "utoipa names the types of parameters by their whole path"
)]

mod filter;
mod slowest;

use axum::{
    extract::{
        Path, Query, State as Extract,
        rejection::{PathRejection, QueryRejection},
    },
    http::HeaderMap,
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use syntrace_core::record::RequestRecord;
use utoipa::{IntoParams, ToSchema};

pub(super) use self::filter::cluster_of;
use self::{
    filter::Filter,
    slowest::{Among, Percentile},
};
use super::{
    ApiError, State, follow,
    json::{self, Incomplete, Json},
    lookup, page,
    query::{self, Paging},
};
use crate::{
    store::{Kept, ReadError},
    view::Ask,
};

/// The query as it is received.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// Status code, a class such as `5xx`, or `0` for none.
    status: Option<String>,
    /// gRPC status, by number.
    #[param(value_type = Option<u64>)]
    grpc_status: Option<String>,
    /// Code of what happened, such as `connect_refused`.
    cause: Option<String>,
    /// Who made it fail or take its time.
    party: Option<String>,
    /// The client's end as the proxy names it: an address, with or without a port, or a network.
    peer: Option<String>,
    /// Either end of the downstream connection or the service's end, in the same form.
    network: Option<String>,
    /// A moment at which it was under way; as `since`.
    at: Option<String>,
    /// It began then or later: RFC 3339, a time of the day in UTC such as `10:04`, or how long
    /// ago such as `15m`.
    since: Option<String>,
    /// It began before, as `since`.
    until: Option<String>,
    /// Label on the traffic.
    dye: Option<String>,
    /// Envoy's cluster.
    cluster: Option<String>,
    /// Id of a connection that it was received on, opened or was served by.
    connection: Option<String>,
    /// Least milliseconds that it took, with up to six digits after the point.
    #[param(value_type = Option<f64>, minimum = 0)]
    min_duration_ms: Option<String>,
    /// Of those that fit, only the slowest: slower than so many percent of them, such as `99`. Not of an
    /// event stream.
    #[param(value_type = Option<f64>, minimum = 0, exclusive_maximum = 100)]
    percentile: Option<String>,
    /// Least milliseconds that it waited for connections.
    #[param(value_type = Option<f64>, minimum = 0)]
    min_wait_ms: Option<String>,
    /// Least number of segments that were sent again while it ran.
    #[param(value_type = Option<u64>)]
    min_retransmits: Option<String>,
    /// `true` for those of which nothing more is expected, `false` for the others.
    #[param(value_type = Option<bool>)]
    settled: Option<String>,
    /// Records on a page: 1 to 1000, 100 unless asked otherwise.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 1000)]
    limit: Option<String>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

/// A page of requests.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Requests)]
pub(super) struct List {
    requests: Vec<json::Request>,
    /// The cursor of the next page, if there may be one.
    next: Option<String>,
    /// Present if a percentile was given: what it was taken of. Those that took just as long as the last of
    /// the slowest are listed, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    among: Option<Among>,
    /// Present if records may be left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    incomplete: Option<Incomplete>,
}

/// Lists requests, the newest first; as an event stream, sends each that settles.
#[utoipa::path(
    get,
    path = "/v1/requests",
    params(Parameters, follow::LastEventId),
    responses((status = 200, content(
        (List = "application/json"),
        (String = "text/event-stream"),
    )))
)]
pub(super) async fn list(
    Extract(state): Extract<State>,
    headers: HeaderMap,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(mut parameters) = parameters?;
    let paging = Paging::parse(parameters.limit.take(), parameters.cursor.take())?;
    let percentile = parameters.percentile.take();
    let mut filter = Filter::parse(parameters)?;
    let view = state.view.clone();
    if follow::is_asked(&headers) {
        let expected = "absent where an event stream is asked for";
        query::parse("percentile", percentile, expected, |_| None::<()>)?;
        return follow::stream(&state, &headers, move |record| match record {
            Kept::Request(record) => {
                Ok(filter.keeps(record).then(|| json::Request::from(&**record)))
            }
            Kept::Connection(_) => Ok(None),
        });
    }
    let percentile = Percentile::parse(percentile)?;
    let list = super::blocking(move || {
        let among = |percentile: Percentile| {
            percentile.among(&view, filter.since(), |record| filter.keeps(record))
        };
        let among = percentile.map(among).transpose()?;
        filter.take_at_least(among.as_ref().and_then(Among::duration_ns));
        let ask = Ask {
            name: None,
            since: filter.since(),
            below: paging.below,
            limit: paging.limit,
        };
        let turn = |ask: &Ask<_>| view.requests(ask, |record| filter.keeps(record));
        let page = page::fill(ask, turn, |_| Ok(true), weight)?;
        let (requests, next) = page::shown(&page);
        let list = List {
            requests,
            next,
            among,
            incomplete: page.hole.map(Incomplete::from),
        };
        Ok::<_, ReadError>(Json(list).into_response())
    });
    Ok(list.await??)
}

/// Returns about how many bytes a request takes on a page: the texts that clients, services and
/// configurations choose, and what there is any number of.
fn weight(record: &RequestRecord) -> usize {
    let (report, http) = (&record.report, &record.report.http);
    let upstream = report.upstream.as_ref();
    let texts = [
        &report.tracestate,
        &http.method,
        &http.path,
        &http.authority,
        &http.protocol,
        &http.response_details,
        &http.request_id,
        &http.dye,
        &http.baggage,
        &http.route,
        &http.server_name,
    ];
    let texts = texts
        .into_iter()
        .chain(http.mark.as_ref().map(|mark| &mark.reason))
        .chain(
            upstream
                .into_iter()
                .flat_map(|to| [&to.cluster, &to.failure]),
        )
        .chain(http.headers.iter().flat_map(|one| [&one.name, &one.value]))
        .map(|text| text.len());
    let many = [
        http.headers.len(),
        report.links.len(),
        record.earlier.len(),
        record.incidents.len(),
    ];
    texts.sum::<usize>() + many.iter().sum::<usize>() * page::LINK_BYTES
}

/// Shows one request.
#[utoipa::path(
    get,
    path = "/v1/requests/{id}",
    params(("id" = String, Path, description = "Id of the request")),
    responses((status = 200, body = json::Request), (status = 404, body = super::error::Body))
)]
pub(super) async fn one(
    Extract(state): Extract<State>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<json::Request>, ApiError> {
    let Path(id) = id?;
    let parsed = id.parse().ok();
    let found = lookup::find(&state, move |view| {
        parsed.map_or(Ok(None), |id| view.request(id))
    });
    let record = found.await?.ok_or(ApiError::UnknownRequest(id))?;
    Ok(Json((&*record).into()))
}
