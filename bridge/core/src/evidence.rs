//! What was joined to one request, as its phases and its answer rest on it.

use syntrace_model::BootNanos;

use crate::{
    confidence::Confidence,
    fact::IncidentKind,
    join::Interval,
    phases,
    record::{ChargedIncident, LinkKind},
    sockets::Socket,
};

/// What was joined to a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence<'a> {
    /// When it ran, on the kernel's clock.
    pub(crate) ran: Option<Interval>,
    /// The connection that it came in on.
    pub(crate) received_on: Option<Socket<'a>>,
    /// The same, if it waited for that connection to be opened: it began right
    /// after, and no other request on it had ended before.
    pub(crate) fresh: Option<Socket<'a>>,
    /// The client's own end of that connection, where it is observed too.
    pub(crate) client_s: Option<Socket<'a>>,
    /// The connection that carried it to the service.
    pub(crate) served_by: Option<Socket<'a>>,
    /// When the service's own end of that connection, where it is observed too, first retransmitted while the
    /// request ran.
    pub(crate) answer_resent_at: Option<BootNanos>,
    /// How long the service's own end of it waited to be accepted while the request ran, nanoseconds.
    pub(crate) in_accept_queue_ns: u64,
    /// Whether the service's RST ended that very connection while the request ran.
    pub(crate) reset_by_service: bool,
    /// The connect that it waited for.
    pub(crate) opened: Option<Socket<'a>>,
    /// The connect that failed it, and how sure that is.
    pub(crate) failed_by: Option<(Socket<'a>, Confidence)>,
    /// Whether the listener that this connect went to, in the connect's own namespace, dropped a SYN meanwhile.
    pub(crate) syn_dropped: bool,
    /// The failed connects among which those of earlier attempts are, in the order in which they ended.
    pub(crate) earlier: Vec<Socket<'a>>,
    /// Whether an attempt in parallel with the last one may have been given up.
    pub(crate) given_up: bool,
    /// Whether the kernel view lost facts while it ran.
    pub(crate) facts_lost: bool,
    /// What happened to its connections while it ran.
    pub(crate) incidents: Vec<ChargedIncident>,
    /// Incidents that the bounds left out of its connections and their listeners, if any of them may have been among
    /// these.
    pub(crate) incidents_evicted: u64,
}

// === impl Evidence ===

impl Evidence<'_> {
    /// Returns which queue of the listener was full, if it dropped segments of connections that it was opening:
    /// within the second before the incident, and not known of which.
    pub(crate) fn dropped(&self) -> Option<IncidentKind> {
        let of_listener = self.incidents.iter().map(|charged| charged.incident);
        let mut kinds = of_listener
            .filter(|incident| incident.listener)
            .map(|incident| incident.kind);
        kinds.find(|kind| {
            matches!(
                kind,
                IncidentKind::AcceptOverflow | IncidentKind::SynOverflow
            )
        })
    }

    /// Returns whether a SYN or SYN-ACK of the client's handshake was sent again, by the word of either end.
    pub(crate) fn client_syn_resent(&self) -> bool {
        [self.fresh, self.client_s]
            .into_iter()
            .flatten()
            .any(phases::is_handshake_resent)
    }

    /// Returns whether the SYN of the connect that it waited for was sent again.
    pub(crate) fn connect_syn_resent(&self) -> bool {
        self.opened.is_some_and(phases::is_handshake_resent)
    }

    /// Returns the first incident of a kind on one of its connections, if it hit this request alone.
    pub(crate) fn exclusive(&self, kind: IncidentKind, link: LinkKind) -> Option<&ChargedIncident> {
        let mut incidents = self.incidents.iter();
        incidents.find(|charged| charged.is(kind, link) && charged.is_exclusive())
    }
}
