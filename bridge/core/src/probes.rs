//! The probes that reported sockets, and whether they still watch them.
//!
//! A socket of which a live probe reports nothing more is open. One whose probe ended, went silent or was
//! succeeded by another run may be gone: nothing about it is certain until another run reports it again. If
//! none does, it counts as ended, unseen.
//!
//! Hooks outlive the process that attached them: where a run has the map of an earlier one, as after a take-over or a
//! crash, it follows on what the hooks of that one followed, and need not report it again. What was found or polled
//! it has to.

use syntrace_model::BootNanos;

use crate::fact::{Origin, SenderId};

/// Runs of probes remembered, of those that ended the latest; beyond, runs share one place, and count as
/// watching forever.
const PROBES_MAX: usize = 64;

/// How long a probe may be silent, nanoseconds; it sends several times a second.
const SILENCE_NS: u64 = 30_000_000_000;

/// How long another run has to report what it found open when it started, nanoseconds.
const FOUND_NS: u64 = 10_000_000_000;

/// How long to wait for a probe that ended, nanoseconds.
const AWAY_NS: u64 = 300_000_000_000;

/// How old the clock sample of a probe's batch is on its arrival, at most, if the probe keeps up, nanoseconds:
/// it gathers for a fraction of this.
const BEHIND_NS: u64 = 500_000_000;

/// A moment from which no time passes.
const NEVER_AGAIN: BootNanos = BootNanos(u64::MAX);

/// The place of a run, from 1; 0 is shared by all that found none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ProbeId(pub(crate) u8);

/// All probes that reported sockets.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    places: Vec<Option<ProbeRun>>,
    /// Where the search for a free place starts: after the one that was given last.
    next: usize,
}

/// One run of one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeRun {
    /// Who.
    pub sender: SenderId,
    /// What became of it.
    pub state: ProbeState,
    /// When its last batch was closed: it had reported all that it had read by then.
    pub told_until: Option<BootNanos>,
    /// The kernel's id of the map of the sockets that its hooks follow.
    pub sockets_map_id: Option<u32>,
    /// Sockets that it was the last to report.
    pub sockets: usize,
}

/// What became of a run; times are those of [`handle_timeout`](crate::Reconciler::handle_timeout), absent until
/// its next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeState {
    /// It was heard.
    Watching {
        /// When.
        heard_at: Option<BootNanos>,
    },
    /// It said goodbye, or was not heard for long.
    Away {
        /// When.
        since: Option<BootNanos>,
        /// Whether it said goodbye.
        goodbye: bool,
    },
    /// Another run of it was heard.
    Succeeded {
        /// When.
        since: Option<BootNanos>,
    },
}

// === impl Probes ===

impl Probes {
    /// Returns the place of a run; a new one, whose batch was closed then, succeeds the probe's others, unless one
    /// of them closed its batch later: they follow each other, so it is that one's predecessor, heard late. One
    /// that ended is remembered as long as possible: if it is heard once more, it is not taken for a new one.
    pub(crate) fn place(&mut self, sender: &SenderId, told_until: Option<BootNanos>) -> ProbeId {
        if let Some(id) = self.find(sender) {
            return id;
        }
        let known = self.places.iter_mut().flatten();
        let others = known.filter(|other| other.sender.name == sender.name);
        let mut state = ProbeState::Watching { heard_at: None };
        for other in others {
            if told_until.is_some() && other.told_until > told_until {
                state = ProbeState::Succeeded { since: None };
            } else if !other.is_succeeded() {
                other.state = ProbeState::Succeeded { since: None };
            }
        }
        let run = ProbeRun {
            sender: sender.clone(),
            state,
            told_until: None,
            sockets_map_id: None,
            sockets: 0,
        };
        if self.places.len() < PROBES_MAX {
            self.places.push(Some(run));
            return ProbeId(self.places.len() as u8);
        }
        let is_free = |&n: &usize| {
            let place = self.places.get(n).and_then(Option::as_ref);
            place.is_none_or(|known| {
                known.sockets == 0 && !matches!(known.state, ProbeState::Watching { .. })
            })
        };
        let free = (self.next..PROBES_MAX).chain(0..self.next).find(is_free);
        let Some((free, place)) = free.and_then(|free| Some((free, self.places.get_mut(free)?)))
        else {
            return ProbeId(0);
        };
        *place = Some(run);
        self.next = free + 1;
        ProbeId(self.next as u8)
    }

    /// Notes that a sender was heard, if it is a probe that is known, and when it had closed its batch. A batch that
    /// was closed before one that is known is no news: that the probe was behind is not known by it.
    pub(crate) fn hear(&mut self, sender: &SenderId, goodbye: bool, told_until: Option<BootNanos>) {
        let known = self.find(sender).and_then(|id| self.get_mut(id));
        let Some(run) = known else {
            return;
        };
        let is_old = told_until.is_some() && told_until < run.told_until;
        if !is_old {
            run.told_until = told_until;
        }
        run.state = match run.state {
            ProbeState::Succeeded { since } => ProbeState::Succeeded {
                since: once_more(since),
            },
            ProbeState::Away {
                goodbye: true,
                since,
            } => ProbeState::Away {
                goodbye: true,
                since: once_more(since),
            },
            ProbeState::Watching { .. } | ProbeState::Away { .. } if goodbye => ProbeState::Away {
                goodbye: true,
                since: None,
            },
            ProbeState::Watching { heard_at } if is_old => ProbeState::Watching { heard_at },
            ProbeState::Watching { .. } | ProbeState::Away { .. } => {
                ProbeState::Watching { heard_at: None }
            }
        };
    }

    /// Notes in which map the hooks of a probe keep sockets.
    pub(crate) fn follow(&mut self, sender: &SenderId, sockets_map_id: u32) {
        if let Some(run) = self.find(sender).and_then(|id| self.get_mut(id)) {
            run.sockets_map_id = Some(sockets_map_id);
        }
    }

    /// Returns who follows a socket that a run was the last to report: that run, or the one that has its map now.
    pub(crate) fn follower(&self, id: ProbeId, origin: Origin) -> ProbeId {
        let heir = || {
            let run = self.get(id)?;
            let map = run.sockets_map_id?;
            let has_map = |other: &ProbeRun| {
                other.sender.name == run.sender.name
                    && other.sockets_map_id == Some(map)
                    && !other.is_succeeded()
            };
            let mut places = self.places.iter();
            let n = places.position(|place| place.as_ref().is_some_and(has_map))?;
            Some(ProbeId(n as u8 + 1))
        };
        match origin {
            Origin::Watched => heir().unwrap_or(id),
            Origin::Backfilled | Origin::Polled => id,
        }
    }

    /// Notes that what was heard lately was heard by `now`.
    pub(crate) fn heard_by(&mut self, now: BootNanos) {
        for run in self.places.iter_mut().flatten() {
            if let ProbeState::Watching { heard_at } = &mut run.state {
                heard_at.get_or_insert(now);
            }
        }
    }

    /// Returns up to when the probe that is furthest behind has reported, if one is behind: what it sent last
    /// was old on arrival, so more is on its way.
    pub(crate) fn behind(&self) -> Option<BootNanos> {
        let watching = self.places.iter().flatten();
        let behind = watching.filter_map(|run| {
            let ProbeState::Watching { heard_at } = run.state else {
                return None;
            };
            let is_old =
                |told: &BootNanos| heard_at.is_some_and(|at| at.since_ns(*told) > BEHIND_NS);
            run.told_until.filter(is_old)
        });
        behind.min()
    }

    /// Lets time pass; returns the runs whose sockets now count as ended.
    pub(crate) fn pass(&mut self, now: BootNanos) -> Vec<ProbeId> {
        let mut ended = Vec::new();
        for (n, run) in self.places.iter_mut().enumerate() {
            let Some(run) = run else { continue };
            let over = |since: BootNanos, most_ns| now.since_ns(since) > most_ns;
            match &mut run.state {
                ProbeState::Watching { heard_at } => {
                    let heard_at = *heard_at.get_or_insert(now);
                    if over(heard_at, SILENCE_NS) {
                        run.state = ProbeState::Away {
                            since: Some(now),
                            goodbye: false,
                        };
                    }
                }
                ProbeState::Away { since, .. } => {
                    if over(*since.get_or_insert(now), AWAY_NS) {
                        *since = Some(NEVER_AGAIN);
                        ended.push(ProbeId(n as u8 + 1));
                    }
                }
                ProbeState::Succeeded { since } => {
                    if over(*since.get_or_insert(now), FOUND_NS) {
                        *since = Some(NEVER_AGAIN);
                        ended.push(ProbeId(n as u8 + 1));
                    }
                }
            }
        }
        ended
    }

    /// Returns whether a probe watches its sockets.
    pub(crate) fn watches(&self, id: ProbeId) -> bool {
        self.get(id)
            .is_none_or(|run| matches!(run.state, ProbeState::Watching { .. }))
    }

    /// Returns whether a sender is a probe that does not watch any more.
    pub(crate) fn is_gone(&self, sender: &SenderId) -> bool {
        self.find(sender).is_some_and(|id| !self.watches(id))
    }

    /// Returns whether a probe ended without saying goodbye.
    pub(crate) fn left_silently(&self, id: ProbeId) -> bool {
        self.get(id).is_some_and(|run| {
            !matches!(
                run.state,
                ProbeState::Watching { .. } | ProbeState::Away { goodbye: true, .. }
            )
        })
    }

    /// Notes that a probe is the last to have reported one socket more.
    pub(crate) fn gain(&mut self, id: ProbeId) {
        if let Some(run) = self.get_mut(id) {
            run.sockets += 1;
        }
    }

    /// Notes that a probe is the last to have reported one socket fewer.
    pub(crate) fn lose(&mut self, id: ProbeId) {
        if let Some(run) = self.get_mut(id) {
            run.sockets = run.sockets.saturating_sub(1);
        }
    }

    /// Returns all, by place.
    pub(crate) fn all(&self) -> &[Option<ProbeRun>] {
        &self.places
    }

    /// Restores what was known before, without the counts of sockets: those are counted again.
    pub(crate) fn restore(&mut self, places: &[Option<ProbeRun>]) {
        self.places = places.to_vec();
        for run in self.places.iter_mut().flatten() {
            run.sockets = 0;
        }
    }

    fn find(&self, sender: &SenderId) -> Option<ProbeId> {
        let is =
            |place: &Option<ProbeRun>| place.as_ref().is_some_and(|known| known.sender == *sender);
        let n = self.places.iter().position(is)?;
        Some(ProbeId(n as u8 + 1))
    }

    fn get(&self, id: ProbeId) -> Option<&ProbeRun> {
        self.places.get(usize::from(id.0).checked_sub(1)?)?.as_ref()
    }

    fn get_mut(&mut self, id: ProbeId) -> Option<&mut ProbeRun> {
        let place = usize::from(id.0).checked_sub(1)?;
        self.places.get_mut(place)?.as_mut()
    }
}

// === impl ProbeRun ===

impl ProbeRun {
    const fn is_succeeded(&self) -> bool {
        matches!(self.state, ProbeState::Succeeded { .. })
    }
}

/// What a run reports after its sockets were presumed gone gets the same time again, and then ends too.
fn once_more(since: Option<BootNanos>) -> Option<BootNanos> {
    since.filter(|&since| since != NEVER_AGAIN)
}

#[cfg(test)]
mod tests;
