//! The bridge's word against itself: joins that are as they should be, and ids that lead where they should.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::SignedDuration;

use super::{Answers, call, name};
use crate::{
    api::{Connection, Join, Request},
    demo::wire::{Tuple, Wire},
};

/// A worker that gets no processor time for as long as this notices the end of a connect too late for the connect to be
/// certain: as the reconciler documents it.
const LATE: SignedDuration = SignedDuration::from_millis(5);

/// Each request is settled and joined on both sides, to connections of the right kind.
pub(super) fn joins(answers: &Answers, wires: &BTreeMap<Tuple, Wire>) -> Vec<String> {
    let mut complaints = Vec::new();
    for request in &answers.requests {
        if !request.settled {
            complaints.push(format!("{}: not settled", call(request)));
        }
        if !is_joined(request, answers) {
            let upstream =
                upstream_join(request).map_or_else(|| "none".to_owned(), Join::to_string);
            let received_on = &request.received_on;
            let noticed = noticed_after(request, answers).map_or_else(String::new, |after| {
                format!(", {after:?} before the request ended")
            });
            complaints.push(format!(
                "{}: joined {received_on} downstream, {upstream} upstream{noticed}; {:?}",
                call(request),
                request.phases,
            ));
        }
        let upstream_id = upstream_join(request).and_then(Join::connection);
        for join in [
            Some(&request.received_on),
            request.served_by.as_ref(),
            request.opened.as_ref(),
        ]
        .into_iter()
        .flatten()
        {
            let end = answers
                .connections
                .iter()
                .find(|end| Some(end.id.as_str()) == join.connection());
            if let Some(end) =
                end.filter(|end| end.requests.iter().all(|link| link.id != request.id))
            {
                complaints.push(format!(
                    "{}: joined to {}, which does not list it",
                    call(request),
                    end.id
                ));
            }
        }
        let wire = wires
            .iter()
            .find(|(_, wire)| upstream_id.is_some_and(|id| wire.is(id)));
        if let (Some((&(_, to), _)), Some(upstream)) = (wire, &request.upstream)
            && upstream.peer != Some(to)
        {
            complaints.push(format!(
                "{}: Envoy names {:?}, joined to {to}",
                call(request),
                upstream.peer
            ));
        }
    }
    complaints
}

/// One id per connection, which nothing else has; the shared tag leads to both ends, and to the requests.
pub(super) fn ids(answers: &Answers, wires: &BTreeMap<Tuple, Wire>) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut owners: BTreeMap<&str, &Tuple> = BTreeMap::new();
    for (tuple, wire) in wires {
        for id in wire.ids().collect::<BTreeSet<_>>() {
            if let Some(other) = owners.insert(id, tuple) {
                complaints.push(format!(
                    "{} and {} share the id {id}",
                    name(other),
                    name(tuple)
                ));
            }
            let under = answers.traces.get(id);
            let found = |end: &Connection| {
                under.is_some_and(|trace| trace.connections.iter().any(|c| c.id == end.id))
            };
            let lost = wire
                .ends()
                .filter(|end| end.trace_id == id || end.aliases.iter().any(|alias| alias == id));
            complaints.extend(
                lost.filter(|end| !found(end))
                    .map(|end| format!("{}: {id} does not lead to {}", name(tuple), end.id)),
            );
        }
        if let ([active], [passive]) = (wire.active.as_slice(), wire.passive.as_slice())
            && active.tag.is_some()
            && active.trace_id != passive.trace_id
            && !passive.aliases.contains(&active.trace_id)
        {
            let (one, other) = (&active.trace_id, &passive.trace_id);
            complaints.push(format!("{}: its ends are {one} and {other}", name(tuple)));
        }
    }
    // The clients of the demo bring no context: a request inherits its connection's id.
    for request in &answers.requests {
        if let Join::Made { trace_id, .. } = &request.received_on
            && *trace_id != request.trace_id
        {
            complaints.push(format!(
                "{}: under {}, its connection under {trace_id}",
                call(request),
                request.trace_id
            ));
        }
    }
    complaints
}

/// Returns whether both sides of a request are joined as they should be: as certain, except that the connect which
/// failed a request is only likely where the proxy was late.
pub(super) fn is_joined(request: &Request, answers: &Answers) -> bool {
    let failed = request
        .upstream
        .as_ref()
        .is_some_and(|upstream| upstream.local.is_none());
    let is_upstream_joined = |join: &Join| match failed {
        true => {
            join.is_certain("failure") || join.is_likely("failure") && was_late(request, answers)
        }
        false => join.is_certain("exact"),
    };
    request.received_on.is_certain("exact")
        && upstream_join(request).is_some_and(is_upstream_joined)
}

/// Returns whether the proxy got so little processor time that it may have noticed late how its connect ended.
fn was_late(request: &Request, answers: &Answers) -> bool {
    let own_work = request.phases.iter().filter(|phase| phase.name == "proxy");
    let own_work = Duration::from_nanos(own_work.map(|phase| phase.duration_ns).sum());
    noticed_after(request, answers).is_some_and(|after| after >= LATE)
        || own_work >= LATE.unsigned_abs()
}

/// Returns how long after the end of its connect a request ended; `None` if none failed it.
fn noticed_after(request: &Request, answers: &Answers) -> Option<SignedDuration> {
    let id = request.opened.as_ref().and_then(Join::connection)?;
    let connect = answers.connections.iter().find(|end| end.id == id)?;
    let ended_at = request
        .started_at
        .checked_add(Duration::from_nanos(request.duration_ns))
        .ok()?;
    Some(ended_at.duration_since(connect.closed_at?))
}

/// Returns the join to the connection that served the request, or to the connect that failed it.
fn upstream_join(request: &Request) -> Option<&Join> {
    request.served_by.as_ref().or(request.opened.as_ref())
}
