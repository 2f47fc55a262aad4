//! Dye and baggage of one request: what it brought, what the rules say, and what its service is told.

use syntrace_model::baggage;

use crate::{
    Host,
    config::{Dye, MAX_DYE_BYTES, Policy, Rules, Seen, is_dye},
    headers::Incoming,
    wire::{Message, request, text},
};

/// Most bytes of baggage that a report carries.
const MAX_LISTED_BYTES: usize = 1_024;

/// Decides a request's dye and tells its service; what came from an edge that is not trusted is removed.
///
/// Where that changes what routes can match, the proxy is asked to choose the route anew.
pub(crate) fn dye(
    host: &impl Host,
    rules: &Rules,
    incoming: &Incoming<'_>,
    policy: Policy,
    seen: &Seen<'_>,
    report: &mut Message,
) {
    let Some(dye) = &rules.dye else {
        return list(rules, &incoming.baggage.joined, report);
    };
    let brought = brought(dye, incoming).filter(|_| policy == Policy::Continue);
    let wanted = brought.or_else(|| dye.decide(seen).map(str::to_owned));
    let wrote_header = write_header(host, dye, incoming, wanted.as_deref());
    let written = write_baggage(host, dye, incoming, wanted.as_deref());
    if wrote_header || written.is_some() {
        host.clear_route_cache();
    }
    report.bytes(request::DYE, wanted.unwrap_or_default().as_bytes());
    let baggage = written.as_deref().map(str::as_bytes);
    list(rules, baggage.unwrap_or(&incoming.baggage.joined), report);
}

/// Reports the dye and the baggage that a request has, where nothing is written.
pub(crate) fn found(rules: &Rules, incoming: &Incoming<'_>, report: &mut Message) {
    let dye = rules.dye.as_ref().and_then(|dye| brought(dye, incoming));
    report.bytes(request::DYE, dye.unwrap_or_default().as_bytes());
    list(rules, &incoming.baggage.joined, report);
}

fn brought(dye: &Dye, incoming: &Incoming<'_>) -> Option<String> {
    let header = incoming
        .dye
        .only()
        .map(|value| text(value, MAX_DYE_BYTES + 1).into_owned());
    let member = || {
        let key = dye.baggage.as_deref()?;
        let mut members = baggage::members(&incoming.baggage.joined);
        Some(members.find(|member| member.key == key)?.decoded())
    };
    header
        .filter(|dye| is_dye(dye))
        .or_else(|| member().filter(|dye| is_dye(dye)))
}

/// Returns whether the header had to be changed.
fn write_header(
    host: &impl Host,
    dye: &Dye,
    incoming: &Incoming<'_>,
    wanted: Option<&str>,
) -> bool {
    let Some(header) = &dye.header else {
        return false;
    };
    let is_there = incoming.dye.count > 0;
    if is_there && incoming.dye.only() != wanted.map(str::as_bytes) {
        host.remove_request_header(header);
    }
    match wanted {
        Some(wanted) if incoming.dye.only() != Some(wanted.as_bytes()) => {
            host.set_request_header(header, wanted.as_bytes());
            true
        }
        Some(_) => false,
        None => is_there,
    }
}

/// Returns the header as it is sent on, if it had to be changed.
fn write_baggage(
    host: &impl Host,
    dye: &Dye,
    incoming: &Incoming<'_>,
    wanted: Option<&str>,
) -> Option<String> {
    let key = dye.baggage.as_deref()?;
    let header = &incoming.baggage.joined;
    let mut members = baggage::members(header).filter(|member| member.key == key);
    let is_right = match (members.next(), wanted) {
        (Some(member), Some(wanted)) => member.decoded() == wanted && members.next().is_none(),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    if is_right {
        return None;
    }
    let written = baggage::with(header, key, wanted)?;
    if incoming.baggage.count > 1 || written.is_empty() {
        host.remove_request_header("baggage");
    }
    if !written.is_empty() {
        host.set_request_header("baggage", written.as_bytes());
    }
    Some(written)
}

/// Reports the members that reports may carry, as many as fit.
fn list(rules: &Rules, header: &[u8], report: &mut Message) {
    if rules.baggage.is_empty() {
        return;
    }
    let mut listed = String::new();
    for member in baggage::members(header) {
        let is_listed = rules.baggage.iter().any(|key| key == member.key);
        if !is_listed || listed.len() + member.text.len() >= MAX_LISTED_BYTES {
            continue;
        }
        if !listed.is_empty() {
            listed.push(',');
        }
        listed.push_str(member.text);
    }
    report.bytes(request::BAGGAGE, listed.as_bytes());
}
