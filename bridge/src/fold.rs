//! The fold over the log: entries in, settled records out, each with its number.
//!
//! The output depends on the entries only: time advances by the times at which they arrived, and the bridge's own
//! clock readings are entries too. So the same log gives the same records under the same numbers, however often it is
//! folded.

mod fields;
mod recovery;
mod refold;
mod state;
mod ticker;

use std::time::Instant;

use syntrace_core::{Limits, Output, Reconciler, fact::Batch};
use syntrace_model::{BootId, BootNanos};

pub(crate) use self::refold::handle;
pub use self::{recovery::Recovery, refold::Refold, state::States, ticker::Ticker};
use crate::{
    log::{self, Log},
    metrics::Metrics,
    view::SharedView,
};

/// The result of all entries so far.
#[derive(Debug)]
pub struct Folder {
    reconciler: Reconciler,
    limits: Limits,
    boot: BootId,
    settled: u64,
}

/// The one thread that folds what is appended.
#[derive(Debug)]
pub struct Fold {
    /// Where entries come from.
    pub entries: log::Reader,
    /// The log itself: what the fold needs no more may be removed.
    pub log: std::sync::Arc<Log>,
    /// The run of the kernel.
    pub boot: BootId,
    /// What is folded into.
    pub view: SharedView,
    /// What is counted of settled records.
    pub metrics: Metrics,
    /// What an earlier run left, and where the fold's state is kept; absent without files.
    pub recovery: Option<Recovery>,
}

// === impl Folder ===

impl Folder {
    /// Returns the fold over nothing; the first record that settles has the number after `settled`.
    #[must_use]
    pub fn new(limits: Limits, boot: BootId, settled: u64) -> Self {
        Self {
            reconciler: Reconciler::new(limits),
            limits,
            boot,
            settled,
        }
    }

    /// Goes on under other limits; returns whether it was under others.
    pub fn set_limits(&mut self, limits: Limits) -> bool {
        let changed = limits != self.limits;
        if changed {
            self.reconciler = Reconciler::restore(limits, self.reconciler.checkpoint());
            self.limits = limits;
        }
        changed
    }

    /// Folds one entry, and gives what it settles to `each`.
    ///
    /// After a reboot all sockets are gone and the kernel's clock begins again: what was live settles, and the
    /// fold begins empty.
    pub fn handle(
        &mut self,
        boot: BootId,
        at: BootNanos,
        batch: Batch,
        each: &mut impl FnMut(u64, Output),
    ) {
        if boot != self.boot {
            self.drain(each);
            self.boot = boot;
            self.reconciler = Reconciler::new(self.limits);
        }
        self.reconciler.handle_batch(batch);
        self.reconciler.handle_timeout(at);
        self.give(each);
    }

    /// Settles everything that is live.
    pub fn drain(&mut self, each: &mut impl FnMut(u64, Output)) {
        self.reconciler.drain();
        self.give(each);
    }

    /// Returns what is live.
    #[must_use]
    pub const fn reconciler(&self) -> &Reconciler {
        &self.reconciler
    }

    /// Returns the run of the kernel that what is live belongs to.
    #[must_use]
    pub const fn boot(&self) -> BootId {
        self.boot
    }

    /// Returns the number of the record that settled last; 0 for none.
    #[must_use]
    pub const fn settled(&self) -> u64 {
        self.settled
    }

    fn give(&mut self, each: &mut impl FnMut(u64, Output)) {
        while let Some(output) = self.reconciler.poll_output() {
            self.settled += 1;
            each(self.settled, output);
        }
    }
}

// === impl Fold ===

impl Fold {
    /// Folds what an earlier run left, then what is appended, until the log is closed and all is folded.
    ///
    /// Without files nothing outlives this: everything settles then.
    pub fn run(mut self) {
        let mut states = match self.recovery.take() {
            Some(recovery) => match recovery.run(self.boot, &self.view, &self.log) {
                Some(states) => Some(states),
                // What waits is in the files.
                None => return,
            },
            None => None,
        };
        while let Some(entry) = self.entries.blocking_next() {
            if let Some(states) = &mut states {
                if let Some(position) = states.written() {
                    self.log.restarts_at(position);
                }
                if states.is_due(entry.opens_segment) {
                    let keep = |folder: &Folder| states.keep(entry.position, folder);
                    self.view.with_folder(keep);
                }
            }
            let began = Instant::now();
            let count = |output: &Output| self.metrics.settled(output);
            self.view.fold(self.boot, entry.at, entry.batch, count);
            self.log.is_folded_before(entry.position.after());
            if let Some(states) = &mut states {
                states.folded(entry.position.after(), entry.bytes, began.elapsed());
                self.log.done_before(states.done(self.view.handed_on()));
            }
        }
        match &mut states {
            Some(states) => self.view.with_folder(|folder| states.keep_last(folder)),
            None => self.view.drain(|output| self.metrics.settled(output)),
        }
    }
}
