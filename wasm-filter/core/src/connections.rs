//! The downstream connections of one worker, and the trace id that each was given or not.
//!
//! Whether a connection gets an id is decided once, by its first request. A worker remembers a
//! bounded number of connections; Envoy numbers connections in ascending order, so that a number
//! not above one that was forgotten may belong to a connection already decided: it gets no id then,
//! rather than a second one.

use syntrace_model::{SpanId, TraceId};

use crate::{ends::Ends, recent::Recent};

/// What a worker remembers of its downstream connections.
#[derive(Debug)]
pub(crate) struct Connections(Recent<u64, Connection>);

/// What is remembered of one downstream connection.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    /// The connection's trace id, if the filter minted one for it.
    pub(crate) minted: Option<TraceId>,
    /// The trace that requests without a context join at present.
    pub(crate) current: Option<TraceId>,
    /// Requests that joined `current`.
    pub(crate) joined: u64,
    /// The latest request that joined a trace of the connection's own.
    pub(crate) last_span: Option<SpanId>,
    /// Read from the proxy when first needed.
    pub(crate) ends: Option<Ends>,
    /// A request or session of it was reported.
    pub(crate) is_reported: bool,
}

// === impl Connections ===

impl Connections {
    pub(crate) fn new(capacity: usize) -> Self {
        Self(Recent::new(capacity))
    }

    /// Remembers `capacity` connections from now on.
    pub(crate) fn resize(&mut self, capacity: usize) {
        self.0.resize(capacity);
    }

    /// Returns the ends of the connection of this number, if they were read.
    pub(crate) fn ends(&mut self, number: u64) -> Option<&Ends> {
        self.0.get(number)?.ends.as_ref()
    }

    /// Returns the connection of this number; `mint` decides its id if this is its first request.
    pub(crate) fn meet(
        &mut self,
        number: u64,
        mint: impl FnOnce() -> Option<TraceId>,
    ) -> &mut Connection {
        let may_be_forgotten = self
            .0
            .greatest_forgotten()
            .is_some_and(|forgotten| number <= *forgotten);
        self.0.get_or_insert_with(number, || {
            let minted = if may_be_forgotten { None } else { mint() };
            Connection {
                minted,
                current: minted,
                ..Connection::default()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> Option<TraceId> {
        TraceId::new([byte; 16])
    }

    #[test]
    fn the_first_meeting_decides() {
        let mut connections = Connections::new(8);
        assert_eq!(connections.meet(1, || id(1)).minted, id(1));
        assert_eq!(connections.meet(1, || id(2)).minted, id(1));
        assert_eq!(connections.meet(2, || None).minted, None);
        assert_eq!(connections.meet(2, || id(3)).minted, None);
    }

    #[test]
    fn a_forgotten_connection_never_gets_a_second_id() {
        let mut connections = Connections::new(4);
        for number in 1..=20 {
            connections.meet(number, || id(1));
        }
        assert_eq!(connections.meet(1, || id(2)).minted, None);
        assert_eq!(connections.meet(21, || id(2)).minted, id(2));
    }
}
