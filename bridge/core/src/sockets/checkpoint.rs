//! A connection to and from a checkpoint.

use syntrace_model::ConnectionId;

use super::{Connection, Contradictions, Entry, Incidents, Kernel, Socket, connection::Assigned};
use crate::{
    checkpoint::{AssignedState, ConnectionState, IncidentsState},
    slab::Slot,
};

impl Connection<'_> {
    /// Returns all that is known of it, to go on from.
    pub(crate) fn checkpoint(self) -> ConnectionState {
        let incidents = self.entry.incidents.as_ref();
        ConnectionState {
            id: self.id(),
            probe: self.context.probe.0,
            socket: self.socket().map(Socket::snapshot),
            earlier: self.entry.kernel.as_ref().and_then(Kernel::earlier),
            role: self.entry.role,
            contradictions: self.entry.contradictions.bits(),
            assigned: self.entry.assigned.as_deref().map(Assigned::checkpoint),
            incidents: incidents.map_or_else(IncidentsState::default, |kept| kept.checkpoint()),
        }
    }
}

impl Entry {
    /// Returns a connection as it was known before.
    pub(super) fn restore(state: &ConnectionState, context: Slot) -> Self {
        let number = match state.id {
            ConnectionId::Socket { cookie, .. } => cookie,
            ConnectionId::Proxy { connection, .. } => connection,
        };
        let assigned = state.assigned.as_ref();
        let mut kernel = state.socket.as_ref().map(Kernel::new);
        if let (Some(kernel), Some(earlier)) = (&mut kernel, &state.earlier) {
            kernel.restore_earlier(earlier);
        }
        Self {
            role: state.role,
            contradictions: Contradictions::from_bits(state.contradictions),
            kernel,
            assigned: assigned.map(|state| Box::new(Assigned::restore(state))),
            incidents: Incidents::restore(&state.incidents).map(Box::new),
            ..Self::new(number, context)
        }
    }
}

impl Assigned {
    fn checkpoint(&self) -> AssignedState {
        AssignedState {
            minted: self.minted.to_vec(),
            requests: self.requests.iter().copied().collect(),
            requests_evicted: self.requests_evicted,
            number: self.number,
            first_end: self.first_end,
            began_at: self.began_at,
            idle_at: self.idle_at,
        }
    }

    fn restore(state: &AssignedState) -> Self {
        Self {
            minted: state.minted.iter().copied().collect(),
            requests: state.requests.iter().copied().collect(),
            requests_evicted: state.requests_evicted,
            number: state.number,
            first_end: state.first_end,
            began_at: state.began_at,
            idle_at: state.idle_at,
        }
    }
}
