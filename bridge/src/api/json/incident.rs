//! What happened to a connection at one moment, as JSON.

use serde::Serialize;
use syntrace_core::record::{ChargedIncident, ConnectionIncident, Sharing};
use syntrace_model::UnixNanos;
use utoipa::ToSchema;

use super::time;

/// What happened to a connection, or to its listener while it was being opened.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Incident {
    /// The moment, or the end of the interval in which it was counted; RFC 3339.
    at: Option<String>,
    /// `retransmit`, `zero_window`, `accept_overflow`, `syn_overflow` or `syn_cookies`.
    kind: &'static str,
    /// How often.
    count: u32,
    queue: Option<Queue>,
    /// It happened to the listener: to which of the connections is not known.
    listener: bool,
    /// Which request it hit: `nobody`, `exclusive` or `shared`.
    sharing: &'static str,
    /// The request, where it is exclusive.
    request: Option<String>,
    /// Among how many requests, where it is shared.
    streams: Option<u32>,
}

/// An accept queue at one moment.
#[derive(Debug, Serialize, ToSchema)]
struct Queue {
    length: u32,
    max: u32,
}

/// An incident of a connection of a request.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Charged {
    /// The connection that it happened to.
    connection: String,
    /// How the request relates to it.
    link: &'static str,
    #[serde(flatten)]
    incident: Incident,
}

impl Incident {
    /// Shows an incident; `at` is its time on the wall clock, where it can be placed.
    pub(super) fn of(incident: &ConnectionIncident, at: Option<UnixNanos>) -> Self {
        let (request, streams) = match incident.sharing {
            Sharing::Nobody => (None, None),
            Sharing::Exclusive(request) => (Some(request.to_string()), None),
            Sharing::Shared { streams } => (None, Some(streams)),
        };
        Self {
            at: at.map(time),
            kind: incident.kind.name(),
            count: incident.count,
            queue: incident.queue.map(|queue| Queue {
                length: queue.length,
                max: queue.max,
            }),
            listener: incident.listener,
            sharing: incident.sharing.name(),
            request,
            streams,
        }
    }
}

impl From<&ChargedIncident> for Charged {
    /// The request's record knows no clock: its connection's record has the time.
    fn from(charged: &ChargedIncident) -> Self {
        Self {
            connection: charged.connection.to_string(),
            link: charged.link.name(),
            incident: Incident::of(&charged.incident, None),
        }
    }
}
