//! Incidents: where and when they can have happened, and to which requests.

use syntrace_model::SpanId;

use super::{Findings, Rule};
use crate::{
    fact::Snapshot,
    record::{ConnectionIncident, ConnectionRecord, Join, LinkKind, RequestRecord, Sharing},
};

pub(super) fn of_connection(findings: &mut Findings, record: &ConnectionRecord) {
    let known = |span_id: SpanId| {
        record.requests_evicted > 0
            || record
                .requests
                .iter()
                .any(|request| request.span_id == span_id)
    };
    let hit = |sharing: Sharing| match sharing {
        Sharing::Exclusive(span_id) => known(span_id),
        Sharing::Shared { streams } => streams > 0,
        Sharing::Nobody => true,
    };
    let socket = record.socket.as_ref();
    let incidents = &record.incidents;
    let placed = incidents.is_sorted_by_key(|incident| incident.at)
        && incidents.iter().all(|incident| {
            hit(incident.sharing) && socket.is_none_or(|socket| can_have_happened(incident, socket))
        });
    findings.check(Rule::IncidentsPlaced, placed, || format!("{incidents:?}"));
}

/// Returns whether it can have happened to this socket: to its listener only until a worker had the connection.
fn can_have_happened(incident: &ConnectionIncident, socket: &Snapshot) -> bool {
    let accepted_at = socket.accepted_at.or(socket.established_at);
    !incident.listener || accepted_at.is_some_and(|accepted_at| incident.at <= accepted_at)
}

pub(super) fn of_request(findings: &mut Findings, record: &RequestRecord) {
    let own = |incident: Sharing| match incident {
        Sharing::Exclusive(span_id) => span_id == record.id(),
        Sharing::Shared { streams } => streams > 0,
        Sharing::Nobody => false,
    };
    let placed = record
        .incidents
        .is_sorted_by_key(|charged| charged.incident.at)
        && record.incidents.iter().all(|charged| {
            let join = match charged.link {
                LinkKind::ReceivedOn => Some(&record.received_on),
                LinkKind::ServedBy => record.served_by.as_ref(),
                LinkKind::Opened => record.opened.as_ref(),
            };
            own(charged.incident.sharing)
                && join.and_then(Join::connection) == Some(charged.connection)
        });
    findings.check(Rule::IncidentsPlaced, placed, || {
        format!("{:?}", record.incidents)
    });
}
