//! `GET /v1/connections` and `GET /v1/connections/{id}`.
#![expect(
    unused_qualifications,
    reason = "utoipa names the types of parameters by their whole path"
)]

mod filter;

use axum::{
    extract::{
        Path, Query, State as Extract,
        rejection::{PathRejection, QueryRejection},
    },
    http::HeaderMap,
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use syntrace_core::record::ConnectionRecord;
use utoipa::{IntoParams, ToSchema};

use self::filter::Filter;
use super::{
    ApiError, State, follow,
    json::{self, Incomplete, Json},
    lookup, page,
    query::Paging,
};
use crate::{
    store::{Kept, Name, ReadError},
    view::Ask,
};

/// The query as it is received.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    /// This host's end: an address, with or without a port, or a network.
    local: Option<String>,
    /// The far end, in the same form.
    peer: Option<String>,
    /// Either end, in the same form.
    network: Option<String>,
    /// A moment at which it was there; as `since`.
    at: Option<String>,
    /// It began then or later: RFC 3339, a time of the day in UTC such as `10:04`, or how long
    /// ago such as `15m`.
    since: Option<String>,
    /// It began before, as `since`.
    until: Option<String>,
    /// `downstream` or `upstream`.
    role: Option<String>,
    /// How far it came, or how it ended, such as `refused`.
    outcome: Option<String>,
    /// Who made it fail.
    party: Option<String>,
    /// Code of why it failed, such as `connect_refused`.
    cause: Option<String>,
    /// Label of a request that it carried or failed.
    dye: Option<String>,
    /// Envoy's cluster of a request that it carried or failed.
    cluster: Option<String>,
    /// Least milliseconds of its handshake and accept wait together.
    #[param(value_type = Option<f64>, minimum = 0)]
    min_wait_ms: Option<String>,
    /// Least number of segments that were sent again, SYNs included.
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

/// A page of connections.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Connections)]
pub(super) struct List {
    connections: Vec<json::Connection>,
    /// The cursor of the next page, if there may be one.
    next: Option<String>,
    /// Present if records may be left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    incomplete: Option<Incomplete>,
}

/// The query of one connection.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    /// Present, with any value: show the rules that the record breaks, too.
    audit: Option<String>,
}

/// Lists connections, the newest first; as an event stream, sends each that settles.
#[utoipa::path(
    get,
    path = "/v1/connections",
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
    let filter = Filter::parse(parameters)?;
    if follow::is_asked(&headers) {
        let view = state.view.clone();
        return follow::stream(&state, &headers, move |record| match record {
            Kept::Connection(record) => Ok(filter
                .keeps(&view, record)?
                .then(|| json::Connection::from(&**record))),
            Kept::Request(_) => Ok(None),
        });
    }
    let view = state.view.clone();
    let list = super::blocking(move || {
        let name = filter.name().map(Name::End);
        let ask = Ask {
            name,
            since: filter.since(),
            below: paging.below,
            limit: paging.limit,
        };
        let turn = |ask: &Ask<_>| view.connections(ask, |record| filter.fits(record));
        let joins = |record: &ConnectionRecord| filter.joins(&view, record);
        let weigh = |record: &ConnectionRecord| record.requests.len() * page::LINK_BYTES;
        let mut page = page::fill(ask, turn, joins, weigh)?;
        view.add_late(page.records.iter_mut());
        let (connections, next) = page::shown(&page);
        let list = List {
            connections,
            next,
            incomplete: page.hole.map(Incomplete::from),
        };
        Ok::<_, ReadError>(Json(list).into_response())
    });
    Ok(list.await??)
}

/// Shows one connection.
#[utoipa::path(
    get,
    path = "/v1/connections/{id}",
    params(("id" = String, Path, description = "Id of the connection"), Options),
    responses((status = 200, body = json::Connection), (status = 404, body = super::error::Body))
)]
pub(super) async fn one(
    Extract(state): Extract<State>,
    id: Result<Path<String>, PathRejection>,
    options: Result<Query<Options>, QueryRejection>,
) -> Result<Json<json::Connection>, ApiError> {
    let (Path(id), Query(options)) = (id?, options?);
    let parsed = id.parse().ok();
    let found = lookup::find(&state, move |view| {
        let mut found = parsed.map_or(Ok(None), |id| view.connection(id))?;
        view.add_late(found.iter_mut());
        Ok(found)
    });
    let record = found.await?.ok_or(ApiError::UnknownConnection(id))?;
    Ok(Json(if options.audit.is_some() {
        json::Connection::audited(&record)
    } else {
        (&*record).into()
    }))
}
