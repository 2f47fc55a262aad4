//! When facts of the kernel view were lost: a gap in the numbers, placed in time by the facts around it; or a
//! count in a batch, of what was lost before it had a number.
//!
//! # One run of a probe
//!
//! An interval is complete if a fact from before it arrived, and one from after it, and all numbers between. A
//! gap shows as soon as a later fact has arrived; without a later fact, nobody can say. A batch arrives as a
//! whole, and all that its sender had read when it read the clock is in it or in an earlier one: so the clock
//! counts as a fact.
//!
//! What had happened by a moment has arrived a grace period later, so the answer then does not depend on the
//! order of arrival: only facts from shortly after the interval are considered.
//!
//! # Several runs
//!
//! Each run numbers from 0 and counts anew, and batches of a probe and of its successor arrive in any order. So
//! each run has a timeline of its own, a function of the set of its facts, and an interval is asked of each:
//!
//! - Facts about it are lost if any run lost some: whose they were cannot be known. A run that tells of nothing
//!   from before the interval counts from number 0, if another one told of that time: its beginning came while
//!   somebody listened, so what did not arrive of it is lost. That is also where a seam shows: what a probe had
//!   not read when it handed over, its successor tells first.
//! - It is complete if one run tells of it from before to after, and none lost any. Only one run at a time reads
//!   what the kernel tells, in order: what happened between two facts that it read, it read itself. But it looks
//!   for open sockets before its predecessor has gone, so it counts as there only from its first clock on.
//! - Of an interval that no run encloses nobody can say, even if one said goodbye before the next one began: in
//!   between, all may have been kept for the successor, or nothing observed.
//!
//! Bounded: of too many runs, the one goes whose last fact is the oldest. What is asked of the time until then is
//! no longer known to be complete.

mod sampling;
mod timeline;

use syntrace_model::BootNanos;

use self::timeline::{Timeline, bucket_of, first_bucket};
use crate::{
    checkpoint::TimelineState,
    fact::{Batch, Fact, Sampling, SenderId},
    ledger::Ledger,
};

/// Runs whose timelines are kept: of one probe, it and those that it took over from lately.
const TIMELINES_MAX: usize = 4;

/// Whether the kernel view reported everything that happened within an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// All facts about it arrived.
    All,
    /// Nothing shows that facts are missing, nor that all have arrived.
    Perhaps,
    /// Facts about it are known to be lost or late.
    NotAll,
}

// === impl Told ===

impl Told {
    /// Returns what can be said where connections may have been left out.
    pub(crate) const fn at_best_perhaps(self) -> Self {
        match self {
            Self::All | Self::Perhaps => Self::Perhaps,
            Self::NotAll => Self::NotAll,
        }
    }
}

/// The timelines of the probes.
#[derive(Debug, Default)]
pub(crate) struct Gaps {
    /// By sender.
    timelines: Vec<Timeline>,
    /// The place of the one that was told last.
    told_last: usize,
    /// The first bucket after all that was forgotten with a run.
    known_from: u64,
}

// === impl Gaps ===

impl Gaps {
    /// Notes a fact that is new, with its number.
    pub(crate) fn note(&mut self, sender: &SenderId, seq: u64, fact: &Fact) {
        let at = match fact {
            Fact::Connection(snapshot) => snapshot.seen_at,
            Fact::Incident(incident) => incident.at,
            Fact::Clock(sample) => sample.boot,
            Fact::Sampling(Sampling { at, one_in }) => {
                // It may be told again long after.
                if let Some(timeline) = self.timeline(sender, *at) {
                    timeline.sampled.note(*at, *one_in);
                }
                return;
            }
            Fact::Request(_) | Fact::Rung(_) | Fact::Refused(_) => return,
        };
        if let Some(timeline) = self.timeline(sender, at) {
            timeline.note(seq, at);
            if matches!(fact, Fact::Clock(_)) {
                timeline.note_clock(at);
            }
        }
    }

    /// Notes what a batch reports as lost by when it was closed.
    pub(crate) fn note_losses(&mut self, batch: &Batch, at: BootNanos) {
        if let Some(timeline) = self.timeline(&batch.sender, at) {
            timeline.note_losses(batch, at);
        }
    }

    /// Returns the timeline of a run that tells of this moment; `None` if it is one too many.
    fn timeline(&mut self, sender: &SenderId, at: BootNanos) -> Option<&mut Timeline> {
        let is_it = |known: &Timeline| known.sender() == sender;
        if !self.timelines.get(self.told_last).is_some_and(is_it) {
            self.told_last = self.find_or_begin(sender, at)?;
        }
        self.timelines.get_mut(self.told_last)
    }

    /// Returns the place of a run, which begins unless it is known.
    fn find_or_begin(&mut self, sender: &SenderId, at: BootNanos) -> Option<usize> {
        let find =
            |timelines: &[Timeline]| timelines.binary_search_by(|known| known.sender().cmp(sender));
        if let Ok(place) = find(&self.timelines) {
            return Some(place);
        }
        if self.timelines.len() >= TIMELINES_MAX {
            let latest = self.timelines.iter().map(Timeline::latest);
            let (latest, oldest) = latest.zip(0..).min()?;
            let at = bucket_of(at);
            self.known_from = self.known_from.max(latest.min(at).saturating_add(1));
            if at <= latest {
                return None;
            }
            self.timelines.remove(oldest);
        }
        let place = find(&self.timelines).unwrap_or_else(|place| place);
        self.timelines.insert(place, Timeline::new(sender.clone()));
        Some(place)
    }

    /// Returns whether any facts may be lost, of whatever time.
    pub(crate) fn may_lack_any(&self, ledger: &Ledger) -> bool {
        let is_only = self.timelines.len() == 1;
        let is_whole = |timeline: &Timeline| {
            ledger
                .numbers(timeline.sender())
                .is_some_and(|numbers| numbers.is_whole() && (is_only || numbers.ends().0 == 0))
                && !timeline.have_counted()
        };
        self.known_from > 0 || !self.timelines.iter().all(is_whole)
    }

    /// Returns whether everything about an interval was told.
    pub(crate) fn told(&self, ledger: &Ledger, from: BootNanos, until: BootNanos) -> Told {
        let is_heard = self.is_heard_before(from);
        let (mut is_whole, mut is_known) = (false, self.is_known(from));
        for timeline in &self.timelines {
            let Some(numbers) = ledger.numbers(timeline.sender()) else {
                is_known = false;
                continue;
            };
            if timeline.were_counted(from, until) {
                return Told::NotAll;
            }
            let around = timeline.around(from, until);
            let (lowest, highest) = around.within.unzip();
            let Some(last) = highest.max(around.after) else {
                continue;
            };
            let first = match around.before {
                Some(before) => lowest.unwrap_or(before).min(before),
                None if is_heard => 0,
                None => lowest.unwrap_or(last),
            };
            if !numbers.has_all(first.min(last), last) {
                return Told::NotAll;
            }
            is_whole |= around.before.is_some() && around.after.is_some();
        }
        match is_whole && is_known {
            true => Told::All,
            false => Told::Perhaps,
        }
    }

    /// Returns whether a connection that began within an interval, and ended well or has not ended, may have been left
    /// out.
    pub(crate) fn was_sampled(&self, from: BootNanos, until: BootNanos) -> bool {
        let mut timelines = self.timelines.iter();
        timelines.any(|timeline| timeline.sampled.was_on(from, until))
    }

    /// Returns whether the end of one socket and the start of another, both within an interval, may not have been told:
    /// because two facts, told one after the other, are lost (two consecutive numbers, or two that a batch counts); or
    /// one, and the other was left out.
    pub(crate) fn may_lack_succession(
        &self,
        ledger: &Ledger,
        from: BootNanos,
        until: BootNanos,
    ) -> bool {
        let enough = if self.was_sampled(from, until) { 1 } else { 2 };
        let is_heard = self.is_heard_before(from);
        let lacks = |timeline: &Timeline| {
            let Some(numbers) = ledger.numbers(timeline.sender()) else {
                return true;
            };
            let around = timeline.around(from, until);
            let (lowest, highest) = around.within.unzip();
            // Where the numbers of that time are not known, or no longer, any missing fact may be of it.
            let (earliest, latest) = numbers.ends();
            let first = match around.before {
                Some(before) => lowest.unwrap_or(before).min(before),
                None if is_heard => 0,
                None => earliest,
            };
            let last = highest.max(around.after).unwrap_or(latest);
            let first = first.min(last);
            let lacks_numbers = match enough {
                1 => !numbers.has_all(first, last),
                _ => numbers.lacks_two(first, last),
            };
            lacks_numbers || timeline.counted_at_once(from, until) >= enough
        };
        !self.is_known(from) || self.timelines.iter().any(lacks)
    }

    /// Returns whether any run told before an interval that starts then.
    fn is_heard_before(&self, from: BootNanos) -> bool {
        self.timelines.iter().any(|known| known.told_before(from))
    }

    /// Returns whether all runs are known that told of what came after that moment.
    fn is_known(&self, from: BootNanos) -> bool {
        first_bucket(from) >= self.known_from
    }

    /// Returns what is known of each run, and from which bucket on of all.
    pub(crate) fn checkpoint(&self) -> (Vec<TimelineState>, u64) {
        let timelines = self.timelines.iter().map(Timeline::checkpoint);
        (timelines.collect(), self.known_from)
    }

    /// Restores what was known before.
    pub(crate) fn restore(&mut self, timelines: &[TimelineState], known_from: u64) {
        self.timelines = timelines.iter().map(Timeline::restore).collect();
        self.known_from = known_from;
    }
}

#[cfg(test)]
mod tests;
