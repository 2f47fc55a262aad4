//! The answer: of the phases and the joins of its record, and no surer than they are.

use syntrace_model::Outcome;

use super::{Findings, Rule, joins};
use crate::{
    answer::{Answer, Code, Most, Party, Sentence},
    confidence::Confidence,
    explain::{self, SLOW_NS},
    flag, phases,
    record::{ConnectionRecord, Phase, RequestRecord},
};

pub(super) fn of_connection(findings: &mut Findings, record: &ConnectionRecord) {
    if let Some(answer) = &record.answer {
        answered(findings, answer, &record.phases);
    }
    follows_from_outcome(findings, record);
}

pub(super) fn of_request(findings: &mut Findings, record: &RequestRecord) {
    answered(findings, &record.answer, &record.phases);
    rests_on_failed_connect(findings, record);
    rests_on_carrier(findings, record);
    timed_out(findings, record);
    completed(findings, record);
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
    let (cause, party) = (&answer.cause, answer.cause.party);
    let is_sound = match cause.confidence {
        Confidence::Certain => party == Party::Unknown || allows_certainty(cause.code),
        Confidence::Likely | Confidence::Ambiguous { .. } => true,
    };
    findings.check(Rule::AnswerGrounded, is_sound, || {
        format!("{} is certain of {party:?}", cause.code.name())
    });
}

/// Returns whether it can be certain that a party did what the code says, rather than a conclusion from who was
/// waited for.
fn allows_certainty(code: Code) -> bool {
    let is_concluded = matches!(
        code,
        Code::RequestRetransmitted | Code::ResponseRetransmitted | Code::SlowService
    );
    !is_concluded && !is_limit(code) && code.confidence(Confidence::Certain) == Confidence::Certain
}

/// Returns whether one of the proxy's limits of time ended the request.
const fn is_limit(code: Code) -> bool {
    matches!(
        code,
        Code::UpstreamTimeout
            | Code::StreamIdleTimeout
            | Code::DurationTimeout
            | Code::RequestTimeout
    )
}

/// Of a connection, only its connect can fail.
fn follows_from_outcome(findings: &mut Findings, record: &ConnectionRecord) {
    let said = record.answer.as_ref();
    let follows = record.socket.as_ref().and_then(|socket| {
        let is_dropped = matches!(socket.outcome, Outcome::Unanswered | Outcome::Aborted)
            && said.is_some_and(|answer| answer.cause.code == Code::AcceptOverflow);
        explain::connect(socket, is_dropped)
    });
    let what = |answer: &Answer| {
        let cause = &answer.cause;
        (cause.party, cause.code, cause.confidence)
    };
    let (said, follows) = (said.map(what), follows.as_ref().map(what));
    findings.check(Rule::FailureAnswered, said == follows, || {
        format!("{said:?}, not {follows:?}")
    });
}

/// What is said of a connect that failed the request is as sure as that it did.
fn rests_on_failed_connect(findings: &mut Findings, record: &RequestRecord) {
    let cause = &record.answer.cause;
    let upstream = record.report.upstream.as_ref();
    let was_failed = upstream.is_some_and(|upstream| upstream.local.is_none());
    let failed_by = record.opened.as_ref().filter(|_| was_failed);
    let failed_by = failed_by.and_then(joins::confidence);
    let rests = match failed_by {
        Some(confidence) => cause.confidence == cause.code.confidence(confidence),
        None => !matches!(cause.confidence, Confidence::Ambiguous { .. }),
    };
    findings.check(Rule::AnswerGrounded, rests, || {
        format!("{:?}, the join is {failed_by:?}", cause.confidence)
    });
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
    let confidence = record.served_by.as_ref().and_then(joins::confidence);
    findings.check(
        Rule::AnswerGrounded,
        !rests || confidence == Some(Confidence::Certain),
        || format!("{:?} by a join that is {confidence:?}", cause.party),
    );
}

fn timed_out(findings: &mut Findings, record: &RequestRecord) {
    let cause = &record.answer.cause;
    if !is_limit(cause.code) || cause.party == Party::Unknown {
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

/// Nothing failed: who took most of the time, which has to be that of the phases.
fn completed(findings: &mut Findings, record: &RequestRecord) {
    let (cause, time) = (&record.answer.cause, &record.answer.time);
    if *time != phases::by_party(&record.phases) {
        return;
    }
    let party = cause.party;
    let total_ns = time.total_ns();
    let took_most = if cause.code == Code::Completed {
        // Whoever took the time of which that is not known.
        let [known @ .., unknown] = Party::ALL;
        let perhaps_ns = |other| time.of(other).saturating_add(time.of(unknown));
        let mut others = known.into_iter().filter(|other| *other != party);
        party == unknown || others.all(|other| perhaps_ns(other) < time.of(party))
    } else if is_slowness(cause.code) {
        let longest = record.phases.iter().max_by_key(|phase| phase.duration_ns);
        longest.is_some_and(|phase| {
            let is_slow = phase.duration_ns >= SLOW_NS && phase.duration_ns > total_ns / 2;
            is_slow && phase.party == party
        })
    } else {
        true
    };
    findings.check(Rule::PartyOfPhases, took_most, || {
        format!("{party:?} {}, of {time:?}", cause.code.name())
    });
    let Sentence::Completed {
        total_ns: said_ns,
        most,
    } = cause.sentence
    else {
        return;
    };
    let is_said = match most {
        Most::Of { party: said, ns } => said == party && ns == time.of(said),
        Most::Unaccounted { ns } => party == Party::Unknown && ns == time.unknown_ns,
        Most::Unreported | Most::Doubtful => party == Party::Unknown,
    };
    findings.check(Rule::PartyOfPhases, is_said && said_ns == total_ns, || {
        format!("{party:?}, and in words {:?}, of {time:?}", cause.sentence)
    });
}

/// Returns whether nothing failed, and one phase took most of the time.
const fn is_slowness(code: Code) -> bool {
    matches!(
        code,
        Code::AcceptWait
            | Code::SynLost
            | Code::ConnectSynLost
            | Code::RequestRetransmitted
            | Code::ResponseRetransmitted
            | Code::PoolWait
            | Code::SlowService
            | Code::SlowClient
    )
}
