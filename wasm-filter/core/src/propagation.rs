//! Contexts in request headers, in each of their formats: what a request brought, and what its service is
//! told.
//!
//! Formats are read in the configured order; the first valid one counts. What is not valid counts as
//! absent, in every format.

use syntrace_model::{
    SpanId, TraceFlags, TraceId, Traceparent,
    b3::{self, B3, Sampling},
    tracestate::Tracestate,
};

use crate::{
    Host,
    config::{Format, Policy, Rules},
    context::Context,
    headers::Incoming,
};

const B3_HEADERS: [&str; 5] = [
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-sampled",
    "x-b3-flags",
    "x-b3-parentspanid",
];

/// The context that a request brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Brought {
    pub(crate) parent: Option<Parent>,
    /// The request brought no ids, but the decision that it is not to be recorded.
    pub(crate) is_denied: bool,
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(crate) trace_id: TraceId,
    /// A house id names no span.
    pub(crate) span_id: Option<SpanId>,
    pub(crate) flags: TraceFlags,
}

// === impl Brought ===

impl Brought {
    /// Reads the first valid context, in the order of the rules.
    pub(crate) fn read(incoming: &Incoming<'_>, rules: &Rules) -> Self {
        let mut brought = Self::default();
        for format in &rules.read {
            brought.parent = match format {
                Format::W3c => traceparent(incoming),
                Format::B3 => {
                    let b3 = incoming.b3.only().and_then(|header| B3::parse(header).ok());
                    brought.note(b3)
                }
                Format::B3Multi => {
                    let b3 = B3::parse_headers(&incoming.b3_headers).ok().flatten();
                    brought.note(b3)
                }
                Format::House => house_id(incoming, rules),
            };
            if brought.parent.is_some() {
                break;
            }
        }
        brought
    }

    fn note(&mut self, b3: Option<B3>) -> Option<Parent> {
        let b3 = b3?;
        match b3.ids {
            Some((trace_id, span_id)) => Some(Parent {
                trace_id,
                span_id: Some(span_id),
                flags: b3.flags(),
            }),
            None => {
                self.is_denied |= b3.sampling == Some(Sampling::Deny);
                None
            }
        }
    }
}

fn traceparent(incoming: &Incoming<'_>) -> Option<Parent> {
    let traceparent = Traceparent::parse(incoming.traceparent.only()?).ok()?;
    Some(Parent {
        trace_id: traceparent.trace_id,
        span_id: Some(traceparent.parent_id),
        flags: traceparent.flags,
    })
}

fn house_id(incoming: &Incoming<'_>, rules: &Rules) -> Option<Parent> {
    let trace_id = rules.house_id.as_ref()?.read(incoming.house_id.only()?)?;
    Some(Parent {
        trace_id,
        span_id: None,
        flags: TraceFlags::SAMPLED,
    })
}

/// Returns the `tracestate` that belongs to a context: empty unless its `traceparent` is the one that
/// counts, and the list is valid.
pub(crate) fn tracestate<'a>(
    incoming: &'a Incoming<'_>,
    context: &Context,
) -> Option<Tracestate<'a>> {
    let traceparent = traceparent(incoming)?;
    let continues =
        traceparent.trace_id == context.trace_id && traceparent.span_id == context.parent_id;
    let list = Tracestate::parse(&incoming.tracestate.joined).ok()?;
    (continues && !list.is_empty()).then_some(list)
}

/// Tells the service the request's context, in each of the formats to write.
///
/// What a request brought from an edge that is not trusted reaches no service, in no format. Returns the
/// `tracestate` that the service sees.
pub(crate) fn write(
    host: &impl Host,
    rules: &Rules,
    incoming: &Incoming<'_>,
    policy: Policy,
    context: &Context,
) -> String {
    let replaced = |format| !rules.write.contains(&format) && policy != Policy::Continue;
    for format in &rules.write {
        match format {
            Format::W3c => {
                // Whatever replacing does to several lines: none of theirs may stand beside ours.
                if incoming.traceparent.count > 1 {
                    host.remove_request_header("traceparent");
                }
                host.set_request_header("traceparent", &context.traceparent().to_header());
            }
            Format::B3 => {
                let sampling = Sampling::from_flags(context.flags);
                let header = b3::to_header(context.trace_id, context.span_id, sampling);
                host.set_request_header("b3", header.as_bytes());
            }
            Format::B3Multi => write_b3_headers(host, incoming, context),
            Format::House => {
                if let Some(house_id) = &rules.house_id {
                    let id = house_id.write(context.trace_id);
                    host.set_request_header(&house_id.header, id.as_bytes());
                }
            }
        }
    }
    if replaced(Format::W3c) && incoming.traceparent.count > 0 {
        host.remove_request_header("traceparent");
    }
    if replaced(Format::B3) && incoming.b3.count > 0 {
        host.remove_request_header("b3");
    }
    if replaced(Format::B3Multi) && incoming.has_b3_headers {
        for header in B3_HEADERS {
            host.remove_request_header(header);
        }
    }
    if replaced(Format::House)
        && incoming.house_id.count > 0
        && let Some(house_id) = &rules.house_id
    {
        host.remove_request_header(&house_id.header);
    }
    write_tracestate(host, rules, incoming, context)
}

fn write_b3_headers(host: &impl Host, incoming: &Incoming<'_>, context: &Context) {
    host.set_request_header(
        "x-b3-traceid",
        b3::trace_id_text(context.trace_id).as_bytes(),
    );
    host.set_request_header("x-b3-spanid", context.span_id.to_string().as_bytes());
    let sampling = Sampling::from_flags(context.flags);
    host.set_request_header("x-b3-sampled", sampling.field().as_bytes());
    // Whose parent and whose wish to debug they name is another span.
    if incoming.has_b3_headers {
        host.remove_request_header("x-b3-parentspanid");
        host.remove_request_header("x-b3-flags");
    }
}

/// Passes `tracestate` on as it came, several fields as one; with an own entry, or without what must not be
/// passed on.
fn write_tracestate(
    host: &impl Host,
    rules: &Rules,
    incoming: &Incoming<'_>,
    context: &Context,
) -> String {
    let list = tracestate(incoming, context);
    if let Some(key) = &rules.tracestate_key
        && rules.write.contains(&Format::W3c)
    {
        let list = list.unwrap_or_default();
        let header = list.to_header_with(key, &context.span_id.to_string());
        if incoming.tracestate.count > 1 {
            host.remove_request_header("tracestate");
        }
        host.set_request_header("tracestate", header.as_bytes());
        return header;
    }
    let header = list.map(|list| list.to_header()).unwrap_or_default();
    if header.is_empty() && incoming.tracestate.count > 0 {
        host.remove_request_header("tracestate");
    } else if incoming.tracestate.count > 1 {
        host.remove_request_header("tracestate");
        host.set_request_header("tracestate", header.as_bytes());
    }
    header
}
