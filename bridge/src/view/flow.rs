//! The path of a record: from the fold to memory, to the database and the export, and out of memory.
//!
//! This is the side of the fold, the database's writer and the export; queries are in [`super`].

use std::{
    sync::atomic::Ordering::Relaxed,
    thread::{self, Thread},
    time::Duration,
};

use syntrace_core::{Limits, Output, fact::Batch};
use syntrace_model::{BootId, BootNanos};
use tokio::sync::watch;

use super::{SharedView, WeakView};
use crate::{
    fold::Folder,
    store::{Kept, Recent, Settled},
};

/// Records that stay in memory for the export although they are stored.
const RECENT_MAX: usize = 16_384;

/// Records that are removed from memory at once, and the pause after that.
const BATCH: usize = 64;
const PAUSE: Duration = Duration::from_micros(50);

/// How far the fold has come with what an earlier run left in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebuild {
    /// It is at it.
    Running {
        /// Entries that were folded.
        folded: u64,
        /// Entries that were there.
        of: u64,
        /// Why the log cannot be read at present: `read_only` or `io_error`.
        trouble: Option<&'static str>,
    },
    /// All of it is folded.
    Done {
        /// Entries that were folded.
        folded: u64,
        /// Number of the record that had settled last then.
        settled: u64,
    },
}

// === impl Rebuild ===

impl Rebuild {
    /// Nothing is known yet of what was left.
    pub(super) const BEGUN: Self = Self::Running {
        folded: 0,
        of: 0,
        trouble: None,
    };

    /// Returns how many entries were folded.
    #[must_use]
    pub const fn folded(self) -> u64 {
        match self {
            Self::Running { folded, .. } | Self::Done { folded, .. } => folded,
        }
    }

    /// Returns the number of the record that had settled last when all was folded, if all is.
    const fn done(self) -> Option<u64> {
        match self {
            Self::Done { settled, .. } => Some(settled),
            Self::Running { .. } => None,
        }
    }
}

// === impl SharedView ===

impl SharedView {
    /// Folds one entry; `count` sees what settles.
    pub fn fold(&self, boot: BootId, at: BootNanos, batch: Batch, count: impl Fn(&Output)) {
        let folder = &mut *self.live_mut();
        folder.handle(boot, at, batch, &mut self.keep(count));
        self.folded(folder);
    }

    /// Settles everything that is live.
    pub fn drain(&self, count: impl Fn(&Output)) {
        let folder = &mut *self.live_mut();
        folder.drain(&mut self.keep(count));
        self.folded(folder);
    }

    fn keep(&self, count: impl Fn(&Output)) -> impl FnMut(u64, Output) {
        move |number, output| {
            count(&output);
            let record = Kept::from(output);
            let mut recent = self.recent_mut();
            recent.push(Settled { number, record });
            // More than one goes for one that comes: memory shrinks where it may.
            let gone = self.trim(&mut recent, 2);
            drop(recent);
            drop(gone);
        }
    }

    fn folded(&self, folder: &Folder) {
        let settled = folder.settled();
        self.0
            .settled
            .send_if_modified(|known| std::mem::replace(known, settled) != settled);
        let due = folder.reconciler().poll_timeout();
        self.0
            .due
            .send_if_modified(|known| std::mem::replace(known, due) != due);
        self.wake_writer();
    }

    /// Begins with the state of an earlier run at some point of its log.
    pub(crate) fn begin(&self, folder: Folder) {
        *self.recent_mut() = Recent::after(folder.settled(), &self.0.present);
        *self.live_mut() = folder;
    }

    /// Says how far the fold has come with what an earlier run left.
    pub(crate) fn rebuilding(&self, folded: u64, of: u64, trouble: Option<&'static str>) {
        self.0.rebuild.send_replace(Rebuild::Running {
            folded,
            of,
            trouble,
        });
    }

    /// Goes on under these limits: all that an earlier run left is folded, in so many entries. Returns
    /// whether it was under others.
    pub(crate) fn rebuilt_under(&self, limits: Limits, entries: u64) -> bool {
        let folder = &mut *self.live_mut();
        let changed = folder.set_limits(limits);
        let settled = folder.settled();
        if let Some(database) = self.database() {
            database.forget_beyond(settled);
        }
        self.folded(folder);
        // Last: whoever waits for it reads the result of all of the above.
        self.0.rebuild.send_replace(Rebuild::Done {
            folded: entries,
            settled,
        });
        self.wake_writer();
        changed
    }

    /// Returns how far the fold has come with what an earlier run left.
    #[must_use]
    pub fn rebuild(&self) -> Rebuild {
        *self.0.rebuild.borrow()
    }

    /// Returns whether all that an earlier run left is folded.
    #[must_use]
    pub fn is_rebuilt(&self) -> bool {
        self.rebuild().done().is_some()
    }

    /// Returns the number of the record that settled last, once all that an earlier run left is folded:
    /// what is stored beyond it is obsolete.
    ///
    /// Asked of the fold itself, between two entries: nothing that this run stored is beyond it.
    pub(crate) fn settled_for_good(&self) -> Option<u64> {
        self.is_rebuilt().then(|| self.with_folder(Folder::settled))
    }

    /// Waits until all that an earlier run left is folded, and returns the number of the record that had
    /// settled last then; `None` if the view is closed before.
    pub async fn rebuilt(&self) -> Option<u64> {
        let (mut rebuild, mut closed) = (self.0.rebuild.subscribe(), self.closed());
        tokio::select! {
            biased;
            rebuild = rebuild.wait_for(|rebuild| rebuild.done().is_some()) => rebuild.ok()?.done(),
            _ = closed.wait_for(|closed| *closed) => None,
        }
    }

    /// Says that all up to this number was exported.
    pub fn exported(&self, number: u64) {
        self.0.exported.store(number, Relaxed);
        self.trim_all();
    }

    /// Says that more was stored.
    pub(crate) fn stored(&self) {
        self.trim_all();
    }

    /// Returns up to which number all is stored and exported.
    pub(crate) fn handed_on(&self) -> u64 {
        self.stored_number().min(self.0.exported.load(Relaxed))
    }

    /// Gives the fold to `look`.
    pub(crate) fn with_folder<T>(&self, look: impl FnOnce(&Folder) -> T) -> T {
        look(&self.live())
    }

    /// Returns at most `limit` records from the lowest number in memory on, in order.
    pub(crate) fn recent_all(&self, limit: usize) -> Vec<Settled> {
        let recent = self.recent();
        let before = recent.first().saturating_sub(1);
        recent.settled_after(before, limit).unwrap_or_default()
    }

    /// Returns what is in memory after a number; `None` if some of it is there no more.
    pub(crate) fn recent_after(&self, number: u64, limit: usize) -> Option<Vec<Settled>> {
        self.recent().settled_after(number, limit)
    }

    /// Returns the lowest number in memory.
    pub(crate) fn recent_first(&self) -> u64 {
        self.recent().first()
    }

    /// Names the thread that writes the database.
    pub(crate) fn set_writer(&self, writer: Thread) {
        // There is one.
        drop(self.0.writer.set(writer));
    }

    /// Says that nothing is folded any more.
    pub(crate) fn close(&self) {
        self.0.closed.send_replace(true);
        self.wake_writer();
    }

    /// Returns a channel that says whether nothing is folded any more.
    pub(crate) fn closed(&self) -> watch::Receiver<bool> {
        self.0.closed.subscribe()
    }

    pub(crate) fn is_closed(&self) -> bool {
        *self.0.closed.borrow()
    }

    /// Returns a view that does not keep itself.
    pub(crate) fn downgrade(&self) -> WeakView {
        WeakView(std::sync::Arc::downgrade(&self.0))
    }

    fn wake_writer(&self) {
        if let Some(writer) = self.0.writer.get() {
            writer.unpark();
        }
    }

    /// Removes from memory what may go, a few records at a time: others wait for the lock.
    fn trim_all(&self) {
        loop {
            let gone = self.trim(&mut self.recent_mut(), BATCH);
            if gone.len() < BATCH {
                return;
            }
            // Freed without the lock. Readers queue behind writers: there are none for a moment.
            drop(gone);
            thread::sleep(PAUSE);
        }
    }

    /// Removes from memory what is beyond its bound, and at most `most` records that need not be there.
    fn trim(&self, recent: &mut Recent, most: usize) -> Vec<Kept> {
        let stored = self.stored_number();
        let exported = self.0.exported.load(Relaxed);
        let mut gone = Vec::new();
        while gone.len() < most
            && recent.first() <= stored
            && (recent.first() <= exported || recent.len() > RECENT_MAX)
            && self.database().is_some()
            && let Some(record) = recent.pop()
        {
            gone.push(record);
        }
        while recent.len() > self.0.most
            && let Some(record) = recent.give_up()
        {
            gone.push(record);
            // With a database it is rebuilt from the log.
            self.0
                .evicted
                .fetch_add(u64::from(self.database().is_none()), Relaxed);
        }
        gone
    }
}
