//! Incidents as a record shows them, with the requests they are charged to.
//!
//! Only shapes; who is charged is decided in [`crate::charge`].

use syntrace_model::{BootNanos, ConnectionId, SpanId};

use super::LinkKind;
use crate::fact::{IncidentKind, Queue};

/// Something that happened to a connection, or to its listener while it was being opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionIncident {
    /// The moment, or the end of the interval in which it was counted.
    pub at: BootNanos,
    /// What happened.
    pub kind: IncidentKind,
    /// How often.
    pub count: u32,
    /// Length of the accept queue and its bound, if known.
    pub queue: Option<Queue>,
    /// It happened to the listener: to which of the connections that it was opening is not known.
    pub listener: bool,
    /// Which request it hit.
    pub sharing: Sharing,
}

/// An incident as the record of a request shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChargedIncident {
    /// The connection that it happened to.
    pub connection: ConnectionId,
    /// How the request relates to that connection.
    pub link: LinkKind,
    /// What happened, and whom it hit.
    pub incident: ConnectionIncident,
}

/// Which request an incident hit. Segments name no request: time decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sharing {
    /// None ran.
    Nobody,
    /// This one alone.
    Exclusive(SpanId),
    /// One or more of several that ran, or of two between which it fell.
    Shared {
        /// How many.
        streams: u32,
    },
}

// === impl ChargedIncident ===

impl ChargedIncident {
    /// Returns whether it is of this kind, and happened to a connection that relates so.
    pub(crate) fn is(&self, kind: IncidentKind, link: LinkKind) -> bool {
        self.incident.kind == kind && self.link == link
    }

    /// Returns whether it hit this request alone.
    pub(crate) const fn is_exclusive(&self) -> bool {
        matches!(self.incident.sharing, Sharing::Exclusive(_))
    }
}

// === impl Sharing ===

impl Sharing {
    /// Returns the name that the API and spans show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Exclusive(_) => "exclusive",
            Self::Shared { .. } => "shared",
        }
    }
}
