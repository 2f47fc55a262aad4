//! Attempts before the last: connects that failed, and pauses before trying again.
//!
//! The proxy reports how many attempts there were, and nothing of those before the last. What is left of the
//! request beside its last attempt is theirs. A connect that failed on the worker's thread explains it, if it
//! took all of it but a pause, and if it went where the last attempt went, or began when the request did. Where
//! requests come together on the client's connection, the latter says nothing: another one's connect begins then as
//! well. Otherwise an earlier attempt may have been answered by the service and retried (by status), while the
//! connect failed for another request. Of several connects, each has to explain it.

use syntrace_model::Endpoint;

use crate::{
    answer::Party,
    evidence::Evidence,
    fact::Report,
    failure::cost_ns,
    join::{Interval, TIGHT_NS},
    phases::{Cut, OWN_WORK_NS, measured_ns},
    record::PhaseKind,
    sockets::Socket,
};

/// The longest pause before the first retry as a rule, nanoseconds: Envoy's base interval, and as much again
/// for a worker without processor time.
const PAUSE_NS: u64 = 50_000_000;

/// The longest pause before any retry as a rule, nanoseconds: ten times the base interval.
const PAUSE_MAX_NS: u64 = 250_000_000;

/// What explains the attempts before the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Explained {
    /// The network's share, at least, nanoseconds.
    least_ns: u64,
    /// The network's share, at most, nanoseconds.
    most_ns: u64,
}

/// Time before the last attempt, and what is known of it.
#[derive(Clone, Copy, Debug)]
struct Before {
    ran: Interval,
    /// From the request's start until its head was there, nanoseconds.
    head_ns: u64,
    /// All of it, nanoseconds.
    spare_ns: u64,
    /// Where the last attempt went.
    peer: Option<Endpoint>,
    /// Requests come together on its connection, and another's connect begins with this one as well.
    is_multiplexed: bool,
}

// === impl Cut ===

impl Cut {
    /// Cuts off the attempts before the last; returns whether nothing else was waited for in them.
    pub(super) fn earlier(&mut self, report: &Report, evidence: &Evidence<'_>) -> bool {
        let attempts = report
            .upstream
            .as_ref()
            .map_or(0, |upstream| upstream.attempts);
        if attempts <= 1 {
            return true;
        }
        let spare_ns = self.left_ns.saturating_sub(measured_ns(report, evidence));
        let Some(ran) = evidence.ran else {
            return false;
        };
        let before = Before {
            ran,
            head_ns: report.http.head_ns.unwrap_or(0),
            spare_ns,
            peer: report.upstream.as_ref().map(|upstream| upstream.peer),
            is_multiplexed: report.http.is_multiplexed(),
        };
        let explained = before
            .explained_by(&evidence.earlier, attempts - 1)
            .filter(|_| !evidence.given_up);
        let Some(explained) = explained else {
            let perhaps = evidence.earlier.first();
            let perhaps_ns = perhaps.map_or(0, |&socket| cost_ns(socket, ran));
            self.take(
                PhaseKind::FailedAttempts,
                Party::Unknown,
                perhaps_ns.min(spare_ns),
            );
            return false;
        };
        let Explained { least_ns, most_ns } = explained;
        self.take(PhaseKind::FailedAttempts, Party::Network, least_ns);
        self.take(
            PhaseKind::FailedAttempts,
            Party::Unknown,
            most_ns - least_ns,
        );
        let pauses_ns = spare_ns.saturating_sub(most_ns);
        if pauses_ns > OWN_WORK_NS {
            self.take(PhaseKind::Backoff, Party::Proxy, pauses_ns);
        }
        true
    }
}

// === impl Before ===

impl Before {
    /// Returns what `attempts` of these connects explain, which are in the order in which they ended; `None`
    /// if they do not.
    fn explained_by(self, connects: &[Socket<'_>], attempts: u32) -> Option<Explained> {
        if connects
            .iter()
            .any(|socket| !socket.outcome().is_failed_connect())
        {
            return None;
        }
        if connects.len() == attempts as usize {
            let kept_ns = self.kept_ns(connects)?;
            return Some(Explained {
                least_ns: kept_ns,
                most_ns: kept_ns,
            });
        }
        if attempts > 1 {
            return None;
        }
        // One of several: whichever it was, the network's share is at least the least that one of them explains.
        let each = connects.chunks(1).map(|one| self.kept_ns(one));
        let each: Vec<u64> = each.collect::<Option<_>>()?;
        Some(Explained {
            least_ns: each.iter().copied().min()?,
            most_ns: each.iter().copied().max()?,
        })
    }

    /// Returns how long these connects, one after the other, held the request up; `None` if that leaves more
    /// than pauses, or if they are likely another request's.
    fn kept_ns(self, connects: &[Socket<'_>]) -> Option<u64> {
        let mut from = self.ran.start;
        let mut pause_ns = OWN_WORK_NS.saturating_add(self.head_ns);
        let (mut kept_ns, mut pauses_ns) = (0_u64, pause_ns);
        let is_there = |socket: &Socket<'_>| Some(socket.key().peer) == self.peer;
        let mut are_own = !self.is_multiplexed;
        for (socket, nth) in connects.iter().zip(1_u32..) {
            let began_at = socket.began_at();
            are_own &= from <= began_at.plus_ns(TIGHT_NS) && began_at <= from.plus_ns(pause_ns);
            let ended_at = socket.closed_at()?.min(self.ran.end);
            kept_ns = kept_ns.saturating_add(ended_at.since_ns(began_at.max(from)));
            from = ended_at;
            pause_ns = longest_pause_ns(nth);
            pauses_ns = pauses_ns.saturating_add(pause_ns);
        }
        let rest_ns = self.spare_ns.checked_sub(kept_ns)?;
        let are_likely = are_own || connects.iter().all(is_there);
        (rest_ns <= pauses_ns && are_likely).then_some(kept_ns)
    }
}

/// Returns how long the proxy waits before the `nth` retry at most, as a rule: twice as long each time.
fn longest_pause_ns(nth: u32) -> u64 {
    let times = 2_u64.saturating_pow(nth).saturating_sub(1);
    PAUSE_NS.saturating_mul(times).min(PAUSE_MAX_NS)
}
