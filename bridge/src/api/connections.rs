//! `GET /v1/connections` and `GET /v1/connections/{id}`.

use axum::{
    Json,
    extract::{Path, Query, State as Extract, rejection::QueryRejection},
};
use serde::{Deserialize, Serialize};
use syntrace_core::record::{ConnectionRecord, Role};
use syntrace_model::{Endpoint, Outcome, UnixNanos};

use super::{
    ApiError, State, json,
    query::{self, Paging},
};
use crate::store::{Name, Record};

const OUTCOMES: [Outcome; 10] = [
    Outcome::Connecting,
    Outcome::Established,
    Outcome::Refused,
    Outcome::Unanswered,
    Outcome::Unreachable,
    Outcome::Aborted,
    Outcome::Closed,
    Outcome::ResetByPeer,
    Outcome::ResetLocally,
    Outcome::TimedOut,
];

/// The query as it comes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    local: Option<String>,
    peer: Option<String>,
    at: Option<String>,
    role: Option<String>,
    outcome: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

/// What a connection must be to be listed; what is absent does not matter.
#[derive(Debug)]
struct Filter {
    local: Option<Endpoint>,
    peer: Option<Endpoint>,
    at: Option<UnixNanos>,
    role: Option<Role>,
    outcome: Option<Outcome>,
}

#[derive(Debug, Serialize)]
pub(super) struct List {
    connections: Vec<json::Connection>,
    next: Option<String>,
}

/// Lists connections, the newest first.
pub(super) async fn list(
    Extract(state): Extract<State>,
    parameters: Result<Query<Parameters>, QueryRejection>,
) -> Result<Json<List>, ApiError> {
    let Query(parameters) = parameters?;
    let paging = Paging::parse(parameters.limit, parameters.cursor)?;
    let filter = Filter {
        local: query::endpoint("local", parameters.local)?,
        peer: query::endpoint("peer", parameters.peer)?,
        at: query::time("at", parameters.at)?,
        role: query::parse("role", parameters.role, "downstream or upstream", |text| {
            let mut roles = [Role::Downstream, Role::Upstream].into_iter();
            roles.find(|role| role.name() == text)
        })?,
        outcome: query::parse("outcome", parameters.outcome, "a named outcome", |text| {
            OUTCOMES.into_iter().find(|outcome| outcome.name() == text)
        })?,
    };
    let name = filter.local.or(filter.peer).map(Name::End);
    let page = state
        .view
        .read()
        .connections(name.as_ref(), paging.below, paging.limit, |record| {
            filter.fits(record)
        });
    Ok(Json(List {
        connections: page
            .records
            .iter()
            .map(|record| (&**record).into())
            .collect(),
        next: page.next.map(query::cursor),
    }))
}

/// Shows one connection.
pub(super) async fn one(
    Extract(state): Extract<State>,
    Path(id): Path<String>,
) -> Result<Json<json::Connection>, ApiError> {
    let found = id
        .parse()
        .ok()
        .and_then(|id| state.view.read().connection(id));
    let record = found.ok_or(ApiError::UnknownConnection(id))?;
    Ok(Json((&*record).into()))
}

impl Filter {
    fn fits(&self, record: &ConnectionRecord) -> bool {
        let socket = record.socket.as_ref();
        let key = socket.map(|socket| socket.key);
        self.local
            .is_none_or(|local| key.is_some_and(|key| key.local == local))
            && self
                .peer
                .is_none_or(|peer| key.is_some_and(|key| key.peer == peer))
            && self.at.is_none_or(|at| lived_at(record, at))
            && self.role.is_none_or(|role| record.role == Some(role))
            && self
                .outcome
                .is_none_or(|outcome| socket.is_some_and(|socket| socket.outcome == outcome))
    }
}

fn lived_at(record: &ConnectionRecord, at: UnixNanos) -> bool {
    let closed_at = record.socket.as_ref().and_then(|socket| socket.closed_at);
    let closed_at = closed_at.and_then(|closed_at| record.to_unix(closed_at));
    record.began_at() <= at && closed_at.is_none_or(|closed_at| at <= closed_at)
}
