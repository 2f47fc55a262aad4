//! Makes a record from what is known: puts joins, ids, phases and answer together.
//!
//! Decides nothing itself: a join is decided in [`crate::join`] and [`crate::failure`], an id in
//! [`crate::identity`], the phases in [`crate::phases`], the answer in [`crate::explain`].

mod charging;
mod connection;
mod request;

use syntrace_model::{BootNanos, Opening, TraceId};

pub(crate) use self::request::Assembled;
use crate::{
    clock::Clock,
    due,
    fact::Rung,
    gaps::{Gaps, Told},
    gateway::Bindings,
    identity,
    join::{self, Found, Interval},
    ledger::Ledger,
    record::{ConnectionIncident, Join, Missing},
    requests::{Pending, Requests},
    sockets::{Socket, Sockets},
};

/// Rung on which the probe sees nothing of the kernel.
const L7_ONLY: &str = "l7-only";

/// What is known at present.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) clock: &'a Clock,
    /// Which facts arrived.
    pub(crate) ledger: &'a Ledger,
    pub(crate) gaps: &'a Gaps,
    /// Facts of the kernel view may be lost, of whatever time.
    pub(crate) may_lack_any: bool,
    pub(crate) sockets: &'a Sockets,
    /// Those that are not settled.
    pub(crate) requests: &'a Requests,
    pub(crate) bindings: &'a Bindings,
    pub(crate) grace_ns: u64,
    pub(crate) rung: Option<&'a Rung>,
}

// === impl Known ===

impl<'a> Known<'a> {
    /// Returns when a request ran, on the kernel's clock: its length is the proxy's, and no step of the
    /// wall clock between its ends changes it.
    pub(crate) fn interval(self, pending: &Pending) -> Option<Interval> {
        let report = &*pending.report;
        let began_by = due::began_by(report, pending.arrived_at);
        let start = self.clock.to_boot_by(report.started_at, began_by)?;
        Some(Interval {
            start,
            end: start.plus_ns(report.duration_ns),
        })
    }

    /// Describes what was found; `minted` is the connection's id, where the report itself names it.
    fn join(self, found: &Found<'_>, minted: Option<TraceId>) -> Join {
        let connection = found.socket.id();
        let own = identity::trace_id(found.socket.connection());
        Join::To {
            connection,
            trace_id: minted
                .filter(|_| found.is_certain())
                .or(own)
                .unwrap_or_else(|| found.socket.minted()),
            method: found.method,
            confidence: found.confidence,
            candidates: found.candidates.clone(),
        }
    }

    /// Returns whether the kernel view reported everything that happened within an interval.
    fn told(self, from: BootNanos, until: BootNanos) -> Told {
        self.gaps.told(self.ledger, from, until)
    }

    /// Returns whether facts of the kernel view about an interval are known to be lost.
    fn lost_within(self, from: BootNanos, until: BootNanos) -> bool {
        self.may_lack_any && self.told(from, until) == Told::NotAll
    }

    /// Returns what happened to the listener of an accepted socket, from the first SYN that its client sent,
    /// as far as that is known, until a worker accepted it.
    fn at_listener(self, socket: Socket<'a>) -> impl Iterator<Item = ConnectionIncident> + 'a {
        let accepted_at = socket.accepted_at().or_else(|| socket.established_at());
        let until = accepted_at.filter(|_| socket.opening() == Opening::Passive);
        let incidents = until.zip(socket.syn_at()).map(move |(until, syn_at)| {
            let local = socket.key().local;
            let (netns, sockets) = (socket.netns(), self.sockets);
            let mut by_then = sockets.listener_incidents(netns, local, until).peekable();
            // Few listeners have any; only then does it matter when the client started.
            let from = by_then.peek().map_or(syn_at, |_| {
                let client_s = self.far_end(socket, until).and_then(Socket::syn_at);
                client_s.map_or(syn_at, |at| at.min(syn_at))
            });
            by_then.filter(move |incident| from <= incident.at)
        });
        incidents.into_iter().flatten().copied()
    }

    /// Returns the other end of the same connection, where it is observed too and began at or before `until`;
    /// `None` if several fit: where namespaces have equal addresses, either may be meant.
    fn far_end(self, socket: Socket<'a>, until: BootNanos) -> Option<Socket<'a>> {
        let mut ends = self.sockets.far_ends(socket, until);
        let mut ends = ends.by_ref().filter(|&other| match socket.opening() {
            Opening::Active => join::are_ends_of_one(socket, other),
            Opening::Passive => join::are_ends_of_one(other, socket),
        });
        let far_end = ends.next()?;
        ends.all(|other| other.id() == far_end.id())
            .then_some(far_end)
    }

    /// Returns why nothing was found: the most fundamental reason.
    fn why_missing(self, reason: Missing, facts_lost: bool) -> Missing {
        match (self.rung, reason) {
            (None, _) => Missing::NoKernelView,
            (Some(rung), _) if &*rung.name == L7_ONLY => Missing::NoKernelView,
            // Another socket may be the one that was lost.
            (
                Some(_),
                Missing::NoConnection
                | Missing::AddressHidden
                | Missing::TimeDiffers
                | Missing::NumberDiffers,
            ) if facts_lost => Missing::FactsLost,
            (Some(_), reason) => reason,
        }
    }
}
