//! Checks one record by itself: in order, of one id, with its links intact, nothing negative, every
//! nanosecond explained.
//!
//! A pure function over what the record says. It looks nothing up: whether the other end of a link
//! exists is for whoever keeps the records. A record that breaks no rule has no findings; one that
//! contradicts itself because its senders did says so in its coverage, and is no finding.

mod answers;
mod connections;
mod incidents;
mod joins;

use std::fmt;

use crate::record::{ConnectionRecord, Phase, RequestRecord};

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
    /// Each join is by a method that its link can have.
    MethodsFit,
    /// No join is surer than its method allows, and none is certain of a request whose time is wrong; a connect that
    /// was waited for is no surer than the connection that it became.
    JoinsSure,
    /// No connection is named on both sides of the gateway, nor for two attempts.
    SocketsDiffer,
    /// Earlier attempts failed by no more connects than the proxy says that there were.
    AttemptsCounted,
    /// Incidents are in order, those of the listener before a worker had the connection, and charged to requests
    /// that the record has.
    IncidentsPlaced,
    /// A settled connection has an end, or says that it is missing.
    EndKnown,
    /// A connection has an answer exactly if its connect failed: the one that follows from how it ended.
    FailureAnswered,
    /// The answer has a sentence, and is not surer than the join that it rests on, or than its code allows.
    AnswerGrounded,
    /// A limit of time that ended a request is charged to whose phase was the longest within it, or to nobody.
    TimeoutOfPhases,
    /// A completed request names who took most of its time, by the phases, or nobody; and its words say the same.
    PartyOfPhases,
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
            Self::MethodsFit => "methods_fit",
            Self::JoinsSure => "joins_sure",
            Self::SocketsDiffer => "sockets_differ",
            Self::AttemptsCounted => "attempts_counted",
            Self::IncidentsPlaced => "incidents_placed",
            Self::EndKnown => "end_known",
            Self::FailureAnswered => "failure_answered",
            Self::AnswerGrounded => "answer_grounded",
            Self::TimeoutOfPhases => "timeout_of_phases",
            Self::PartyOfPhases => "party_of_phases",
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
    touch(&mut findings, &record.phases);
    if let Some(socket) = &record.socket {
        let end = socket.closed_at.unwrap_or(socket.seen_at);
        let duration_ns = end.since_ns(socket.began_at());
        sums(&mut findings, &record.phases, duration_ns);
    }
    connections::check(&mut findings, record);
    answers::of_connection(&mut findings, record);
    incidents::of_connection(&mut findings, record);
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
    joins::check(&mut findings, record);
    answers::of_request(&mut findings, record);
    incidents::of_request(&mut findings, record);
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
