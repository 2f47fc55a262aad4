//! Makes a record of what is known: the joins, the ids, the phases, the answer, put together.
//!
//! Decides nothing itself: a join is decided in [`crate::join`] and [`crate::failure`], an id in
//! [`crate::identity`], the phases in [`crate::phases`], the answer in [`crate::explain`].

mod connection;
mod request;

use syntrace_model::{BootNanos, Opening, TraceId};

pub(crate) use self::request::Assembled;
use crate::{
    clock::Clock,
    fact::{Report, Rung},
    gaps::Gaps,
    gateway::Bindings,
    identity,
    join::{self, Found, Interval},
    ledger::Ledger,
    record::{ConnectionIncident, Join, Missing},
    sockets::{Socket, Sockets},
};

/// Rung on which the probe sees nothing of the kernel.
const L7_ONLY: &str = "l7-only";

/// What is known at present.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) clock: &'a Clock,
    pub(crate) ledger: &'a Ledger,
    pub(crate) gaps: &'a Gaps,
    pub(crate) sockets: &'a Sockets,
    pub(crate) bindings: &'a Bindings,
    pub(crate) rung: Option<&'a Rung>,
}

// === impl Known ===

impl<'a> Known<'a> {
    /// Returns when a request ran, on the kernel's clock: its length is the proxy's, and no step of the
    /// wall clock between its ends changes it.
    pub(crate) fn interval(self, report: &Report) -> Option<Interval> {
        let start = self.clock.to_boot(report.started_at)?;
        Some(Interval {
            start,
            end: start.plus_ns(report.duration_ns),
        })
    }

    /// Names what was found; `minted` is the connection's id, where the report itself says it.
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

    /// Returns whether facts of the kernel view about an interval are known to be lost.
    fn lost_within(self, from: BootNanos, until: BootNanos) -> bool {
        let sender = self.gaps.sender();
        let Some(sender) = sender.filter(|sender| !self.ledger.is_whole(sender)) else {
            return false;
        };
        let around = self.gaps.around(from, until);
        around.is_some_and(|(first, last)| !self.ledger.is_complete(sender, first, last))
    }

    /// Returns what happened to the listener of an accepted socket, from the first SYN that its client sent,
    /// as far as that is known, until a worker had it.
    fn at_listener(self, socket: Socket<'a>) -> impl Iterator<Item = ConnectionIncident> + 'a {
        let accepted_at = socket.accepted_at().or_else(|| socket.established_at());
        let until = accepted_at.filter(|_| socket.opening() == Opening::Passive);
        let incidents = until.zip(socket.syn_at()).map(move |(until, syn_at)| {
            let local = socket.key().local;
            let (netns, sockets) = (socket.netns(), self.sockets);
            let mut by_then = sockets
                .listener_incidents(netns, local, BootNanos(0), until)
                .peekable();
            // Few listeners have any: only then it matters when the client began.
            let from = by_then.peek().map_or(syn_at, |_| {
                let client_s = self.far_end(socket, until).and_then(Socket::syn_at);
                client_s.map_or(syn_at, |at| at.min(syn_at))
            });
            by_then.filter(move |incident| from <= incident.at)
        });
        incidents.into_iter().flatten().copied()
    }

    /// Returns the other end of the same connection, where it is observed too and began at or before `until`;
    /// `None` if several may be it: of namespaces with equal addresses, either may be meant.
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

    /// Says why nothing was found: the first of all reasons.
    fn why_missing(self, reason: Missing, facts_lost: bool) -> Missing {
        match (self.rung, reason) {
            (None, _) => Missing::NoKernelView,
            (Some(rung), _) if &*rung.name == L7_ONLY => Missing::NoKernelView,
            (Some(_), Missing::NoConnection | Missing::AddressHidden) if facts_lost => {
                Missing::FactsLost
            }
            (Some(_), reason) => reason,
        }
    }
}
