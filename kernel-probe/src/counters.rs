//! What was lost or withheld before it became a fact: the kernel's counts and our own.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

use aya::maps::{MapData, PerCpuArray};
use syntrace_ebpf_common::Counter;
use syntrace_proto::{Count, Loss};

/// Name of the loss of a ring-buffer record that could not be decoded.
const UNDECODABLE: &str = "undecodable";

/// Name of the loss of `sock_diag` notifications that found no room in the socket's buffer.
const SURVEY: &str = "sock_diag_overflow";

/// All counts since the probe began.
#[derive(Default)]
pub(crate) struct Counters {
    kernel: Option<PerCpuArray<MapData, u64>>,
    /// What the programs had counted when this probe took over, and when it handed over.
    begun: OnceLock<Vec<u64>>,
    closed: OnceLock<Vec<u64>>,
    undecodable: AtomicU64,
    survey: AtomicU64,
}

impl Counters {
    /// Counts beside what the programs count in `kernel`.
    pub(crate) fn new(kernel: PerCpuArray<MapData, u64>) -> Self {
        Self {
            kernel: Some(kernel),
            ..Self::default()
        }
    }

    /// Counts a ring-buffer record that is none.
    pub(crate) fn undecodable(&self) {
        self.undecodable.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many records found the ring full.
    pub(crate) fn ring_full(&self) -> u64 {
        self.kernel_count(Counter::RingFull)
    }

    /// Takes how much `sock_diag` had to tell that found no room, since the probe began.
    pub(crate) fn survey_lost(&self, count: u64) {
        self.survey.fetch_max(count, Ordering::Relaxed);
    }

    /// Returns the losses so far, as a batch carries them; those of 0 are left out.
    pub(crate) fn losses(&self) -> Vec<Loss> {
        let kernel = Counter::ALL.iter().filter(|counter| counter.is_loss());
        let kernel = kernel.map(|&counter| (counter.name(), self.kernel_count(counter)));
        let own = [(UNDECODABLE, &self.undecodable), (SURVEY, &self.survey)];
        let own = own.map(|(cause, count)| (cause, count.load(Ordering::Relaxed)));
        kernel
            .chain(own)
            .filter(|&(_, count)| count > 0)
            .map(|(cause, count)| Loss {
                cause: cause.to_owned(),
                count,
            })
            .collect()
    }

    /// Returns what was left undone or not believed so far, none of it a loss; those of 0 are left out.
    pub(crate) fn counted(&self) -> Vec<Count> {
        let kernel = Counter::ALL.iter().filter(|counter| !counter.is_loss());
        let kernel = kernel.map(|&counter| (counter.name(), self.kernel_count(counter)));
        kernel
            .filter(|&(_, count)| count > 0)
            .map(|(name, count)| Count {
                name: name.to_owned(),
                count,
            })
            .collect()
    }

    /// Logs every count that is not 0, one line each.
    pub(crate) fn log(&self) {
        for &counter in Counter::ALL {
            let count = self.kernel_count(counter);
            if count > 0 {
                tracing::info!(counter = counter.name(), count, "Counted in the kernel");
            }
        }
    }

    /// Leaves out what the programs counted so far: a predecessor told of it.
    pub(crate) fn begin_here(&self) {
        self.begun.get_or_init(|| self.kernel_counts());
    }

    /// Counts no further: a successor tells what the programs count from here on.
    pub(crate) fn close(&self) {
        self.closed.get_or_init(|| self.kernel_counts());
    }

    fn kernel_count(&self, counter: Counter) -> u64 {
        let slot = counter.slot() as usize;
        let at = |counts: Option<&Vec<u64>>| counts.and_then(|counts| counts.get(slot).copied());
        let now = at(self.closed.get()).unwrap_or_else(|| self.read(counter));
        now.saturating_sub(at(self.begun.get()).unwrap_or(0))
    }

    fn kernel_counts(&self) -> Vec<u64> {
        Counter::ALL
            .iter()
            .map(|&counter| self.read(counter))
            .collect()
    }

    fn read(&self, counter: Counter) -> u64 {
        let read = |kernel: &PerCpuArray<MapData, u64>| kernel.get(&counter.slot(), 0).ok();
        self.kernel
            .as_ref()
            .and_then(read)
            .map_or(0, |per_cpu| per_cpu.iter().sum())
    }
}
