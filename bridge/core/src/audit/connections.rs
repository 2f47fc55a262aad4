//! A connection: its ids, its times, its links, its end.

use syntrace_model::Opening;

use super::{Findings, Rule};
use crate::{
    fact::Snapshot,
    record::{ConnectionRecord, LinkKind, Role},
};

pub(super) fn check(findings: &mut Findings, record: &ConnectionRecord) {
    let aliases = &record.aliases;
    findings.check(
        Rule::OneId,
        aliases.is_sorted_by(|a, b| a < b) && !aliases.contains(&record.trace_id),
        || format!("trace id {:?} with aliases {aliases:?}", record.trace_id),
    );
    if let Some(socket) = &record.socket {
        if record.coverage.contradictions.is_empty() {
            in_order(findings, socket);
            links(findings, record, socket.opening);
        }
        let has_ended = socket.outcome.is_final() && socket.closed_at.is_some();
        let is_missing = record.settled && !has_ended;
        findings.check(
            Rule::EndKnown,
            record.coverage.close_missing == is_missing,
            || {
                let (outcome, closed_at) = (socket.outcome.name(), socket.closed_at);
                format!(
                    "{outcome}, closed at {closed_at:?}, missing: {}",
                    !is_missing
                )
            },
        );
    }
}

fn in_order(findings: &mut Findings, socket: &Snapshot) {
    // A connection that was reset in the accept queue is accepted after it has ended.
    let steps = [
        socket.syn_at,
        socket.syn_ack_at,
        socket.established_at,
        socket.accepted_at,
    ];
    let life = [socket.syn_at, socket.established_at, socket.closed_at];
    let ordered = steps.iter().flatten().is_sorted() && life.iter().flatten().is_sorted();
    findings.check(Rule::InOrder, ordered, || format!("{steps:?}, {life:?}"));
}

fn links(findings: &mut Findings, record: &ConnectionRecord, opening: Opening) {
    let fits = |kind: LinkKind| match kind {
        LinkKind::ReceivedOn => opening == Opening::Passive,
        LinkKind::Opened | LinkKind::ServedBy => opening == Opening::Active,
    };
    let role_fits = match record.role {
        Some(Role::Downstream) => opening == Opening::Passive,
        Some(Role::Upstream) => opening == Opening::Active,
        None => record.requests.is_empty(),
    };
    let requests = &record.requests;
    let intact = role_fits
        && requests.iter().all(|request| fits(request.kind))
        && requests.is_sorted_by(|a, b| a < b);
    findings.check(Rule::LinksIntact, intact, || {
        format!("{opening:?} {:?} with {requests:?}", record.role)
    });
}
