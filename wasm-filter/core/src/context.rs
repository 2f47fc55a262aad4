//! Which trace a request belongs to.
//!
//! - A request that brought a context from an edge that is trusted stays in its trace: the context names
//!   the request, and never a connection.
//! - A request without one, or from an edge that is not, joins the trace of its downstream connection, if
//!   the filter minted an id for that connection: it did if the connection's *first* request was of this
//!   kind. After `requests_per_trace` such requests the next trace begins, so that a trace stays readable;
//!   its first request is linked to the last one of the trace before, and the connection's id remains the
//!   first.
//! - On a connection whose first request brought a context, a later request without one is a trace of its
//!   own: there is no minted id to inherit, and the trace of another request is not its.

use syntrace_model::{SpanId, TraceFlags, TraceId, Traceparent};

use crate::{
    config::Policy,
    connections::Connection,
    propagation::Brought,
    random::IdSource,
    wire::{self, Message, request},
};

/// The context that a request has in the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) trace_id: TraceId,
    /// The gateway's own span, which the service sees as its parent.
    pub(crate) span_id: SpanId,
    /// The span that the request brought.
    pub(crate) parent_id: Option<SpanId>,
    pub(crate) flags: TraceFlags,
    /// What the request follows without being its child.
    pub(crate) link: Option<Link>,
}

/// A span of another trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    kind: LinkKind,
    trace_id: TraceId,
    span_id: SpanId,
}

/// Why a request follows another without being its child; numbered as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum LinkKind {
    Restarted = 1,
    Rotated = 2,
}

// === impl Context ===

impl Context {
    /// Decides the context of a request from what it brought and the connection it came on.
    pub(crate) fn decide(
        brought: &Brought,
        policy: Policy,
        connection: Option<&mut Connection>,
        requests_per_trace: u64,
        ids: &mut IdSource,
    ) -> Self {
        let span_id = ids.span_id();
        if policy == Policy::Continue
            && let Some(parent) = brought.parent
        {
            return Self {
                trace_id: parent.trace_id,
                span_id,
                parent_id: parent.span_id,
                flags: parent.flags,
                link: None,
            };
        }
        let (trace_id, rotated) = match connection {
            Some(connection) => join(connection, requests_per_trace, span_id, ids),
            None => (ids.trace_id(), None),
        };
        let restarted = brought
            .parent
            .filter(|_| policy == Policy::Restart)
            .and_then(|parent| {
                Some(Link {
                    kind: LinkKind::Restarted,
                    trace_id: parent.trace_id,
                    span_id: parent.span_id?,
                })
            });
        let sampled = if brought.is_denied && policy == Policy::Continue {
            TraceFlags::default()
        } else {
            TraceFlags::SAMPLED
        };
        Self {
            trace_id,
            span_id,
            parent_id: None,
            flags: sampled.union(TraceFlags::RANDOM),
            link: restarted.or(rotated),
        }
    }

    /// Writes what a report says of it.
    pub(crate) fn describe(&self, report: &mut Message) {
        report.bytes(request::TRACE_ID, &self.trace_id.to_bytes());
        report.bytes(request::SPAN_ID, &self.span_id.to_bytes());
        if let Some(parent_id) = self.parent_id {
            report.bytes(request::PARENT_SPAN_ID, &parent_id.to_bytes());
        }
        report.uint(request::TRACE_FLAGS, self.flags.to_byte().into());
        if let Some(link) = &self.link {
            let mut message = Message::default();
            message.bytes(wire::link::TRACE_ID, &link.trace_id.to_bytes());
            message.bytes(wire::link::SPAN_ID, &link.span_id.to_bytes());
            message.uint(wire::link::KIND, link.kind as u64);
            report.message(request::LINKS, &message);
        }
    }

    /// Returns the `traceparent` that the service gets.
    pub(crate) const fn traceparent(&self) -> Traceparent {
        Traceparent {
            trace_id: self.trace_id,
            parent_id: self.span_id,
            flags: self.flags,
        }
    }
}

/// Returns the trace that the next request without a context joins, and a link where one has just begun.
fn join(
    connection: &mut Connection,
    requests_per_trace: u64,
    span_id: SpanId,
    ids: &mut IdSource,
) -> (TraceId, Option<Link>) {
    let Some(current) = connection.current else {
        return (ids.trace_id(), None);
    };
    let before = connection.last_span.replace(span_id);
    if connection.joined < requests_per_trace {
        connection.joined += 1;
        return (current, None);
    }
    let next = ids.trace_id();
    connection.current = Some(next);
    connection.joined = 1;
    let link = before.map(|span_id| Link {
        kind: LinkKind::Rotated,
        trace_id: current,
        span_id,
    });
    (next, link)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::propagation::Parent;

    fn minted(ids: &mut IdSource) -> Connection {
        let id = Some(ids.trace_id());
        Connection {
            minted: id,
            current: id,
            ..Connection::default()
        }
    }

    fn brought() -> Brought {
        Brought {
            parent: Some(Parent {
                trace_id: TraceId::new([4; 16]).unwrap(),
                span_id: SpanId::new([5; 8]),
                flags: TraceFlags::default(),
            }),
            is_denied: false,
        }
    }

    #[test]
    fn a_brought_context_is_continued_with_its_own_flags() {
        let mut ids = IdSource::new([1; 16]);
        let mut connection = minted(&mut ids);
        let parent = brought().parent.unwrap();
        let context = Context::decide(
            &brought(),
            Policy::Continue,
            Some(&mut connection),
            100,
            &mut ids,
        );
        assert_eq!(
            (context.trace_id, context.parent_id),
            (parent.trace_id, parent.span_id)
        );
        assert_eq!(context.flags, TraceFlags::default());
        assert_ne!(Some(context.traceparent().parent_id), parent.span_id);
        assert_eq!(connection.joined, 0);
    }

    #[test]
    fn at_an_untrusted_edge_the_trace_begins_anew() {
        for (policy, links) in [(Policy::Restart, 1), (Policy::Ignore, 0)] {
            let mut ids = IdSource::new([1; 16]);
            let mut connection = minted(&mut ids);
            let context = Context::decide(&brought(), policy, Some(&mut connection), 100, &mut ids);
            assert_eq!(
                (Some(context.trace_id), context.parent_id),
                (connection.minted, None)
            );
            assert_eq!(context.flags.to_byte(), 0x03);
            let linked = context.link.iter().filter(|link| {
                let of = (link.trace_id.to_bytes(), link.span_id.to_bytes());
                of == ([4; 16], [5; 8]) && link.kind == LinkKind::Restarted
            });
            assert_eq!(linked.count(), links, "{policy:?}");
        }
    }

    #[test]
    fn requests_without_a_context_share_the_connections_trace_until_it_is_full() {
        let mut ids = IdSource::new([1; 16]);
        let mut connection = minted(&mut ids);
        let first = connection.minted;
        let contexts: Vec<_> = (0..5)
            .map(|_| {
                let none = Brought::default();
                Context::decide(&none, Policy::Continue, Some(&mut connection), 2, &mut ids)
            })
            .collect();
        let traces: Vec<_> = contexts.iter().map(|one| Some(one.trace_id)).collect();
        assert_eq!(traces[..2], [first, first]);
        assert_eq!(traces[2], traces[3]);
        assert!(traces[2] != first && traces[4] != traces[3]);
        assert_eq!(connection.minted, first);
        let links: Vec<_> = contexts.iter().map(|one| one.link.as_ref()).collect();
        assert_eq!([links[0], links[1], links[3]], [None; 3]);
        let rotated = links[2].unwrap();
        assert_eq!(rotated.kind, LinkKind::Rotated);
        assert_eq!(rotated.trace_id, contexts[1].trace_id);
        assert_eq!(rotated.span_id, contexts[1].span_id);
    }

    #[test]
    fn without_a_minted_id_each_request_is_a_trace_of_its_own() {
        let mut ids = IdSource::new([1; 16]);
        let mut connection = Connection::default();
        let mut decide = || {
            let none = Brought::default();
            Context::decide(
                &none,
                Policy::Continue,
                Some(&mut connection),
                100,
                &mut ids,
            )
        };
        let (one, other) = (decide(), decide());
        assert_ne!(one.trace_id, other.trace_id);
        assert_eq!(one.flags.to_byte(), 0x03);
    }

    #[test]
    fn a_decision_not_to_record_holds_without_ids() {
        let denied = Brought {
            parent: None,
            is_denied: true,
        };
        let mut ids = IdSource::new([1; 16]);
        let context = Context::decide(&denied, Policy::Continue, None, 100, &mut ids);
        assert_eq!(context.flags, TraceFlags::RANDOM);
    }
}
