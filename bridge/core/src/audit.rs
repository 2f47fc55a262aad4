//! Checks one record by itself: in order, of one id, with its links intact, nothing negative, every
//! nanosecond explained.
//!
//! A pure function over what the record says. It looks nothing up: whether the other end of a link
//! exists is for whoever keeps the records. A record that breaks no rule has no findings; one that
//! contradicts itself because its senders did says so in its coverage, and is no finding.

use std::fmt;

use syntrace_model::{Opening, SpanId};

use crate::{
    answer::{Answer, Code, Party},
    confidence::Confidence,
    fact::Snapshot,
    failure, flag, phases,
    record::{ConnectionRecord, Join, LinkKind, Missing, Phase, RequestRecord, Role, Sharing},
};

/// A rule that a record breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// What is wrong, in words and values.
    pub detail: Box<str>,
}

/// What holds in every record. A name never changes its meaning; new ones are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Times follow each other: SYN, SYN-ACK, established, accepted; closed after established.
    InOrder,
    /// The trace id is no alias, and no alias is listed twice.
    OneId,
    /// Each phase begins where the one before it ends.
    PhasesTouch,
    /// The phases, and the time by party, sum to the record's duration.
    SumsExactly,
    /// The time by party is what the phases say.
    TimeOfPhases,
    /// Links are of kinds that the connection's role can have, and in order.
    LinksIntact,
    /// An ambiguous join names candidates, itself among them; another names none.
    CandidatesNamed,
    /// A request is joined upstream exactly as far as the proxy says that it got: to a connect only if one
    /// failed it.
    JoinsComplete,
    /// Incidents are in order, within the record's time, and charged to requests that it has.
    IncidentsPlaced,
    /// A settled connection has an end, or says that it is missing.
    EndKnown,
    /// The answer has a sentence, and is not surer than the join that it rests on.
    AnswerGrounded,
    /// A limit of time that ended a request is charged to whose phase was the longest within it, or to nobody.
    TimeoutOfPhases,
}

// === impl Rule ===

impl Rule {
    /// Returns the name that the API shows.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InOrder => "in_order",
            Self::OneId => "one_id",
            Self::PhasesTouch => "phases_touch",
            Self::SumsExactly => "sums_exactly",
            Self::TimeOfPhases => "time_of_phases",
            Self::LinksIntact => "links_intact",
            Self::CandidatesNamed => "candidates_named",
            Self::JoinsComplete => "joins_complete",
            Self::IncidentsPlaced => "incidents_placed",
            Self::EndKnown => "end_known",
            Self::AnswerGrounded => "answer_grounded",
            Self::TimeoutOfPhases => "timeout_of_phases",
        }
    }
}

// === impl Finding ===

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule.name(), self.detail)
    }
}

/// Findings under construction.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn check(&mut self, rule: Rule, holds: bool, detail: impl FnOnce() -> String) {
        if !holds {
            let detail = detail().into();
            self.0.push(Finding { rule, detail });
        }
    }
}

/// Checks the record of one connection.
#[must_use]
pub fn connection(record: &ConnectionRecord) -> Vec<Finding> {
    let mut findings = Findings::default();
    let aliases = &record.aliases;
    findings.check(
        Rule::OneId,
        aliases.is_sorted_by(|a, b| a < b) && !aliases.contains(&record.trace_id),
        || format!("trace id {:?} with aliases {aliases:?}", record.trace_id),
    );
    touch(&mut findings, &record.phases);
    if let Some(socket) = &record.socket {
        let end = socket.closed_at.unwrap_or(socket.seen_at);
        let duration_ns = end.since_ns(socket.began_at());
        sums(&mut findings, &record.phases, duration_ns);
        if record.coverage.contradictions.is_empty() {
            in_order(&mut findings, socket);
            links(&mut findings, record, socket.opening);
        }
        let ended = !socket.outcome.is_final() || socket.closed_at.is_some();
        findings.check(
            Rule::EndKnown,
            !record.settled || record.coverage.close_missing || ended,
            || format!("{} without a close", socket.outcome.name()),
        );
    }
    if let Some(answer) = &record.answer {
        answered(&mut findings, answer, &record.phases);
    }
    let known = |span_id: SpanId| {
        record.requests_evicted > 0
            || record
                .requests
                .iter()
                .any(|request| request.span_id == span_id)
    };
    let placed = record.incidents.is_sorted_by_key(|incident| incident.at)
        && record
            .incidents
            .iter()
            .all(|incident| match incident.sharing {
                Sharing::Exclusive(span_id) => known(span_id),
                Sharing::Shared { streams } => streams > 0,
                Sharing::Nobody => true,
            });
    findings.check(Rule::IncidentsPlaced, placed, || {
        format!("{:?}", record.incidents)
    });
    findings.0
}

/// Checks the record of one request.
#[must_use]
pub fn request(record: &RequestRecord) -> Vec<Finding> {
    let mut findings = Findings::default();
    touch(&mut findings, &record.phases);
    sums(&mut findings, &record.phases, record.duration_ns());
    let inside = record.phases.iter();
    let inside_ns = sum_ns(inside.filter(|phase| !phase.kind.is_before_request()));
    findings.check(
        Rule::SumsExactly,
        inside_ns == record.report.duration_ns,
        || {
            format!(
                "{inside_ns} ns within, {} reported",
                record.report.duration_ns
            )
        },
    );
    answered(&mut findings, &record.answer, &record.phases);
    let joins = [
        Some(&record.received_on),
        record.served_by.as_ref(),
        record.opened.as_ref(),
    ];
    for join in joins.into_iter().flatten().chain(&record.earlier) {
        candidates(&mut findings, join);
    }
    complete(&mut findings, record);
    rests_on_carrier(&mut findings, record);
    timed_out(&mut findings, record);
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
    findings.0
}

fn touch(findings: &mut Findings, phases: &[Phase]) {
    let mut at_ns = 0;
    for phase in phases {
        findings.check(Rule::PhasesTouch, phase.after_ns == at_ns, || {
            let name = phase.kind.name();
            format!("{name} begins at {} ns, not at {at_ns}", phase.after_ns)
        });
        at_ns = phase.after_ns.saturating_add(phase.duration_ns);
    }
    let ordered = phases.is_sorted_by_key(|phase| !phase.kind.is_before_request());
    findings.check(Rule::InOrder, ordered, || format!("{phases:?}"));
}

fn sums(findings: &mut Findings, phases: &[Phase], duration_ns: u64) {
    let sum_ns = sum_ns(phases.iter());
    findings.check(Rule::SumsExactly, sum_ns == duration_ns, || {
        format!("phases sum to {sum_ns} ns, the record took {duration_ns}")
    });
}

/// A length that does not fit is as long as fits.
fn sum_ns<'a>(phases: impl Iterator<Item = &'a Phase>) -> u64 {
    phases.fold(0, |sum, phase| sum.saturating_add(phase.duration_ns))
}

fn answered(findings: &mut Findings, answer: &Answer, phases: &[Phase]) {
    findings.check(
        Rule::TimeOfPhases,
        answer.time == phases::by_party(phases),
        || format!("{:?} of {phases:?}", answer.time),
    );
    findings.check(
        Rule::AnswerGrounded,
        !answer.cause.sentence.is_empty(),
        || format!("{} without a sentence", answer.cause.code.name()),
    );
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
    let failed_by = record.opened.as_ref().filter(|_| reached == Some(false));
    if let Some(Join::To { confidence, .. }) = failed_by {
        let cause = &record.answer.cause;
        findings.check(
            Rule::AnswerGrounded,
            cause.confidence == cause.code.confidence(*confidence),
            || format!("{:?}, the join is {confidence:?}", cause.confidence),
        );
    }
}

/// What is said of the connection that carried the request holds only of the one that surely did.
fn rests_on_carrier(findings: &mut Findings, record: &RequestRecord) {
    let cause = &record.answer.cause;
    let is_told_by_proxy = record.report.http.response_flags & flag::UPSTREAM_REMOTE_RESET != 0;
    let rests = match (cause.code, cause.party) {
        (Code::UpstreamReset | Code::ResetBeforeFirstByte, Party::Service) => {
            record.report.was_sent() && !is_told_by_proxy
        }
        (Code::UpstreamTimeout | Code::StreamIdleTimeout, Party::Service | Party::Network) => {
            record.report.was_sent()
        }
        _ => false,
    };
    let confidence = match &record.served_by {
        Some(Join::To { confidence, .. }) => Some(*confidence),
        Some(Join::Missing(_)) | None => None,
    };
    findings.check(
        Rule::AnswerGrounded,
        !rests || confidence == Some(Confidence::Certain),
        || format!("{:?} by a join that is {confidence:?}", cause.party),
    );
}

fn timed_out(findings: &mut Findings, record: &RequestRecord) {
    let cause = &record.answer.cause;
    let is_limit = matches!(
        cause.code,
        Code::UpstreamTimeout
            | Code::StreamIdleTimeout
            | Code::DurationTimeout
            | Code::RequestTimeout
    );
    if !is_limit || cause.party == Party::Unknown {
        return;
    }
    let within = record
        .phases
        .iter()
        .filter(|phase| !phase.kind.is_before_request());
    let longest_ns = within.clone().map(|phase| phase.duration_ns).max();
    let mut longest = within.filter(|phase| Some(phase.duration_ns) == longest_ns);
    findings.check(
        Rule::TimeoutOfPhases,
        longest.any(|phase| phase.party == cause.party),
        || format!("{:?}, of {:?}", cause.party, record.phases),
    );
}
