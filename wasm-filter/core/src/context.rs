//! Which trace a request belongs to.
//!
//! - A request that brought a valid context stays in its trace: the context names the request, and
//!   never a connection.
//! - A request without one joins the trace of its downstream connection, if the filter minted an id
//!   for that connection: it did if the connection's *first* request came without a context. After
//!   `requests_per_trace` such requests the next trace begins, so that a trace stays readable; the
//!   connection's id remains the first.
//! - On a connection whose first request brought a context, a later request without one is a trace
//!   of its own: there is no minted id to inherit, and the trace of another request is not its.

use syntrace_model::{SpanId, TraceFlags, TraceId, Traceparent};

use crate::{connections::Connection, random::IdSource};

/// The context that a request has in the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) trace_id: TraceId,
    /// The gateway's own span, which the service sees as its parent.
    pub(crate) span_id: SpanId,
    /// The span that the request brought.
    pub(crate) parent_id: Option<SpanId>,
    pub(crate) flags: TraceFlags,
}

// === impl Context ===

impl Context {
    /// Decides the context of a request from what it brought and the connection it came on.
    pub(crate) fn decide(
        brought: Option<Traceparent>,
        connection: Option<&mut Connection>,
        requests_per_trace: u64,
        ids: &mut IdSource,
    ) -> Self {
        let span_id = ids.span_id();
        if let Some(Traceparent {
            trace_id,
            parent_id,
            flags,
        }) = brought
        {
            return Self {
                trace_id,
                span_id,
                parent_id: Some(parent_id),
                flags,
            };
        }
        let trace_id = match connection {
            Some(connection) => join(connection, requests_per_trace, ids),
            None => ids.trace_id(),
        };
        Self {
            trace_id,
            span_id,
            parent_id: None,
            flags: TraceFlags::SAMPLED.union(TraceFlags::RANDOM),
        }
    }

    /// Returns the `traceparent` that the service gets.
    pub(crate) fn traceparent(&self) -> Traceparent {
        Traceparent {
            trace_id: self.trace_id,
            parent_id: self.span_id,
            flags: self.flags,
        }
    }
}

/// Returns the trace that the next request without a context joins.
fn join(connection: &mut Connection, requests_per_trace: u64, ids: &mut IdSource) -> TraceId {
    let Some(current) = connection.current else {
        return ids.trace_id();
    };
    if connection.joined < requests_per_trace {
        connection.joined += 1;
        return current;
    }
    let next = ids.trace_id();
    connection.current = Some(next);
    connection.joined = 1;
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    fn minted(ids: &mut IdSource) -> Connection {
        let id = Some(ids.trace_id());
        Connection {
            minted: id,
            current: id,
            ..Connection::default()
        }
    }

    #[test]
    fn a_brought_context_is_continued_with_its_own_flags() {
        let mut ids = IdSource::new([1; 16]);
        let mut connection = minted(&mut ids);
        let brought = Traceparent::parse(PARENT).unwrap();
        let context = Context::decide(Some(brought), Some(&mut connection), 100, &mut ids);
        assert_eq!(
            (context.trace_id, context.parent_id),
            (brought.trace_id, Some(brought.parent_id))
        );
        assert_eq!(context.flags, TraceFlags::default());
        assert_ne!(context.traceparent().parent_id, brought.parent_id);
        assert_eq!(connection.joined, 0);
    }

    #[test]
    fn requests_without_a_context_share_the_connections_trace_until_it_is_full() {
        let mut ids = IdSource::new([1; 16]);
        let mut connection = minted(&mut ids);
        let first = connection.minted;
        let traces: Vec<_> = (0..5)
            .map(|_| Some(Context::decide(None, Some(&mut connection), 2, &mut ids).trace_id))
            .collect();
        assert_eq!(traces[..2], [first, first]);
        assert_eq!(traces[2], traces[3]);
        assert!(traces[2] != first && traces[4] != traces[3]);
        assert_eq!(connection.minted, first);
    }

    #[test]
    fn without_a_minted_id_each_request_is_a_trace_of_its_own() {
        let mut ids = IdSource::new([1; 16]);
        let mut connection = Connection::default();
        let one = Context::decide(None, Some(&mut connection), 100, &mut ids);
        let other = Context::decide(None, Some(&mut connection), 100, &mut ids);
        assert_ne!(one.trace_id, other.trace_id);
        assert_eq!(one.flags.to_byte(), 0x03);
    }
}
