//! Folds what an earlier run left in the log, from the latest state on, while batches are appended and queries wait.
//!
//! What is appended meanwhile is folded after it. If the log cannot be read, reading is retried where it stopped: until
//! then nothing is folded, and everything that is appended waits.

use std::{
    io,
    ops::ControlFlow,
    thread,
    time::{Duration, Instant},
};

use syntrace_core::Limits;
use syntrace_model::BootId;

use super::{Folder, States};
use crate::{
    ingest,
    log::{
        Log, Position, Segments, Stored,
        disk::Disk,
        health::{Left, trouble},
        segments::Extent,
    },
    view::SharedView,
};

/// How long after an error reading the log is retried.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Entries that are folded between two reports of progress.
const REPORT_INTERVAL: u64 = 64;

/// What an earlier run left.
#[derive(Debug)]
pub struct Recovery {
    /// The log.
    pub segments: Segments,
    /// Where the states of the fold are kept.
    pub disk: Disk,
    /// The limits to go on under; what was folded under others is so up to here.
    pub limits: Limits,
    /// Up to so many bytes of the log are folded again, rather than having the missing records rebuilt later.
    pub refold_bytes: u64,
    /// The number after which records are numbered if the beginning of the log is gone, and there is no state.
    pub numbered_after: u64,
    /// Where this run appends.
    pub until: Position,
    /// Bytes that were cut off the end.
    pub torn_bytes: u64,
}

/// How far the reading came.
#[derive(Clone, Copy, Debug)]
struct Reached {
    /// Where it began, and the number that had settled there.
    from: (Position, u64),
    next: Position,
    /// Bytes of the batches.
    bytes: u64,
    /// What is lost. Of the batches that are missing, those before it began: the fold knows
    /// what was in them.
    left: Left,
}

// === impl Recovery ===

impl Recovery {
    /// Folds everything into the view, and returns the states to go on with; `None` if the log is closed
    /// before, which leaves all of it to the next run.
    pub(super) fn run(self, boot: BootId, view: &SharedView, log: &Log) -> Option<States> {
        let began = Instant::now();
        let mut reached = None;
        let extent = loop {
            match self.go_on(&mut reached, boot, view, log) {
                Ok(extent) => break extent?,
                Err(error) => {
                    tracing::warn!(%error, "Log cannot be read; what is appended waits");
                    let (folded, of) = reached.map_or((0, 0), |reached| self.progress(reached));
                    view.rebuilding(folded, of, Some(trouble(&error)));
                    thread::sleep(RETRY_DELAY);
                }
            }
        };
        let reached = reached?;
        let (entries, _) = self.progress(reached);
        let left = Left {
            torn_bytes: self.torn_bytes,
            missing: reached.left.missing
                + extent.missing
                + self.until.0.saturating_sub(extent.next.0),
            unreadable: reached.left.unreadable,
        };
        let took_ms = began.elapsed().as_millis();
        tracing::info!(
            entries,
            torn_bytes = left.torn_bytes,
            took_ms,
            "Folded the log"
        );
        if left.missing > 0 || left.unreadable > 0 {
            let Left {
                missing,
                unreadable,
                ..
            } = left;
            tracing::warn!(missing, unreadable, "Batches of the log are lost");
        }
        log.found(left);
        let due = view.rebuilt_under(self.limits, entries);
        let Self {
            segments,
            disk,
            until,
            ..
        } = self;
        let folded = (reached.bytes, began.elapsed());
        let states = States::new(segments, disk, reached.from, folded, until, due);
        log.restarts_at(states.restart());
        Some(states)
    }

    /// Reads on to the end; `None` if the log is closed before.
    fn go_on(
        &self,
        reached: &mut Option<Reached>,
        boot: BootId,
        view: &SharedView,
        log: &Log,
    ) -> io::Result<Option<Extent>> {
        let reached = match reached {
            Some(reached) => reached,
            None => reached.insert(self.begin(boot, view)?),
        };
        let mut closed = false;
        let extent = self.segments.read(reached.next, |stored| {
            if stored.position >= self.until {
                return ControlFlow::Break(());
            }
            if stored.position.0.is_multiple_of(REPORT_INTERVAL) {
                let (folded, of) = self.progress(*reached);
                view.rebuilding(folded, of, None);
                closed = !log.is_open();
            }
            if closed {
                return ControlFlow::Break(());
            }
            reached.fold(&stored, view);
            ControlFlow::Continue(())
        })?;
        Ok((!closed).then_some(extent))
    }

    /// Begins where all that had settled is stored, so that none of it has to be rebuilt. Where that would
    /// take long, or the log is damaged, with the newest state, which knows what was in the batches that are
    /// missing: what is not stored is rebuilt later.
    fn begin(&self, boot: BootId, view: &SharedView) -> io::Result<Reached> {
        let (segments, hash_seed) = (&self.segments, self.limits.hash_seed);
        let newest = |settled| States::newest(segments, settled, hash_seed);
        let mut state = match newest(view.stored_number())? {
            Some(state) => Some(state),
            None => States::oldest(segments, hash_seed)?,
        };
        let from = state.as_ref().map_or(Position(0), |(from, _)| *from);
        let mut missing = 0;
        if segments.bytes_from(from)? > self.refold_bytes {
            state = newest(u64::MAX)?.or(state);
        } else if let Some(newest) = self.behind_damage(from, &mut missing)? {
            state = Some(newest);
        }
        let (from, folder) = match state {
            Some(state) => state,
            None => {
                let first = segments.firsts()?.first().copied();
                // From the very beginning, under the limits that it was folded under, the numbers are the same.
                let numbered_after = match first {
                    Some(Position(0)) => 0,
                    Some(_) | None => self.numbered_after,
                };
                let limits = newest(u64::MAX)?.map_or(self.limits, |(_, ahead)| ahead.limits);
                let folder = Folder::new(limits, boot, numbered_after);
                (first.unwrap_or(self.until), folder)
            }
        };
        let settled = folder.settled();
        view.begin(folder);
        Ok(Reached {
            from: (from, settled),
            next: from,
            bytes: 0,
            left: Left {
                missing,
                ..Left::default()
            },
        })
    }

    /// Returns the newest state if batches between a position and it are missing, and counts these.
    fn behind_damage(
        &self,
        from: Position,
        missing: &mut u64,
    ) -> io::Result<Option<(Position, Folder)>> {
        let newest = States::newest(&self.segments, u64::MAX, self.limits.hash_seed)?;
        let Some((before, folder)) = newest else {
            return Ok(None);
        };
        let first = self.segments.firsts()?.first().copied();
        let from = from.max(first.unwrap_or(before));
        let mut next = from;
        self.segments.read(from, |stored| {
            if stored.position >= before {
                return ControlFlow::Break(());
            }
            *missing += stored.position.0.saturating_sub(next.0);
            next = stored.position.after();
            ControlFlow::Continue(())
        })?;
        *missing += before.0.saturating_sub(next.0);
        Ok((*missing > 0).then_some((before, folder)))
    }

    /// Returns how many entries are folded, and of how many.
    const fn progress(&self, reached: Reached) -> (u64, u64) {
        let (Position(from), Position(next)) = (reached.from.0, reached.next);
        (next.saturating_sub(from), self.until.0.saturating_sub(from))
    }
}

// === impl Reached ===

impl Reached {
    fn fold(&mut self, stored: &Stored<'_>, view: &SharedView) {
        self.next = stored.position.after();
        self.bytes += stored.batch.len() as u64;
        match ingest::decode(stored.batch) {
            Ok(batch) => view.fold(stored.boot, stored.at, batch, |_| ()),
            Err(error) => {
                tracing::debug!(%error, position = stored.position.0, "Skipped entry of the log");
                self.left.unreadable += 1;
            }
        }
    }
}
