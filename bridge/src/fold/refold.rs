//! Folds the log a second time, behind the live fold, to rebuild records that the database does not have.

use std::{io, ops::ControlFlow};

use syntrace_core::{Limits, Output};
use syntrace_model::BootId;

use super::{Folder, state::States};
use crate::{
    ingest,
    log::{Position, Segments, Stored},
    store::{Kept, Settled},
};

/// A second fold over the same log, behind the first.
#[derive(Debug)]
pub struct Refold {
    segments: Segments,
    limits: Limits,
    /// The fold, and where it resumes.
    at: Option<(Folder, Position)>,
    /// Whether entries are missing or unreadable since the fold knew all: it goes on with the next state, so that what
    /// settles later has the numbers that it had.
    lacks: bool,
}

/// Folds one stored entry; returns whether it could be read.
pub(crate) fn handle(
    folder: &mut Folder,
    stored: &Stored<'_>,
    each: &mut impl FnMut(u64, Output),
) -> bool {
    match ingest::decode(stored.batch) {
        Ok(batch) => {
            folder.handle(stored.boot, stored.at, batch, each);
            true
        }
        Err(error) => {
            tracing::debug!(%error, position = stored.position.0, "Skipped entry of the log");
            false
        }
    }
}

// === impl Refold ===

impl Refold {
    /// Returns a fold over a log of which nothing is read yet.
    #[must_use]
    pub const fn new(segments: Segments, limits: Limits) -> Self {
        Self {
            segments,
            limits,
            at: None,
            lacks: false,
        }
    }

    /// Returns the number after which the log gives all records.
    #[must_use]
    pub fn base(&self) -> u64 {
        let oldest = States::oldest(&self.segments, self.limits.hash_seed)
            .ok()
            .flatten();
        oldest.map_or(0, |(_, folder)| folder.settled())
    }

    /// Returns at least `limit` records that settled after the one with this number, if the log gives as
    /// many; less those that it does not give any more.
    ///
    /// # Errors
    ///
    /// If a file cannot be read.
    pub fn settled_after(&mut self, number: u64, limit: usize) -> io::Result<Vec<Settled>> {
        let at = self.at.take().filter(|(at, _)| at.settled() <= number);
        let (mut folder, from) = match at {
            Some(at) => at,
            None => self.begin(number)?,
        };
        let (segments, hash_seed) = (&self.segments, self.limits.hash_seed);
        let lacks = &mut self.lacks;
        let mut next = from;
        let mut found = Vec::new();
        segments.read(from, |stored| {
            *lacks |= next < stored.position;
            next = stored.position;
            if *lacks && let Some(state) = States::at(segments, stored.position, hash_seed) {
                // Numbers leap between two answers only: so what is lost is counted.
                if !found.is_empty() {
                    return ControlFlow::Break(());
                }
                folder = state;
                *lacks = false;
            }
            *lacks |= !handle(&mut folder, &stored, &mut |settled, output| {
                if settled > number {
                    found.push(Settled {
                        number: settled,
                        record: Kept::from(output),
                    });
                }
            });
            next = stored.position.after();
            if found.len() < limit {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        self.at = Some((folder, next));
        Ok(found)
    }

    fn begin(&mut self, number: u64) -> io::Result<(Folder, Position)> {
        self.lacks = false;
        let state = match States::newest(&self.segments, number, self.limits.hash_seed)? {
            Some(state) => Some(state),
            None => States::oldest(&self.segments, self.limits.hash_seed)?,
        };
        Ok(match state {
            Some((position, folder)) => (folder, position),
            None => {
                let first = self.segments.firsts()?.first().copied().unwrap_or_default();
                (Folder::new(self.limits, BootId([0; 16]), 0), first)
            }
        })
    }
}
