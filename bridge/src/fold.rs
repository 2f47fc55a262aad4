//! The fold over the log: entries in, settled records out, each with its number.
//!
//! What comes out depends on the entries and on nothing else: time passes by the times at which they
//! arrived, and the bridge's own readings of the clocks are entries too. So the same log gives the same
//! records under the same numbers, whenever and how often it is folded.

mod fields;
mod refold;
mod state;
mod ticker;

use syntrace_core::{Limits, Output, Reconciler, fact::Batch};
use syntrace_model::{BootId, BootNanos};

pub(crate) use self::refold::fold;
pub use self::{
    refold::{Recovered, Refold, recover},
    state::States,
    ticker::Ticker,
};
use crate::{
    log::{self, Log, Position},
    metrics::Metrics,
    view::SharedView,
};

/// Everything that the entries so far came to.
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
    /// The log itself, to be told how far it is needed.
    pub log: std::sync::Arc<Log>,
    /// The run of the kernel.
    pub boot: BootId,
    /// What is folded into.
    pub view: SharedView,
    /// What is counted of settled records.
    pub metrics: Metrics,
    /// Where the fold's state is kept, to begin a restart with.
    pub states: Option<States>,
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

    /// Returns the same fold under other limits.
    #[must_use]
    pub fn under(self, limits: Limits) -> Self {
        if limits == self.limits {
            return self;
        }
        Self {
            reconciler: Reconciler::restore(limits, self.reconciler.checkpoint()),
            limits,
            ..self
        }
    }

    /// Returns the limits.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// Folds one entry, and gives what it settles to `each`.
    ///
    /// With another run of the kernel all sockets are gone and its clock begins again: what was live
    /// settles, and the fold begins anew.
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
    /// Runs until the log is closed and all of it is folded.
    ///
    /// Without files nothing outlives this: everything settles then.
    pub fn run(mut self) {
        while let Some(entry) = self.entries.blocking_next() {
            if entry.opens_segment {
                self.keep_state(entry.position, false);
            }
            let count = |output: &Output| self.metrics.settled(output);
            self.view.fold(self.boot, entry.at, entry.batch, count);
            if let Some(states) = &mut self.states {
                let next = entry.position.after();
                states.folded(next, entry.bytes);
                let done = states.done(self.view.handed_on());
                self.log.done_before(done);
            }
        }
        match self.states.as_ref().map(States::next) {
            Some(next) => self.keep_state(next, true),
            None => self.view.drain(|output| self.metrics.settled(output)),
        }
    }

    /// Keeps the state before an entry, if it is worth it.
    fn keep_state(&mut self, before: Position, last: bool) {
        let Some(states) = &mut self.states else {
            return;
        };
        let kept = self
            .view
            .with_folder(|folder| states.keep(before, folder, last));
        match kept {
            Ok(true) => self.log.restarts_at(before),
            Ok(false) => {}
            // A restart begins to read further back.
            Err(error) => tracing::warn!(%error, "State of the fold was not kept"),
        }
    }
}
