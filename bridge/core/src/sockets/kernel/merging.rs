//! Which of several words about one socket counts, whatever order they come in.
//!
//! - A moment: the earliest that is told; words that were watched tell the same, or contradict each other. Of the
//!   accept, a moment that is exact counts before an upper bound.
//! - What only grows (retransmits): the most that is told. A run that found the socket open knows of none.
//! - What not every word tells (the tag, the owner): the latest word that tells it.
//! - The id that the kernel view minted: the latest word of who knew the socket best, for that was shown first;
//!   the others stay known.
//! - All else: the latest word.
//!
//! Of words that are equally late, the content decides. So a merge is a maximum, field by field, and the order
//! in which words arrive does not matter. When a field was told is kept only where a later word did not tell it.

use syntrace_model::{BootNanos, Outcome, TraceId};

use super::{Kernel, Moment, Once, Rare};
use crate::{
    checkpoint::{EarlierState, Told, WatchedState},
    fact::{Counters, Origin, Snapshot},
    sockets::{Context, Contradictions},
};

/// Different ids that runs of the kernel view may mint for one socket; beyond, the smallest are kept.
const MINTED_MAX: usize = 4;

/// How late a word is. A final outcome is later than any other, because two processors may take their snapshots
/// within the same nanosecond; so are more segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    is_final: bool,
    seen_at: BootNanos,
    segments: u64,
}

/// What earlier words told that the latest did not: when each field was told, where that was not by the latest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Earlier {
    minted: Option<Rank>,
    tag: Option<Rank>,
    owner_pid: Option<Rank>,
    owner_tid: Option<Rank>,
    /// What was told by words that were watched, where that is not what is known, or not all of it.
    watched: Option<Once>,
    /// All ids that were minted, in order, if there are several, or if not every word told the tag: each may have
    /// been shown.
    ids: Vec<TraceId>,
}

/// Segments out and in; bytes acknowledged and received; round-trip times, smoothed and minimal.
type OfTheMoment = ([u32; 2], [u64; 2], [u32; 2]);

/// What decides between words that are equally late: outcome, counters, `errno`, reset reason.
type Content<'a> = (Outcome, OfTheMoment, u32, &'a str);

/// A field of two words, and how late each is.
struct Field<T> {
    known: (T, Rank),
    told: (T, Rank),
    /// The later of both words.
    latest: Rank,
}

// === impl Kernel ===

impl Kernel {
    /// Merges a word about the same socket; `context` is what was known of how it is watched, and becomes what is
    /// known then.
    pub(in crate::sockets) fn merge(
        &mut self,
        told: &Snapshot,
        context: &mut Context,
        newer: Context,
    ) -> Contradictions {
        let found = self.merge_once(told, context.origin);
        let accepted_exactly = self.merge_accepted(told, context.accepted_exactly);
        let first_seen_at = told.watch.first_seen_at.unwrap_or(told.seen_at);
        self.first_seen_at = self.first_seen_at.min(first_seen_at);
        let (known_at, told_at) = (self.rank(), Rank::of(told));
        let latest = known_at.max(told_at);
        let merged = self.merge_told_by_some(told, *context, newer, [known_at, told_at, latest]);
        let all_else =
            if known_at < told_at || (known_at == told_at && places(context) < places(&newer)) {
                newer
            } else {
                *context
            };
        let is_later =
            known_at < told_at || (known_at == told_at && self.content() < Self::content_of(told));
        if is_later {
            self.seen_at = told.seen_at;
            self.outcome = told.outcome;
            self.take_latest(told);
        } else {
            self.grow(&told.counters);
        }
        *context = Context {
            origin: context.origin.min(newer.origin),
            owner_pid: merged.owner_pid,
            owner_tid: merged.owner_tid,
            accepted_exactly,
            accept_deferred: context.accept_deferred | newer.accept_deferred,
            ..all_else
        };
        self.own = self.own_contradictions();
        found
    }

    /// Merges the moments that happen once. Words that were watched contradict each other where they differ, whatever
    /// other words tell: those know a moment only as well as they found it.
    fn merge_once(&mut self, told: &Snapshot, known_from: Origin) -> Contradictions {
        let told_once = Self::once_of(told);
        let earlier = self.rare.as_ref().and_then(|rare| rare.earlier.as_ref());
        let kept = earlier.and_then(|earlier| earlier.watched);
        let known = kept.unwrap_or_else(|| self.once());
        let known = Some(known).filter(|_| known_from == Origin::Watched);
        let is_watched = told.watch.origin == Origin::Watched;
        let mut differ = false;
        let mut watched = known.unwrap_or([Moment::NONE; 4]);
        for (watched, told) in watched.iter_mut().zip(told_once).filter(|_| is_watched) {
            differ |= watched.earliest(told);
        }
        for (known, told) in self.once_mut().into_iter().zip(told_once) {
            known.earliest(told);
        }
        let is_any_watched = is_watched || known.is_some();
        let apart = Some(watched).filter(|&watched| is_any_watched && watched != self.once());
        if apart != kept {
            let rare = self.rare.get_or_insert_default();
            rare.earlier.get_or_insert_default().watched = apart;
            rare.earlier
                .take_if(|earlier| **earlier == Earlier::default());
            self.drop_bare();
        }
        Contradictions::OTHER_TIMES.when(differ)
    }

    /// Merges the moment of the accept; returns whether it is exact.
    fn merge_accepted(&mut self, told: &Snapshot, is_exact: bool) -> bool {
        let known = self.accepted_at.known();
        match (known, told.accepted_at) {
            (Some(_), Some(_)) if is_exact != told.watch.accepted_exactly => {
                if told.watch.accepted_exactly {
                    self.accepted_at = told.accepted_at.into();
                }
                true
            }
            (Some(_), None) => is_exact,
            (None, Some(_)) => {
                self.accepted_at = told.accepted_at.into();
                told.watch.accepted_exactly
            }
            _ => {
                self.accepted_at.earliest(told.accepted_at);
                is_exact | told.watch.accepted_exactly
            }
        }
    }

    /// Merges what not every word tells, and notes when it was told; returns the owner.
    fn merge_told_by_some(
        &mut self,
        told: &Snapshot,
        context: Context,
        newer: Context,
        [known_at, told_at, latest]: [Rank; 3],
    ) -> Context {
        let is_bare = self.rare.is_none() && told.tag.is_none();
        let tells = |newer: u32, known: u32| newer != 0 || known == 0;
        let tells_all =
            tells(newer.owner_pid, context.owner_pid) && tells(newer.owner_tid, context.owner_tid);
        let same = newer.origin == context.origin && told.minted == self.minted;
        // As a rule.
        if is_bare && tells_all && same && known_at < told_at {
            return newer;
        }
        let rare = self.rare.get_or_insert_default();
        let mut earlier = rare
            .earlier
            .take()
            .map_or_else(Earlier::default, |earlier| *earlier);
        let since = |rank: Option<Rank>| rank.unwrap_or(known_at);
        let field = |known: u32, rank, told| {
            let field = Field {
                known: (known, since(rank)),
                told: (told, told_at),
                latest,
            };
            field.latest_that_tells(|&owner| owner != 0)
        };
        let (owner_pid, pid_at) = field(context.owner_pid, earlier.owner_pid, newer.owner_pid);
        let (owner_tid, tid_at) = field(context.owner_tid, earlier.owner_tid, newer.owner_tid);
        (earlier.owner_pid, earlier.owner_tid) = (pid_at, tid_at);
        let was_tagged = rare.tag.is_some();
        let tag = Field {
            known: (rare.tag, since(earlier.tag)),
            told: (told.tag, told_at),
            latest,
        };
        (rare.tag, earlier.tag) = tag.latest_that_tells(Option::is_some);
        if self.minted != told.minted || was_tagged != told.tag.is_some() {
            earlier.note(self.minted);
            earlier.note(told.minted);
        }
        let minted = Field {
            known: (self.minted, since(earlier.minted)),
            told: (told.minted, told_at),
            latest,
        };
        (self.minted, earlier.minted) = match newer.origin.cmp(&context.origin) {
            std::cmp::Ordering::Less => minted.told(),
            std::cmp::Ordering::Equal => minted.latest_that_tells(|_| true),
            std::cmp::Ordering::Greater => minted.known(),
        };
        rare.earlier = (earlier != Earlier::default()).then(|| Box::new(earlier));
        self.drop_bare();
        Context {
            owner_pid,
            owner_tid,
            ..newer
        }
    }

    /// Returns how late the latest word is.
    fn rank(&self) -> Rank {
        Rank {
            is_final: self.outcome.is_final(),
            seen_at: self.seen_at,
            segments: u64::from(self.segments_in) + u64::from(self.segments_out),
        }
    }

    /// Returns what decides between words that are equally late.
    fn content(&self) -> Content<'_> {
        let rare = self.rare.as_ref();
        let reason = rare.map_or("", |rare| &*rare.reset_reason);
        let errno = rare.map_or(0, |rare| rare.errno);
        (self.outcome, of_the_moment(self.counters()), errno, reason)
    }

    /// Returns the same of a word.
    fn content_of(told: &Snapshot) -> Content<'_> {
        let reason = &*told.watch.reset_reason;
        let counters = of_the_moment(told.counters);
        (told.outcome, counters, told.errno, reason)
    }

    /// Returns the ids that runs of the kernel view minted for it and that may have been shown, though another
    /// counts now.
    pub(in crate::sockets) fn shown(&self) -> &[TraceId] {
        let earlier = self.rare.as_ref().and_then(|rare| rare.earlier.as_ref());
        earlier.map_or(&[], |earlier| &earlier.ids)
    }
    /// Returns what earlier words told, to go on from.
    pub(in crate::sockets) fn earlier(&self) -> Option<EarlierState> {
        let earlier = self.rare.as_ref()?.earlier.as_ref()?;
        let told =
            |rank: Option<Rank>| rank.map(|rank| (rank.is_final, rank.seen_at, rank.segments));
        Some(EarlierState {
            minted: told(earlier.minted),
            tag: told(earlier.tag),
            owner_pid: told(earlier.owner_pid),
            owner_tid: told(earlier.owner_tid),
            watched: earlier.watched.map(|watched| {
                let [syn_at, syn_ack_at, established_at, closed_at] = watched.map(Moment::known);
                WatchedState {
                    syn_at,
                    syn_ack_at,
                    established_at,
                    closed_at,
                }
            }),
            ids: earlier.ids.clone(),
        })
    }

    /// Restores what earlier words told.
    pub(in crate::sockets) fn restore_earlier(&mut self, from: &EarlierState) {
        let rank = |told: Option<Told>| {
            told.map(|(is_final, seen_at, segments)| Rank {
                is_final,
                seen_at,
                segments,
            })
        };
        self.rare.get_or_insert_default().earlier = Some(Box::new(Earlier {
            minted: rank(from.minted),
            tag: rank(from.tag),
            owner_pid: rank(from.owner_pid),
            owner_tid: rank(from.owner_tid),
            watched: from.watched.as_ref().map(|watched| {
                let handshake = [watched.syn_at, watched.syn_ack_at, watched.established_at];
                let [syn_at, syn_ack_at, established_at] = handshake.map(Moment::from);
                [syn_at, syn_ack_at, established_at, watched.closed_at.into()]
            }),
            ids: from.ids.clone(),
        }));
    }

    /// Takes what only grows from a word that is not the latest.
    fn grow(&mut self, told: &Counters) {
        let known = self.rare.as_ref().map(|rare| rare.counters);
        let grown = grown(known.unwrap_or_default(), told);
        if grown != known.unwrap_or_default() {
            self.rare.get_or_insert_default().counters = grown;
        }
    }

    /// Drops what is kept apart if nothing is.
    pub(super) fn drop_bare(&mut self) {
        if self.rare.as_deref() == Some(&Rare::default()) {
            self.rare = None;
        }
    }
}

// === impl Rank ===

impl Rank {
    fn of(told: &Snapshot) -> Self {
        let counters = &told.counters;
        Self {
            is_final: told.outcome.is_final(),
            seen_at: told.seen_at,
            segments: u64::from(counters.segments_in) + u64::from(counters.segments_out),
        }
    }
}

// === impl Earlier ===

impl Earlier {
    fn note(&mut self, id: TraceId) {
        if let Err(place) = self.ids.binary_search(&id) {
            self.ids.insert(place, id);
            self.ids.truncate(MINTED_MAX);
        }
    }
}

// === impl Field ===

/// What is kept, and when it was told unless by the latest word.
impl<T: Ord> Field<T> {
    fn latest_that_tells(self, tells: impl Fn(&T) -> bool) -> (T, Option<Rank>) {
        match (tells(&self.known.0), tells(&self.told.0)) {
            (false, false) => (self.known.0, None),
            (true, false) => self.known(),
            (false, true) => self.told(),
            (true, true) if (self.known.1, &self.known.0) < (self.told.1, &self.told.0) => {
                self.told()
            }
            (true, true) => self.known(),
        }
    }

    fn known(self) -> (T, Option<Rank>) {
        let (known, at) = self.known;
        (known, (at != self.latest).then_some(at))
    }

    fn told(self) -> (T, Option<Rank>) {
        let (told, at) = self.told;
        (told, (at != self.latest).then_some(at))
    }
}

/// Returns the known counters with what only grows as far as it was told.
pub(super) fn grown(known: Counters, told: &Counters) -> Counters {
    Counters {
        syn_retransmits: known.syn_retransmits.max(told.syn_retransmits),
        syn_ack_retransmits: known.syn_ack_retransmits.max(told.syn_ack_retransmits),
        retransmits: known.retransmits.max(told.retransmits),
        ..known
    }
}

/// Returns the counters without what only grows.
const fn of_the_moment(counters: Counters) -> OfTheMoment {
    let Counters {
        srtt_us,
        min_rtt_us,
        bytes_acked,
        bytes_received,
        segments_out,
        segments_in,
        ..
    } = counters;
    (
        [segments_out, segments_in],
        [bytes_acked, bytes_received],
        [srtt_us, min_rtt_us],
    )
}

/// Returns what decides between contexts of words that are equally late.
const fn places(context: &Context) -> (u64, u64, u32, u32) {
    (context.netns, context.cgroup, context.mark, context.one_in)
}
