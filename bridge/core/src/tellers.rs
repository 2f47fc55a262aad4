//! The probes that told of sockets, and whether they still watch them.
//!
//! A socket of which a living probe says nothing more is open. One whose probe ended, fell silent or was
//! succeeded by another run may be gone: nothing is certain of it until another run tells of it again. If
//! none does, it counts as ended, unseen.

use syntrace_model::BootNanos;

use crate::fact::SenderId;

/// Runs of probes remembered, the latest of those that ended; more at once share one place, and are believed
/// to watch for ever.
const TELLERS_MAX: usize = 64;

/// How long a probe may be silent; it speaks several times a second.
const SILENCE_NS: u64 = 30_000_000_000;

/// How long another run has for telling of what it found open when it started.
const FOUND_NS: u64 = 10_000_000_000;

/// How long a probe that ended is waited for.
const AWAY_NS: u64 = 300_000_000_000;

/// How old the clock of a probe's batch is on its arrival, at most, if the probe keeps up: it gathers for
/// a fraction of this.
const BEHIND_NS: u64 = 500_000_000;

/// A moment from which no time passes.
const NEVER_AGAIN: BootNanos = BootNanos(u64::MAX);

/// The place of a probe; the first one is that of all that found no place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct TellerId(pub(crate) u8);

/// All probes that told of sockets.
#[derive(Debug, Default)]
pub(crate) struct Tellers {
    places: Vec<Option<Teller>>,
    /// Where the search begins for a place to give away: behind the last one that was.
    next: usize,
}

/// One run of one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Teller {
    /// Who.
    pub sender: SenderId,
    /// What became of it.
    pub state: TellerState,
    /// When its last batch was closed: it had told all that it had read by then.
    pub told_until: Option<BootNanos>,
    /// Sockets that it was the last to tell of.
    pub sockets: usize,
}

/// What became of a probe; times are of the clock that settles, and absent until it was asked next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TellerState {
    /// It was heard.
    Watching {
        /// When.
        heard_at: Option<BootNanos>,
    },
    /// It said goodbye, or was not heard for long.
    Away {
        /// When.
        since: Option<BootNanos>,
        /// Which of both.
        goodbye: bool,
    },
    /// Another run of it was heard.
    Succeeded {
        /// When.
        since: Option<BootNanos>,
    },
}

// === impl Tellers ===

impl Tellers {
    /// Returns the place of a probe; a new run succeeds the others. One that ended is known for as long as may be:
    /// if it is heard once more, it is no new one.
    pub(crate) fn place(&mut self, sender: &SenderId) -> TellerId {
        if let Some(id) = self.find(sender) {
            return id;
        }
        let mut known = self.places.iter_mut().flatten();
        let predecessors = known
            .by_ref()
            .filter(|other| other.sender.name == sender.name);
        for other in predecessors {
            if !matches!(other.state, TellerState::Succeeded { .. }) {
                other.state = TellerState::Succeeded { since: None };
            }
        }
        let teller = Teller {
            sender: sender.clone(),
            state: TellerState::Watching { heard_at: None },
            told_until: None,
            sockets: 0,
        };
        if self.places.len() < TELLERS_MAX {
            self.places.push(Some(teller));
            return TellerId(self.places.len() as u8);
        }
        let is_free = |&n: &usize| {
            let place = self.places.get(n).and_then(Option::as_ref);
            place.is_none_or(|known| {
                known.sockets == 0 && !matches!(known.state, TellerState::Watching { .. })
            })
        };
        let free = (self.next..TELLERS_MAX).chain(0..self.next).find(is_free);
        let Some((free, place)) = free.and_then(|free| Some((free, self.places.get_mut(free)?)))
        else {
            return TellerId(0);
        };
        *place = Some(teller);
        self.next = free + 1;
        TellerId(self.next as u8)
    }

    /// Notes that a sender was heard, if it is a probe that is known, and when it had closed its batch.
    pub(crate) fn hear(&mut self, sender: &SenderId, goodbye: bool, told_until: Option<BootNanos>) {
        let known = self.find(sender).and_then(|id| self.get_mut(id));
        let Some(teller) = known else {
            return;
        };
        teller.told_until = told_until;
        teller.state = match teller.state {
            TellerState::Succeeded { since } => TellerState::Succeeded {
                since: once_more(since),
            },
            TellerState::Away {
                goodbye: true,
                since,
            } => TellerState::Away {
                goodbye: true,
                since: once_more(since),
            },
            TellerState::Watching { .. } | TellerState::Away { .. } if goodbye => {
                TellerState::Away {
                    goodbye: true,
                    since: None,
                }
            }
            TellerState::Watching { .. } | TellerState::Away { .. } => {
                TellerState::Watching { heard_at: None }
            }
        };
    }

    /// Notes that what was heard lately was heard by `now`.
    pub(crate) fn heard_by(&mut self, now: BootNanos) {
        for teller in self.places.iter_mut().flatten() {
            if let TellerState::Watching { heard_at } = &mut teller.state {
                heard_at.get_or_insert(now);
            }
        }
    }

    /// Returns up to when the probe that is furthest behind has told, if one is: what it sent last was
    /// old when it came, so that more is on its way.
    pub(crate) fn behind(&self) -> Option<BootNanos> {
        let watching = self.places.iter().flatten();
        let behind = watching.filter_map(|teller| {
            let TellerState::Watching { heard_at } = teller.state else {
                return None;
            };
            let is_old =
                |told: &BootNanos| heard_at.is_some_and(|at| at.since_ns(*told) > BEHIND_NS);
            teller.told_until.filter(is_old)
        });
        behind.min()
    }

    /// Lets time pass; returns whose sockets count as ended.
    pub(crate) fn pass(&mut self, now: BootNanos) -> Vec<TellerId> {
        let mut ended = Vec::new();
        for (n, teller) in self.places.iter_mut().enumerate() {
            let Some(teller) = teller else { continue };
            let over = |since: BootNanos, most_ns| now.since_ns(since) > most_ns;
            match &mut teller.state {
                TellerState::Watching { heard_at } => {
                    let heard_at = *heard_at.get_or_insert(now);
                    if over(heard_at, SILENCE_NS) {
                        teller.state = TellerState::Away {
                            since: Some(now),
                            goodbye: false,
                        };
                    }
                }
                TellerState::Away { since, .. } => {
                    if over(*since.get_or_insert(now), AWAY_NS) {
                        *since = Some(NEVER_AGAIN);
                        ended.push(TellerId(n as u8 + 1));
                    }
                }
                TellerState::Succeeded { since } => {
                    if over(*since.get_or_insert(now), FOUND_NS) {
                        *since = Some(NEVER_AGAIN);
                        ended.push(TellerId(n as u8 + 1));
                    }
                }
            }
        }
        ended
    }

    /// Returns whether a probe watches its sockets.
    pub(crate) fn watches(&self, id: TellerId) -> bool {
        self.get(id)
            .is_none_or(|teller| matches!(teller.state, TellerState::Watching { .. }))
    }

    /// Returns whether a sender is a probe that does not watch any more.
    pub(crate) fn is_gone(&self, sender: &SenderId) -> bool {
        self.find(sender).is_some_and(|id| !self.watches(id))
    }

    /// Returns whether a probe ended without saying goodbye.
    pub(crate) fn left_silently(&self, id: TellerId) -> bool {
        self.get(id).is_some_and(|teller| {
            !matches!(
                teller.state,
                TellerState::Watching { .. } | TellerState::Away { goodbye: true, .. }
            )
        })
    }

    /// Notes that a probe is the last to have told of one socket more.
    pub(crate) fn gain(&mut self, id: TellerId) {
        if let Some(teller) = self.get_mut(id) {
            teller.sockets += 1;
        }
    }

    /// Notes that a probe is the last to have told of one socket less.
    pub(crate) fn lose(&mut self, id: TellerId) {
        if let Some(teller) = self.get_mut(id) {
            teller.sockets = teller.sockets.saturating_sub(1);
        }
    }

    /// Returns all, by place.
    pub(crate) fn all(&self) -> &[Option<Teller>] {
        &self.places
    }

    /// Takes back what was known before, but for sockets: they are told of again.
    pub(crate) fn restore(&mut self, places: &[Option<Teller>]) {
        self.places = places.to_vec();
        for teller in self.places.iter_mut().flatten() {
            teller.sockets = 0;
        }
    }

    fn find(&self, sender: &SenderId) -> Option<TellerId> {
        let is =
            |place: &Option<Teller>| place.as_ref().is_some_and(|known| known.sender == *sender);
        let n = self.places.iter().position(is)?;
        Some(TellerId(n as u8 + 1))
    }

    fn get(&self, id: TellerId) -> Option<&Teller> {
        self.places.get(usize::from(id.0).checked_sub(1)?)?.as_ref()
    }

    fn get_mut(&mut self, id: TellerId) -> Option<&mut Teller> {
        let place = usize::from(id.0).checked_sub(1)?;
        self.places.get_mut(place)?.as_mut()
    }
}

/// What a probe tells after its sockets were held to be gone is waited for as long again: it ends, too.
fn once_more(since: Option<BootNanos>) -> Option<BootNanos> {
    since.filter(|&since| since != NEVER_AGAIN)
}

#[cfg(test)]
mod tests;
