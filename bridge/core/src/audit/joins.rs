//! A request's joins: as far as it got, by methods that their links can have, and no surer than those allow.

use super::{Findings, Rule};
use crate::{
    confidence::Confidence,
    failure,
    record::{Join, Method, Missing, RequestRecord},
};

pub(super) fn check(findings: &mut Findings, record: &RequestRecord) {
    let joins = [
        Some(&record.received_on),
        record.served_by.as_ref(),
        record.opened.as_ref(),
    ];
    for join in joins.into_iter().flatten().chain(&record.earlier) {
        candidates(findings, join);
    }
    complete(findings, record);
    methods(findings, record);
    sure(findings, record);
    differ(findings, record);
    counted(findings, record);
}

fn candidates(findings: &mut Findings, join: &Join) {
    let Join::To {
        connection,
        confidence,
        candidates,
        ..
    } = join
    else {
        return;
    };
    let named = match confidence {
        Confidence::Certain | Confidence::Likely => candidates.is_empty(),
        Confidence::Ambiguous { candidates: count } => {
            let listed = candidates.len();
            candidates.contains(connection)
                && listed == usize::min(*count as usize, Join::CANDIDATES_MAX)
                && listed > 1
        }
    };
    findings.check(Rule::CandidatesNamed, named, || format!("{join:?}"));
}

fn complete(findings: &mut Findings, record: &RequestRecord) {
    let reached = record
        .report
        .upstream
        .as_ref()
        .map(|upstream| upstream.local.is_some());
    let complete = match reached {
        None => record.served_by.is_none() && record.opened.is_none(),
        Some(false) => {
            let is_not_sought = record.opened == Some(Join::Missing(Missing::NotSought));
            let is_sought = failure::is_sought(&record.report);
            record.served_by.is_none() && record.opened.is_some() && is_sought != is_not_sought
        }
        Some(true) => {
            let opened = record.opened.as_ref().and_then(Join::connection);
            let served_by = record.served_by.as_ref();
            served_by.is_some_and(|join| opened.is_none() || join.connection() == opened)
        }
    };
    findings.check(Rule::JoinsComplete, complete, || {
        format!("{:?}, opened {:?}", record.served_by, record.opened)
    });
}

fn methods(findings: &mut Findings, record: &RequestRecord) {
    let upstream = if record.report.was_sent() {
        Method::Exact
    } else {
        Method::Failure
    };
    let fits = |join: &Join, methods: &[Method]| {
        method(join).is_none_or(|method| methods.contains(&method))
    };
    let (served_by, opened) = (&record.served_by, &record.opened);
    let mut earlier = record.earlier.iter();
    let fit = fits(&record.received_on, &[Method::Exact, Method::Peer])
        && served_by.iter().all(|join| fits(join, &[Method::Exact]))
        && opened.iter().all(|join| fits(join, &[upstream]))
        && earlier.all(|join| fits(join, &[Method::Failure]));
    findings.check(Rule::MethodsFit, fit, || {
        let (received_on, earlier) = (&record.received_on, &record.earlier);
        format!("{received_on:?}, {served_by:?}, opened {opened:?}, earlier {earlier:?}")
    });
}

fn sure(findings: &mut Findings, record: &RequestRecord) {
    let is_peer = |join: &&Join| method(join) == Some(Method::Peer);
    let by_peer = Some(&record.received_on).filter(is_peer);
    let mut guesses = record.earlier.iter().chain(by_peer);
    let certain = guesses.find(|join| join.is_certain());
    findings.check(Rule::JoinsSure, certain.is_none(), || {
        format!("{certain:?}")
    });
    let served_by = record.served_by.as_ref().and_then(confidence);
    let opened = record.opened.as_ref().and_then(confidence);
    let is_as_sure = match (served_by, opened) {
        (Some(Confidence::Certain), Some(Confidence::Likely)) | (None, _) | (_, None) => true,
        (Some(served_by), Some(opened)) => opened == served_by,
    };
    findings.check(Rule::JoinsSure, is_as_sure, || {
        format!("opened {opened:?}, served by {served_by:?}")
    });
    let mut untimely = record.coverage.contradictions.iter();
    let untimely = untimely.find(|kind| ["from_the_future", "out_of_time"].contains(kind));
    let own = [
        Some(&record.received_on),
        record.served_by.as_ref(),
        record.opened.as_ref(),
    ];
    let is_certain = own.into_iter().flatten().any(Join::is_certain);
    findings.check(Rule::JoinsSure, untimely.is_none() || !is_certain, || {
        format!("certain, and {untimely:?}")
    });
}

fn differ(findings: &mut Findings, record: &RequestRecord) {
    let last = record.served_by.as_ref().or(record.opened.as_ref());
    let last = last.and_then(Join::connection);
    let attempts = record
        .earlier
        .iter()
        .filter_map(Join::connection)
        .chain(last);
    let named: Vec<_> = attempts.chain(record.received_on.connection()).collect();
    let once = |(n, connection)| !named.iter().skip(n + 1).any(|other| other == connection);
    findings.check(
        Rule::SocketsDiffer,
        named.iter().enumerate().all(once),
        || format!("{named:?}"),
    );
}

fn counted(findings: &mut Findings, record: &RequestRecord) {
    let attempts = record
        .report
        .upstream
        .as_ref()
        .map_or(0, |upstream| upstream.attempts);
    let named = record.earlier.iter().filter_map(Join::connection).count();
    let are_counted = named == record.earlier.len() && named <= attempts.saturating_sub(1) as usize;
    findings.check(Rule::AttemptsCounted, are_counted, || {
        format!("{:?} before the last of {attempts}", record.earlier)
    });
}

fn method(join: &Join) -> Option<Method> {
    match join {
        Join::To { method, .. } => Some(*method),
        Join::Missing(_) => None,
    }
}

/// Returns how sure a join is, if there is one.
pub(super) fn confidence(join: &Join) -> Option<Confidence> {
    match join {
        Join::To { confidence, .. } => Some(*confidence),
        Join::Missing(_) => None,
    }
}
