//! The filter of `GET /v1/requests`.

use syntrace_core::{
    answer::Party,
    fact::IncidentKind,
    record::{PhaseKind, RequestRecord},
};
use syntrace_model::{ConnectionId, UnixNanos};

use super::Parameters;
use crate::{
    api::{
        ApiError,
        query::{self, Ends},
    },
    view::joined,
};

/// Absent fields match everything.
#[derive(Debug)]
pub(super) struct Filter {
    status: Option<Statuses>,
    grpc_status: Option<u32>,
    cause: Option<String>,
    party: Option<Party>,
    peer: Option<Ends>,
    network: Option<Ends>,
    at: Option<UnixNanos>,
    since: Option<UnixNanos>,
    until: Option<UnixNanos>,
    dye: Option<String>,
    cluster: Option<String>,
    connection: Option<ConnectionId>,
    min_duration_ns: Option<u64>,
    min_wait_ns: Option<u64>,
    min_retransmits: Option<u64>,
    settled: Option<bool>,
}

/// Which status codes are meant.
#[derive(Clone, Copy, Debug)]
enum Statuses {
    /// This one; 0 for none.
    One(u16),
    /// All with this first digit.
    Class(u16),
}

impl Filter {
    pub(super) fn parse(parameters: Parameters) -> Result<Self, ApiError> {
        let expected = "a status code, a class such as 5xx, or 0 for none";
        Ok(Self {
            status: query::parse("status", parameters.status, expected, Statuses::parse)?,
            grpc_status: query::number("grpc_status", parameters.grpc_status)?,
            cause: parameters.cause,
            party: query::party(parameters.party)?,
            peer: Ends::parse("peer", parameters.peer)?,
            network: Ends::parse("network", parameters.network)?,
            at: query::time("at", parameters.at)?,
            since: query::time("since", parameters.since)?,
            until: query::time("until", parameters.until)?,
            dye: parameters.dye,
            cluster: parameters.cluster,
            connection: query::parse(
                "connection",
                parameters.connection,
                "the id of a connection",
                |text| text.parse().ok(),
            )?,
            min_duration_ns: query::milliseconds("min_duration_ms", parameters.min_duration_ms)?,
            min_wait_ns: query::milliseconds("min_wait_ms", parameters.min_wait_ms)?,
            min_retransmits: query::number("min_retransmits", parameters.min_retransmits)?,
            settled: query::parse("settled", parameters.settled, "true or false", |text| {
                text.parse().ok()
            })?,
        })
    }

    pub(super) fn since(&self) -> UnixNanos {
        self.since.unwrap_or_default()
    }

    /// Keeps only what took so long, if that is longer than what is kept already.
    pub(super) fn take_at_least(&mut self, duration_ns: Option<u64>) {
        self.min_duration_ns = self.min_duration_ns.max(duration_ns);
    }

    /// Returns whether the record is kept.
    pub(super) fn keeps(&self, record: &RequestRecord) -> bool {
        self.fits_times(record) && self.fits_answer(record) && self.fits_ends(record)
    }

    fn fits_times(&self, record: &RequestRecord) -> bool {
        let began_at = record.report.started_at;
        began_at >= self.since()
            && self.until.is_none_or(|until| began_at < until)
            && self
                .at
                .is_none_or(|at| began_at <= at && at <= record.report.ended_at())
            && self.settled.is_none_or(|settled| record.settled == settled)
            && self
                .min_duration_ns
                .is_none_or(|least| record.duration_ns() >= least)
            && self
                .min_wait_ns
                .is_none_or(|least| wait_ns(record) >= least)
            && self
                .min_retransmits
                .is_none_or(|least| retransmits(record) >= least)
    }

    fn fits_answer(&self, record: &RequestRecord) -> bool {
        let http = &record.report.http;
        let cause = &record.answer.cause;
        self.status
            .is_none_or(|statuses| statuses.contain(http.status))
            && self
                .grpc_status
                .is_none_or(|status| http.grpc_status == Some(status))
            && self.party.is_none_or(|party| cause.party == party)
            && is(&self.cause, cause.code.name())
            && is(&self.dye, &http.dye)
            && is(&self.cluster, cluster_of(record))
    }

    fn fits_ends(&self, record: &RequestRecord) -> bool {
        let report = &record.report;
        let client = [report.downstream, report.direct].into_iter().flatten();
        let service = report.upstream.iter().map(|upstream| upstream.peer);
        let of = |ends: Ends| client.clone().any(|key| ends.contain(key.peer));
        self.peer.is_none_or(of)
            && self.network.is_none_or(|ends| {
                of(ends)
                    || client.clone().any(|key| ends.contain(key.local))
                    || service.clone().any(|end| ends.contain(end))
            })
            && self.connection.is_none_or(|id| {
                record.connection() == id || joined(record).any(|known| known == id)
            })
    }
}

impl Statuses {
    fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix("xx") {
            Some(class) => {
                let class = class.parse().ok()?;
                (1..=5).contains(&class).then_some(Self::Class(class))
            }
            None => text.parse().ok().map(Self::One),
        }
    }

    const fn contain(self, status: u16) -> bool {
        match self {
            Self::One(one) => one == status,
            Self::Class(class) => class == status / 100,
        }
    }
}

/// Returns Envoy's cluster of a request; empty if the proxy asked no service.
pub(in crate::api) fn cluster_of(record: &RequestRecord) -> &str {
    let upstream = record.report.upstream.as_ref();
    upstream.map_or("", |upstream| &*upstream.cluster)
}

fn is(expected: &Option<String>, found: &str) -> bool {
    expected.as_deref().is_none_or(|expected| expected == found)
}

fn wait_ns(record: &RequestRecord) -> u64 {
    let waits = record.phases.iter().filter(|phase| {
        matches!(
            phase.kind,
            PhaseKind::Handshake
                | PhaseKind::AcceptWait
                | PhaseKind::Tls
                | PhaseKind::FailedAttempts
                | PhaseKind::PoolWait
                | PhaseKind::UpstreamHandshake
        )
    });
    waits.fold(0, |sum, phase| sum.saturating_add(phase.duration_ns))
}

fn retransmits(record: &RequestRecord) -> u64 {
    let incidents = record.incidents.iter().map(|charged| charged.incident);
    let again = incidents.filter(|incident| incident.kind == IncidentKind::Retransmit);
    again.map(|incident| u64::from(incident.count)).sum()
}
