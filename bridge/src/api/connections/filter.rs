//! The filter of `GET /v1/connections`.

use syntrace_core::{
    answer::Party,
    record::{ConnectionRecord, PhaseKind, Role},
};
use syntrace_model::{Endpoint, Outcome, UnixNanos};

use super::Parameters;
use crate::{
    api::{
        ApiError,
        query::{self, Ends},
        requests::cluster_of,
        unattributed::retransmits,
    },
    store::{ReadError, Record as _},
    view::SharedView,
};

/// Absent fields match everything.
#[derive(Debug)]
pub(super) struct Filter {
    local: Option<Ends>,
    peer: Option<Ends>,
    network: Option<Ends>,
    at: Option<UnixNanos>,
    since: Option<UnixNanos>,
    until: Option<UnixNanos>,
    role: Option<Role>,
    outcome: Option<Outcome>,
    party: Option<Party>,
    cause: Option<String>,
    dye: Option<String>,
    cluster: Option<String>,
    min_wait_ns: Option<u64>,
    min_retransmits: Option<u64>,
    settled: Option<bool>,
}

impl Filter {
    pub(super) fn parse(parameters: Parameters) -> Result<Self, ApiError> {
        Ok(Self {
            local: Ends::parse("local", parameters.local)?,
            peer: Ends::parse("peer", parameters.peer)?,
            network: Ends::parse("network", parameters.network)?,
            at: query::time("at", parameters.at)?,
            since: query::time("since", parameters.since)?,
            until: query::time("until", parameters.until)?,
            role: query::parse("role", parameters.role, "downstream or upstream", |text| {
                let mut roles = [Role::Downstream, Role::Upstream].into_iter();
                roles.find(|role| role.name() == text)
            })?,
            outcome: query::parse("outcome", parameters.outcome, "a named outcome", |text| {
                Outcome::ALL
                    .into_iter()
                    .find(|outcome| outcome.name() == text)
            })?,
            party: query::party(parameters.party)?,
            cause: parameters.cause,
            dye: parameters.dye,
            cluster: parameters.cluster,
            min_wait_ns: query::milliseconds("min_wait_ms", parameters.min_wait_ms)?,
            min_retransmits: query::number("min_retransmits", parameters.min_retransmits)?,
            settled: query::parse("settled", parameters.settled, "true or false", |text| {
                text.parse().ok()
            })?,
        })
    }

    /// Returns the end by which connections can be looked up.
    pub(super) fn name(&self) -> Option<Endpoint> {
        let ends = [self.local, self.peer, self.network].into_iter().flatten();
        ends.filter_map(|ends| ends.one()).next()
    }

    pub(super) fn since(&self) -> UnixNanos {
        self.since.unwrap_or_default()
    }

    /// Returns whether the record is kept, its requests considered.
    pub(super) fn keeps(
        &self,
        view: &SharedView,
        record: &ConnectionRecord,
    ) -> Result<bool, ReadError> {
        let fits = record.began_at() >= self.since() && self.fits(record);
        Ok(fits && self.joins(view, record)?)
    }

    /// Returns whether the record matches, its requests aside.
    pub(super) fn fits(&self, record: &ConnectionRecord) -> bool {
        self.fits_ends(record)
            && self.at.is_none_or(|at| lived_at(record, at))
            && self.until.is_none_or(|until| record.began_at() < until)
            && self.role.is_none_or(|role| record.role == Some(role))
            && self.settled.is_none_or(|settled| record.settled == settled)
            && self.fits_end(record)
            && self
                .min_wait_ns
                .is_none_or(|least| wait_ns(record) >= least)
            && self
                .min_retransmits
                .is_none_or(|least| retransmits(record) >= least)
    }

    /// Returns whether a request of it matches; looks requests up.
    pub(super) fn joins(
        &self,
        view: &SharedView,
        record: &ConnectionRecord,
    ) -> Result<bool, ReadError> {
        if self.dye.is_none() && self.cluster.is_none() {
            return Ok(true);
        }
        let (dye, cluster) = (self.dye.as_deref(), self.cluster.as_deref());
        for listed in &record.requests {
            if let Some(request) = view.request(listed.span_id)?
                && dye.is_none_or(|dye| dye == &*request.report.http.dye)
                && cluster.is_none_or(|cluster| cluster == cluster_of(&request))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn fits_ends(&self, record: &ConnectionRecord) -> bool {
        let key = record.socket.as_ref().map(|socket| socket.key);
        let is = |ends: &Option<Ends>, end: Option<Endpoint>| {
            ends.is_none_or(|ends| end.is_some_and(|end| ends.contain(end)))
        };
        is(&self.local, key.map(|key| key.local))
            && is(&self.peer, key.map(|key| key.peer))
            && (is(&self.network, key.map(|key| key.local))
                || is(&self.network, key.map(|key| key.peer)))
    }

    fn fits_end(&self, record: &ConnectionRecord) -> bool {
        let outcome = record.socket.as_ref().map(|socket| socket.outcome);
        let cause = record.answer.as_ref().map(|answer| &answer.cause);
        self.outcome
            .is_none_or(|expected| outcome == Some(expected))
            && self
                .party
                .is_none_or(|party| cause.is_some_and(|cause| cause.party == party))
            && self
                .cause
                .as_deref()
                .is_none_or(|code| cause.is_some_and(|cause| cause.code.name() == code))
    }
}

fn lived_at(record: &ConnectionRecord, at: UnixNanos) -> bool {
    let closed_at = record.socket.as_ref().and_then(|socket| socket.closed_at);
    let closed_at = closed_at.and_then(|closed_at| record.to_unix(closed_at));
    record.began_at() <= at && closed_at.is_none_or(|closed_at| at <= closed_at)
}

fn wait_ns(record: &ConnectionRecord) -> u64 {
    let waits = record
        .phases
        .iter()
        .filter(|phase| matches!(phase.kind, PhaseKind::Handshake | PhaseKind::AcceptWait));
    waits.fold(0, |sum, phase| sum.saturating_add(phase.duration_ns))
}
