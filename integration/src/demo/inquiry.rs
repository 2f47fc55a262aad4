//! Asks the bridge until it knows everything that happened, or has had the time to.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::bail;

use super::{
    traffic::{Captures, Evidence},
    verdict::{self, Answers, Summary},
};
use crate::{
    api::Client,
    deadline::{self, Look},
    interrupt,
};

/// Batches are flushed and records settle well within this.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// What the bridge said at the last look, and what is to be said of it.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Its answers.
    pub answers: Answers,
    /// The demo's last line.
    pub summary: Summary,
    /// What is wrong, a line each.
    pub complaints: Vec<String>,
}

/// Looks until there is nothing to complain about, or the deadline is over: facts arrive in batches.
///
/// The captures are read anew each time, into `evidence`: they lag as well.
///
/// # Errors
///
/// Fails if the bridge does not answer; complaints are no error.
pub fn inquire(
    evidence: &mut Evidence,
    captures: &Captures,
    bridge: &Client,
) -> anyhow::Result<Judged> {
    let mut last = None;
    let waited = deadline::wait(
        "the bridge's answers to be complete",
        ANSWER_DEADLINE,
        || {
            evidence.openings = captures.openings()?;
            let answers = answers(bridge)?;
            let (summary, complaints) = verdict::judge(evidence, &answers);
            let judged = last.insert(Judged {
                answers,
                summary,
                complaints,
            });
            Ok(match judged.complaints.first() {
                None => Look::Done(()),
                Some(complaint) => Look::NotYet(complaint.clone()),
            })
        },
    );
    interrupt::check()?;
    match (last, waited) {
        (Some(judged), _) => Ok(judged),
        (None, Err(error)) => Err(error),
        (None, Ok(())) => bail!("the bridge was never asked"),
    }
}

/// Asks the bridge for everything, and for what is under each id.
fn answers(bridge: &Client) -> anyhow::Result<Answers> {
    let connections = bridge.connections()?;
    let ids: BTreeSet<String> = connections
        .iter()
        .flat_map(|end| [&end.trace_id].into_iter().chain(&end.aliases))
        .cloned()
        .collect();
    let traces: BTreeMap<_, _> = ids
        .into_iter()
        .filter_map(|id| Some((id.clone(), bridge.trace(&id).ok()?)))
        .collect();
    Ok(Answers {
        connections,
        requests: bridge.requests()?,
        coverage: bridge.coverage()?,
        traces,
    })
}
